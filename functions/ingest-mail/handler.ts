import middy from '@middy/core';
import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import * as z from 'zod';
import { holdMailbox, ingestMailbox } from '../../core/account/ingest-mailbox.ts';
import type { MailboxDelivery } from '../../core/account/mailbox-delivery.ts';
import { findHeld, settleReplay } from '../../core/dropbox/held-store.ts';
import { holdUnprocessed, ingest, ingestHeld, type Outcome } from '../../core/dropbox/ingest.ts';
import { asTenantId } from '../../core/ids.ts';
import { PARSE_DEADLINE_MS } from '../../core/limits.ts';
import type { Mailroom } from '../../core/message/mailroom.ts';
import { parseMail, UnreadableMail } from '../../core/message/parse-mail.ts';
import { backfillsQueue, mailBucket, setting, table } from '../connect.ts';
import { errorForLog, log } from '../edge/log.ts';
import { type Job, queueHandler } from '../edge/queue.ts';
import { resources } from '../manifest.ts';
import { readDelivery } from './ses-notification.ts';

/** Two parsers, each up to its deadline, and a few calls: less time than that is not enough to begin a mail. */
const NEEDS_MS = 2 * PARSE_DEADLINE_MS + 5_000;

/** A mail that ended the process (memory, time) leaves no error to catch: after this many tries it is not parsed again. */
const PARSE_TRIES = resources.inbound.maxReceives - 2;

const replayJob = z.object({ replay: z.object({ tenant: z.string(), member: z.string(), held: z.string() }) });

const mailboxJob = z.object({
  mailbox: z.object({
    tenant: z.string(),
    member: z.string(),
    account: z.string(),
    seen: z.string(),
    rawKey: z.string(),
    rawSize: z.number(),
    receivedAt: z.string(),
    firstSync: z.literal(true).optional(),
    tooLarge: z.literal(true).optional(),
  }),
});

/** When SES has stored a mail, a poll has fetched one, or an owner wants a held one looked at again: take it in. */
export const handler = middy<SQSEvent, SQSBatchResponse>().handler(queueHandler(takeIn, NEEDS_MS));

async function takeIn({ body, attempt }: Job): Promise<void> {
  const replay = replayJob.safeParse(body);
  if (replay.success) return takeAgain(replay.data.replay, attempt);
  const fetched = mailboxJob.safeParse(body);
  if (fetched.success) return takeFetched({ ...fetched.data.mailbox, tenant: asTenantId(fetched.data.mailbox.tenant) }, attempt);
  const delivery = readDelivery(body);
  if (!delivery) return log.info('not a mail', { attempt });
  try {
    report(await ingest(mailroom(attempt), delivery), delivery.id);
  } catch (error) {
    if (attempt < resources.inbound.maxReceives) throw error;
    log.error('mail held after its last try', { delivery: delivery.id, ...errorForLog(error) });
    report(await holdUnprocessed(mailroom(attempt), delivery), delivery.id);
  }
}

async function takeFetched(delivery: MailboxDelivery, attempt: number): Promise<void> {
  const { tenant, account, seen } = delivery;
  try {
    const outcome = await ingestMailbox(mailroom(attempt), delivery);
    log.info('fetched mail taken in', { tenant, account, seen, outcome });
  } catch (error) {
    if (attempt < resources.inbound.maxReceives) throw error;
    log.error('fetched mail held after its last try', { tenant, account, seen, ...errorForLog(error) });
    await holdMailbox(mailroom(attempt), delivery, 'failed');
  }
}

async function takeAgain(wanted: { tenant: string; member: string; held: string }, attempt: number): Promise<void> {
  const tenant = asTenantId(wanted.tenant);
  const held = await findHeld(table(), tenant, wanted.member, wanted.held);
  if (held?.state !== 'replaying') return;
  try {
    // A replay is no part of a first sync: its mail was counted when it was held.
    if (held.mailbox) await ingestMailbox(mailroom(attempt), { ...held.mailbox, firstSync: undefined }, held.id);
    else {
      const outcome = await ingestHeld(mailroom(attempt), tenant, wanted.member, held);
      report(outcome ? [outcome] : [], held.delivery.id);
    }
  } catch (error) {
    if (attempt < resources.inbound.maxReceives) throw error;
    log.error('replay ended after its last try', { delivery: held.delivery.id, ...errorForLog(error) });
    await settleReplay(table(), tenant, wanted.member, held.id, 'failed');
  }
}

function mailroom(attempt: number): Mailroom {
  return {
    table: table(),
    mailDomain: setting('MAIL_DOMAIN'),
    readRaw: (key) => mailBucket().read(key),
    readMail: async (raw) => (attempt > PARSE_TRIES ? undefined : readOrGiveUp(raw)),
    backfills: backfillsQueue(),
  };
}

async function readOrGiveUp(raw: Uint8Array) {
  try {
    return await parseMail(raw);
  } catch (error) {
    if (!(error instanceof UnreadableMail)) throw error;
    log.warn('unreadable mail', { reason: error.reason, bytes: raw.length });
    return undefined;
  }
}

function report(outcomes: Outcome[], delivery: string): void {
  for (const { outcome, reason } of outcomes) log.info('mail taken in', { delivery, outcome, reason });
}
