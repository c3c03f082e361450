import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { S3Client } from '@aws-sdk/client-s3';
import { SQSClient } from '@aws-sdk/client-sqs';
import { Problem } from '../../core/errors.ts';
import { newId, newTenantId, type TenantId } from '../../core/ids.ts';
import { JobQueue } from '../../core/job/send.ts';
import { IMPORT_PAGE_LINES, MAX_IMPORT_LINES } from '../../core/limits.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import { MailBucket } from '../../core/message/raw-mail.ts';
import { CSV, type Import, type ImportJob, JSON_LINES } from '../../core/record/import.ts';
import { importPage } from '../../core/record/import-page.ts';
import { endImport, findImport, type ImportRoom, listReport, startImport } from '../../core/record/import-store.ts';
import { listRecords } from '../../core/record/list-store.ts';
import type { Module } from '../../core/record/module.ts';
import { createRecord } from '../../core/record/record-store.ts';
import { Table } from '../../core/table/client.ts';
import { memberKey } from '../../core/table/keys.ts';
import { createTenant, readViewer } from '../../core/tenant/tenant-store.ts';
import { functions } from '../../functions/manifest.ts';
import { BUCKET, type Engine, REGION, startEngine, TABLE } from '../../lib/local/engine.ts';
import { viewerOf } from '../core/record/viewers.ts';

const NOW = new Date('2026-11-22T10:00:00.000Z');
const MEMBER = newId(NOW);

/** The queue as the test sees it: what was sent is there to be delivered, once, twice or late, as the test has it. */
class Jobs extends JobQueue {
  readonly sent: ImportJob[] = [];
  constructor() {
    super(new SQSClient({ region: REGION }), 'unused');
  }
  override async send(job: object): Promise<void> {
    this.sent.push(job as ImportJob);
  }
}

let dir: string;
let engine: Engine;
let table: Table;
let bucket: MailBucket;
let apiBucket: MailBucket;
let jobs: Jobs;
let tenant: TenantId;
let viewer: Viewer;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'record-import-'));
  engine = await startEngine({ dir, rows: functions, sender: 'no-reply@mail.example.com', outboxPort: 0 });
  table = new Table(new DynamoDBClient(config(engine.endpoints.dynamodb)), TABLE);
  // The engine grants what the manifest's rows grant, no more.
  const bucketOf = (caller: string) =>
    new MailBucket(new S3Client({ ...config(engine.endpoints.s3, caller), forcePathStyle: true }), BUCKET);
  bucket = bucketOf('run-import');
  apiBucket = bucketOf('api');
});
afterAll(async () => {
  await engine.end();
  await rm(dir, { recursive: true });
});

beforeEach(async () => {
  await freshTenant();
});

async function freshTenant() {
  jobs = new Jobs();
  tenant = newTenantId();
  const input = { name: 'Example', timeZone: 'UTC', administrator: { name: 'Mika', email: 'mika@example.com' } };
  await createTenant(table, tenant, input, MEMBER, NOW.toISOString(), []);
  viewer = (await readViewer(table, tenant, MEMBER)) as Viewer;
}

const config = (endpoint: string, caller = 'host') => ({
  endpoint,
  region: REGION,
  credentials: { accessKeyId: caller, secretAccessKey: 'local' },
});
const room = (over: Partial<ImportRoom> = {}): ImportRoom => ({
  table,
  bucket,
  queue: jobs,
  backfills: { sendAll: async () => {} },
  ...over,
});
const start = (text: string | Uint8Array, type: typeof CSV | typeof JSON_LINES = CSV, module: Module = 'leads', who = viewer) =>
  startImport(room({ bucket: apiBucket }), who, module, { id: newId(NOW), type, bytes: Buffer.from(text), now: NOW });
const run = (job: ImportJob, over: Partial<ImportRoom> = {}) => importPage(room(over), tenant, job.import, job.page, NOW);

async function runAll(over: Partial<ImportRoom> = {}): Promise<void> {
  for (let job = jobs.sent.shift(); job; job = jobs.sent.shift()) await run(job, over);
}

const problem = (promise: Promise<unknown>) =>
  promise.then(
    () => 'it was not refused',
    (error) => (error instanceof Problem ? { status: error.status, code: error.code } : error),
  );

async function reportOf(job: Import, who = viewer) {
  const current = await findImport(table, who, job.id);
  const lines = [];
  let cursor: string | undefined;
  do {
    const page = await listReport(apiBucket, who, current, { limit: 3, cursor });
    lines.push(...page.items);
    cursor = page.next;
  } while (cursor);
  return { state: current.state, created: current.created, duplicates: current.duplicates, invalid: current.invalid, lines };
}

const names = async () => (await listRecords(table, viewer, 'leads', { limit: 100 })).items.map((record) => record.name).sort();

const SOURCE = [
  'Last name,Email',
  'One,one@example.com',
  'Two,two@example.com',
  'Bad,not-an-address',
  'One again,one@example.com',
  'Three,three@example.com; two2@example.com',
  ',',
  'Four,four@example.com',
  'Two again,TWO@example.com',
].join('\n');

const EXPECTED = {
  state: 'done',
  created: 4,
  duplicates: 2,
  invalid: 1,
  outcomes: [
    [2, 'created'],
    [3, 'created'],
    [4, 'invalid'],
    [5, 'duplicate'],
    [6, 'created'],
    [8, 'created'],
    [9, 'duplicate'],
  ],
};

async function expectDone(job: Import) {
  const { lines, ...counts } = await reportOf(job);
  expect({ ...counts, outcomes: lines.map((line) => [line.line, line.outcome]) }).toEqual(EXPECTED);
  expect(lines[3]?.existing).toBe(lines[0]?.id);
  expect(lines[6]?.existing).toBe(lines[1]?.id);
  expect(await names()).toEqual(['Four', 'One', 'Three', 'Two']);
}

describe('an import', () => {
  test('makes records of the good lines and tells of each line what became of it', async () => {
    const job = await start(SOURCE);
    expect(job).toMatchObject({ state: 'running', total: 7 });
    await runAll({ pageLines: 3 });
    await expectDone(job);
    const [record] = (await listRecords(table, viewer, 'leads', { limit: 1 })).items;
    expect(record).toMatchObject({ owner: MEMBER, createdBy: { way: 'import', importId: job.id } });
    const current = await findImport(table, viewer, job.id);
    expect(await listReport(apiBucket, viewer, current, { limit: 1, outcome: 'invalid' })).toEqual({
      items: [{ line: 4, outcome: 'invalid', errors: [{ at: 'addresses.0', message: 'not a mail address' }] }],
    });
    const first = await listReport(apiBucket, viewer, current, { limit: 1, outcome: 'duplicate' });
    expect(first.items).toMatchObject([{ line: 5 }]);
    expect(await listReport(apiBucket, viewer, current, { limit: 1, outcome: 'duplicate', cursor: first.next })).toMatchObject({
      items: [{ line: 9 }],
    });
  });

  test('of JSON lines takes bodies as POST does', async () => {
    const job = await start('{"name":{"last":"One"},"addresses":["one@example.com"]}\n{"name":"x"}\nnonsense\n', JSON_LINES);
    await runAll();
    expect(await reportOf(job)).toMatchObject({ state: 'done', created: 1, invalid: 2 });
  });

  test('of deals ties them to contacts the importer may see', async () => {
    const how = { id: newId(NOW), now: NOW, createdBy: { way: 'api' as const } };
    const contact = await createRecord(table, viewer, 'contacts', { name: { last: 'Doe' } }, how);
    const job = await start(
      `title,contactId,stage,amount\nA,${contact.id},won,5\nB,${contact.id},lost,\nC,${MEMBER},open,1\nD,${contact.id},perhaps,1\n`,
      CSV,
      'deals',
    );
    await runAll();
    expect(await reportOf(job)).toMatchObject({ created: 2, invalid: 2 });
  });

  test(`goes on by itself beyond ${IMPORT_PAGE_LINES} lines`, async () => {
    const job = await start(`name\n${Array.from({ length: IMPORT_PAGE_LINES + 1 }, (_, i) => `Name${i}`).join('\n')}\n`);
    await run(jobs.sent.shift() as ImportJob);
    expect(await findImport(table, viewer, job.id)).toMatchObject({ state: 'running', created: IMPORT_PAGE_LINES });
    expect(jobs.sent).toHaveLength(1);
    await runAll();
    expect(await findImport(table, viewer, job.id)).toMatchObject({ state: 'done', created: IMPORT_PAGE_LINES + 1 });
  });

  test('is refused at once when it cannot be read or is too long', async () => {
    expect(await problem(start(Buffer.from([0x8e, 0x52, 0x0a])))).toEqual({ status: 422, code: 'not-utf-8' });
    for (const text of ['', '\n\n', 'name,email\n', '\ufeff'])
      expect(await problem(start(text))).toEqual({ status: 422, code: 'empty-import' });
    expect(await problem(start('"name,email\nA,b'))).toEqual({ status: 422, code: 'bad-header' });
    expect(await problem(start(`name\n${'x\n'.repeat(MAX_IMPORT_LINES + 1)}`))).toEqual({ status: 422, code: 'too-many-lines' });
    expect(await start(`name\n${'x\n'.repeat(MAX_IMPORT_LINES)}`)).toMatchObject({ total: MAX_IMPORT_LINES });
  });

  test('needs the permission to create, and is seen by its importer and administrators alone', async () => {
    const clerk = viewerOf(tenant, { grants: { leads: { create: false } } });
    expect(await problem(start(SOURCE, CSV, 'leads', clerk))).toEqual({ status: 403, code: 'no-permission' });
    const job = await start(SOURCE);
    for (const id of [job.id, newId(NOW), 'x#y'])
      expect(await problem(findImport(table, clerk, id))).toEqual({ status: 404, code: 'not-found' });
    expect(await problem(findImport(table, viewerOf(newTenantId(), { administrator: true }), job.id))).toMatchObject({ status: 404 });
    expect(await findImport(table, viewerOf(tenant, { administrator: true }), job.id)).toMatchObject({ id: job.id });
  });

  test('ends as failed when its member is deactivated or it cannot be done, and never stays "running"', async () => {
    const job = await start(SOURCE);
    await table.update(memberKey(tenant, MEMBER), { update: 'SET #s = :s', names: { '#s': 'status' }, values: { ':s': 'deactivated' } });
    await runAll();
    expect(await findImport(table, viewer, job.id)).toMatchObject({ state: 'failed', error: 'member-gone' });
    const other = await start(SOURCE);
    await endImport(table, tenant, other.id, NOW.toISOString(), 'interrupted');
    await runAll();
    expect(await findImport(table, viewer, other.id)).toMatchObject({ state: 'failed', error: 'interrupted', page: 0 });
  });
});

describe('an import that is done twice', () => {
  test('by redelivery of every page, in any order, changes nothing', async () => {
    const job = await start(SOURCE);
    const all: ImportJob[] = [];
    for (let next = jobs.sent.shift(); next; next = jobs.sent.shift()) {
      all.push(next);
      await run(next, { pageLines: 3 });
    }
    for (const again of [...all].reverse()) await run(again, { pageLines: 3 });
    expect(jobs.sent).toEqual([]);
    await expectDone(job);
  });

  test('by two workers at once on every page makes each record once', async () => {
    const job = await start(SOURCE);
    for (let next = jobs.sent.shift(); next; next = jobs.sent.shift()) {
      await Promise.all([run(next, { pageLines: 3 }), run(next, { pageLines: 3 })]);
    }
    await expectDone(job);
  });

  test('since it was killed before or after any of its effects, or any two, ends as if it had not been', async () => {
    const effects = await countEffects();
    expect(effects).toBeGreaterThan(10);
    const points = Array.from({ length: 2 * effects }, (_, i) => [i]);
    const pairs = Array.from({ length: 30 }, (_, i) => [(i * 7) % (2 * effects), (i * 11 + 3) % (2 * effects)]);
    for (const kills of [...points, ...pairs]) {
      await freshTenant();
      const job = await start(SOURCE);
      await runWithKills(kills);
      await expectDone(job).catch((error) => {
        throw new Error(`killed at ${kills.join()}: ${error.message}`);
      });
    }
  });
});

/** Even numbers kill before an effect, odd ones after it; the job that was killed is delivered again. */
async function runWithKills(kills: number[]): Promise<void> {
  const killer = new Killer(kills);
  const queue = jobs.sent;
  while (queue.length > 0) {
    const job = queue[0] as ImportJob;
    const before = queue.length;
    try {
      await run(job, killer.room());
      queue.splice(0, 1);
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      // Delivered again behind what it has sent, as SQS would after the visibility timeout.
      if (queue.length > before) queue.push(queue.shift() as ImportJob);
    }
  }
}

async function countEffects(): Promise<number> {
  await start(SOURCE);
  const killer = new Killer([]);
  for (let job = jobs.sent.shift(); job; job = jobs.sent.shift()) await run(job, killer.room());
  return killer.count;
}

class Killed extends Error {}

class Killer {
  count = 0;
  private readonly kills: Set<number>;
  constructor(kills: number[]) {
    this.kills = new Set(kills);
  }

  room(): Partial<ImportRoom> {
    return {
      pageLines: 3,
      table: this.wrap(table, ['transact', 'update']),
      bucket: this.wrap(bucket, ['write']),
      queue: this.wrap(jobs, ['send']),
    };
  }

  private wrap<T extends object>(target: T, effects: string[]): T {
    return new Proxy(target, {
      get: (object, name) => {
        const value = Reflect.get(object, name);
        if (typeof value !== 'function') return value;
        const method = value.bind(object) as (...given: unknown[]) => Promise<unknown>;
        return effects.includes(String(name)) ? (...given: unknown[]) => this.effect(() => method(...given)) : method;
      },
    });
  }

  private async effect(work: () => Promise<unknown>): Promise<unknown> {
    const point = 2 * this.count++;
    if (this.kills.has(point)) throw new Killed();
    const answer = await work();
    if (this.kills.has(point + 1)) throw new Killed();
    return answer;
  }
}
