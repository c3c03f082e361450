import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import { jest } from '@jest/globals';
import { asTenantId, type TenantId } from '../../core/ids.ts';
import { Table } from '../../core/table/client.ts';
import { memberKey, membersPartition, tenantKey } from '../../core/table/keys.ts';
import { sessionOf } from '../../core/tenant/session-client.ts';
import { table, tableOf } from '../../functions/connect.ts';
import { functions, resources } from '../../functions/manifest.ts';
import { roleService, tenantRoleArn } from '../../lib/local/engine/roles.ts';
import { type Answer, serve } from '../../lib/local/engine/server.ts';
import { tableService } from '../../lib/local/engine/tables.ts';
import { startTable } from '../support/engine.ts';

/** What holds tenants apart beneath the code: the API's own clients against the local STS and the local IAM, real DynamoDB behind. */
const grants = { api: functions.api.uses, authorise: functions.authorise.uses };
const [OURS, THEIRS] = [asTenantId('0000000000000001'), asTenantId('0000000000000002')];
const ends: (() => unknown)[] = [];
let everything: Table;
let assumed = 0;
let endpoints: { sts: string; dynamodb: string };

beforeAll(async () => {
  const engine = await startTable();
  everything = engine.table;
  const { endpoint } = engine.client.config as unknown as { endpoint: () => Promise<{ hostname: string; port: number }> };
  const { hostname, port } = await endpoint();
  const role = roleService(grants);
  const counted: Answer = (request, response) => {
    assumed++;
    return role(request, response);
  };
  const [sts, dynamodb] = await Promise.all([
    serve(counted),
    serve(tableService(`http://${hostname}:${port}`, resources.table.partitionKey, grants)),
  ]);
  endpoints = { sts: sts.url, dynamodb: dynamodb.url };
  Object.assign(process.env, {
    AWS_REGION: 'eu-west-1',
    AWS_ACCESS_KEY_ID: 'api',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_ENDPOINT_URL_STS: sts.url,
    AWS_ENDPOINT_URL_DYNAMODB: dynamodb.url,
    TABLE_NAME: everything.name,
    TENANT_ROLE_ARN: tenantRoleArn('api'),
  });
  ends.push(sts.end, dynamodb.end, engine.end);
  for (const tenant of [OURS, THEIRS]) await everything.put({ ...memberKey(tenant, 'm'), name: tenant });
});
afterAll(async () => {
  for (const end of ends) await end();
});
beforeEach(() => {
  assumed = 0;
});
afterEach(() => {
  jest.restoreAllMocks();
});

const refused = expect.objectContaining({ name: 'AccessDeniedException' });
const isNew = 'attribute_not_exists(pk)';

test("for one tenant the API reads and writes that tenant's keys", async () => {
  const table = tableOf(OURS);
  expect(await table.get(memberKey(OURS, 'm'))).toMatchObject({ name: OURS });
  await table.transact([{ put: { ...tenantKey(OURS) }, condition: isNew }, { put: { pk: 'A#hash', sk: 'DROPBOX' } }]);
  expect(await table.getMany([tenantKey(OURS), memberKey(OURS, 'm')])).toHaveLength(2);
  expect(await table.all({ pk: membersPartition(OURS) })).toHaveLength(1);
});

test.each<[string, (table: Table) => Promise<unknown>]>([
  ['an item', (table) => table.get(memberKey(THEIRS, 'm'))],
  ['a query', (table) => table.all({ pk: membersPartition(THEIRS) })],
  ['one item among many', (table) => table.getMany([memberKey(OURS, 'm'), memberKey(THEIRS, 'm')])],
  ['a put', (table) => table.put({ ...memberKey(THEIRS, 'm'), name: 'overwritten' })],
  ['an update', (table) => table.update(memberKey(THEIRS, 'm'), { update: 'SET #n = :n', names: { '#n': 'name' }, values: { ':n': 1 } })],
  ['a deletion', (table) => table.delete(memberKey(THEIRS, 'm'))],
  ['one write of a transaction', (table) => table.transact([{ put: { ...memberKey(OURS, 'x') } }, { delete: memberKey(THEIRS, 'm') }])],
  [
    'one condition of a transaction',
    (table) => table.transact([{ put: { ...memberKey(OURS, 'x') } }, { check: memberKey(THEIRS, 'm'), condition: isNew }]),
  ],
  ['a tenant whose id begins like ours', (table) => table.get(memberKey(`${OURS}0` as TenantId, 'm'))],
  ['what the planner alone keeps', (table) => table.get({ pk: 'X#reconcile', sk: 'ROUND' })],
])('a key builder that takes the wrong tenant is refused by IAM: %s', async (_, reach) => {
  await expect(reach(tableOf(OURS))).rejects.toEqual(refused);
  expect(await everything.get(memberKey(THEIRS, 'm'))).toMatchObject({ name: THEIRS });
  expect(await everything.get(memberKey(OURS, 'x'))).toBeUndefined();
});

test('with rights of its own the API reaches no tenant, only the invitation somebody takes up', async () => {
  await expect(table().get(memberKey(OURS, 'm'))).rejects.toEqual(refused);
  await expect(table().put({ pk: 'C#hash', sk: 'CONFIRMATION' })).rejects.toEqual(refused);
  expect(await table().get({ pk: 'C#hash', sk: 'CONFIRMATION' })).toBeUndefined();
});

test('requests that come together ask STS once, and so do those of the next 54 minutes; then it is asked before the hour is over', async () => {
  const tenant = asTenantId('0000000000000003');
  const ask = () => Promise.all([1, 2, 3].map(() => tableOf(tenant).get(memberKey(tenant, 'm'))));
  await ask();
  await ask();
  expect(assumed).toBe(1);
  const began = Date.now();
  const after = (minutes: number) => jest.spyOn(Date, 'now').mockReturnValue(began + minutes * 60_000);
  after(54);
  await ask();
  expect(assumed).toBe(1);
  after(56);
  await ask();
  expect(assumed).toBe(2);
});

test('clients are kept for 500 tenants: the one asked for longest ago goes first', () => {
  const nth = (n: number) => asTenantId(String(n).padStart(16, 'z'));
  const [first, second] = [tableOf(nth(0)), tableOf(nth(1))];
  for (let n = 2; n < 500; n++) tableOf(nth(n));
  expect(tableOf(nth(0))).toBe(first);
  tableOf(nth(500));
  expect([tableOf(nth(0)) === first, tableOf(nth(1)) === second]).toEqual([true, false]);
});

describe('the role is given', () => {
  const assume = (caller: string, change: object = {}) => {
    const credentials = { accessKeyId: caller, secretAccessKey: 'local' };
    const sts = new STSClient({ endpoint: endpoints.sts, region: 'eu-west-1', credentials });
    const input = { RoleArn: tenantRoleArn('api'), RoleSessionName: 'x', Tags: [{ Key: 'tenant', Value: OURS }], ...change };
    return sts.send(new AssumeRoleCommand(input)).finally(() => sts.destroy());
  };
  const denied = expect.objectContaining({ name: 'AccessDenied' });

  test('to the function whose it is, and for an hour at most', async () => {
    expect((await assume('api')).Credentials?.Expiration?.getTime()).toBeGreaterThan(Date.now() + 3_500_000);
    await expect(assume('authorise')).rejects.toEqual(denied);
    await expect(assume('authorise', { RoleArn: tenantRoleArn('authorise') })).rejects.toEqual(denied);
    await expect(assume('api', { DurationSeconds: 7200 })).rejects.toThrow('1 hour session limit');
  });

  test.each([
    ['no tag', { Tags: [] }],
    ['another tag', { Tags: [{ Key: 'team', Value: OURS }] }],
    [
      'a tag more',
      {
        Tags: [
          { Key: 'tenant', Value: OURS },
          { Key: 'team', Value: 'x' },
        ],
      },
    ],
    ['what cannot be an id', { Tags: [{ Key: 'tenant', Value: '*' }] }],
  ])('with %s to nobody', async (_, change) => {
    await expect(assume('api', change)).rejects.toEqual(denied);
  });

  test('and its key is worth nothing without the token that came with it', async () => {
    const { accessKeyId, secretAccessKey } = await sessionOf(
      new STSClient({ endpoint: endpoints.sts, region: 'eu-west-1', credentials: { accessKeyId: 'api', secretAccessKey: 'local' } }),
      tenantRoleArn('api'),
      OURS,
    )();
    const { DynamoDBClient } = await import('@aws-sdk/client-dynamodb');
    const reaching = (credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }) =>
      new Table(new DynamoDBClient({ endpoint: endpoints.dynamodb, region: 'eu-west-1', credentials }), everything.name);
    await expect(reaching({ accessKeyId, secretAccessKey }).get(memberKey(OURS, 'm'))).rejects.toEqual(refused);
    const made = reaching({ accessKeyId, secretAccessKey, sessionToken: 'made up' });
    await expect(made.get(memberKey(OURS, 'm'))).rejects.toMatchObject({ name: 'ExpiredTokenException' });
  });
});
