import ICAL from 'ical.js';
import { type Answer, startHost, type TestHost, until } from '../support/host.ts';
import { expectStatus } from '../support/matrix-people.ts';
import { insideOnly } from '../support/stage.ts';
import { join, mailedCode, newTenant, type Person, rawMail } from '../support/tenant.ts';

const { describe, test } = insideOnly('codes are mailed');

/** The dropbox's settings as a member uses them: over the API and SMTP of the real local host. */
let host: TestHost;
let admin: Person;
let people = 0;

beforeAll(async () => {
  host = await startHost({ throttle: { rate: 100_000, burst: 100_000 } });
  ({ admin } = await newTenant(host));
});
afterAll(() => host.end());

/** Each test has a member of its own: codes are counted by the hour and member. */
const newPerson = (profile?: string) => join(host, admin, `person-${++people}@example.com`, profile);
const dropboxOf = async (person: Person) => (await expectStatus(200, person.api('GET', '/v1/dropbox'))).json;
const add = (person: Person, address: string) => person.api('POST', '/v1/dropbox/senders', { address });
const verify = (person: Person, id: string, code: string) => person.api('POST', `/v1/dropbox/senders/${id}/verify`, { code });
const remove = (person: Person, id: string) => expectStatus(204, person.api('DELETE', `/v1/dropbox/senders/${id}`));
const other = (code: string, step = 1) => String((Number(code) + step) % 100_000_000).padStart(8, '0');

type Entry = { id: string; subject?: string; outcome: string; reason?: string };
/** Sends a mail to a dropbox address and answers what the person's activity says became of it. */
async function send(person: Person, to: string, subject: string, from = person.email): Promise<Entry> {
  await host.sendMail({ from, rcpt: to, raw: rawMail({ From: from, To: 'customer@customer.example', Subject: subject }) });
  return ended(person, subject);
}
const activityOf = async (person: Person) => (await expectStatus(200, person.api('GET', '/v1/activity'))).json.items as Entry[];
const ended = (person: Person, subject: string): Promise<Entry> =>
  until(async () => (await activityOf(person)).find((entry) => entry.subject === subject));
/** A mail to an address that is no longer anybody's is not read: its entry has no subject. */
const sendToOld = (person: Person, to: string, subject: string) =>
  host.sendMail({ from: person.email, rcpt: to, raw: rawMail({ From: person.email, To: 'customer@customer.example', Subject: subject }) });
const ignored = async (person: Person) => (await activityOf(person)).filter(({ outcome }) => outcome === 'ignored');

describe('the address', () => {
  test('BCC-1, BCC-2, BCC-3: each member has one of their own, shown whenever they look, with no mail account set up', async () => {
    const [mika, ken] = [await newPerson(), await newPerson()];
    const first = await dropboxOf(mika);
    expect(first.address).toMatch(/^[0-9a-hjkmnp-tv-z]{26}@dropbox\.example\.com$/);
    expect(await dropboxOf(mika)).toEqual(first);
    expect((await dropboxOf(ken)).address).not.toBe(first.address);
    // Asked for by many at once for the first time there is still but one.
    const late = await newPerson();
    const all = await Promise.all([1, 2, 3, 4].map(() => dropboxOf(late)));
    expect(new Set(all.map(({ address }) => address)).size).toBe(1);
    expect((await send(mika, first.address, 'no account is needed')).outcome).toBe('created');
  });

  test('BCC-20, BCC-21: regenerated at any time and any number of times, exactly one address works', async () => {
    const mika = await newPerson();
    const given = [(await dropboxOf(mika)).address as string];
    await expectStatus(200, mika.api('PATCH', '/v1/dropbox', { pattern: 'leads' }));
    for (let turn = 0; turn < 3; turn++) given.push((await expectStatus(200, mika.api('POST', '/v1/dropbox/regenerate'))).json.address);
    const atOnce = await Promise.all([1, 2, 3, 4].map(() => mika.api('POST', '/v1/dropbox/regenerate')));
    given.push(...atOnce.map((answer: Answer) => answer.json.address as string));
    expect(new Set(given).size).toBe(8);
    const now = await dropboxOf(mika);
    expect(given).toContain(now.address);
    expect(now).toMatchObject({ pattern: 'leads', senders: [{ address: mika.email }] });

    expect((await send(mika, now.address, 'to the one')).outcome).toMatch(/created|filed/);
    const old = given.filter((address) => address !== now.address);
    for (const [i, address] of old.entries()) await sendToOld(mika, address, `old ${i}`);
    expect(await until(async () => (await ignored(mika)).length === old.length)).toBe(true);
    expect((await activityOf(mika)).filter(({ outcome }) => outcome !== 'ignored')).toHaveLength(1);
  });

  test('R-13: mail to the old address is accepted, recorded as unknown-recipient, filed nowhere and answered by nobody', async () => {
    const mika = await newPerson();
    const old = (await dropboxOf(mika)).address;
    await expectStatus(200, mika.api('POST', '/v1/dropbox/regenerate'));
    const before = (await host.outbox()).length;
    await sendToOld(mika, old, 'to the old address');
    const [entry] = await until(async () => {
      const found = await ignored(mika);
      return found.length > 0 ? found : undefined;
    });
    expect(entry).toMatchObject({ reason: 'unknown-recipient', explanation: expect.stringContaining('no longer yours') });
    expect((await mika.api('GET', '/v1/held')).json.items).toEqual([]);
    expect((await mika.api('GET', '/v1/leads?q=to')).json.items).toEqual([]);
    expect(await host.outbox()).toHaveLength(before);
  });

  test('BCC-19: it is downloaded as a vCard, 4.0 or 3.0, that an address book can read', async () => {
    const mika = await newPerson();
    const { address } = await dropboxOf(mika);
    for (const [query, version] of [
      ['', '4.0'],
      ['?version=4.0', '4.0'],
      ['?version=3.0', '3.0'],
    ] as const) {
      const answer = await expectStatus(200, mika.api('GET', `/v1/dropbox/vcard${query}`));
      expect(answer.headers.get('content-type')).toBe('text/vcard; charset=utf-8');
      expect(answer.headers.get('content-disposition')).toMatch(/^attachment; filename="[\w-]+\.vcf"/);
      // RFC 6350 3.2, RFC 2426 2.1: lines end with CRLF, and the card is one of its version from end to end.
      expect(answer.text.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/);
      expect(answer.text).toMatch(new RegExp(`^BEGIN:VCARD\r\nVERSION:${version}\r\n[^]*END:VCARD\r\n$`));
      const card = new ICAL.Component(ICAL.parse(answer.text) as never);
      expect(card.getFirstPropertyValue('email')).toBe(address);
      expect(card.getFirstPropertyValue('fn')).toMatch(/CRM dropbox/);
      expect(card.getAllProperties('email')).toHaveLength(1);
      if (version === '3.0') expect(card.getFirstPropertyValue('n')).toBeTruthy();
    }
    expect((await mika.api('GET', '/v1/dropbox/vcard?version=2.1')).status).toBe(422);
    const { json: now } = await expectStatus(200, mika.api('POST', '/v1/dropbox/regenerate'));
    expect((await mika.api('GET', '/v1/dropbox/vcard')).text).toContain(now.address);
  });

  test('BCC-19: a name with commas, colons, line breaks and Japanese stays one value of the vCard', async () => {
    const mika = await newPerson();
    const name = '佐藤, Mika; "X"\\: EMAIL:attacker@example.org';
    await expectStatus(200, admin.api('PATCH', `/v1/members/${mika.id}`, { name }));
    const { address } = await dropboxOf(mika);
    for (const version of ['3.0', '4.0']) {
      const { text } = await expectStatus(200, mika.api('GET', `/v1/dropbox/vcard?version=${version}`));
      const card = new ICAL.Component(ICAL.parse(text) as never);
      expect(card.getAllProperties('email').map((property) => property.getFirstValue())).toEqual([address]);
      expect(card.getFirstPropertyValue('fn')).toContain(name);
      expect(text.split('\r\n').every((line) => Buffer.byteLength(line) <= 75)).toBe(true);
    }
  });
});

describe('registered senders', () => {
  test('BCC-7, R-2: five may be held, the login address among them; the sixth is refused until one is removed', async () => {
    const mika = await newPerson();
    const { items: start } = (await expectStatus(200, mika.api('GET', '/v1/dropbox/senders'))).json;
    expect(start).toMatchObject([{ address: mika.email, verifiedAt: expect.any(String) }]);
    for (const i of [2, 3, 4, 5]) await expectStatus(201, add(mika, `sender-${i}@example.com`));
    expect(await add(mika, 'sender-6@example.com')).toMatchObject({ status: 409, json: { code: 'too-many-senders' } });
    await remove(mika, start[0].id);
    await expectStatus(201, add(mika, 'sender-6@example.com'));
    expect(await add(mika, mika.email)).toMatchObject({ status: 409, json: { code: 'too-many-senders' } });
    expect((await dropboxOf(mika)).senders).toHaveLength(5);
  });

  test('BCC-7: many added at once are never more than five', async () => {
    const mika = await newPerson();
    const answers = await Promise.all(Array.from({ length: 9 }, (_, i) => add(mika, `many-${i}@example.com`)));
    const { senders } = await dropboxOf(mika);
    expect(senders.length).toBeLessThanOrEqual(5);
    expect(senders).toHaveLength(1 + answers.filter(({ status }) => status === 201).length);
  });

  test('R-2: the login address counts at once; taken off the list its mail is held; put back, it counts again without a code', async () => {
    const mika = await newPerson();
    const { address, senders } = await dropboxOf(mika);
    expect((await send(mika, address, 'while on the list')).outcome).toMatch(/created|filed/);
    await remove(mika, senders[0].id);
    expect(await send(mika, address, 'while off the list')).toMatchObject({ outcome: 'held', reason: 'unregistered-sender' });
    const before = (await host.outbox()).length;
    expect((await expectStatus(201, add(mika, mika.email))).json).toMatchObject({ verifiedAt: expect.any(String) });
    expect(await host.outbox()).toHaveLength(before);
    expect((await send(mika, address, 'on the list again')).outcome).toBe('filed');
  });

  test('BCC-5, BCC-6, R-2: another address counts once its mailed code was given, not before', async () => {
    const mika = await newPerson();
    const { address } = await dropboxOf(mika);
    const second = 'second-of-mika@example.com';
    const { json: sender } = await expectStatus(201, add(mika, ' Second-of-Mika@EXAMPLE.com '));
    expect(sender).toMatchObject({ address: second });
    expect(sender.verifiedAt).toBeUndefined();
    expect(await send(mika, address, 'before the code', second)).toMatchObject({ outcome: 'held', reason: 'unregistered-sender' });
    const code = await mailedCode(host, second);
    const wrong = await verify(mika, sender.id, other(code));
    expect(wrong).toMatchObject({ status: 422, json: { code: 'wrong-code', triesLeft: 4 } });
    expect((await expectStatus(200, verify(mika, sender.id, ` ${code} `))).json.verifiedAt).toEqual(expect.any(String));
    expect((await send(mika, address, 'after the code', second)).outcome).toMatch(/created|filed/);
    expect(await mika.api('POST', `/v1/dropbox/senders/${sender.id}/code`)).toMatchObject({
      status: 409,
      json: { code: 'sender-verified' },
    });
    expect(await add(mika, second)).toMatchObject({ status: 409, json: { code: 'sender-registered' } });
  });

  test('R-2: a code stands five wrong answers, also when they come at once; another code voids the one before', async () => {
    const mika = await newPerson();
    const { json: sender } = await expectStatus(201, add(mika, 'guessed@example.com'));
    const first = await mailedCode(host, 'guessed@example.com');
    for (const left of [4, 3, 2, 1, 0]) expect((await verify(mika, sender.id, other(first, left + 1))).json.triesLeft).toBe(left);
    expect((await verify(mika, sender.id, first)).json.code).toBe('code-used-up');

    await expectStatus(200, mika.api('POST', `/v1/dropbox/senders/${sender.id}/code`));
    const second = await until(async () => {
      const code = await mailedCode(host, 'guessed@example.com');
      return code === first ? undefined : code;
    });
    expect((await verify(mika, sender.id, first)).json.code).toBe('wrong-code');
    const guesses = await Promise.all(Array.from({ length: 12 }, (_, i) => verify(mika, sender.id, other(second, i + 1))));
    const counted = guesses.filter(({ json }) => json.code === 'wrong-code').length;
    // Guesses that meet are refused as changed-meanwhile without an answer; no more than the tries left are answered.
    expect(counted).toBeLessThanOrEqual(4);
    for (let tries = 0; tries < 5; tries++) await verify(mika, sender.id, other(second, 20 + tries));
    expect((await verify(mika, sender.id, second)).json.code).toBe('code-used-up');
  });

  test('R-2: ten codes an hour for a member, whatever the addresses; then 429 that says when to come again', async () => {
    const mika = await newPerson();
    const { json: sender } = await expectStatus(201, add(mika, 'flooded@example.com'));
    const again = () => mika.api('POST', `/v1/dropbox/senders/${sender.id}/code`);
    const answers: Answer[] = [];
    while (answers.length < 20 && answers.at(-1)?.status !== 429) answers.push(await again());
    const statuses = answers.map(({ status }) => status);
    // Nine more, or a few more still when the hour turns meanwhile.
    expect(statuses.slice(0, 9)).toEqual(Array(9).fill(200));
    const refused = answers.at(-1) as Answer;
    expect(refused).toMatchObject({ status: 429, json: { code: 'too-many-requests' } });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(3600);
    expect(await add(mika, 'flooded-too@example.com')).toMatchObject({ status: 429 });
    expect((await dropboxOf(mika)).senders).toHaveLength(2);
    const sent = (await host.outbox()).filter(({ destinations }) => destinations.includes('flooded@example.com'));
    expect(sent).toHaveLength(1 + statuses.filter((status) => status === 200).length);
  });

  test('what is no address of theirs is refused: none at all, and dropbox addresses', async () => {
    const mika = await newPerson();
    const { address } = await dropboxOf(mika);
    for (const text of ['', 'nobody', 'a@b@c', 'a b@example.com', address, address.toUpperCase(), 'x@dropbox.example.com']) {
      expect({ text, code: (await add(mika, text)).json.code }).toEqual({ text, code: 'invalid-address' });
    }
  });
});

describe('the search pattern', () => {
  test('BCC-17: without permission on leads or on contacts it is not offered and cannot be changed; other settings can', async () => {
    for (const missing of ['leads', 'contacts']) {
      const has = missing === 'leads' ? 'contacts' : 'leads';
      const profile = { name: `Without ${missing}`, bccDropbox: true, modules: { [has]: { view: true, create: true, edit: true } } };
      const { json } = await expectStatus(201, admin.api('POST', '/v1/profiles', profile));
      const person = await newPerson(json.id);
      expect(await dropboxOf(person)).toMatchObject({ mayEditPattern: false, pattern: 'contacts-then-leads' });
      for (const patch of [
        { pattern: 'leads' },
        { createIn: 'contacts' },
        { severalRecords: 'newest' },
        { pattern: 'contacts', visibility: 'sharing' },
      ]) {
        const refused = await person.api('PATCH', '/v1/dropbox', patch);
        expect(refused).toMatchObject({ status: 403, json: { code: 'no-module-permission' } });
      }
      expect(await dropboxOf(person)).toMatchObject({ pattern: 'contacts-then-leads', createIn: 'leads', visibility: 'record' });
      await expectStatus(200, person.api('PATCH', '/v1/dropbox', { visibility: 'sharing' }));
      // Granted, it is offered and works with the next request.
      await expectStatus(200, admin.api('PATCH', `/v1/profiles/${json.id}`, { modules: { [missing]: { view: true } } }));
      expect(await dropboxOf(person)).toMatchObject({ mayEditPattern: true });
      await expectStatus(200, person.api('PATCH', '/v1/dropbox', { pattern: 'leads' }));
    }
  });

  test('BCC-18: it holds for the member who set it alone, and for the next mail', async () => {
    const [mika, ken] = [await newPerson(), await newPerson()];
    const kens = await dropboxOf(ken);
    await expectStatus(200, mika.api('PATCH', '/v1/dropbox', { pattern: 'contacts-then-leads', createIn: 'contacts' }));
    expect(await dropboxOf(ken)).toEqual(kens);
    for (const [person, module] of [
      [mika, 'contacts'],
      [ken, 'leads'],
    ] as const) {
      const { address } = await dropboxOf(person);
      const to = `new-${module}@customer.example`;
      await host.sendMail({ from: person.email, rcpt: address, raw: rawMail({ From: person.email, To: to, Subject: `into ${module}` }) });
      const made = (await ended(person, `into ${module}`)) as Entry & { records: { module: string; created: boolean }[] };
      expect(made).toMatchObject({ outcome: 'created', records: [{ module, created: true }] });
    }
  });

  test('what is no pattern is refused', async () => {
    const mika = await newPerson();
    for (const patch of [
      { pattern: 'deals' },
      { createIn: 'deals' },
      { severalRecords: 'some' },
      { visibility: 'public' },
      { address: 'mine@example.com' },
      { senders: [] },
    ]) {
      expect(await mika.api('PATCH', '/v1/dropbox', patch)).toMatchObject({ status: 422, json: { code: 'invalid-body' } });
    }
  });
});
