import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { S3Client } from '@aws-sdk/client-s3';
import { readBackup, startBackup } from '../core/backup/backup-store.ts';
import { runBackup } from '../core/backup/run-backup.ts';
import { newId, sha256 } from '../core/ids.ts';
import { MailBucket } from '../core/message/raw-mail.ts';
import { Table } from '../core/table/client.ts';
import { mailAccountKey, mailSettingsKey, messageKey, ownMailKey } from '../core/table/keys.ts';
import { functions } from '../functions/manifest.ts';
import { HOST } from '../lib/local/engine/server.ts';
import { REGION, startEngine, TABLE } from '../lib/local/engine.ts';
import { dropboxWorld, existing, MAIL_DOMAIN } from '../test/support/dropbox-world.ts';
import { count } from './calls.ts';
import { atMost, cpuOf, type Figure, plain } from './figures.ts';

const MAIL_BYTES = 20_000;
const RECORDS = 500;

/** From a thousand mails to a hundred thousand: what a backup costs by the mail must stay the same, and its memory too. */
const SIZES = [1_000, 10_000, 100_000];

type Run = {
  mails: number;
  seconds: number;
  cpuMs: number;
  peakBytes: number;
  readUnits: number;
  writeUnits: number;
  s3Gets: number;
  s3Puts: number;
};

/** Backups of so many mails of 20 KB, each on one of 500 records, on the local engine: how fast, how much memory, how many calls. */
export async function benchBackup(only?: number): Promise<Figure[]> {
  const runs: Run[] = [];
  for (const mails of only ? [only] : SIZES) runs.push(await backUp(mails));
  const [least, most] = [runs[0], runs.at(-1)] as [Run, Run];
  return [
    ...runs.flatMap(figuresOf),
    ...(least === most
      ? []
      : [
          atMost('memory: the largest against the smallest', most.peakBytes / least.peakBytes, 1.5, '', 2),
          atMost('CPU time by the mail: the same', most.cpuMs / most.mails / (least.cpuMs / least.mails), 1.5, '', 2),
        ]),
  ];
}

function figuresOf({ mails, seconds, cpuMs, peakBytes, readUnits, writeUnits, s3Gets, s3Puts }: Run): Figure[] {
  const of = (name: string) => `${mails.toLocaleString('en')}: ${name}`;
  return [
    plain(of('mails per second'), mails / seconds, '', 0),
    plain(of('CPU time of the worker by the mail'), cpuMs / mails, ' ms', 2),
    plain(of('memory at its peak'), peakBytes / 1_000_000, ' MB', 0),
    // One entry a mail; of a page its commit, its line and its lease; once, 500 notes of who holds mail.
    atMost(of('write units per mail'), (writeUnits - RECORDS) / mails, 1.1, '', 3),
    plain(of('read units per mail'), readUnits / mails, '', 3),
    atMost(of('S3 GETs per mail'), s3Gets / mails, 1, '', 3),
    atMost(of('S3 PUTs per mail'), s3Puts / mails, 0.01, '', 4),
  ];
}

async function backUp(mails: number): Promise<Run> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-backup-'));
  const engine = await startEngine({ dir, rows: functions, sender: `no-reply@${MAIL_DOMAIN}`, outboxPort: 0 });
  const access = { region: REGION, credentials: { accessKeyId: HOST, secretAccessKey: 'local' } };
  const dynamo = new DynamoDBClient({ ...access, endpoint: engine.endpoints.dynamodb });
  const s3 = new S3Client({ ...access, endpoint: engine.endpoints.s3, forcePathStyle: true });
  const table = new Table(dynamo, TABLE);
  const files = new MailBucket(s3, 'mail');
  try {
    const { admin, leaver } = await fill(table, files, mails);
    const counted = count(table.client as unknown as DynamoDBClient, s3);
    const queue: { backup: string }[] = [];
    const room = { table, files, queue: { send: async (job: { backup: string }) => void queue.push(job) } };
    const now = new Date();
    const { id } = await startBackup(room, admin, leaver, 'backup', { scope: 'shared', id: newId(now), now });
    counted.reset();
    const memory = watchMemory();
    const began = performance.now();
    const more = { tell: async () => {}, publicUrl: 'http://127.0.0.1', clock: () => new Date() };
    const cpuMs = await cpuOf(async () => {
      for (let job = queue.shift(); job; job = queue.shift()) {
        await runBackup({ ...room, ...more }, admin.tenant, job.backup, new Date(Date.now() + 60_000));
      }
    });
    const seconds = (performance.now() - began) / 1000;
    const peakBytes = memory.end();
    const done = await readBackup(table, admin.tenant, id);
    if (done?.state !== 'completed' || done.tally.mails !== mails) throw new Error('the backup is not complete');
    const { s3Gets, s3Puts, readUnits, writeUnits } = counted.calls();
    return { mails, seconds, cpuMs, peakBytes, s3Gets, s3Puts, readUnits, writeUnits };
  } finally {
    dynamo.destroy();
    s3.destroy();
    await engine.end();
    rmSync(dir, { recursive: true });
  }
}

/** What is in use at its most, garbage included: the process's size would tell of what filling the table took before. */
function watchMemory() {
  let peak = 0;
  const watch = setInterval(() => {
    const { heapUsed, external } = process.memoryUsage();
    peak = Math.max(peak, heapUsed + external);
  }, 20);
  return {
    end: () => {
      clearInterval(watch);
      return peak;
    },
  };
}

/** A member who left with so many mails: the first has the first of the raw bytes, and so on, round and round. */
export async function fill(table: Table, files: MailBucket, mails: number, raws = [Buffer.alloc(MAIL_BYTES, 'x')]) {
  const { tenant, addMember, ...world } = await dropboxWorld(table);
  const [admin, leaver] = [newId(new Date()), newId(new Date())];
  const viewer = await addMember(admin, 'admin@example.com', { profile: 'administrator' });
  await addMember(leaver, 'leaver@example.com', { status: 'deactivated', sharing: { type: 'public', excludedDomains: [] } });
  await table.put({ ...mailAccountKey(tenant, leaver, 'acc'), protocol: 'pop3', address: 'leaver@example.com' });
  await table.put({ ...mailSettingsKey(tenant, leaver), active: 'acc', version: 1 });
  const all = { tenant, addMember, ...world };
  const records = await Promise.all(
    Array.from({ length: RECORDS }, (_, n) => existing(table, all, 'contacts', `customer-${n}@example.org`)),
  );
  const rawKeys = raws.map((_, n) => `t/${tenant}/mail/acc/bench-${n}.eml`);
  for (const [n, raw] of raws.entries()) await files.write(rawKeys[n] as string, raw, 'message/rfc822');
  const begin = Date.UTC(2026, 0, 1);
  for (let start = 0; start < mails; start += 500) {
    const items = Array.from({ length: Math.min(500, mails - start) }, (_, i) => {
      const n = start + i;
      const message = sha256('bench', String(n)).slice(0, 40);
      const receivedAt = new Date(begin + n * 1000).toISOString();
      const from = `customer-${n % RECORDS}@example.org`;
      const shown = { subject: 'About our offer', from, to: ['leaver@example.com'], snippet: 'x'.repeat(150), attachments: 0 };
      const row = { message, owner: leaver, receivedAt, direction: 'received', ...shown, counterparts: [from] };
      return [
        { ...ownMailKey(tenant, leaver, receivedAt, message), ...row, records: [{ module: 'contacts', id: records[n % RECORDS] }] },
        { ...messageKey(tenant, message), id: message, thread: message, rawKey: rawKeys[n % raws.length], rawSize: MAIL_BYTES, receivedAt },
      ];
    });
    await table.putMany(items.flat());
  }
  return { admin: viewer, leaver, rawKeys };
}
