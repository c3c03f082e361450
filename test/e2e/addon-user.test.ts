import { fetchMail } from '../support/fetched-mail.ts';
import { type Answer, startHost, type TestHost, until } from '../support/host.ts';
import { mailAccount } from '../support/matrix-cells.ts';
import { expectStatus } from '../support/matrix-people.ts';
import { insideOnly } from '../support/stage.ts';
import { join, newTenant, type Person, rawMail } from '../support/tenant.ts';

const { describe, test } = insideOnly('it hands mail in where a poll does, and has several members');

/** Two administrators and three members, of whom one is to leave: as administrators and members try it. */
let host: TestHost;
let admin: Person;
let second: Person;
let mika: Person;
let jun: Person;
let ken: Person;
let contact: string;

const TARO = 'taro@customer.example';
let nth = 0;

beforeAll(async () => {
  host = await startHost({ throttle: { rate: 10_000, burst: 10_000 }, settings: { LOCAL_MAIL_SERVERS: '{}' } });
  ({ admin } = await newTenant(host));
  await expectStatus(200, admin.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' }));
  second = await join(host, admin, 'second@example.com', 'administrator');
  mika = await join(host, admin, 'mika@example.com');
  jun = await join(host, admin, 'jun@example.com');
  ken = await join(host, admin, 'ken@example.com');
  contact = (await expectStatus(201, mika.api('POST', '/v1/contacts', { name: { last: 'Taro' }, addresses: [TARO] }))).json.id;
  for (const [person, type] of [
    [second, 'custom'],
    [mika, 'public'],
    [jun, 'private'],
    [ken, 'custom'],
  ] as const) {
    await expectStatus(201, person.api('POST', '/v1/mail-accounts', mailAccount(++nth, `Mailbox of ${person.email}`)));
    await share(person, type);
  }
});
afterAll(() => host.end());

const saved = async ({ api }: Person, type: string) => {
  const { activeMailbox, fromAddress, dropboxVisibility, gather } = (await api('GET', '/v1/mail-settings')).json;
  return { activeMailbox, fromAddress, dropboxVisibility, gather, sharing: { type } };
};
const share = async (person: Person, type: string) => expectStatus(200, person.api('PUT', '/v1/mail-settings', await saved(person, type)));
const code = ({ status, json }: Answer) => (status < 300 ? String(status) : `${status} ${json?.code}`);
const lock = (by: Person, of: Person, body: object = { reason: 'Leaves in March' }) =>
  by.api('POST', `/v1/addon-users/${of.id}/lock`, body);
const unlock = (by: Person, of: Person) => by.api('POST', `/v1/addon-users/${of.id}/unlock`, {});
const listed = async (query = '') => (await expectStatus(200, admin.api('GET', `/v1/addon-users${query}`))).json.items;
/** Mails to somebody with these words, their lines joined again. */
const told = async (person: Person, words: RegExp) => {
  const mails = (await host.outbox()).filter(({ destinations }) => destinations.includes(person.email));
  const texts = await Promise.all(mails.map(async (mail) => (await mail.raw()).replace(/=\r?\n/g, '')));
  return texts.filter((text) => words.test(text));
};
const seen = async (person: Person) =>
  (await expectStatus(200, person.api('GET', `/v1/contacts/${contact}/messages`))).json.items.map(
    ({ subject }: { subject: string }) => subject,
  );

describe('truth table 2.2, tried with requests', () => {
  test('GEN-4, UNL-4: not an administrator: refused, themselves included', async () => {
    for (const of of [mika, jun, admin, second])
      expect([code(await lock(mika, of)), code(await unlock(mika, of))]).toEqual(['403 administrators-only', '403 administrators-only']);
    expect(code(await mika.api('GET', '/v1/addon-users'))).toBe('403 administrators-only');
    expect(code(await mika.api('GET', '/v1/addon-users.csv'))).toBe('403 administrators-only');
  });

  test('LCK-5, LCK-7, UNL-1: an administrator, another one or a member that shares: allowed', async () => {
    for (const of of [second, mika, ken]) {
      const { json } = await expectStatus(200, lock(admin, of));
      expect(json.locked).toMatchObject({ by: { id: admin.id, name: 'Admin' }, reason: 'Leaves in March' });
      expect(code(await lock(admin, of))).toBe('409 already-locked');
      expect((await expectStatus(200, unlock(admin, of))).json).not.toHaveProperty('locked');
      expect(code(await unlock(admin, of))).toBe('409 not-locked');
    }
  });

  test('LCK-3: who is private: refused', async () => {
    expect([code(await lock(admin, jun)), code(await unlock(admin, jun))]).toEqual(['409 private-account', '409 not-locked']);
  });

  test('LCK-4, UNL-2: of two administrators oneself: refused, whatever the type', async () => {
    for (const type of ['private', 'custom']) {
      await share(second, type);
      expect([code(await lock(second, second)), code(await unlock(second, second))]).toEqual(['403 own-lock', '403 own-lock']);
    }
    await expectStatus(200, lock(admin, second));
    expect(code(await unlock(second, second))).toBe('403 own-lock');
    await expectStatus(200, unlock(admin, second));
  });

  test('LCK-6, UNL-3, R-25: the only active administrator themselves: allowed, unless private', async () => {
    await expectStatus(200, second.api('PATCH', `/v1/members/${admin.id}`, { status: 'deactivated' }));
    await expectStatus(200, lock(second, second));
    await expectStatus(200, unlock(second, second));
    await share(second, 'private');
    expect(code(await lock(second, second))).toBe('409 private-account');
    await expectStatus(200, second.api('PATCH', `/v1/members/${admin.id}`, { status: 'active' }));
    await share(second, 'custom');
  });

  test('ADM-4: who does not use the add-on has nothing to lock', async () => {
    expect(code(await lock(second, admin))).toBe('409 not-an-add-on-user');
    expect((await listed()).map(({ id }: { id: string }) => id)).not.toContain(admin.id);
  });
});

test('R-29: a hold is placed and released by administrators, shown in the list and the download, and refused to members', async () => {
  const path = `/v1/addon-users/${ken.id}/hold`;
  const held = async () => (await listed('?q=ken@example.com'))[0].hold;
  expect(code(await admin.api('DELETE', path))).toBe('409 not-on-hold');
  for (const by of [mika, ken]) {
    expect(code(await by.api('PUT', path, { reason: 'Mine' }))).toBe('403 administrators-only');
    expect(code(await by.api('DELETE', path))).toBe('403 administrators-only');
  }
  expect(code(await admin.api('PUT', path, { reason: '' }))).toBe('422 invalid-body');
  expect(await held()).toBeUndefined();
  const { json } = await expectStatus(200, admin.api('PUT', path, { reason: 'Lawsuit of March' }));
  expect(json.hold).toMatchObject({ by: { id: admin.id, name: 'Admin' }, reason: 'Lawsuit of March' });
  expect(await held()).toEqual(json.hold);
  expect((await second.api('GET', '/v1/addon-users.csv')).text).toContain('Lawsuit of March');
  expect((await expectStatus(200, second.api('DELETE', path))).json).not.toHaveProperty('hold');
  const actions = (await admin.api('GET', '/v1/audit')).json.items.map(({ action }: { action: string }) => action);
  expect(actions.filter((action: string) => action.endsWith('hold'))).toEqual(['addon-user.release-hold', 'addon-user.hold']);
});

describe('one member leaves', () => {
  test('LCK-1, R-27: locked, they are told by mail, refused with 423 and the reason; passwords and polls still work', async () => {
    await expectStatus(200, lock(admin, mika, { reason: 'Leaves in March', expiresAt: '2030-04-01T00:00:00+09:00' }));
    const mail = await until(async () => (await told(mika, /has locked your mail settings until 2030/))[0]);
    expect(mail).toMatch(/Reason: Leaves in March/);
    const { activeMailbox: account } = await saved(mika, 'private');
    const refused: [string, string, unknown?][] = [
      ['PUT', '/v1/mail-settings', await saved(mika, 'private')],
      ['POST', '/v1/mail-accounts', mailAccount(++nth)],
      ['PATCH', `/v1/mail-accounts/${account}`, { name: 'x' }],
      ['DELETE', `/v1/mail-accounts/${account}`],
      ['POST', `/v1/mail-accounts/${account}/activate`],
      ['POST', `/v1/mail-accounts/${account}/main`],
      ['PUT', '/v1/from-addresses/chosen', { address: mika.email }],
      ['PUT', `/v1/contacts/${contact}/mail-sharing`, { shared: false }],
      ['PATCH', '/v1/dropbox', { visibility: 'sharing' }],
    ];
    for (const [method, path, body] of refused) {
      const answer = await mika.api(method, path, body);
      expect({ path, code: code(answer), locked: answer.json.locked }).toEqual({
        path,
        code: '423 locked',
        locked: {
          by: { id: admin.id, name: 'Admin' },
          since: expect.any(String),
          reason: 'Leaves in March',
          until: '2030-03-31T15:00:00.000Z',
        },
      });
    }
    await expectStatus(200, mika.api('PUT', `/v1/mail-accounts/${account}/incoming-password`, { password: 'new' }));
    await expectStatus(200, mika.api('PUT', `/v1/mail-accounts/${account}/outgoing-password`, { password: 'new' }));
    await expectStatus(202, mika.api('POST', `/v1/mail-accounts/${account}/poll`));
    await expectStatus(200, mika.api('POST', `/v1/mail-accounts/${account}/test`));
    await expectStatus(200, mika.api('PATCH', '/v1/dropbox', { severalRecords: 'newest' }));
    expect((await mika.api('GET', '/v1/mail-settings')).json).toMatchObject({
      sharing: { type: 'public' },
      locked: { reason: 'Leaves in March' },
    });
  });

  test('LCK-8: nor does a policy take the type of a locked member away', async () => {
    const policy = { mailPolicy: { allowedSharing: ['private', 'custom'] } };
    const answer = await admin.api('PATCH', '/v1/organisation', policy);
    expect([code(answer), answer.json.members]).toEqual(['409 members-locked', [{ id: mika.id, name: 'mika' }]]);
  });

  test('GEN-9, R-33, LBK-2: deactivated, their mail is hidden, and is there again when they come back; nothing is deleted', async () => {
    await fetchMail(host, mika, rawMail({ From: TARO, To: mika.email, Subject: 'Before' }));
    expect([await seen(jun), await seen(admin)]).toEqual([['Before'], ['Before']]);
    await expectStatus(200, admin.api('PATCH', `/v1/members/${mika.id}`, { status: 'deactivated' }));
    expect([await seen(jun), await seen(admin)]).toEqual([[], []]);
    expect(code(await mika.api('GET', '/v1/mail'))).toBe('401 unauthorised');
    const [row] = await listed('?status=deactivated');
    expect(row).toMatchObject({
      id: mika.id,
      status: 'deactivated',
      deactivatedAt: expect.any(String),
      mailbox: { protocol: 'pop3' },
      sharing: { chosen: 'public' },
      locked: { reason: 'Leaves in March' },
    });
    await expectStatus(200, admin.api('PATCH', `/v1/members/${mika.id}`, { status: 'active' }));
    expect([await seen(jun), (await listed('?q=mika'))[0].settingsSavedSince]).toEqual([['Before'], false]);
    expect((await mika.api('GET', '/v1/mail-settings')).json.settingsSavedSince).toBe(false);
    await expectStatus(200, unlock(second, mika));
    expect(
      await until(async () => (await told(mika, /second, an administrator of Example, has unlocked your mail settings/))[0]),
    ).toBeDefined();
    await share(mika, 'public');
    expect((await listed('?q=mika'))[0].settingsSavedSince).toBe(true);
  });

  test('ADM-2: the list, narrowed, and as a table to download', async () => {
    expect((await listed('?sharing=custom')).map(({ name }: { name: string }) => name)).toEqual(['second', 'ken']);
    await expectStatus(200, lock(admin, ken, { reason: '=HYPERLINK("http://example.com")' }));
    expect((await listed('?locked=true')).map(({ name }: { name: string }) => name)).toEqual(['ken']);
    const { headers, text } = await expectStatus(200, admin.api('GET', '/v1/addon-users.csv?locked=true'));
    expect([headers.get('content-type'), headers.get('content-disposition')]).toEqual([
      'text/csv; charset=utf-8',
      expect.stringMatching(/^attachment; filename="addon-users-/),
    ]);
    expect(text).toContain(`"'=HYPERLINK(""http://example.com"")"`);
    const first = (await expectStatus(200, admin.api('GET', '/v1/addon-users?limit=1'))).json;
    const next = await listed(`?limit=1&cursor=${encodeURIComponent(first.next)}`);
    expect([first.items[0].name, next[0].name]).toEqual(['second', 'mika']);
  });
});
