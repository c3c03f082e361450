import type { Context, SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import { errorForLog, log } from './log.ts';

/** A job from the queue: its body, and which try this is, from 1. */
export type Job = { body: unknown; attempt: number };

/**
 * A Lambda handler that does the jobs of a batch one after the other and reports those that failed, so that only they
 * come again. When less than `needsMs` is left for the next job, the rest goes back untouched and is first in its next
 * batch: a slow neighbour costs one redelivery, never a half-done job.
 */
export function queueHandler(handle: (job: Job) => Promise<void>, needsMs: number) {
  return async (event: SQSEvent, context: Context): Promise<SQSBatchResponse> => {
    const failed: string[] = [];
    for (const record of event.Records.toSorted(mostTriedFirst)) {
      if (context.getRemainingTimeInMillis() < needsMs || !(await isDone(record, handle))) failed.push(record.messageId);
    }
    return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) };
  };
}

/**
 * The same for jobs that spend their time waiting for others' servers: all of a batch at once, and none delays another. When the
 * time is nearly over, those that are not done are reported as failed, whatever they are waiting for.
 */
export function sideBySide(handle: (job: Job, context: Context) => Promise<void>) {
  return async (event: SQSEvent, context: Context): Promise<SQSBatchResponse> => {
    const open = new Set(event.Records.map(({ messageId }) => messageId));
    const jobs = event.Records.map(async (record) => {
      if (await isDone(record, (job) => handle(job, context))) open.delete(record.messageId);
    });
    let timer: NodeJS.Timeout | undefined;
    const lastMoment = new Promise((done) => {
      timer = setTimeout(done, Math.max(0, context.getRemainingTimeInMillis() - ANSWER_MS));
    });
    await Promise.race([Promise.all(jobs), lastMoment]);
    clearTimeout(timer);
    return { batchItemFailures: [...open].map((itemIdentifier) => ({ itemIdentifier })) };
  };
}

/** Time to say which jobs are done: a function that is cut off has done none. */
const ANSWER_MS = 5_000;

const triesOf = (record: SQSRecord) => Number(record.attributes.ApproximateReceiveCount);
const mostTriedFirst = (a: SQSRecord, b: SQSRecord) => triesOf(b) - triesOf(a);

async function isDone(record: SQSRecord, handle: (job: Job) => Promise<void>): Promise<boolean> {
  const attempt = triesOf(record);
  try {
    await handle({ body: JSON.parse(record.body), attempt });
    return true;
  } catch (error) {
    log.error('job failed', { queueMessage: record.messageId, attempt, ...errorForLog(error) });
    return false;
  }
}
