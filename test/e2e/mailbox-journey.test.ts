import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as path } from 'node:path';
import { jest } from '@jest/globals';
import { openPop3 } from '../../core/account/pop3-client.ts';
import { callAws, TABLE } from '../../lib/local/engine.ts';
import { hasDovecot, startDovecot } from '../support/dovecot.ts';
import { startHost, type TestHost, until } from '../support/host.ts';
import { reached, untilPolled } from '../support/mailbox.ts';
import { LOCALHOST_CERT, startPop3Server } from '../support/pop3-server.ts';
import { insideOnly } from '../support/stage.ts';
import { newTenant, type Person } from '../support/tenant.ts';

const { test } = insideOnly('its mail server is on this machine, and it kills processes');

// A machine that is busy with other tests needs longer than the usual minute.
jest.setTimeout(900_000);

const LOGIN = { userName: 'taro', password: 'open sesame' };

/** A mail server of this machine with TLS: Dovecot, or the scripted one where there is none. */
type MailServer = { port: number; ca: string; add: (raw: string) => void; end: () => Promise<void> };

async function startMailServer(): Promise<MailServer> {
  if (hasDovecot()) {
    const { tlsPort, ca, addMail, end } = await startDovecot({ [LOGIN.userName]: LOGIN.password });
    return { port: tlsPort, ca, add: (raw) => addMail(LOGIN.userName, raw), end };
  }
  process.stderr.write('mailbox-journey: Dovecot is not installed; the scripted server stands in for it\n');
  const { port, add, end } = await startPop3Server({ security: 'implicit' });
  return { port, ca: LOCALHOST_CERT, add: (raw) => void add(raw), end };
}

/** What another POP3 client finds in the mailbox, when the poll that reads it has left: mail is filed before its QUIT. */
async function countSeenByAnotherClient({ port, ca }: MailServer): Promise<number> {
  const open = () => openPop3({ host: 'localhost', address: '127.0.0.1', port, security: 'implicit', login: LOGIN, ca });
  const session = await until(() =>
    open().catch((error: { code?: string }): undefined => {
      if (error.code !== 'IN-USE') throw error;
    }),
  );
  const { count } = await session.stat();
  await session.quit();
  return count;
}

let server: MailServer;
let dir: string;
let host: TestHost;
beforeEach(async () => {
  server = await startMailServer();
  dir = mkdtempSync(path(tmpdir(), 'mailbox-'));
  host = await begin();
});
afterEach(async () => {
  await host.end();
  await server.end();
  rmSync(dir, { recursive: true, force: true });
});
// What a killed function had in hand comes again after some seconds, not after the minutes it takes on AWS.
const begin = () => startHost({ dir, queueVisibility: 20, settings: { LOCAL_MAIL_SERVERS: JSON.stringify({ ca: server.ca }) } });

async function member() {
  const { id: tenant, admin } = await newTenant(host);
  await admin.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' });
  return { tenant, owner: admin };
}
type Owner = Awaited<ReturnType<typeof member>>;

const incoming = (password = LOGIN.password) => ({
  host: 'localhost',
  port: server.port,
  security: 'implicit',
  userName: LOGIN.userName,
  password,
});
async function connect({ owner }: Owner, more: object = {}): Promise<string> {
  const made = await owner.api('POST', '/v1/mail-accounts', { name: 'Work', address: 'taro@example.com', incoming: incoming(), ...more });
  expect(made.status).toBe(201);
  return made.json.id;
}
const pollUntil = ({ tenant, owner }: Owner, account: string, ask: () => Promise<unknown>) =>
  untilPolled(host, { tenant, member: owner.id, account }, ask);
// biome-ignore lint/suspicious/noExplicitAny: a test says what it expects by looking into it.
const sees = (owner: Person, account: string, seen: (shown: any) => unknown) => async () => {
  const { json } = await owner.api('GET', `/v1/mail-accounts/${account}`);
  return seen(json) ? json : undefined;
};
const when = (owner: Person, account: string, seen: Parameters<typeof sees>[2]) => until(sees(owner, account, seen));

async function subjects(owner: Person): Promise<string[]> {
  const found: string[] = [];
  let next = '';
  do {
    const { json } = await owner.api('GET', `/v1/mail?limit=100${next && `&cursor=${encodeURIComponent(next)}`}`);
    found.push(...json.items.map(({ subject }: { subject: string }) => subject));
    next = json.next ?? '';
  } while (next);
  return found;
}

test('POP-18, POP-19, POP-27, INB-14: tried, connected, synced; on the record and in the own list; new mail comes with the next poll', async () => {
  const mine = await member();
  const { owner } = mine;
  const { json: contact } = await owner.api('POST', '/v1/contacts', { name: { last: 'Hana' }, addresses: ['hana@customer.example'] });
  server.add(reached(new Date(), { From: 'hana@customer.example', To: 'taro@example.com', Subject: 'A question' }));
  server.add(reached(new Date(), { From: 'friend@home.example', To: 'taro@example.com', Subject: 'Sunday' }));

  const tried = await owner.api('POST', '/v1/mail-accounts/test', { address: 'taro@example.com', incoming: incoming() });
  const steps = tried.json.incoming.steps.map(({ name, outcome }: { name: string; outcome: string }) => `${name} ${outcome}`);
  expect(steps).toEqual(['resolve', 'connect', 'tls', 'greeting', 'capabilities', 'login', 'mailbox'].map((name) => `${name} ok`));

  const account = await connect(mine);
  await when(owner, account, ({ sync }) => sync.filed === 2);
  await pollUntil(
    mine,
    account,
    sees(owner, account, ({ state }) => state === 'ok'),
  );
  expect(await subjects(owner)).toEqual(['Sunday', 'A question']);
  const onRecord = async () =>
    (await owner.api('GET', `/v1/contacts/${contact.id}/messages`)).json.items.map(({ subject }: { subject: string }) => subject);
  expect(await onRecord()).toEqual(['A question']);

  server.add(reached(new Date(), { From: 'hana@customer.example', To: 'taro@example.com', Subject: 'And another' }));
  await pollUntil(mine, account, async () => (await onRecord()).length === 2);
  expect(await countSeenByAnotherClient(server)).toBe(3);
});

test('R-36, POP-15: delete-at-once empties the server, as another POP3 client sees it, and only of what is stored', async () => {
  const mine = await member();
  for (const n of [1, 2, 3]) server.add(reached(new Date(), { From: 'x@customer.example', Subject: `Mail ${n}` }));
  const account = await connect(mine, { deletion: { policy: 'delete-at-once' } });
  await when(mine.owner, account, ({ sync }) => sync.filed === 3);
  expect(await countSeenByAnotherClient(server)).toBe(3);
  await pollUntil(
    mine,
    account,
    sees(mine.owner, account, ({ totals }) => totals.deleted === 3),
  );
  expect(await countSeenByAnotherClient(server)).toBe(0);
  expect((await subjects(mine.owner)).sort()).toEqual(['Mail 1', 'Mail 2', 'Mail 3']);
});

test('R-37, POP-23, POP-24, POP-25: three refusals stop it and tell its owner; the right password resumes it at once', async () => {
  const mine = await member();
  const { owner } = mine;
  const account = await connect(mine, { incoming: incoming('stale') });
  await pollUntil(
    mine,
    account,
    sees(owner, account, ({ state }) => state === 'auth-failed'),
  );
  expect((await owner.api('GET', `/v1/mail-accounts/${account}/polls`)).json.items).toHaveLength(3);
  expect((await owner.api('GET', `/v1/mail-accounts/${account}`)).json).toMatchObject({
    state: 'auth-failed',
    lastError: { code: 'wrong-password', advice: { todo: { en: expect.any(String), ja: expect.any(String) } } },
  });
  const told = await until(async () => (await host.outbox()).filter(({ destinations }) => destinations.includes(owner.email)).length >= 2);
  expect(told).toBe(true);
  expect((await owner.api('POST', `/v1/mail-accounts/${account}/poll`)).status).toBe(409);

  server.add(reached(new Date(), { From: 'x@customer.example', Subject: 'Waited for' }));
  expect((await owner.api('PUT', `/v1/mail-accounts/${account}/incoming-password`, { password: LOGIN.password })).status).toBe(200);
  await when(owner, account, ({ sync }) => sync.filed === 1);
  expect(await subjects(owner)).toEqual(['Waited for']);
});

test('kill -9 of the engine and all functions in the middle of a first sync: every mail is there once', async () => {
  const mine = await member();
  const total = 300;
  for (let n = 0; n < total; n++) server.add(reached(new Date(), { From: 'x@customer.example', Subject: `Mail ${n}` }));
  const account = await connect(mine);
  await when(mine.owner, account, ({ sync }) => sync.filed >= 20);
  const { engine, functions } = host.pids();
  for (const pid of [engine, ...functions]) process.kill(pid, 'SIGKILL');
  await host.ended;

  host = await begin();
  const again: Owner = { ...mine, owner: { ...mine.owner, api: host.api(mine.owner.token) } };
  await leaseRunsOut(again, account);
  // What a killed function had in hand is delivered again after a while.
  await pollUntil(again, account, async () => (await subjects(again.owner)).length >= total);
  expect((await subjects(again.owner)).sort()).toEqual(Array.from({ length: total }, (_, n) => `Mail ${n}`).sort());
  expect(await countSeenByAnotherClient(server)).toBe(total);
});

/** As if the minute and a half had gone by for which a poll that was killed still holds the mailbox. */
async function leaseRunsOut({ tenant, owner }: Owner, account: string): Promise<void> {
  await callAws(host.endpoints.dynamodb, 'DynamoDB_20120810.UpdateItem', {
    TableName: TABLE,
    Key: { pk: { S: `T#${tenant}#U#${owner.id}` }, sk: { S: `X#${account}` } },
    UpdateExpression: 'SET #lease.#until = :past',
    ConditionExpression: 'attribute_exists(#lease)',
    ExpressionAttributeNames: { '#lease': 'lease', '#until': 'until' },
    ExpressionAttributeValues: { ':past': { S: '2026-01-01T00:00:00.000Z' } },
  });
}
