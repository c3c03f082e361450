import middy from '@middy/core';
import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { asTenantId } from '../../core/ids.ts';
import { backfillJob } from '../../core/message/backfill.ts';
import { type BackfillRoom, backfillMail, backfillPage } from '../../core/message/backfill-store.ts';
import { backfillsQueue, setting, table } from '../connect.ts';
import { log } from '../edge/log.ts';
import { type Job, queueHandler } from '../edge/queue.ts';

/** Two hundred mails, twenty to a transaction, at a tenth of a second each and as much for reading: what a page takes on a bad day. */
const NEEDS_MS = 10_000;

/** When the addresses of a record have changed: its mail follows, a page at a time. */
export const handler = middy<SQSEvent, SQSBatchResponse>().handler(queueHandler(followAddresses, NEEDS_MS));

async function followAddresses({ body }: Job): Promise<void> {
  const { backfill } = backfillJob.parse(body);
  const { record, mail } = backfill;
  const tenant = asTenantId(backfill.tenant);
  const room: BackfillRoom = { table: table(), mailDomain: setting('MAIL_DOMAIN'), queue: backfillsQueue() };
  await (mail ? backfillMail(room, tenant, record, mail) : backfillPage(room, tenant, record));
  log.info('mail followed its record', { tenant, record, mail: mail?.message });
}
