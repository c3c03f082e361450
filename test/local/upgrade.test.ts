import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firstStart } from '../../lib/local/demo.ts';
import { callAws, TABLE } from '../../lib/local/engine.ts';
import { startHost, type TestHost, until, untilDone } from '../support/host.ts';
import { rawMail } from '../support/tenant.ts';

/**
 * State that an earlier version wrote, table, bucket, queues and key, kept as it lay on the disk. A release adds its own:
 * `UPGRADE_WRITE=0.2.0 npm test -- upgrade`; old ones stay for as long as their state is to be read.
 */
const KEPT = new URL('../fixtures/state/', import.meta.url).pathname;
const VERSIONS = ['0.1.0'];

const dir = mkdtempSync(join(tmpdir(), 'upgrade-'));
let host: TestHost | undefined;
afterEach(() => host?.end());
afterAll(() => rmSync(dir, { recursive: true }));

const before = { From: 'mika@example.com', To: 'taro@customer.example', Subject: 'Before', 'Message-ID': '<before@example.com>' };
const stranger = { From: 'mika@home.example', To: 'taro@customer.example', Subject: 'Held', 'Message-ID': '<held@example.com>' };

/** What lived thirty days on the day it was written lives thirty days from now: this test is run for years. */
async function keepAlive({ endpoints }: TestHost): Promise<void> {
  const dynamo = async (action: string, input: object) => {
    const answer = await callAws(endpoints.dynamodb, `DynamoDB_20120810.${action}`, { TableName: TABLE, ...input });
    return (await answer.json()) as { Items: Record<string, { S?: string; N?: string }>[] };
  };
  const until = { N: String(Math.ceil(Date.now() / 1000) + 30 * 86_400) };
  for (const { pk, sk, ttl } of (await dynamo('Scan', {})).Items) {
    if (!ttl) continue;
    const change = { UpdateExpression: 'SET #ttl = :until', ExpressionAttributeNames: { '#ttl': 'ttl' } };
    await dynamo('UpdateItem', { Key: { pk, sk }, ...change, ExpressionAttributeValues: { ':until': until } });
  }
}

const demoOf = (state: string) =>
  JSON.parse(readFileSync(join(state, 'demo.json'), 'utf8')) as Record<'member' | 'administrator' | 'dropbox' | 'contact', string>;

test.each(VERSIONS)('state of version %s is read: mail, held mail, tokens, secrets; and no mail is taken in twice', async (version) => {
  const state = join(dir, version);
  mkdirSync(state);
  execFileSync('tar', ['xzf', join(KEPT, `${version}.tgz`), '-C', state]);
  host = await startHost({ dir: state });
  expect(host.isNew).toBe(false);
  await keepAlive(host);
  const { member, administrator, dropbox, contact } = demoOf(state);
  const api = host.api(member);
  const subjects = async () =>
    (await api('GET', `/v1/contacts/${contact}/messages`)).json.items.map((each: { subject: string }) => each.subject);
  const outcomes = async () => (await api('GET', '/v1/activity')).json.items.map((each: { outcome: string }) => each.outcome).sort();

  expect((await api('GET', '/v1/dropbox')).json.address).toBe(dropbox);
  expect(await subjects()).toEqual(['Before']);
  const [mail] = (await api('GET', `/v1/contacts/${contact}/messages`)).json.items;
  expect((await api('GET', `/v1/messages/${mail.id}`)).json.text).toContain('Hello');
  expect((await host.api(administrator)('GET', '/v1/audit')).json.items.length).toBeGreaterThan(3);
  expect(await outcomes()).toEqual(['filed', 'held']);

  await host.sendMail({ from: before.From, rcpt: dropbox, raw: rawMail(before) });
  await until(async () => (await outcomes()).includes('duplicate'));
  await untilDone(host, 'inbound');
  expect(await subjects()).toEqual(['Before']);
  expect(JSON.parse(((await host.invoke('reconcile-raw-mail', { minutes: 0 })) as { answer: string }).answer)).toMatchObject({
    healed: 0,
  });

  const held = (await api('GET', '/v1/held')).json.items[0];
  expect((await api('POST', `/v1/held/${held.id}/replay`)).status).toBe(202);
  await until(async () => (await api('GET', `/v1/held/${held.id}`)).json.state === 'held');
});

(process.env.UPGRADE_WRITE ? test : test.skip)('writes the state of this version', async () => {
  const state = join(dir, 'new');
  host = await startHost({ dir: state, firstStart });
  const { member, dropbox } = demoOf(state);
  const api = host.api(member);
  await host.sendMail({ from: before.From, rcpt: dropbox, raw: rawMail(before) });
  await host.sendMail({ from: stranger.From, rcpt: dropbox, raw: rawMail(stranger) });
  await until(async () => (await api('GET', '/v1/activity')).json.items.length === 2);
  await host.end();
  const file = join(KEPT, `${process.env.UPGRADE_WRITE}.tgz`);
  mkdirSync(KEPT, { recursive: true });
  execFileSync('tar', ['czf', file, '--exclude=./log', '--exclude=./lock*', '--exclude=./host.json', '-C', state, '.']);
  expect(existsSync(file)).toBe(true);
});
