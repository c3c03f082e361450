import middy from '@middy/core';
import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { exportJob } from '../../core/backup/export.ts';
import { runExport } from '../../core/backup/run-export.ts';
import { asTenantId } from '../../core/ids.ts';
import { EXPORT_SECONDS } from '../../core/limits.ts';
import type { ProductMail } from '../../core/outbound/send.ts';
import { exportsQueue, mailBucket, mailUploads, outbound, setting, table } from '../connect.ts';
import { log } from '../edge/log.ts';
import { type Job, queueHandler } from '../edge/queue.ts';

/** A turn, what it has read ahead then, and the end of its volume. */
const NEEDS_MS = (EXPORT_SECONDS + 120) * 1000;

/** When an export of a backup has work to do: a volume, and word for the next worker. */
export const handler = middy<SQSEvent, SQSBatchResponse>().handler(queueHandler(takeTurn, NEEDS_MS));

async function takeTurn({ body }: Job): Promise<void> {
  const job = exportJob.parse(body);
  const room = {
    table: table(),
    files: mailBucket(),
    uploads: mailUploads(),
    queue: exportsQueue(),
    tell: (mail: ProductMail) => outbound().send(mail),
    publicUrl: setting('PUBLIC_URL'),
    mailDomain: setting('MAIL_DOMAIN'),
    clock: () => new Date(),
  };
  const turn = await runExport(room, asTenantId(job.tenant), job, new Date(Date.now() + EXPORT_SECONDS * 1000));
  log.info('export worked on', { ...job, turn });
}
