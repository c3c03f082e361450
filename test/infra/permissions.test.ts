import { readFileSync } from 'node:fs';
import { join as path } from 'node:path';
import { sha256 } from '../../core/ids.ts';
import { EXPORT_VOLUME_BYTES } from '../../core/limits.ts';
import type { Route } from '../../functions/api/route.ts';
import { routes } from '../../functions/api/routes.ts';
import { type FunctionRow, functions } from '../../functions/manifest.ts';
import type { RecordedCall } from '../../lib/local/engine/calls.ts';
import { callAws, signed, TABLE } from '../../lib/local/engine.ts';
import { fetchMail } from '../support/fetched-mail.ts';
import { startHost, type TestHost, until, untilDone } from '../support/host.ts';
import { newMailbox, reached, sendJob, untilPolled } from '../support/mailbox.ts';
import { type Cell, cells, mailAccount } from '../support/matrix-cells.ts';
import { type MatrixWorld, matrixWorld } from '../support/matrix-world.ts';
import { startPop3Server } from '../support/pop3-server.ts';
import { join, rawMail } from '../support/tenant.ts';
import { callsOfLambda, faultsOf, rolesOf } from './iam.ts';
import { type Json, MAIL_DOMAIN, synthesise, type Template } from './synthesised.ts';

/**
 * Would AWS have allowed it? Users' and operators' journeys on the local host, with every call of every function recorded,
 * held against the rights its role has in the synthesised template: each call allowed, each right used.
 */
const names = Object.keys(functions) as (keyof typeof functions)[];
const template = synthesise();
let host: TestHost;
let world: MatrixWorld;
let calls: RecordedCall[];

beforeAll(async () => {
  host = await startHost({
    recordCalls: true,
    settings: { MAIL_DOMAIN, LOCAL_MAIL_SERVERS: '{}' },
    throttle: { rate: 10_000, burst: 10_000 },
  });
  world = await matrixWorld(host);
  await useTheWholeApi();
  await sendMails();
  await fetchMails();
  await followAddresses();
  await pollAMailbox();
  await importTwoPages();
  await handOver();
  await exportBackup(await backUp());
  await offBoard();
  await comeBackTomorrow();
  await sweep();
  await warn();
  await deleteHidden();
  await reconcile();
  await rotateKey();
  calls = [
    ...readFileSync(path(host.dir, 'calls.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as RecordedCall),
    ...names.flatMap((name) => callsOfLambda(name, queueOf(functions[name]))),
  ];
}, 900_000);
afterAll(() => host.end());

test('every call of every function is allowed by its role on AWS, and every right of every role is used', () => {
  expect(faultsOf(calls, rolesOf(template, names))).toEqual([]);
});

test('calls of every function that touches anything were recorded', () => {
  const seen = new Set(calls.filter(({ action }) => !action.startsWith('logs:')).map((call) => call.function));
  expect(names.filter((name) => (functions[name] as FunctionRow).uses.length > 0 && !seen.has(name))).toEqual([]);
});

test('the key leaves it to IAM who may use it: its own policy lets the account, and nobody else', () => {
  const [key] = Object.values(template.Resources).filter(({ Type }) => Type === 'AWS::KMS::Key');
  const root = { 'Fn::Join': ['', ['arn:', { Ref: 'AWS::Partition' }, ':iam::', { Ref: 'AWS::AccountId' }, ':root']] };
  expect(key?.Properties.KeyPolicy.Statement).toEqual([{ Action: 'kms:*', Effect: 'Allow', Principal: { AWS: root }, Resource: '*' }]);
});

describe('it can fail', () => {
  test('a missing grant', () => {
    const faults = faultsOf(
      calls,
      rolesOf(
        planted('IngestMail', 'dynamodb:PutItem', (statement) => {
          statement.Action = statement.Action.filter((action: string) => action !== 'dynamodb:PutItem');
        }),
        names,
      ),
    );
    expect(faults[0]).toMatch(/^ingest-mail: AWS would refuse dynamodb:PutItem on table \(T#/);
  });

  test('an unused grant', () => {
    const faults = faultsOf(
      calls,
      rolesOf(
        planted('Authorise', 'dynamodb:GetItem', (statement) => {
          statement.Action.push('dynamodb:Scan');
        }),
        names,
      ),
    );
    expect(faults).toEqual([expect.stringMatching(/^authorise: nothing used dynamodb:Scan on table; statement: \{"Action":\[/)]);
  });

  test('a wrong resource', () => {
    const faults = faultsOf(
      calls,
      rolesOf(
        planted('IngestMail', 's3:GetObject', (statement) => {
          statement.Resource[0]['Fn::Join'][1][1] = '/other/*';
        }),
        names,
      ),
    );
    expect(faults).toEqual([
      expect.stringMatching(/^ingest-mail: AWS would refuse s3:GetObject on mail \(raw\/.*nearest: .*mail\/other\/\*/),
      expect.stringMatching(/^ingest-mail: nothing used s3:GetObject on mail\/other\/\*/),
    ]);
  });

  test.each<[string, string, string, (statement: Json) => void, RegExp]>([
    [
      'a condition that is gone',
      'Authorise',
      'dynamodb:GetItem',
      ruled(undefined),
      /^authorise: dynamodb:GetItem on table is not held to keys/,
    ],
    ['keys nobody needs', 'Authorise', 'dynamodb:GetItem', ruled(leading('T#*', 'Q#*')), /^authorise: nothing used \* on table for Q#\*/],
    ['other keys', 'PlanPolls', 'dynamodb:Query', ruled(leading('T#*')), /^plan-polls: AWS would refuse dynamodb:Query on table \(D#/],
    [
      'a key for no tenant',
      'RotateDataKey',
      'kms:Decrypt',
      ruled(undefined),
      /^rotate-data-key: kms:Decrypt on key is not held to a tenant/,
    ],
    [
      'a key for something else than a tenant',
      'CreateTenant',
      'kms:GenerateDataKey',
      ruled({ Null: { 'kms:EncryptionContext:account': 'false' } }),
      /^create-tenant: AWS would refuse kms:GenerateDataKey on key/,
    ],
    ['any sender', 'PollMailbox', 'ses:SendRawEmail', ruled(undefined), /^poll-mailbox: ses:SendRawEmail on .* is not held to a sender/],
    [
      'a list of everything',
      'DeleteHiddenMail',
      's3:ListBucket',
      ruled(undefined),
      /^delete-hidden-mail: s3:ListBucket on mail is not held to prefixes/,
    ],
    ['a right to a key without a use of it', 'RunBackfill', 'sqs:SendMessage', alsoKey, /^run-backfill: nothing used kms:Decrypt on key/],
    ['all actions', 'PlanPolls', 'sqs:SendMessage', acting('sqs:*'), /^plan-polls: sqs:\* is a wildcard/],
    ['some actions', 'PlanPolls', 'sqs:SendMessage', acting('sqs:Send*'), /^plan-polls: sqs:Send\* is a wildcard/],
    ['every resource', 'PlanPolls', 'sqs:SendMessage', on('*'), /^plan-polls: sqs:SendMessage on \* is more than a resource/],
    [
      'an index for the table',
      'PlanPolls',
      'dynamodb:Query',
      behind('/index/*'),
      /^plan-polls: AWS would refuse dynamodb:Query on table \(D#.*table\/index/,
    ],
    [
      'an index beside the table',
      'PlanPolls',
      'dynamodb:Query',
      beside('/index/*'),
      /^plan-polls: nothing used dynamodb:Query on table\/index\/\*/,
    ],
  ])('%s', (_, role, action, change, fault) => {
    expect(faultsOf(calls, rolesOf(planted(role, action, change), names))).toEqual(expect.arrayContaining([expect.stringMatching(fault)]));
  });

  test('a role for one tenant that reaches them all', () => {
    const actions = functions.api.uses.flatMap((use) => ('perTenant' in use ? use.actions : []));
    const [ours, theirs] = ['0000000000000001', '0000000000000002'];
    const reaching = (key: string) =>
      actions.map((action): RecordedCall => ({ function: 'api', tenant: ours, action: `dynamodb:${action}`, on: 'table', key }));
    const refusedBy = (which: Template, key: string) =>
      faultsOf(reaching(key), rolesOf(which, ['api'])).filter((line) => line.startsWith('api for a tenant: AWS would refuse')).length;
    expect([actions.length, refusedBy(template, `T#${theirs}#U`), refusedBy(template, `T#${ours}#U`)]).toEqual([7, 7, 0]);
    // Nor with its own rights: the code may forget to name a tenant.
    const unnamed = reaching(`T#${ours}#U`).map((call) => ({ ...call, tenant: undefined }));
    expect(faultsOf(unnamed, rolesOf(template, ['api'])).filter((line) => line.startsWith('api: AWS would refuse'))).toHaveLength(7);

    const open = planted('ApiTenant', 'dynamodb:Query', ({ Condition }) => {
      Condition['ForAllValues:StringLike']['dynamodb:LeadingKeys'][0] = 'T#*';
    });
    expect(refusedBy(open, `T#${theirs}#U`)).toBe(0);
  });

  test("another tenant's partition, a key without a tenant, a sender that is not the product", () => {
    const roles = rolesOf(template, names);
    const refused = (call: RecordedCall) =>
      faultsOf([call], { [call.function]: roles[call.function]! }).filter((line) => line.includes('AWS would refuse'));
    expect(refused({ function: 'authorise', action: 'dynamodb:GetItem', on: 'table', key: 'A#x' })).toHaveLength(1);
    expect(refused({ function: 'api', action: 'kms:Decrypt', on: 'key', context: {} })).toHaveLength(1);
    const context = { 'ses:FromAddress': `director@${MAIL_DOMAIN}` };
    expect(refused({ function: 'api', action: 'ses:SendRawEmail', on: 'ses', context })).toHaveLength(1);
  });
});

function leading(...keys: string[]) {
  return { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': keys } };
}

/** Changes of a statement: its condition, its actions, its resources. */
function ruled(condition: Json) {
  return (statement: Json) => {
    statement.Condition = condition;
  };
}
function acting(action: string) {
  return (statement: Json) => {
    statement.Action = action;
  };
}
function on(resource: Json) {
  return (statement: Json) => {
    statement.Resource = resource;
  };
}
function behind(path: string) {
  return (statement: Json) => {
    statement.Resource = { 'Fn::Join': ['', [statement.Resource, path]] };
  };
}
function beside(path: string) {
  return (statement: Json) => {
    statement.Resource = [statement.Resource, { 'Fn::Join': ['', [statement.Resource, path]] }];
  };
}
function alsoKey(statement: Json) {
  const [keyId] = Object.entries(template.Resources).find(([, { Type }]) => Type === 'AWS::KMS::Key')!;
  statement.Action = [statement.Action, 'kms:Decrypt'].flat();
  statement.Resource = [statement.Resource, { 'Fn::GetAtt': [keyId, 'Arn'] }].flat();
}

/** The template with one statement of one function's role changed. */
function planted(role: string, action: string, change: (statement: Json) => void): Template {
  const copy = structuredClone(template);
  const policies = Object.entries(copy.Resources).filter(([id, { Type }]) => Type === 'AWS::IAM::Policy' && id.includes(`${role}Role`));
  const statement = policies
    .flatMap(([, { Properties }]) => Properties.PolicyDocument.Statement)
    .find((each) => [each.Action].flat().includes(action));
  change(statement);
  return copy;
}

function queueOf({ trigger }: FunctionRow): string | undefined {
  return trigger.kind === 'queue' ? trigger.queue : undefined;
}

/** Each operation of the contract once, by a member who owns the thing, or by an administrator. */
async function useTheWholeApi(): Promise<void> {
  for (const [nth, route] of routes.entries()) {
    const cell = cells[route.operation] as Cell;
    const caller = route.who === 'administrator' || route.who === 'profile-manager' ? 'administrator' : 'mika';
    const id = cell.thing ? await world.idOf(cell.thing, 'mika') : '';
    const url = route.path.replace(/\{(\w+)\}/g, (_, name: string) => cell.path?.[name] ?? id);
    const headers: Record<string, string> = cell.type ? { 'content-type': cell.type } : {};
    const again = async (extra = {}) => world.people[caller].api(route.method, url, cell.body?.(1000 + nth), { ...headers, ...extra });
    const answer = await again(route.method === 'POST' ? { 'idempotency-key': `key-${route.operation}` } : {});
    if (answer.status >= 500) throw new Error(`${titleOf(route)}: ${answer.text}`);
    // What the caller may not do as themselves (another's thing), the operation still reads: nothing more is needed here.
    if (cell.spends) world.spent(cell.thing!, 'mika');
  }
  for (const page of ['/docs', '/openapi.json']) await host.api()('GET', page);
}

/** A stranger's first mail, the same mail again, mail of an unknown sender that is replayed, mail nobody can read. */
async function sendMails(): Promise<void> {
  const { api, email } = world.people.mika;
  const { address } = (await api('GET', '/v1/dropbox')).json;
  const send = async (headers: Record<string, string>, from = email) =>
    host.sendMail({
      from,
      rcpt: address,
      raw: rawMail({ From: from, To: 'new@prospect.example', Date: 'Sun, 01 Mar 2026 09:00:00 +0900', ...headers }),
    });
  const settled = (subject: string, outcome: string) =>
    until(async () =>
      (await api('GET', '/v1/activity')).json.items.some((each: Json) => each.subject === subject && each.outcome === outcome),
    );
  await send({ Subject: 'First', 'Message-ID': '<first@example.com>' });
  await settled('First', 'created');
  await send({ Subject: 'First', 'Message-ID': '<first@example.com>' });
  await settled('First', 'duplicate');
  await send({ Subject: 'Unknown' }, 'home@elsewhere.example');
  await settled('Unknown', 'held');
  const held = (await api('GET', '/v1/held')).json.items.find((each: Json) => each.subject === 'Unknown');
  await api('POST', `/v1/held/${held.id}/replay`);
  await until(async () => (await api('GET', `/v1/held/${held.id}`)).json.state === 'held');
}

/** Mail of a mailbox; the same once more, whose bytes nobody needs. */
async function fetchMails(): Promise<void> {
  const raw = rawMail({ From: 'someone@elsewhere.example', To: world.people.mika.email, Subject: 'Fetched' });
  const now = Date.now();
  for (const ms of [0, 1]) await fetchMail(host, world.people.mika, raw, new Date(now + ms).toISOString());
}

/** A record comes to have the address of a mail, with another one, and is parted from it. */
async function followAddresses(): Promise<void> {
  const { api, email } = world.people.mika;
  await fetchMail(host, world.people.mika, rawMail({ From: 'earlier@elsewhere.example', To: email, Subject: 'Earlier' }));
  const addresses = ['earlier@elsewhere.example', 'second@elsewhere.example'];
  const { id } = (await api('POST', '/v1/contacts', { name: { last: 'Late' }, addresses })).json;
  const mails = async () => (await api('GET', `/v1/contacts/${id}/messages`)).json.items.length;
  await until(async () => (await mails()) === 1);
  await api('DELETE', `/v1/contacts/${id}/addresses/${addresses[0]}`);
  await until(async () => (await mails()) === 0);
}

/** A mailbox from its first sync to its end: old mail left alone, new mail filed, then deleted; mail that comes later; removal. */
async function pollAMailbox(): Promise<void> {
  const mails = [reached(new Date(0), { Subject: 'Long ago' }), reached(new Date(), { Subject: 'Lately' })];
  const server = await startPop3Server({ mails });
  const { tenant, owner, account, read, poll } = await newMailbox(host, server, { deletion: { policy: 'delete-at-once' } });
  await poll(({ lastSuccessAt }) => lastSuccessAt);
  await until(async () => (await read()).sync.filed === 1);
  await poll(({ sync }) => sync.doneAt);
  server.add(reached(new Date(), { Subject: 'Later' }));
  await poll(({ totals }) => totals.filed === 2);
  await until(async () => (await owner.api('GET', '/v1/mail')).json.items.length === 2);
  await poll(({ totals }) => totals.deleted === 2);
  await server.end();
  await planAPoll({ tenant, member: owner.id, account });
  await owner.api('DELETE', `/v1/mail-accounts/${account}`);
  await forgetManyLines(tenant);
}

/** The planner finds an account at this minute's place. */
async function planAPoll(item: Record<string, string>): Promise<void> {
  const attributes = Object.entries(item).map(([name, value]) => [name, { S: value }]);
  const minute = new Date().toISOString().slice(0, 16);
  await dynamo('PutItem', { Item: { pk: { S: `D#${minute}#0` }, sk: { S: item.account }, ...Object.fromEntries(attributes) } });
  expect(await host.fire('plan-polls')).toEqual({ answer: expect.stringMatching(/"planned":[1-9]/) });
}

/** More than a page of what a removed account leaves. */
async function forgetManyLines(tenant: string): Promise<void> {
  const pk = { S: `T#${tenant}#X#long` };
  const put = (n: number) => ({ PutRequest: { Item: { pk, sk: { S: `Y#${n}` } } } });
  for (let n = 0; n < 525; n += 25) {
    const RequestItems = { [TABLE]: Array.from({ length: 25 }, (_, i) => put(n + i)) };
    await callAws(host.endpoints.dynamodb, 'DynamoDB_20120810.BatchWriteItem', { RequestItems });
  }
  await sendJob(host, 'polls', { forget: { tenant, account: 'long' } });
  const query = { KeyConditionExpression: 'pk = :pk', ExpressionAttributeValues: { ':pk': pk } };
  await until(async () => ((await dynamo('Query', query)) as { Count: number }).Count === 0);
}

/** Over 500 lines: the worker hands on to itself. */
async function importTwoPages(): Promise<void> {
  const { api } = world.people.mika;
  const lines = Array.from({ length: 501 }, (_, i) => `Line ${i},line-${i % 400}@import.example`);
  const { id } = (await api('POST', '/v1/contacts/import', `last name,email\n${lines.join('\n')}\n`, { 'content-type': 'text/csv' })).json;
  await until(async () => (await api('GET', `/v1/imports/${id}`)).json.state === 'done');
  await api('GET', `/v1/imports/${id}/report`);
}

/** Records for another member: that one must be there, and active. */
async function handOver(): Promise<void> {
  const { administrator, other } = world.people;
  const lead = await world.idOf('lead', 'mika');
  expect((await administrator.api('PATCH', `/v1/leads/${lead}`, { ownerId: other.id })).status).toBe(200);
  const line = JSON.stringify({ name: { last: 'Given' }, ownerId: other.id });
  const { id } = (await administrator.api('POST', '/v1/leads/import', `${line}\n`, { 'content-type': 'application/x-ndjson' })).json;
  await until(async () => (await administrator.api('GET', `/v1/imports/${id}`)).json.created === 1);
}

/** Mail of a member who left, more than one worker's turn of it, some stored by the dropbox before; and a backup nobody works on. */
async function backUp(): Promise<{ tenant: string; backup: string }> {
  const { administrator } = world.people;
  const leaver = await join(host, administrator, 'leaver@example.com');
  await administrator.api('PATCH', `/v1/members/${leaver.id}`, { mailAddOn: true });
  const { id: activeMailbox } = (await leaver.api('POST', '/v1/mail-accounts', mailAccount(30_000))).json;
  const own = { activeMailbox, fromAddress: leaver.email, sharing: { type: 'custom' }, dropboxVisibility: 'record', gather: null };
  await leaver.api('PUT', '/v1/mail-settings', own);
  const contact = (await leaver.api('GET', `/v1/contacts/${await world.idOf('contact', 'mika')}`)).json;
  const date = 'Sun, 01 Mar 2026 09:00:00 +0900';
  const both = rawMail({
    From: leaver.email,
    To: contact.addresses[0],
    Subject: 'Of both',
    'Message-ID': '<both@example.com>',
    Date: date,
  });
  await host.sendMail({ from: leaver.email, rcpt: (await leaver.api('GET', '/v1/dropbox')).json.address, raw: both });
  await until(async () => (await leaver.api('GET', '/v1/activity')).json.items.some((each: Json) => each.subject === 'Of both'));
  await untilDone(host, 'inbound');
  await fetchMail(host, leaver, both);
  await fetchMail(host, leaver, rawMail({ From: contact.addresses[0], To: leaver.email, Subject: 'Of one' }));
  const tenant = leaver.token.split('_').at(-4) as string;
  await putRows(`T#${tenant}#O#${leaver.id}`, 1000);
  await administrator.api('PATCH', `/v1/members/${leaver.id}`, { status: 'deactivated' });
  const started = await administrator.api('POST', `/v1/addon-users/${leaver.id}/backup`, { scope: 'all-records' });
  const read = async () => (await administrator.api('GET', `/v1/backups/${started.json.id}`)).json;
  await until(async () => (await read()).state === 'completed');
  expect((await read()).result.mails).toBe(2);

  // Its worker takes it off the list when it has told who started it, which is after it was completed.
  const listed = { KeyConditionExpression: 'pk = :pk', ExpressionAttributeValues: { ':pk': { S: 'D#BACKUPS' } } };
  await until(async () => ((await dynamo('Query', listed)) as { Count: number }).Count === 0);
  const item = { pk: { S: 'D#BACKUPS' }, sk: { S: `${tenant}#${started.json.id}` }, tenant: { S: tenant }, backup: { S: started.json.id } };
  await dynamo('PutItem', { Item: item });
  await dynamo('UpdateItem', {
    Key: { pk: { S: `T#${tenant}#V` }, sk: { S: started.json.id } },
    UpdateExpression: 'SET updatedAt = :long',
    ExpressionAttributeValues: { ':long': { S: '2026-01-01T00:00:00.000Z' } },
  });
  expect(await host.fire('sweep-backups')).toEqual({ answer: expect.stringMatching(/"woken":1/) });
  return { tenant, backup: started.json.id };
}

/** The mails of a backup in two volumes, for the first is as large as one may be; downloaded; and an export nobody works on. */
async function exportBackup({ tenant, backup }: { tenant: string; backup: string }): Promise<void> {
  const { api } = world.people.administrator;
  const folder = `t/${tenant}/backups/${backup}`;
  const manifest = JSON.parse(await readObject(`${folder}/manifest.json`)) as { parts: { key: string; mails: number; sha256: string }[] };
  for (const part of manifest.parts.filter(({ mails }) => mails > 0)) {
    const lines = (await readObject(part.key)).trim().split('\n');
    const large = lines.map((line) => `${JSON.stringify({ ...JSON.parse(line), bytes: EXPORT_VOLUME_BYTES })}\n`).join('');
    await writeObject(part.key, large);
    part.sha256 = sha256(large);
  }
  await writeObject(`${folder}/manifest.json`, JSON.stringify(manifest));
  await set({ pk: `T#${tenant}#V`, sk: backup }, { manifest: { S: sha256(JSON.stringify(manifest)) } });

  const read = async () => (await api('GET', `/v1/backups/${backup}/export/zip`)).json;
  expect((await api('POST', `/v1/backups/${backup}/export`, { format: 'zip' })).status).toBe(202);
  await until(async () => (await read()).state === 'completed');
  expect((await read()).files).toHaveLength(2);
  const { headers } = await api('GET', `/v1/backups/${backup}/export/zip/files/1`);
  expect((await fetch(headers.get('location') as string)).status).toBe(200);

  const upload = { M: { key: { S: `exports/${tenant}/${backup}/cut-off` }, id: { S: 'nobody knows it' } } };
  const long = { S: '2026-01-01T00:00:00.000Z' };
  await set({ pk: `T#${tenant}#V#${backup}#X`, sk: 'zip' }, { state: { S: 'running' }, upload, updatedAt: long });
  const job = { tenant: { S: tenant }, backup: { S: backup }, format: { S: 'zip' } };
  await dynamo('PutItem', { Item: { pk: { S: 'D#EXPORTS' }, sk: { S: `${tenant}#${backup}#zip` }, ...job } });
  expect(await host.fire('sweep-backups')).toEqual({ answer: expect.stringMatching(/"exports":1/) });
  await until(async () => (await read()).state === 'completed');
}

const objectUrl = (key: string) => `${host.endpoints.s3}/mail/${key}`;
const readObject = async (key: string) => (await fetch(objectUrl(key), { headers: signed() })).text();
const writeObject = (key: string, body: string) => fetch(objectUrl(key), { method: 'PUT', headers: signed(), body });

/** Sets attributes of an item. */
async function set({ pk, sk }: { pk: string; sk: string }, attributes: Record<string, object>): Promise<void> {
  const all = Object.entries(attributes);
  await dynamo('UpdateItem', {
    Key: { pk: { S: pk }, sk: { S: sk } },
    UpdateExpression: `SET ${all.map(([name]) => `#${name} = :${name}`).join(', ')}`,
    ExpressionAttributeNames: Object.fromEntries(all.map(([name]) => [`#${name}`, name])),
    ExpressionAttributeValues: Object.fromEntries(all.map(([name, value]) => [`:${name}`, value])),
  });
}

/** Somebody with a dropbox, records and a mailbox that is read leaves; and an off-boarding nobody works on. */
async function offBoard(): Promise<void> {
  const { administrator, other } = world.people;
  const server = await startPop3Server({ mails: [] });
  const leaver = await join(host, administrator, 'off-boarded@example.com');
  await administrator.api('PATCH', `/v1/members/${leaver.id}`, { mailAddOn: true });
  await leaver.api('GET', '/v1/dropbox');
  await leaver.api('POST', '/v1/contacts', { name: { last: 'Handed over' } });
  const incoming = { host: server.host, port: server.port, security: 'none', userName: 'taro', password: 'open sesame' };
  const { id } = (await leaver.api('POST', '/v1/mail-accounts', { ...mailAccount(30_001), incoming, sharing: { type: 'custom' } })).json;
  const tenant = leaver.token.split('_').at(-4) as string;
  await untilPolled(host, { tenant, member: leaver.id, account: id }, async () => {
    return (await leaver.api('GET', `/v1/mail-accounts/${id}`)).json.state === 'ok';
  });
  await untilDone(host, 'polls');
  const started = await administrator.api('POST', `/v1/addon-users/${leaver.id}/offboard`, { successor: other.id });
  const read = async () => (await administrator.api('GET', `/v1/offboardings/${started.json.id}`)).json;
  await until(async () => {
    await host.fire('plan-polls');
    return (await read()).state !== 'running';
  });
  expect((await read()).steps.map(({ state }: Json) => state)).toEqual(['done', 'done', 'done', 'done', 'done']);
  await server.end();

  const listed = { KeyConditionExpression: 'pk = :pk', ExpressionAttributeValues: { ':pk': { S: 'D#OFFBOARDINGS' } } };
  const running = async () => ((await dynamo('Query', listed)) as { Items: { sk: { S: string } }[] }).Items.map(({ sk }) => sk.S);
  const sk = `${tenant}#${started.json.id}`;
  await until(async () => !(await running()).includes(sk));
  const names = { pk: { S: 'D#OFFBOARDINGS' }, sk: { S: sk }, tenant: { S: tenant }, offboarding: { S: started.json.id } };
  await dynamo('PutItem', { Item: names });
  await dynamo('UpdateItem', {
    Key: { pk: { S: `T#${tenant}#Q` }, sk: { S: started.json.id } },
    UpdateExpression: 'SET updatedAt = :long REMOVE wakeAt',
    ExpressionAttributeValues: { ':long': { S: '2026-01-01T00:00:00.000Z' } },
  });
  expect(await host.fire('sweep-backups')).toEqual({ answer: expect.stringMatching(/"offboardings":[1-9]/) });
}

/** Mails of a mailbox that concern no record, as rows of their owner's list. */
async function putRows(pk: string, count: number, day = '2026-01-01'): Promise<void> {
  const receivedAt = `${day}T00:00:00.000Z`;
  const row = (n: number) => ({ message: { S: String(n) }, receivedAt: { S: receivedAt }, records: { L: [] } });
  const put = (n: number) => ({ PutRequest: { Item: { pk: { S: pk }, sk: { S: `${receivedAt}#${n}` }, ...row(n) } } });
  for (let n = 0; n < count; n += 25) {
    const RequestItems = { [TABLE]: Array.from({ length: 25 }, (_, i) => put(n + i)) };
    await callAws(host.endpoints.dynamodb, 'DynamoDB_20120810.BatchWriteItem', { RequestItems });
  }
}

/** A token that was last used yesterday: its use is noted. */
async function comeBackTomorrow(): Promise<void> {
  const { token, api } = world.people.other;
  const [tenant, member, id] = token.split('_').slice(-4);
  const yesterday = { S: new Date(Date.now() - 86_400_000).toISOString() };
  await dynamo('UpdateItem', {
    Key: { pk: { S: `T#${tenant}#U#${member}` }, sk: { S: `K#${id}` } },
    UpdateExpression: 'SET createdAt = :yesterday REMOVE lastUsedAt',
    ConditionExpression: 'attribute_exists(pk)',
    ExpressionAttributeValues: { ':yesterday': yesterday },
  });
  await api('GET', '/v1/me');
}

/** The held mails' notes moved to today, as if thirty days had gone by and all of them had been held without being read. */
async function sweep(): Promise<void> {
  const day = (days: number) => `X#${new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)}`;
  const { Items } = (await dynamo('Query', {
    KeyConditionExpression: 'pk = :pk',
    ExpressionAttributeValues: { ':pk': { S: day(31) } },
  })) as { Items: Record<string, object>[] };
  for (const item of Items) {
    const unread = JSON.parse(JSON.stringify(item), (name, value) => (name === 'message' ? undefined : value));
    await dynamo('PutItem', { Item: { ...unread, pk: { S: day(0) } } });
  }
  const outcome = await host.fire('sweep-raw-mail');
  expect(outcome).toEqual({ answer: expect.stringMatching(/"deleted":[1-9]/) });
}

/** A member with a mailbox who left a hundred days ago. */
async function warn(): Promise<void> {
  const { administrator } = world.people;
  const [tenant, user] = [world.secrets.ours[1]!, await world.idOf('add-on user', 'other')];
  await dynamo('UpdateItem', {
    Key: { pk: { S: `T#${tenant}#U#${user}` }, sk: { S: 'SETTINGS' } },
    UpdateExpression: 'SET main = :gone',
    ExpressionAttributeValues: { ':gone': { S: 'gone' } },
  });
  expect((await administrator.api('PATCH', `/v1/members/${user}`, { status: 'deactivated' })).status).toBe(200);
  const longAgo = { S: new Date(Date.now() - 100 * 86_400_000).toISOString() };
  for (const Key of [
    { pk: { S: 'D#HIDDEN' }, sk: { S: `${tenant}#${user}` } },
    { pk: { S: `T#${tenant}#U` }, sk: { S: user } },
  ])
    await dynamo('UpdateItem', { Key, UpdateExpression: 'SET deactivatedAt = :then', ExpressionAttributeValues: { ':then': longAgo } });
  expect(await host.fire('warn-hidden-mail')).toEqual({ answer: expect.stringMatching(/"warned":[1-9]/) });
}

/**
 * Mail of a member who left long ago, of every kind that goes: of their mailbox, shared with a colleague and not, more than a turn of it
 * does; of the dropbox; with what was made of it. First its copies, then, as if a day had passed, what they leave.
 */
async function deleteHidden(): Promise<void> {
  const { administrator, other } = world.people;
  const gone = await join(host, administrator, 'gone@example.com');
  await administrator.api('PATCH', `/v1/members/${gone.id}`, { mailAddOn: true });
  const { id: activeMailbox } = (await gone.api('POST', '/v1/mail-accounts', mailAccount(40_000))).json;
  expect((await gone.api('POST', '/v1/mail-accounts/hosted', { name: 'Here', localPart: 'gone.member' })).status).toBe(201);
  await gone.api('PUT', '/v1/mail-settings', {
    activeMailbox,
    fromAddress: gone.email,
    sharing: { type: 'custom' },
    dropboxVisibility: 'sharing',
    gather: null,
  });
  const record = await gone.api('POST', '/v1/contacts', { name: { last: 'Of the gone' }, addresses: ['of-the-gone@customer.example'] });
  const from = (Subject: string) =>
    rawMail({ From: 'of-the-gone@customer.example', To: gone.email, Subject, 'Message-ID': `<${Subject}@customer.example>` });
  const dropped = rawMail({ From: gone.email, To: 'of-the-gone@customer.example', Subject: 'Dropped' });
  await host.sendMail({ from: gone.email, rcpt: (await gone.api('GET', '/v1/dropbox')).json.address, raw: dropped });
  for (const subject of ['Theirs', 'Shared']) await fetchMail(host, gone, from(subject));
  const others = from('Shared');
  await fetchMail(host, other, others);
  await until(async () => (await gone.api('GET', `/v1/contacts/${record.json.id}/messages`)).json.items.length === 3);
  const [mail] = (await gone.api('GET', '/v1/mail')).json.items;
  await gone.api('GET', `/v1/messages/${mail.id}/raw`);
  const tenant = gone.token.split('_').at(-4) as string;
  await putRows(`T#${tenant}#O#${gone.id}`, 600, '2026-01-02');
  await administrator.api('PATCH', `/v1/members/${gone.id}`, { status: 'deactivated' });

  const longAgo = { S: new Date(Date.now() - 100 * 86_400_000).toISOString() };
  const hidden = { pk: { S: 'D#HIDDEN' }, sk: { S: `${tenant}#${gone.id}` } };
  for (const Key of [hidden, { pk: { S: `T#${tenant}#U` }, sk: { S: gone.id } }])
    await dynamo('UpdateItem', { Key, UpdateExpression: 'SET deactivatedAt = :then', ExpressionAttributeValues: { ':then': longAgo } });
  const warnedAt = { S: new Date(Date.now() - 8 * 86_400_000).toISOString() };
  await dynamo('UpdateItem', { Key: hidden, UpdateExpression: 'SET warnedAt = :then', ExpressionAttributeValues: { ':then': warnedAt } });
  // Of somebody on hold the warning is void.
  const held = await world.idOf('held add-on user', 'other');
  const heldKey = { pk: { S: 'D#HIDDEN' }, sk: { S: `${tenant}#${held}` } };
  expect((await administrator.api('PATCH', `/v1/members/${held}`, { status: 'deactivated' })).status).toBe(200);
  await dynamo('UpdateItem', { Key: heldKey, UpdateExpression: 'SET warnedAt = :then', ExpressionAttributeValues: { ':then': warnedAt } });
  expect(await host.fire('begin-deletions')).toEqual({ answer: expect.stringMatching(/"begun":1,"underWay":1/) });
  const state = async () => {
    const { Item } = (await dynamo('GetItem', { Key: { pk: { S: `T#${tenant}#U#${gone.id}` }, sk: { S: 'DELETION' } } })) as Json;
    return Item?.noticeSentAt && Item.state.S;
  };
  await until(async () => (await state()) === 'ended');

  const remains = { KeyConditionExpression: 'pk = :pk', ExpressionAttributeValues: { ':pk': { S: `T#${tenant}#G#${gone.id}` } } };
  const { Items } = (await dynamo('Query', remains)) as Json;
  const yesterday = { S: new Date(Date.now() - 2 * 86_400_000).toISOString() };
  for (const item of Items) {
    await dynamo('DeleteItem', { Key: { pk: item.pk, sk: item.sk } });
    // What the rows of no mail leave need not be looked at.
    if (!item.rawKey.S) continue;
    const sk = { S: item.sk.S.replace(item.since.S, yesterday.S) };
    await dynamo('PutItem', { Item: { ...item, sk, since: yesterday } });
    const meta = { pk: { S: `T#${tenant}#M#${item.message.S}` }, sk: { S: 'META' } };
    await dynamo('UpdateItem', {
      Key: meta,
      UpdateExpression: 'SET unheldSince = :then',
      ExpressionAttributeValues: { ':then': yesterday },
    });
  }
  await host.fire('begin-deletions');
  await until(async () => ((await dynamo('Query', remains)) as Json).Count === 0);
}

/** All that came so far is looked at, as the daily run would an hour later; a filed mail, a held one, one that was lost. */
async function reconcile(): Promise<void> {
  const { address } = (await world.people.mika.api('GET', '/v1/dropbox')).json;
  const id = 'lost0000000000000000000000000000000000a1';
  const received = `Received: from x by inbound-smtp.eu-west-1.amazonaws.com with SMTP id ${id} for ${address}; ${new Date().toUTCString()}`;
  const body = `${received}\r\n${rawMail({ From: world.people.mika.email, To: 'lost@prospect.example', Subject: 'Lost' })}`;
  await fetch(`${host.endpoints.s3}/mail/raw/${id}`, { method: 'PUT', headers: signed(), body });
  await untilDone(host, 'inbound');
  const outcome = await host.invoke('reconcile-raw-mail', { minutes: 0 });
  expect(outcome).toEqual({ answer: expect.stringMatching(/"looked":[1-9].*"healed":1,/) });
}

/** A tenant with sealed things of every kind gets a new data key. */
async function rotateKey(): Promise<void> {
  const outcome = await host.invoke('rotate-data-key', { tenant: world.secrets.ours[1] });
  expect(outcome).toEqual({ answer: expect.stringMatching(/"version":2,"resealed":[1-9]/) });
}

/** A call as the host, which may do everything. */
async function dynamo(action: string, input: object): Promise<unknown> {
  const answer = await callAws(host.endpoints.dynamodb, `DynamoDB_20120810.${action}`, { TableName: TABLE, ...input });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

const titleOf = ({ method, path: url }: Route) => `${method} ${url}`;
