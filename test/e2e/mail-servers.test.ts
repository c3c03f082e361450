import { readdirSync, readFileSync } from 'node:fs';
import { join as path } from 'node:path';
import { TRIALS_PER_HOUR } from '../../core/limits.ts';
import { startHost, type TestHost, untilDone } from '../support/host.ts';
import { untilTooMany } from '../support/hourly.ts';
import { LOCALHOST_CERT, type Pop3Server, startPop3Server } from '../support/pop3-server.ts';
import { insideOnly } from '../support/stage.ts';
import { join, newTenant, type Person } from '../support/tenant.ts';

const { describe, test } = insideOnly('it has mail servers on this machine');

const PASSWORD = 'canary-8d1f5b6c';
let host: TestHost;
let server: Pop3Server;
let admin: Person;
let mika: Person;

beforeAll(async () => {
  const settings = { LOCAL_MAIL_SERVERS: JSON.stringify({ ca: LOCALHOST_CERT }) };
  host = await startHost({ settings, throttle: { rate: 1000, burst: 1000 } });
  server = await startPop3Server({ security: 'implicit', users: { taro: PASSWORD }, mails: ['Subject: one\r\n\r\n'] });
  ({ admin } = await newTenant(host));
  await admin.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' });
  mika = await join(host, admin, 'mika@example.com');
});
afterAll(() => Promise.all([host.end(), server.end()]));

const form = (password = PASSWORD) => ({
  address: 'taro@example.com',
  incoming: { host: 'localhost', port: server.port, security: 'implicit', userName: 'taro', password },
});

describe('POP-18: the servers of an account are tested', () => {
  test('before it is created; nothing is kept', async () => {
    const { status, json } = await mika.api('POST', '/v1/mail-accounts/test', form());
    expect([status, json.ok]).toEqual([200, true]);
    expect(json.incoming.steps.map(({ name, outcome }: Record<string, string>) => `${name} ${outcome}`)).toEqual(
      ['resolve', 'connect', 'tls', 'greeting', 'capabilities', 'login', 'mailbox'].map((name) => `${name} ok`),
    );
    expect(json.incoming.steps.at(-1).mailbox).toEqual({ count: 1, octets: 16 });
    expect((await mika.api('GET', '/v1/mail-accounts')).json.items).toEqual([]);
  });

  test('POP-24: a refused password is 200 with ok false, and says what to do in two languages', async () => {
    const { status, json } = await mika.api('POST', '/v1/mail-accounts/test', form('wrong'));
    expect([status, json.ok]).toEqual([200, false]);
    const step = json.incoming.steps.find(({ outcome }: Record<string, string>) => outcome === 'failed');
    expect(step).toMatchObject({
      name: 'login',
      failure: { code: 'wrong-password' },
      advice: { todo: { en: expect.any(String), ja: expect.any(String) } },
    });
  });

  test('at any time later, with the stored password', async () => {
    const created = await mika.api('POST', '/v1/mail-accounts', { name: 'Sales', ...form() });
    expect(created.status).toBe(201);
    const { status, json } = await mika.api('POST', `/v1/mail-accounts/${created.json.id}/test`);
    expect([status, json.ok]).toEqual([200, true]);
    expect((await admin.api('POST', `/v1/mail-accounts/${created.json.id}/test`)).status).toBe(404);
  });

  test('POP-3: IMAP is refused with its code', async () => {
    const { status, json } = await mika.api('POST', '/v1/mail-accounts/test', { ...form(), protocol: 'imap' });
    expect([status, json.code]).toEqual([422, 'imap-not-supported']);
  });

  test('reliability row 31: beside this machine nothing of the inside is reached, and no answer says why', async () => {
    const hosts = ['10.0.0.1', '192.168.1.1', '169.254.169.254', 'metadata.google.internal', 'nobody.invalid'];
    const answers = await Promise.all(
      hosts.map((name) =>
        mika.api('POST', '/v1/mail-accounts/test', { ...form(), incoming: { ...form().incoming, host: name, port: 995 } }),
      ),
    );
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers[0]?.json.incoming.steps[1].failure).toEqual({ code: 'unreachable' });
  });
});

test('TRIALS_PER_HOUR tests an hour, one more is 429 with the time to wait', async () => {
  const jiro = await join(host, admin, 'jiro@example.com');
  const ask = () => jiro.api('POST', '/v1/mail-accounts/test', { ...form(), incoming: { ...form().incoming, host: '10.0.0.1' } });
  expect((await untilTooMany(TRIALS_PER_HOUR, ask)).json.code).toBe('too-many-requests');
});

describe('POP-14: servers are found', () => {
  test('providers', async () => {
    const { json } = await mika.api('GET', '/v1/mail-providers');
    expect(json.items.find(({ id }: { id: string }) => id === 'gmail')).toMatchObject({
      incoming: { host: 'pop.gmail.com', port: 995 },
      sharedUserName: 'recent:{address}',
    });
  });

  test('of an address', async () => {
    const { status, json } = await mika.api('GET', '/v1/mail-providers/discover?address=taro@gmail.com');
    expect([status, json.source, json.incoming.host]).toEqual([200, 'provider', 'pop.gmail.com']);
    expect((await mika.api('GET', '/v1/mail-providers/discover?address=nobody')).json.code).toBe('invalid-address');
  });
});

test('GEN-1: before the administrator enables the add-on, nothing of this is there', async () => {
  const { admin: other } = await newTenant(host);
  for (const [method, route, body] of [
    ['GET', '/v1/mail-providers', undefined],
    ['GET', '/v1/mail-providers/discover?address=a@gmail.com', undefined],
    ['POST', '/v1/mail-accounts/test', form()],
  ] as const) {
    expect((await other.api(method, route, body)).json.code).toBe('add-on-not-enabled');
  }
});

test('reliability row 32: the canary password is in no log and nowhere in the state', async () => {
  // What is at work there could take a file away that was just listed, or write one that was not.
  await untilDone(host, 'polls', 'inbound');
  const files = (readdirSync(host.dir, { recursive: true, withFileTypes: true }) as import('node:fs').Dirent[]).filter((entry) =>
    entry.isFile(),
  );
  const found = files.filter((file) => readFileSync(path(file.parentPath, file.name)).includes(PASSWORD)).map(({ name }) => name);
  expect(files.length).toBeGreaterThan(2);
  expect(found).toEqual([]);
});
