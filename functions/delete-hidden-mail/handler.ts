import middy from '@middy/core';
import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { asTenantId } from '../../core/ids.ts';
import { DELETION_SECONDS } from '../../core/limits.ts';
import { deletionJob } from '../../core/retention/deletion.ts';
import { type DeletionRoom, runDeletion } from '../../core/retention/run-deletion.ts';
import { deletionsQueue, mailBucket, outbound, pollsQueue, table } from '../connect.ts';
import { log } from '../edge/log.ts';
import { type Job, queueHandler } from '../edge/queue.ts';

/** A turn, and the page that was begun in its last moment. */
const NEEDS_MS = (DELETION_SECONDS + 60) * 1000;

/** When hidden mail is to be deleted: a turn of pages, and word for the next worker. */
export const handler = middy<SQSEvent, SQSBatchResponse>().handler(queueHandler(takeTurn, NEEDS_MS));

async function takeTurn({ body }: Job): Promise<void> {
  const { tenant, member } = deletionJob.parse(body);
  const room: DeletionRoom = {
    table: table(),
    files: mailBucket(),
    queue: deletionsQueue(),
    polls: pollsQueue(),
    tell: (mail) => outbound().send(mail),
    clock: () => new Date(),
  };
  const turn = await runDeletion(room, asTenantId(tenant), member, new Date(Date.now() + DELETION_SECONDS * 1000));
  log.info('deletion worked on', { tenant, member, turn });
}
