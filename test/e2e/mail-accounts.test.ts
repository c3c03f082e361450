import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join as path } from 'node:path';
import { CREDENTIALS_PER_HOUR, DISCOVERIES_PER_HOUR, HOSTED_CHANGES_PER_HOUR } from '../../core/limits.ts';
import { startHost, type TestHost, until, untilDone } from '../support/host.ts';
import { untilTooMany } from '../support/hourly.ts';
import { mailAccount } from '../support/matrix-cells.ts';
import { insideOnly } from '../support/stage.ts';
import { join, newTenant, type Person } from '../support/tenant.ts';

const { test } = insideOnly('it has several members and a mail server of its own');

/** A password as nobody else has one: it may be found nowhere but in the ciphertext's plaintext. */
const CANARY = 'canary-in-the-mine-7Q2x';

let host: TestHost;
let admin: Person;
let mika: Person;
beforeAll(async () => {
  host = await startHost();
  ({ admin } = await newTenant(host));
  mika = await join(host, admin, 'mika@example.com');
});
afterAll(() => host.end());

test('GEN-1: nobody sets a mailbox up before an administrator has enabled the add-on, for everyone or for selected members', async () => {
  const { api } = mika;
  const enable = (mailAddOn: string) => admin.api('PATCH', '/v1/organisation', { mailAddOn });
  const statuses = async () => [(await api('GET', '/v1/mail-accounts')).status, (await admin.api('GET', '/v1/mail-accounts')).status];
  expect((await api('GET', '/v1/organisation')).json.mailAddOn).toBe('off');
  const refused = await api('POST', '/v1/mail-accounts', mailAccount(1));
  expect(refused).toMatchObject({
    status: 403,
    json: { code: 'add-on-not-enabled', detail: expect.stringContaining('Ask an administrator') },
  });
  expect(await statuses()).toEqual([403, 403]);
  await enable('selected');
  expect(await statuses()).toEqual([403, 403]);
  expect((await admin.api('PATCH', `/v1/members/${mika.id}`, { mailAddOn: true })).json.mailAddOn).toBe(true);
  expect(await statuses()).toEqual([200, 403]);
  await enable('everyone');
  expect(await statuses()).toEqual([200, 200]);
  await enable('off');
  expect(await statuses()).toEqual([403, 403]);
  expect((await api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' })).status).toBe(403);
  await enable('everyone');
});

test('POP-8, POP-19, POP-21: an account is set up, read, changed under its ETag, and removed', async () => {
  const { api } = mika;
  const form = { ...mailAccount(2), deletion: { policy: 'delete-after-days', days: 7 }, since: '2026-01-01T00:00:00Z' };
  const made = await api('POST', '/v1/mail-accounts', form, { 'idempotency-key': 'once' });
  expect(made).toMatchObject({ status: 201, json: { active: true, main: true, state: 'never-synced', since: '2026-01-01T00:00:00.000Z' } });
  expect((await api('POST', '/v1/mail-accounts', form, { 'idempotency-key': 'once' })).json).toEqual(made.json);
  const url = `/v1/mail-accounts/${made.json.id}`;
  expect(made.headers.get('location')).toBe(url);
  const read = await api('GET', url);
  expect(read.json).toMatchObject({
    incoming: { host: 'pop.example.invalid', port: 995, security: 'implicit', userName: 'mailbox-2' },
    outgoing: { host: 'smtp.example.invalid', port: 465, sameCredentials: true },
    deletion: { policy: 'delete-after-days', days: 7 },
    sync: { found: 0, fetched: 0, filed: 0, skipped: 0 },
    totals: { filed: 0, deleted: 0 },
  });
  const etag = read.headers.get('etag') ?? '';
  const plain = { incoming: { security: 'none' } };
  const changed = await api('PATCH', url, plain, { 'if-match': etag });
  expect(changed).toMatchObject({ status: 200, json: { incoming: { port: 110 }, warnings: [{ code: 'incoming-not-encrypted' }] } });
  expect((await api('PUT', `${url}/incoming-password`, { password: 'new' }, { 'if-match': etag })).status).toBe(412);
  expect((await api('PATCH', url, { since: '2025-01-01T00:00:00Z' })).status).toBe(422);
  expect((await api('DELETE', url, undefined, { 'if-match': etag })).status).toBe(412);
  expect((await api('DELETE', url)).status).toBe(204);
  expect((await api('GET', '/v1/mail-accounts')).json).toMatchObject({ items: [], notice: { code: 'mailbox-unavailable' } });
});

test('R-38: a mailbox is looked into at once when it is set up, and when its owner asks; what came of it is told', async () => {
  const { api } = mika;
  const { id } = (await api('POST', '/v1/mail-accounts', mailAccount(6))).json;
  const url = `/v1/mail-accounts/${id}`;
  // Nobody has a server of that name.
  const [entry] = await until(async () => {
    const { items } = (await api('GET', `${url}/polls`)).json;
    return items.length > 0 ? items : undefined;
  });
  expect(entry).toMatchObject({
    fetched: 0,
    deleted: 0,
    error: 'unreachable',
    advice: { what: { en: expect.any(String), ja: expect.any(String) } },
  });
  expect((await api('GET', url)).json).toMatchObject({
    state: expect.stringMatching(/^(backing-off|unreachable)$/),
    lastError: { code: 'unreachable', advice: { todo: { en: expect.any(String) } } },
    nextPollAt: expect.stringMatching(/Z$/),
  });
  expect(await api('POST', `${url}/poll`)).toMatchObject({ status: 202, json: { id, active: true } });
  await until(async () => (await api('GET', `${url}/polls`)).json.items.length === 2);
  const page = (await api('GET', `${url}/polls?limit=1`)).json;
  expect((await api('GET', `${url}/polls?limit=1&cursor=${page.next}`)).json.items).toEqual([entry]);
  const again = await api('POST', `${url}/poll`);
  expect([again.status, Number(again.headers.get('retry-after')) > 0]).toEqual([429, true]);
  const { id: other } = (await api('POST', '/v1/mail-accounts', mailAccount(7))).json;
  expect(await api('POST', `/v1/mail-accounts/${other}/poll`)).toMatchObject({ status: 409, json: { code: 'not-active' } });
  expect((await api('DELETE', url)).status).toBe(204);
  expect((await api('GET', `${url}/polls`)).status).toBe(404);
});

test('POP-3, C-2: IMAP is refused with a code of its own', async () => {
  const refused = await mika.api('POST', '/v1/mail-accounts', { ...mailAccount(3), protocol: 'imap' });
  expect(refused).toMatchObject({ status: 422, json: { code: 'imap-not-supported' } });
});

test('FRM-1: the From address is chosen among one’s own, under the ETag of the list', async () => {
  const { api } = mika;
  await api('POST', '/v1/mail-accounts', { ...mailAccount(4), address: 'sales@example.com' });
  const { json, headers } = await api('GET', '/v1/from-addresses');
  expect(json.items.map(({ address }: { address: string }) => address)).toEqual(
    expect.arrayContaining(['mika@example.com', 'sales@example.com']),
  );
  const choose = (address: string, ifMatch: string) => api('PUT', '/v1/from-addresses/chosen', { address }, { 'if-match': ifMatch });
  const chosen = await choose('sales@example.com', headers.get('etag') ?? '');
  expect(chosen.json.items).toContainEqual({ address: 'sales@example.com', chosen: true, sources: ['account'] });
  expect((await choose('mika@example.com', headers.get('etag') ?? '')).status).toBe(412);
  expect((await choose('mika@example.com', chosen.headers.get('etag') ?? '')).status).toBe(200);
});

test('a password is in no answer, no table, no queue, no log and no file of the host', async () => {
  const { api } = mika;
  const secret = { ...mailAccount(5), incoming: { ...mailAccount(5).incoming, password: CANARY } };
  const answers = [await api('POST', '/v1/mail-accounts', secret, { 'idempotency-key': 'canary' })];
  const url = `/v1/mail-accounts/${answers[0]?.json.id}`;
  const own = { outgoing: { host: 'smtp.example.invalid', userName: 'out', password: CANARY } };
  answers.push(
    await api('PATCH', url, own),
    await api('PUT', `${url}/incoming-password`, { password: CANARY }),
    await api('PUT', `${url}/outgoing-password`, { password: CANARY }),
    await api('POST', `${url}/activate`),
    await api('GET', '/v1/mail-accounts'),
  );
  expect(answers.map(({ status }) => status)).toEqual([201, 200, 200, 200, 200, 200]);
  answers.push(
    // What is refused is refused without being repeated.
    await api('POST', '/v1/mail-accounts', secret),
    await api('POST', '/v1/mail-accounts', { ...secret, incoming: { password: `${CANARY}\r\n` } }),
    await api('PUT', `${url}/incoming-password`, { password: [CANARY] }),
    await admin.api('GET', '/v1/audit'),
  );
  expect(answers.slice(6).map(({ status }) => status)).toEqual([409, 422, 422, 200]);
  const told = answers.map(({ text, headers }) => text + JSON.stringify([...headers]));
  expect(told.filter((answer) => answer.includes(CANARY))).toEqual([]);
  await untilDone(host, 'polls');
  expect(filesWith(host.dir, 'mika@example.com').length).toBeGreaterThan(0);
  expect(filesWith(host.dir, CANARY)).toEqual([]);
});

test('CREDENTIALS_PER_HOUR servers and passwords are set in an hour, by one member alone: guessing them through an account is no way round', async () => {
  const ken = await join(host, admin, 'ken@example.com');
  const made = await ken.api('POST', '/v1/mail-accounts', mailAccount(30));
  const url = `/v1/mail-accounts/${made.json.id}`;
  const guesses = [
    () => ken.api('PUT', `${url}/incoming-password`, { password: 'guess' }),
    () => ken.api('PUT', `${url}/outgoing-password`, { password: 'guess' }),
    () => ken.api('PATCH', url, { incoming: { password: 'guess' } }),
  ];
  await untilTooMany(CREDENTIALS_PER_HOUR, async (nth) => (nth === 0 ? made : guesses[nth % 3]!()));
  expect((await ken.api('POST', '/v1/mail-accounts', mailAccount(31))).status).toBe(429);
  expect((await ken.api('PATCH', url, { name: 'Renamed' })).status).toBe(200);
  expect((await mika.api('POST', '/v1/mail-accounts', mailAccount(32))).status).toBe(201);
});

test('HOSTED_CHANGES_PER_HOUR hosted mailboxes are made and removed in an hour, one more of either is 429 with the time to wait', async () => {
  const rei = await join(host, admin, 'rei@example.com');
  const make = () => rei.api('POST', '/v1/mail-accounts/hosted', { name: 'Here' });
  const kept = await make();
  let last = kept;
  await untilTooMany(HOSTED_CHANGES_PER_HOUR, async (nth) => {
    if (nth > 0) last = nth % 2 === 1 ? await make() : await rei.api('DELETE', `/v1/mail-accounts/${last.json.id}`);
    return last;
  });
  for (const refused of [await make(), await rei.api('DELETE', `/v1/mail-accounts/${kept.json.id}`)]) expect(refused.status).toBe(429);
  expect((await rei.api('GET', `/v1/mail-accounts/${kept.json.id}`)).status).toBe(200);
  expect((await mika.api('POST', '/v1/mail-accounts/hosted', { name: 'Here' })).status).toBe(201);
});

test('DISCOVERIES_PER_HOUR searches for servers an hour, one more is 429 with the time to wait', async () => {
  const jun = await join(host, admin, 'jun@example.com');
  const ask = () => jun.api('GET', '/v1/mail-providers/discover?address=mika@gmail.com');
  await untilTooMany(DISCOVERIES_PER_HOUR, ask);
});

/** Files below `dir` whose bytes hold a text, plain or in base64. Nothing is at work there meanwhile that would take one away. */
function filesWith(dir: string, text: string): string[] {
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' }).map((name) => path(dir, name));
  const spellings = [Buffer.from(text), Buffer.from(Buffer.from(text).toString('base64').replace(/=+$/, '').slice(0, -1))];
  return files.filter((file) => {
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return false;
    const bytes = readFileSync(file);
    return spellings.some((spelling) => bytes.includes(spelling));
  });
}
