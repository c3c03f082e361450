import type { AuditEntry } from '../../core/audit/audit-store.ts';
import { startHost, type TestHost, until, untilDone } from '../support/host.ts';
import { expectStatus } from '../support/matrix-people.ts';
import { insideOnly } from '../support/stage.ts';
import { join, mailedCode, newTenant, type Person, rawMail } from '../support/tenant.ts';

const { describe, test } = insideOnly('codes are mailed');

/** Members, profiles and settings as administrators and members use them, on the real local host. */
let host: TestHost;
let admin: Person;
let mika: Person;
let other: Person;

beforeAll(async () => {
  host = await startHost({ throttle: { rate: 100_000, burst: 100_000 } });
  ({ admin } = await newTenant(host));
  mika = await join(host, admin, 'mika@example.com');
  other = await join(host, admin, 'other@example.com');
});
afterAll(() => host.end());

const change = (id: string, patch: object, by = admin) => by.api('PATCH', `/v1/members/${id}`, patch);
const newProfile = async (input: object) =>
  (await expectStatus(201, admin.api('POST', '/v1/profiles', input))).json as { id: string; bccDropbox: boolean };
const changeProfile = (id: string, patch: object, by = admin) => by.api('PATCH', `/v1/profiles/${id}`, patch);
const mayUseDropbox = async (person: Person) => (await person.api('GET', '/v1/dropbox')).status === 200;

test('R-2: who cannot be written to is not invited and not registered; an address with dots as carriers gave them out gets its code', async () => {
  const refused = { status: 422, json: { code: 'invalid-address' } };
  expect(await admin.api('POST', '/v1/members', { name: 'Yamada', email: '山田@example.com', profile: 'standard' })).toMatchObject(refused);
  expect(await mika.api('POST', '/v1/dropbox/senders', { address: '山田@example.com' })).toMatchObject(refused);
  const { id } = (await expectStatus(201, mika.api('POST', '/v1/dropbox/senders', { address: 'mi..ka.@carrier.example' }))).json;
  const sent = (await host.outbox()).at(-1);
  expect(sent?.destinations).toEqual(['"mi..ka."@carrier.example']);
  await expectStatus(204, mika.api('DELETE', `/v1/dropbox/senders/${id}`));
});

describe('the BCC dropbox permission', () => {
  test('GEN-6: in a fresh tenant it is on for Administrator and Standard, and off for a profile that is added', async () => {
    const { admin: fresh } = await newTenant(host);
    const { items } = (await expectStatus(200, fresh.api('GET', '/v1/profiles'))).json;
    const shown = (items as Record<string, unknown>[]).map(({ id, name, bccDropbox, manageProfiles, administrator }) => ({
      id,
      name,
      bccDropbox,
      manageProfiles,
      administrator,
    }));
    expect(shown).toEqual([
      { id: 'administrator', name: 'Administrator', bccDropbox: true, manageProfiles: true, administrator: true },
      { id: 'standard', name: 'Standard', bccDropbox: true, manageProfiles: false, administrator: false },
    ]);
    const added = await expectStatus(201, fresh.api('POST', '/v1/profiles', { name: 'Interns' }));
    expect(added.json).toMatchObject({ name: 'Interns', bccDropbox: false, manageProfiles: false, administrator: false });
    expect((await fresh.api('POST', '/v1/profiles', { name: 'Ticked', bccDropbox: true })).json.bccDropbox).toBe(true);
  });

  test('GEN-5: without it no route of the dropbox is open; with it all are', async () => {
    const { id } = await newProfile({ name: 'No dropbox', modules: { leads: { view: true }, contacts: { view: true } } });
    const intern = await join(host, admin, 'intern@example.com', id);
    for (const path of ['/v1/dropbox', '/v1/dropbox/vcard', '/v1/dropbox/senders']) {
      expect(await intern.api('GET', path)).toMatchObject({ status: 403, json: { code: 'no-dropbox-permission' } });
    }
    await expectStatus(200, changeProfile(id, { bccDropbox: true }));
    for (const path of ['/v1/dropbox', '/v1/dropbox/vcard', '/v1/dropbox/senders']) await expectStatus(200, intern.api('GET', path));
  });

  test('GEN-7: who may manage profiles ticks and unticks it, for the very next request; nobody else can', async () => {
    const manager = await newProfile({ name: 'Manager', manageProfiles: true });
    const clerk = await newProfile({ name: 'Clerk' });
    const boss = await join(host, admin, 'boss@example.com', manager.id);
    const hand = await join(host, admin, 'hand@example.com', clerk.id);
    for (const bccDropbox of [true, false, true, false]) {
      await expectStatus(200, changeProfile(clerk.id, { bccDropbox }, boss));
      expect(await mayUseDropbox(hand)).toBe(bccDropbox);
    }
    for (const person of [mika, hand]) {
      expect(await changeProfile(clerk.id, { bccDropbox: true }, person)).toMatchObject({
        status: 403,
        json: { code: 'no-profile-permission' },
      });
      expect(await person.api('POST', '/v1/profiles', { name: 'Mine', manageProfiles: true })).toMatchObject({ status: 403 });
    }
    expect(await mayUseDropbox(hand)).toBe(false);
    // Managing profiles is no administration: they cannot hand themselves what only administrators may do.
    expect(await change(boss.id, { profile: 'administrator' }, boss)).toMatchObject({ status: 403, json: { code: 'administrators-only' } });
    expect(await changeProfile('administrator', { manageProfiles: false }, boss)).toMatchObject({
      status: 403,
      json: { code: 'fixed-profile' },
    });
    expect(await changeProfile(manager.id, { administrator: true }, boss)).toMatchObject({ status: 422, json: { code: 'invalid-body' } });
  });

  test('GEN-7: unticked on a profile, it holds for mail that comes in from then on', async () => {
    const { id } = await newProfile({ name: 'For a while', bccDropbox: true, modules: { contacts: { view: true, create: true } } });
    const temp = await join(host, admin, 'temp@example.com', id);
    const { address } = (await expectStatus(200, temp.api('GET', '/v1/dropbox'))).json;
    await expectStatus(200, changeProfile(id, { bccDropbox: false }));
    const raw = rawMail({ From: temp.email, To: 'c@customer.example', Subject: 'too late' });
    await host.sendMail({ from: temp.email, rcpt: address, raw });
    await expectReason(temp, 'too late', 'no-dropbox-permission');
  });
});

async function expectReason(person: Person, subject: string, reason: string): Promise<void> {
  const items = async () => (await expectStatus(200, person.api('GET', '/v1/held'))).json.items as { subject: string; reason: string }[];
  expect(await until(async () => (await items()).find((held) => held.subject === subject))).toMatchObject({ reason });
}

describe('members', () => {
  test('an invited person is a member once they confirm; a code works once', async () => {
    const { json: invited } = await expectStatus(201, admin.api('POST', '/v1/members', { name: 'New', email: 'New@Example.com' }));
    expect(invited).toMatchObject({ email: 'new@example.com', profile: 'standard', status: 'active', confirmed: false });
    const first = await mailedCode(host, 'new@example.com', /^([0-9a-z]{26})\r?$/m);
    await expectStatus(200, admin.api('POST', `/v1/members/${invited.id}/invitation`));
    const { json } = await expectStatus(201, host.api()('POST', '/v1/confirmations', { code: first }));
    expect(json.member).toMatchObject({ id: invited.id, confirmed: true });
    expect((await host.api(json.token)('GET', '/v1/me')).json.member).toMatchObject({ id: invited.id, confirmed: true });
    const second = await mailedCode(host, 'new@example.com', /^([0-9a-z]{26})\r?$/m);
    for (const code of [first, second, 'x', first.toUpperCase()]) {
      expect(await host.api()('POST', '/v1/confirmations', { code })).toMatchObject({ status: 422, json: { code: 'bad-code' } });
    }
    const again = await admin.api('POST', `/v1/members/${invited.id}/invitation`);
    expect(again).toMatchObject({ status: 409, json: { code: 'already-confirmed' } });
  });

  test('a deactivated person cannot take up an invitation', async () => {
    const { json: invited } = await expectStatus(201, admin.api('POST', '/v1/members', { name: 'Late', email: 'late@example.com' }));
    const code = await mailedCode(host, 'late@example.com', /^([0-9a-z]{26})\r?$/m);
    await expectStatus(200, change(invited.id, { status: 'deactivated' }));
    expect((await host.api()('POST', '/v1/confirmations', { code })).json.code).toBe('bad-code');
  });

  test('an address is one member, however it is written, also when many invite it at once', async () => {
    const invite = (email: string) => admin.api('POST', '/v1/members', { name: 'Twin', email });
    for (const email of ['mika@example.com', 'MIKA@Example.COM']) {
      expect(await invite(email)).toMatchObject({ status: 409, json: { code: 'duplicate-member' } });
    }
    const answers = await Promise.all(Array.from({ length: 5 }, () => invite('twin@example.com')));
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 409, 409, 409, 409]);
    // In another tenant the same address is another person.
    const { admin: elsewhere } = await newTenant(host);
    await expectStatus(201, elsewhere.api('POST', '/v1/members', { name: 'Mika', email: 'mika@example.com' }));
  });

  test('a profile that does not exist, or is another tenant’s, cannot be given', async () => {
    const { admin: elsewhere } = await newTenant(host);
    const { json: foreign } = await expectStatus(201, elsewhere.api('POST', '/v1/profiles', { name: 'Foreign' }));
    for (const profile of ['nothing', foreign.id]) {
      expect(await admin.api('POST', '/v1/members', { name: 'P', email: 'p@example.com', profile })).toMatchObject({
        status: 422,
        json: { code: 'unknown-profile' },
      });
      expect(await change(mika.id, { profile })).toMatchObject({ status: 422, json: { code: 'unknown-profile' } });
    }
  });
});

describe('R-25: the last administrator', () => {
  test('can be neither deactivated nor given another profile, before there is a second one who has confirmed', async () => {
    const { admin: only } = await newTenant(host);
    const refused = { status: 409, json: { code: 'last-administrator' } };
    expect(await change(only.id, { status: 'deactivated' }, only)).toMatchObject(refused);
    expect(await change(only.id, { profile: 'standard' }, only)).toMatchObject(refused);
    await expectStatus(200, change(only.id, { name: 'Renamed' }, only));
    await expectStatus(
      201,
      only.api('POST', '/v1/members', { name: 'Unconfirmed', email: 'unconfirmed@example.com', profile: 'administrator' }),
    );
    expect(await change(only.id, { profile: 'standard' }, only)).toMatchObject(refused);
    const second = await join(host, only, 'second@example.com', 'administrator');
    await expectStatus(200, change(only.id, { profile: 'standard' }, only));
    expect(await change(second.id, { status: 'deactivated' }, second)).toMatchObject(refused);
  });

  test('two who demote each other at once: one of them stays', async () => {
    for (const patch of [{ profile: 'standard' }, { status: 'deactivated' }]) {
      const { admin: one } = await newTenant(host);
      const two = await join(host, one, 'two@example.com', 'administrator');
      const answers = await Promise.all([change(two.id, patch, one), change(one.id, patch, two)]);
      // The one who comes too late is refused as the last, or is no administrator any more.
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
      const left = [];
      for (const person of [one, two]) if ((await person.api('GET', '/v1/audit')).status === 200) left.push(person);
      expect(left).toHaveLength(1);
    }
  });

  test('many demotions and promotions at once never leave none, and the count stays right', async () => {
    const { admin: one } = await newTenant(host);
    const all = [one];
    for (const name of ['b', 'c', 'd']) all.push(await join(host, one, `${name}@example.com`, 'administrator'));
    await Promise.all(all.map((person, i) => change(all[(i + 1) % all.length]!.id, { profile: 'standard' }, person)));
    const left = [];
    for (const person of all) if ((await person.api('GET', '/v1/audit')).status === 200) left.push(person);
    expect(left.length).toBeGreaterThan(0);
    // Were the count wrong, either the last one could go, or one of several could not.
    const [last, ...rest] = left as [Person, ...Person[]];
    for (const person of rest) await expectStatus(200, change(person.id, { profile: 'standard' }, last));
    expect((await change(last.id, { profile: 'standard' }, last)).json.code).toBe('last-administrator');
  });
});

describe('R-33: a deactivated member', () => {
  test('has no token that works from that moment, and a dropbox that holds; nothing is deleted, and all comes back', async () => {
    const gone = await join(host, admin, 'gone@example.com');
    const { json: spare } = await expectStatus(201, gone.api('POST', '/v1/tokens', { name: 'spare' }));
    const { json: contact } = await expectStatus(
      201,
      gone.api('POST', '/v1/contacts', { name: { last: 'Kept' }, addresses: ['kept@customer.example'] }),
    );
    const { address } = (await expectStatus(200, gone.api('GET', '/v1/dropbox'))).json;
    await expectStatus(200, change(gone.id, { status: 'deactivated' }));
    for (const token of [gone.token, spare.token]) expect((await host.api(token)('GET', '/v1/me')).status).toBe(401);

    const raw = rawMail({ From: gone.email, To: 'kept@customer.example', Subject: 'after the end' });
    await host.sendMail({ from: gone.email, rcpt: address, raw });
    expect((await expectStatus(200, mika.api('GET', `/v1/contacts/${contact.id}`))).json.ownerId).toBe(gone.id);
    expect((await expectStatus(200, mika.api('GET', `/v1/members/${gone.id}`))).json).toMatchObject({
      status: 'deactivated',
      deactivatedAt: expect.any(String),
    });

    await untilDone(host, 'inbound');
    await expectStatus(200, change(gone.id, { status: 'active' }));
    await expectReason(gone, 'after the end', 'member-deactivated');
    expect((await gone.api('GET', '/v1/dropbox')).json.address).toBe(address);
    const { items } = (await expectStatus(200, mika.api('GET', `/v1/contacts/${contact.id}/messages`))).json;
    expect(items).toEqual([]);
  });
});

describe('R-41: who may read a record', () => {
  test('everyone by default; owner and administrators when the organisation says so, from the next request on', async () => {
    const { json: deal } = await expectStatus(
      201,
      mika.api('POST', '/v1/contacts', { name: { last: 'Guarded' }, addresses: ['guarded@customer.example'] }),
    );
    const path = `/v1/contacts/${deal.id}`;
    const seenBy = async (person: Person) => ({
      one: (await person.api('GET', path)).status,
      mail: (await person.api('GET', `${path}/messages`)).status,
      change: (await person.api('PATCH', path, { custom: { seen: person.email } })).status,
      listed: (await person.api('GET', '/v1/contacts?limit=100')).json.items.filter(({ id }: { id: string }) => id === deal.id).length,
      found: (await person.api('GET', '/v1/contacts?q=guarded')).json.items.length,
      byAddress: (await person.api('GET', '/v1/contacts?address=guarded%40customer.example')).json.items.length,
    });
    const all = { one: 200, mail: 200, change: 200, listed: 1, found: 1, byAddress: 1 };
    const nothing = { one: 404, mail: 404, change: 404, listed: 0, found: 0, byAddress: 0 };
    for (const person of [mika, other, admin]) expect(await seenBy(person)).toEqual(all);
    await expectStatus(200, admin.api('PATCH', '/v1/organisation', { recordAccess: { contacts: 'owner-and-admins' } }));
    for (const person of [mika, admin]) expect(await seenBy(person)).toEqual(all);
    expect(await seenBy(other)).toEqual(nothing);
    await expectStatus(200, admin.api('PATCH', '/v1/organisation', { recordAccess: { contacts: 'everyone' } }));
    expect(await seenBy(other)).toEqual(all);
  });

  test('a profile grants view, create and edit each by itself', async () => {
    const { id } = await newProfile({ name: 'Steps' });
    const person = await join(host, admin, 'steps@example.com', id);
    const { json: lead } = await expectStatus(201, mika.api('POST', '/v1/leads', { name: { last: 'Steps' } }));
    const can = async () => ({
      view: (await person.api('GET', `/v1/leads/${lead.id}`)).status,
      list: (await person.api('GET', '/v1/leads')).status,
      create: (await person.api('POST', '/v1/leads', { name: { last: 'Made' } })).status,
      edit: (await person.api('PATCH', `/v1/leads/${lead.id}`, { custom: { a: 1 } })).status,
    });
    const give = (leads: object) => expectStatus(200, changeProfile(id, { modules: { leads } }));
    expect(await can()).toEqual({ view: 404, list: 403, create: 403, edit: 404 });
    await give({ view: true });
    expect(await can()).toEqual({ view: 200, list: 200, create: 403, edit: 403 });
    await give({ create: true });
    expect(await can()).toMatchObject({ view: 200, create: 201, edit: 403 });
    await give({ edit: true });
    expect(await can()).toMatchObject({ view: 200, create: 201, edit: 200 });
    await give({ view: false });
    expect(await can()).toMatchObject({ view: 404, list: 403, edit: 404 });
  });
});

describe('the audit', () => {
  let boss: Person;
  let hand: Person;
  const entries = async () => (await expectStatus(200, boss.api('GET', '/v1/audit?limit=100'))).json.items as AuditEntry[];

  beforeAll(async () => {
    ({ admin: boss } = await newTenant(host));
    hand = await join(host, boss, 'hand@example.com');
  });

  test('has who changed which setting, when, and what it was before and after', async () => {
    await expectStatus(200, boss.api('PATCH', '/v1/organisation', { timeZone: 'Asia/Tokyo', excludedDomains: ['partner.example'] }));
    const { json: profile } = await expectStatus(201, boss.api('POST', '/v1/profiles', { name: 'Interns' }));
    await expectStatus(200, boss.api('PATCH', `/v1/profiles/${profile.id}`, { bccDropbox: true }));
    await expectStatus(200, boss.api('PATCH', `/v1/members/${hand.id}`, { name: 'Right hand' }));
    await expectStatus(200, hand.api('PATCH', '/v1/dropbox', { pattern: 'leads' }));
    await expectStatus(200, hand.api('PATCH', '/v1/dropbox', { visibility: 'sharing' }));
    await expectStatus(200, hand.api('POST', '/v1/dropbox/regenerate'));
    const { json: sender } = await expectStatus(201, hand.api('POST', '/v1/dropbox/senders', { address: 'second@example.com' }));
    await expectStatus(204, hand.api('DELETE', `/v1/dropbox/senders/${sender.id}`));
    const { json: token } = await expectStatus(201, hand.api('POST', '/v1/tokens', { name: 'laptop' }));
    await expectStatus(204, hand.api('DELETE', `/v1/tokens/${token.id}`));

    const found = await entries();
    const [bossDid, handDid] = [
      { actor: boss.id, at: expect.stringMatching(/Z$/) },
      { actor: hand.id, at: expect.stringMatching(/Z$/) },
    ];
    const dropbox = { ...handDid, subject: `member:${hand.id}` };
    for (const wanted of [
      {
        ...bossDid,
        action: 'organisation.change',
        before: { timeZone: 'UTC', excludedDomains: [] },
        after: { timeZone: 'Asia/Tokyo', excludedDomains: ['partner.example'] },
      },
      { ...bossDid, action: 'profile.create', subject: `profile:${profile.id}` },
      {
        ...bossDid,
        action: 'profile.change',
        subject: `profile:${profile.id}`,
        before: { bccDropbox: false },
        after: { bccDropbox: true },
      },
      { ...bossDid, action: 'member.invite', subject: `member:${hand.id}`, after: { email: 'hand@example.com', profile: 'standard' } },
      { ...handDid, action: 'member.confirm', subject: `member:${hand.id}` },
      { ...bossDid, action: 'member.change', subject: `member:${hand.id}`, before: { name: 'hand' }, after: { name: 'Right hand' } },
      { ...dropbox, action: 'dropbox.change', before: { pattern: 'contacts-then-leads' }, after: { pattern: 'leads' } },
      { ...dropbox, action: 'dropbox.change', before: { visibility: 'record' }, after: { visibility: 'sharing' } },
      { ...dropbox, action: 'dropbox.regenerate', before: { address: expect.any(String) }, after: { address: expect.any(String) } },
      { ...dropbox, action: 'dropbox.add-sender', after: { address: 'second@example.com' } },
      { ...dropbox, action: 'dropbox.remove-sender', before: { address: 'second@example.com' } },
      { ...handDid, action: 'token.create', subject: `token:${token.id}`, after: { name: 'laptop' } },
      { ...handDid, action: 'token.revoke', subject: `token:${token.id}` },
      { actor: 'operator', action: 'tenant.create' },
    ]) {
      expect(found).toContainEqual(expect.objectContaining(wanted));
    }
    expect(found.map(({ at }) => at)).toEqual(
      found
        .map(({ at }) => at)
        .sort()
        .reverse(),
    );
  });

  test('holds no secret: no token, no code, no dropbox address', async () => {
    const { json: token } = await expectStatus(201, hand.api('POST', '/v1/tokens', { name: 'secret' }));
    const { json: sender } = await expectStatus(201, hand.api('POST', '/v1/dropbox/senders', { address: 'coded@example.com' }));
    const code = await mailedCode(host, 'coded@example.com');
    const wrong = code === '00000000' ? '11111111' : '00000000';
    await expectStatus(422, hand.api('POST', `/v1/dropbox/senders/${sender.id}/verify`, { code: wrong }));
    await expectStatus(200, hand.api('POST', `/v1/dropbox/senders/${sender.id}/verify`, { code }));
    const old = (await hand.api('GET', '/v1/dropbox')).json.address;
    const { address } = (await expectStatus(200, hand.api('POST', '/v1/dropbox/regenerate'))).json;
    const invitation = await mailedCode(host, 'hand@example.com', /^([0-9a-z]{26})\r?$/m);
    const audit = JSON.stringify(await entries());
    expect(audit).toContain('dropbox.wrong-code');
    const secrets = [
      token.token.split('_').at(-1),
      hand.token.split('_').at(-1),
      code,
      invitation,
      old.split('@')[0],
      address.split('@')[0],
    ];
    expect(secrets.filter((secret) => audit.includes(secret as string))).toEqual([]);
    expect(secrets.every((secret) => (secret as string).length >= 8)).toBe(true);
  });

  test('is for administrators, and a change that was refused is not in it', async () => {
    expect(await hand.api('GET', '/v1/audit')).toMatchObject({ status: 403, json: { code: 'administrators-only' } });
    const before = await entries();
    await expectStatus(422, boss.api('PATCH', '/v1/organisation', { timeZone: 'Nowhere' }));
    await expectStatus(422, boss.api('PATCH', '/v1/organisation', { excludedDomains: ['co.uk'] }));
    await expectStatus(412, boss.api('PATCH', '/v1/organisation', { name: 'Stale' }, { 'if-match': '"v1"' }));
    await expectStatus(409, boss.api('PATCH', `/v1/members/${boss.id}`, { status: 'deactivated' }));
    await expectStatus(403, hand.api('PATCH', `/v1/members/${hand.id}`, { profile: 'administrator' }));
    expect(await entries()).toEqual(before);
  });

  test('is read to its end, page by page, each entry once', async () => {
    const all = await entries();
    const paged: AuditEntry[] = [];
    let cursor = '';
    do {
      const { json } = await expectStatus(200, boss.api('GET', `/v1/audit?limit=3${cursor}`));
      paged.push(...json.items);
      cursor = json.next ? `&cursor=${encodeURIComponent(json.next)}` : '';
    } while (cursor);
    expect(paged).toEqual(all);
  });
});
