import { fetchMail } from '../support/fetched-mail.ts';
import { type Answer, startHost, type TestHost } from '../support/host.ts';
import { expectStatus } from '../support/matrix-people.ts';
import { insideOnly } from '../support/stage.ts';
import { join, newTenant, type Person, rawMail } from '../support/tenant.ts';

const { describe, test } = insideOnly('it hands mail in where a poll does, and has several members');

/** Who may see which mail, as users try it: settings saved, ticks set, looked at as everybody else. */
let host: TestHost;
let admin: Person;
let mika: Person;
let jun: Person;
let stranger: Person;
let contact: string;

const TARO = 'taro@customer.example';

beforeAll(async () => {
  host = await startHost({ throttle: { rate: 10_000, burst: 10_000 } });
  ({ admin } = await newTenant(host));
  ({ admin: stranger } = await newTenant(host));
  await expectStatus(200, admin.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' }));
  mika = await join(host, admin, 'mika@example.com');
  jun = await join(host, admin, 'jun@example.com');
  contact = (await expectStatus(201, mika.api('POST', '/v1/contacts', { name: { last: 'Taro' }, addresses: [TARO] }))).json.id;
  const multipart = { 'MIME-Version': '1.0', 'Content-Type': 'multipart/mixed; boundary="b"' };
  const attached = '--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename="a.txt"\r\n\r\nA\r\n--b--\r\n';
  await fetchMail(host, mika, rawMail({ From: TARO, To: mika.email, Subject: 'in', ...multipart }, attached));
  await fetchMail(host, mika, rawMail({ From: mika.email, To: TARO, Subject: 'out' }));
  await fetchMail(host, mika, rawMail({ From: mika.email, To: `${TARO}, x@partner.example`, Subject: 'out to two' }));
});
afterAll(() => host.end());

type Settings = Record<string, unknown>;
const settings = (more: Settings = {}): Settings => ({
  activeMailbox: null,
  fromAddress: mika.email,
  sharing: { type: 'private' },
  dropboxVisibility: 'record',
  gather: null,
  ...more,
});
const save = (more: Settings, headers = {}) => mika.api('PUT', '/v1/mail-settings', settings(more), headers);
const share = (sharing: Settings) => expectStatus(200, save({ sharing }));
const list = async (person: Person) => (await expectStatus(200, person.api('GET', `/v1/contacts/${contact}/messages`))).json;
const subjects = async (person: Person) => ((await list(person)).items as { subject: string }[]).map(({ subject }) => subject);
const idOf = async (subject: string) =>
  ((await mika.api('GET', '/v1/mail')).json.items as { id: string; subject: string }[]).find((item) => item.subject === subject)?.id ?? '';
const code = ({ status, json }: Answer) => `${status} ${json?.code}`;

const ALL = ['out to two', 'out', 'in'];

describe('truth table 2.1, tried with requests', () => {
  test.each([
    ['private', { type: 'private' }, [], []],
    ['custom, nothing ticked', { type: 'custom' }, [], []],
    ['public', { type: 'public' }, ALL, ALL],
    ['public, the partner excluded', { type: 'public', excludedDomains: ['partner.example'] }, ['out', 'in'], ['out', 'in']],
    ['public, the customer excluded', { type: 'public', excludedDomains: ['customer.example'] }, [], []],
    ['admin', { type: 'admin' }, [], ALL],
    ['private again', { type: 'private' }, [], []],
  ])('SHR-1, R-7: %s', async (_, sharing, colleague, administrator) => {
    await share(sharing);
    expect({ mika: await subjects(mika), jun: await subjects(jun), admin: await subjects(admin) }).toEqual({
      mika: ALL,
      jun: colleague,
      admin: administrator,
    });
    expect((await stranger.api('GET', `/v1/contacts/${contact}/messages`)).status).toBe(404);
    const id = await idOf('in');
    for (const [person, seen] of [
      [jun, colleague],
      [admin, administrator],
      [stranger, []],
    ] as const) {
      for (const part of ['', '/thread', '/raw', '/visibility', '/attachments/0']) {
        const { status } = await person.api('GET', `/v1/messages/${id}${part}`);
        expect({ part, found: status < 400 }).toEqual({ part, found: (seen as string[]).includes('in') });
      }
    }
  });

  test('SHR-10, SHR-14, REC-6: the tick is offered under custom alone, and opens that record', async () => {
    await share({ type: 'public' });
    expect(await list(mika)).not.toHaveProperty('shareMail');
    expect(code(await mika.api('PUT', `/v1/contacts/${contact}/mail-sharing`, { shared: true }))).toBe('409 not-shared-by-record');
    await share({ type: 'custom' });
    expect((await list(mika)).shareMail).toEqual({ ticked: false });
    await expectStatus(200, mika.api('PUT', `/v1/contacts/${contact}/mail-sharing`, { shared: true }));
    expect((await list(mika)).shareMail).toEqual({ ticked: true });
    expect(await subjects(jun)).toEqual(ALL);
    await expectStatus(200, mika.api('PUT', `/v1/contacts/${contact}/mail-sharing`, { shared: false }));
    expect(await subjects(jun)).toEqual([]);
    expect(code(await stranger.api('PUT', `/v1/contacts/${contact}/mail-sharing`, { shared: true }))).toMatch(/^40[34] /);
  });

  test('SHR-5, SHR-6, SHR-11, SHR-15, SND-2: who shares nothing still sees and may answer what others share', async () => {
    await share({ type: 'public' });
    for (const type of ['private', 'custom', 'public', 'admin']) {
      const own = { ...settings({ sharing: { type } }), fromAddress: jun.email };
      await expectStatus(200, jun.api('PUT', '/v1/mail-settings', own));
      expect(await subjects(jun)).toEqual(ALL);
      expect((await jun.api('GET', `/v1/messages/${await idOf('in')}`)).json.mayReply).toBe(true);
    }
  });
});

describe('the settings', () => {
  test('SHR-2, R-1: before anything was saved they are not configured, and nothing is shared', async () => {
    const fresh = await join(host, admin, 'fresh@example.com');
    const { json } = await expectStatus(200, fresh.api('GET', '/v1/mail-settings'));
    expect(json).toMatchObject({ configured: false, sharing: { type: 'private' }, activeMailbox: null, fromAddress: 'fresh@example.com' });
    expect(json).not.toHaveProperty('savedAt');
  });

  test('POP-21, GEN-2: saved as a whole, with their time; a stale ETag saves nothing', async () => {
    const { headers } = await share({ type: 'custom' });
    const before = (await mika.api('GET', '/v1/mail-settings')).json;
    expect(before).toMatchObject({ configured: true, savedAt: expect.stringMatching(/^20/), sharing: { type: 'custom' } });
    await share({ type: 'private' });
    expect(code(await save({ sharing: { type: 'public' } }, { 'if-match': headers.get('etag') as string }))).toBe('412 stale');
    const { sharing: _, ...half } = settings();
    expect((await mika.api('PUT', '/v1/mail-settings', half)).status).toBe(422);
    expect((await mika.api('GET', '/v1/mail-settings')).json.sharing).toEqual({ type: 'private' });
  });

  test.each([
    [
      'SHR-18: a sixth domain',
      { type: 'public', excludedDomains: ['a', 'b', 'c', 'd', 'e', 'f'].map((x) => `${x}.example`) },
      '422 too-many-excluded-domains',
    ],
    ['R-6: a public suffix', { type: 'public', excludedDomains: ['co.jp'] }, '422 invalid-domain'],
    ['SHR-19: domains beside another type', { type: 'custom', excludedDomains: ['a.example'] }, '422 invalid-body'],
    ['an unknown type', { type: 'friends' }, '422 invalid-body'],
  ])('%s is refused, and nothing changes', async (_, sharing, refusal) => {
    await share({ type: 'private' });
    expect(code(await save({ sharing }))).toBe(refusal);
    expect((await mika.api('GET', '/v1/mail-settings')).json.sharing).toEqual({ type: 'private' });
  });

  test('SHR-18: five domains are taken, in one spelling', async () => {
    const five = ['@A.example', '*.b.example', 'c.example', 'd.example', 'münchen.example'];
    const { json } = await share({ type: 'public', excludedDomains: five });
    expect(json.sharing.excludedDomains).toEqual(['a.example', 'b.example', 'c.example', 'd.example', 'xn--mnchen-3ya.example']);
  });

  test('R-44, FRM-1, MAG-3: a mailbox or an address that is not there, and a folder without a mailbox', async () => {
    expect(code(await save({ activeMailbox: 'gone' }))).toBe('422 unknown-mailbox');
    expect(code(await save({ fromAddress: jun.email }))).toBe('422 not-your-address');
    expect(code(await save({ gather: { in: 'folder', name: 'Customers' } }))).toBe('422 no-mailbox');
  });

  test('POP-7, POP-21, POP-22, REC-1, REC-2, MAG-1, MAG-2, MAG-4: of several mailboxes one is read, as saved; the form of an account asks how to share', async () => {
    const owner = await join(host, admin, 'owner@example.com');
    const account = (name: string, sharing?: Settings) =>
      expectStatus(
        201,
        owner.api('POST', '/v1/mail-accounts', {
          name,
          address: `${name}@example.com`,
          incoming: { host: 'pop.example.com', port: 995, security: 'implicit', userName: name, password: 'secret' },
          sharing,
        }),
      );
    const { json: first } = await account('first', { type: 'public', excludedDomains: ['a.example'] });
    const { json: second } = await account('second');
    const { json: read } = await owner.api('GET', '/v1/mail-settings');
    expect(read).toMatchObject({ activeMailbox: first.id, sharing: { type: 'public', excludedDomains: ['a.example'] }, configured: true });
    expect(read.mailboxes.map(({ name }: { name: string }) => name)).toEqual(['first', 'second']);
    const gather = { in: 'label', name: 'Customers' };
    const wanted = { ...settings(), activeMailbox: second.id, fromAddress: 'second@example.com', gather };
    const { json: saved } = await expectStatus(200, owner.api('PUT', '/v1/mail-settings', wanted));
    expect(saved).toMatchObject({ activeMailbox: second.id, fromAddress: 'second@example.com', gather });
    for (const type of ['custom', 'public', 'admin']) {
      expect((await owner.api('PUT', '/v1/mail-settings', { ...wanted, sharing: { type } })).json).toMatchObject({
        sharing: { type },
        gather,
      });
    }
    const active = (await owner.api('GET', '/v1/mail-accounts')).json.items.map((one: { active: boolean }) => one.active);
    expect(active).toEqual([false, true]);
  });
});

describe("customers' mail in a folder or under a label", () => {
  type Row = { subject: string; gathered?: object };
  let owner: Person;
  const gather = async (place: Settings | null, activeMailbox: string) =>
    expectStatus(200, owner.api('PUT', '/v1/mail-settings', { ...settings({ activeMailbox, gather: place }), fromAddress: owner.email }));
  const rows = async (query = '') =>
    (await expectStatus(200, owner.api('GET', `/v1/mail${query}`))).json as { items: Row[]; next?: string };
  const named = async (query = '') => (await rows(query)).items.map(({ subject }) => subject);
  let mailbox: string;

  beforeAll(async () => {
    owner = await join(host, admin, 'gatherer@example.com');
    const incoming = { host: 'pop.example.com', port: 995, security: 'implicit', userName: 'gatherer', password: 'secret' };
    const account = { name: 'Work', address: owner.email, incoming };
    mailbox = (await expectStatus(201, owner.api('POST', '/v1/mail-accounts', account))).json.id;
    await fetchMail(host, owner, rawMail({ From: TARO, To: owner.email, Subject: 'from a customer' }));
    await fetchMail(host, owner, rawMail({ From: owner.email, To: TARO, Subject: 'to a customer' }));
    await fetchMail(host, owner, rawMail({ From: 'x@home.example', To: owner.email, Subject: 'from nobody known' }));
    await fetchMail(host, owner, rawMail({ From: TARO, To: owner.email, Subject: 'and again' }));
  });

  test.each(['folder', 'label'])(
    'MAG-1, MAG-2, REC-8: in one %s stands what was received from leads and contacts, and nothing else',
    async (kind) => {
      const place = { in: kind, name: 'Customers' };
      await gather(null, mailbox);
      expect((await rows()).items.some((row) => row.gathered)).toBe(false);
      expect([await named('?gathered=true'), (await named('?gathered=false')).length]).toEqual([[], 4]);
      await gather(place, mailbox);
      const all = (await rows()).items.map(({ subject, gathered }) => [subject, gathered]);
      expect(all).toEqual([
        ['and again', place],
        ['from nobody known', undefined],
        ['to a customer', undefined],
        ['from a customer', place],
      ]);
      expect(await named('?gathered=true')).toEqual(['and again', 'from a customer']);
      expect(await named('?gathered=false')).toEqual(['from nobody known', 'to a customer']);
      const first = await rows('?gathered=true&limit=1');
      const second = await rows(`?gathered=true&limit=1&cursor=${first.next}`);
      expect([first, second].map(({ items }) => items.map(({ subject }) => subject))).toEqual([['and again'], ['from a customer']]);
      expect((await owner.api('GET', '/v1/mail?gathered=maybe')).status).toBe(422);
    },
  );

  test('MAG-4: under every sharing type, and it shares nothing', async () => {
    for (const type of ['private', 'custom', 'public', 'admin']) {
      const wanted = settings({ activeMailbox: mailbox, gather: { in: 'folder', name: 'Customers' }, sharing: { type } });
      await expectStatus(200, owner.api('PUT', '/v1/mail-settings', { ...wanted, fromAddress: owner.email }));
      expect(await named('?gathered=true')).toHaveLength(2);
      expect((await subjects(jun)).includes('and again')).toBe(type === 'public');
    }
  });

  test("MAG-5, GEN-1: a customer's new mail stands there as soon as it has come in, for who may use the add-on", async () => {
    await gather({ in: 'label', name: 'Customers' }, mailbox);
    await fetchMail(host, owner, rawMail({ From: TARO, To: owner.email, Subject: 'important' }));
    expect((await named('?gathered=true'))[0]).toBe('important');
    await expectStatus(200, admin.api('PATCH', '/v1/organisation', { mailAddOn: 'selected' }));
    expect([await named('?gathered=true'), (await owner.api('GET', '/v1/mail-settings')).status]).toEqual([[], 403]);
    await expectStatus(200, admin.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' }));
    expect((await named('?gathered=true'))[0]).toBe('important');
  });
});

describe("the organisation's policy", () => {
  const policy = (mailPolicy: Settings) => admin.api('PATCH', '/v1/organisation', { mailPolicy });
  const NONE = {
    defaultSharing: 'private',
    allowedSharing: ['private', 'custom', 'public', 'admin'],
    excludedDomains: [],
    excludedAddresses: [],
    storeOnlyRecordMail: false,
  };
  afterEach(() => expectStatus(200, policy(NONE)));

  test('what it excludes nobody shares, at once; members see that it decides', async () => {
    await share({ type: 'public' });
    await expectStatus(200, policy({ excludedAddresses: ['X@Partner.example'] }));
    expect(await subjects(jun)).toEqual(['out', 'in']);
    await expectStatus(200, policy({ excludedDomains: ['customer.example'] }));
    expect(await subjects(jun)).toEqual([]);
    expect(await subjects(mika)).toEqual(ALL);
    expect((await mika.api('GET', '/v1/mail-settings')).json.policy).toMatchObject({
      excludedDomains: ['customer.example'],
      excludedAddresses: ['x@partner.example'],
      decides: ['excludedDomains'],
    });
  });

  test('a type that is not allowed cannot be chosen, and shares nothing any longer where it was', async () => {
    await share({ type: 'public' });
    await expectStatus(200, policy({ allowedSharing: ['private', 'custom'] }));
    expect(await subjects(jun)).toEqual([]);
    expect(code(await save({ sharing: { type: 'public' } }))).toBe('403 sharing-not-allowed');
    expect((await mika.api('GET', '/v1/mail-settings')).json).toMatchObject({
      sharing: { type: 'public' },
      sharingInForce: { type: 'private' },
      policy: { decides: ['sharing'] },
    });
  });

  test('a thousand domains and a thousand addresses are taken, and refused when they are longer than settings may be', async () => {
    const names = (chars: number) => Array.from({ length: 1000 }, (_, n) => `${String(n).padStart(chars, 'x')}.example`);
    const addresses = names(8).map((name) => `taro@${name}`);
    const { json } = await expectStatus(200, policy({ excludedDomains: names(8), excludedAddresses: addresses }));
    expect([json.mailPolicy.excludedDomains.length, json.mailPolicy.excludedAddresses.length]).toEqual([1000, 1000]);
    expect(code(await policy({ excludedDomains: names(60) }))).toBe('422 policy-too-large');
    expect((await admin.api('GET', '/v1/organisation')).json.mailPolicy).toEqual(json.mailPolicy);
  });

  test('SHR-2: its default is never public, and must be allowed', async () => {
    expect((await policy({ defaultSharing: 'public' })).status).toBe(422);
    expect(code(await policy({ defaultSharing: 'admin', allowedSharing: ['private'] }))).toBe('422 default-not-allowed');
    expect(code(await policy({ excludedAddresses: ['nobody'] }))).toBe('422 invalid-address');
  });
});

describe('looking before and after', () => {
  const preview = async (sharing: Settings, dropboxVisibility = 'record') =>
    (await expectStatus(200, mika.api('POST', '/v1/mail-settings/preview', { sharing, dropboxVisibility }))).json;

  test('a preview counts what a change would show and hide, and changes nothing', async () => {
    await share({ type: 'private' });
    const colleagues = (await admin.api('GET', '/v1/members')).json.items.length - 1;
    expect(await preview({ type: 'public' })).toEqual({
      becomeVisible: { mails: 3, people: colleagues },
      becomeHidden: { mails: 0, people: 0 },
      complete: true,
    });
    expect((await preview({ type: 'admin' })).becomeVisible).toEqual({ mails: 3, people: 1 });
    expect(await subjects(jun)).toEqual([]);
    await share({ type: 'public' });
    expect((await preview({ type: 'public', excludedDomains: ['partner.example'] })).becomeHidden).toEqual({
      mails: 1,
      people: colleagues,
    });
    expect((await preview({ type: 'public' })).becomeHidden.mails).toBe(0);
  });

  test('a preview takes what is going to be saved as it is', async () => {
    const { activeMailbox, fromAddress, dropboxVisibility, gather } = (await mika.api('GET', '/v1/mail-settings')).json;
    const settings = { activeMailbox, fromAddress, sharing: { type: 'private' }, dropboxVisibility, gather };
    const { json } = await expectStatus(200, mika.api('POST', '/v1/mail-settings/preview', settings));
    expect(json).toEqual(await preview({ type: 'private' }, dropboxVisibility));
  });

  test('"Why can I see this?" is answered in words and by code; the owner learns who else does', async () => {
    await share({ type: 'admin' });
    const id = await idOf('in');
    const seenBy = async (person: Person) => (await expectStatus(200, person.api('GET', `/v1/messages/${id}/visibility`))).json;
    expect((await seenBy(admin)).because).toEqual([
      {
        code: 'administrators',
        words: { en: 'mika shares mail with administrators.', ja: expect.stringContaining('管理者') },
        owner: { id: mika.id, name: 'mika' },
        record: { module: 'contacts', id: contact },
      },
    ]);
    expect(await seenBy(admin)).not.toHaveProperty('whoElse');
    expect(await seenBy(mika)).toMatchObject({ because: [{ code: 'own' }], whoElse: { count: 1, members: [{ id: admin.id }] } });
    await share({ type: 'private' });
    expect((await seenBy(mika)).whoElse).toEqual({ count: 0, members: [] });
  });
});
