import middy from '@middy/core';
import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { Lane, Lanes } from '../../core/account/lane.ts';
import { forgetPage } from '../../core/account/ledger-store.ts';
import { type PollRoom, poll } from '../../core/account/poll.ts';
import { type Planned, pollJob } from '../../core/account/poll-job.ts';
import { asTenantId } from '../../core/ids.ts';
import { POLL_PROCESS_BYTES, POLL_SECONDS, POLL_SESSION_SECONDS, POLLS_PER_HOST, POLLS_PER_TENANT } from '../../core/limits.ts';
import { isEnabledFor } from '../../core/tenant/tenant-store.ts';
import { inboundQueue, mailBucket, outbound, pollsQueue, table } from '../connect.ts';
import { log } from '../edge/log.ts';
import { type Job, sideBySide } from '../edge/queue.ts';
import { openSession } from './open-session.ts';

/** What a poll needs when it is allowed to begin: a look, some mails, and the longest silence of a server. */
const NEEDS_MS = 90_000;
/** After its time for new work a poll ends what it has begun, deletes, and writes. */
const ENDING_MS = 75_000;
/** What is written when a session was cut off. */
const WRITING_MS = 15_000;

const memory = new Lane(POLL_PROCESS_BYTES);
const hosts = new Lanes(POLLS_PER_HOST);
const tenants = new Lanes(POLLS_PER_TENANT);
/** The same account twice in a batch: one after the other, and the second finds that it is void. */
const accounts = new Lanes(1);

/** When mailboxes are due: they are polled side by side, so that one whose server hangs delays no other. */
export const handler = middy<SQSEvent, SQSBatchResponse>().handler(sideBySide(work));

async function work({ body }: Job, context: Context): Promise<void> {
  const job = pollJob.parse(body);
  if ('forget' in job) return forget(job.forget);
  const { tenant, account } = job.poll;
  return accounts.run(account, () => tenants.run(tenant, () => pollMailbox(job.poll, context)));
}

async function pollMailbox(job: Planned, context: Context): Promise<void> {
  const left = context.getRemainingTimeInMillis();
  // It has waited for others here for too long: another process has all its time for it.
  if (left < NEEDS_MS) return pollsQueue().send({ poll: job });
  const endsAt = Date.now() + Math.min(POLL_SESSION_SECONDS * 1000, left - WRITING_MS);
  const room: PollRoom = {
    table: table(),
    storeRaw: (key, bytes) => mailBucket().write(key, bytes, 'message/rfc822'),
    inbound: inboundQueue(),
    polls: pollsQueue(),
    tell: (mail) => outbound().send(mail),
    open: (account) => openSession(account, hosts, endsAt),
    isEnabled: ({ tenant, member }) => isEnabledFor(table(), tenant, member),
    clock: () => new Date(),
    memory,
  };
  const until = new Date(Date.now() + Math.min(POLL_SECONDS * 1000, left - ENDING_MS));
  const result = await poll(room, job, until);
  // A line for each poll that found nothing would cost more than all its calls.
  if (result.outcome !== 'quiet' && !(result.outcome === 'void' && result.reason === 'over'))
    log.info('mailbox polled', { tenant: job.tenant, account: job.account, ...result });
}

/** Page by page: each one that is not the last leaves word for the next. */
async function forget(removed: { tenant: string; account: string }): Promise<void> {
  if (await forgetPage(table(), asTenantId(removed.tenant), removed.account)) await pollsQueue().send({ forget: removed });
}
