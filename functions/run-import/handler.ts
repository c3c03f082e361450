import middy from '@middy/core';
import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { asTenantId } from '../../core/ids.ts';
import { importJob } from '../../core/record/import.ts';
import { importPage } from '../../core/record/import-page.ts';
import { endImport } from '../../core/record/import-store.ts';
import { backfillsQueue, importsQueue, mailBucket, table } from '../connect.ts';
import { errorForLog, log } from '../edge/log.ts';
import { type Job, queueHandler } from '../edge/queue.ts';
import { resources } from '../manifest.ts';

/** Five hundred lines, ten at a time, at a tenth of a second each: what a page takes on a bad day, doubled. */
const NEEDS_MS = 10_000;

/** When an import has a page to do: do it, and leave word for the next one. */
export const handler = middy<SQSEvent, SQSBatchResponse>().handler(queueHandler(runPage, NEEDS_MS));

async function runPage({ body, attempt }: Job): Promise<void> {
  const job = importJob.parse(body);
  const tenant = asTenantId(job.tenant);
  try {
    await importPage(
      { table: table(), bucket: mailBucket(), queue: importsQueue(), backfills: backfillsQueue() },
      tenant,
      job.import,
      job.page,
      new Date(),
    );
    log.info('page imported', { tenant, import: job.import, page: job.page });
  } catch (error) {
    if (attempt < resources.imports.maxReceives) throw error;
    // An import must not stay "running" for ever. What is done stays done; the lines not done are for another import.
    log.error('import ended after its last try', { tenant, import: job.import, page: job.page, ...errorForLog(error) });
    await endImport(table(), tenant, job.import, new Date().toISOString(), 'interrupted');
  }
}
