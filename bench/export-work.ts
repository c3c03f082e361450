import { Readable } from 'node:stream';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { S3Client } from '@aws-sdk/client-s3';
import { ZipFile } from 'yazl';
import type { ExportJob } from '../core/backup/export.ts';
import { runExport } from '../core/backup/run-export.ts';
import { asTenantId } from '../core/ids.ts';
import { MailBucket, Uploads } from '../core/message/raw-mail.ts';
import { Table } from '../core/table/client.ts';
import { HOST } from '../lib/local/engine/server.ts';
import { REGION, TABLE } from '../lib/local/engine.ts';
import { MAIL_DOMAIN } from '../test/support/dropbox-world.ts';

/** What one process of the bench does: the turns of an export, or a zip of the same objects with yazl alone. */
export type ExportWork = {
  endpoints: { dynamodb: string; s3: string };
  job?: ExportJob;
  zipAlone?: { rawKeys: string[]; mails: number };
  /** Say what memory is in use: that takes time. */
  watched?: true;
};
export type ExportWorked = { seconds: number; cpuSeconds: number; peakBytes: number; usedBytes: number };

process.once('message', (asked: ExportWork) => void work(asked));

async function work({ endpoints, job, zipAlone, watched }: ExportWork): Promise<void> {
  const access = { region: REGION, credentials: { accessKeyId: HOST, secretAccessKey: 'local' } };
  const s3 = new S3Client({ ...access, endpoint: endpoints.s3, forcePathStyle: true });
  const files = new MailBucket(s3, 'mail');
  const table = new Table(new DynamoDBClient({ ...access, endpoint: endpoints.dynamodb }), TABLE);
  const used = watched ? watchMemory() : () => 0;
  const began = performance.now();
  const before = process.cpuUsage();
  if (job) await exportAll(table, files, new Uploads(s3, 'mail'), job);
  if (zipAlone) await zipOf(files, zipAlone);
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(before);
  const cpuSeconds = (user + system) / 1_000_000;
  process.send?.({ seconds, cpuSeconds, peakBytes: process.resourceUsage().maxRSS * 1024, usedBytes: used() } satisfies ExportWorked, () =>
    process.exit(0),
  );
}

/** What is in use at its most, without garbage: how much of that there is at a time is the collector's choice. */
function watchMemory(): () => number {
  let peak = 0;
  setInterval(() => {
    gc?.();
    const { heapUsed, external } = process.memoryUsage();
    peak = Math.max(peak, heapUsed + external);
  }, 250);
  return () => peak;
}

async function exportAll(table: Table, files: MailBucket, uploads: Uploads, job: ExportJob): Promise<void> {
  const words = [job];
  const queue = { send: async (word: ExportJob) => void words.push(word) };
  const notice = { tell: async () => {}, publicUrl: 'http://127.0.0.1' };
  const room = { table, files, uploads, queue, ...notice, mailDomain: MAIL_DOMAIN, clock: () => new Date() };
  for (let turn = ''; words.shift(); ) {
    turn = await runExport(room, asTenantId(job.tenant), job, new Date(Date.now() + 120_000));
    if (turn === 'not-mine') throw new Error('the export is not complete');
  }
}

/** Each object into the zip as it comes, and the zip nowhere. */
async function zipOf(files: MailBucket, { rawKeys, mails }: { rawKeys: string[]; mails: number }): Promise<void> {
  const zip = new ZipFile();
  for (let n = 0; n < mails; n++) {
    zip.addReadStreamLazy(`mail-${n}.eml`, {}, (use) => {
      files.stream(rawKeys[n % rawKeys.length] as string).then(
        (body) => use(null, Readable.from(body as AsyncIterable<Uint8Array>)),
        (error) => use(error, Readable.from([])),
      );
    });
  }
  zip.end();
  for await (const _ of zip.outputStream);
}
