import { sha256 } from '../ids.ts';
import type { JobQueue } from '../job/send.ts';
import { MAX_MAIL_BYTES, POLL_BYTES, POLL_MAILS, POLL_SESSION_BYTES } from '../limits.ts';
import type { Table } from '../table/client.ts';
import type { Pop3Account } from './account.ts';
import { Lane } from './lane.ts';
import { noteFetched, noteSkipped } from './ledger-store.ts';
import type { ListedMail } from './listing.ts';
import type { MailboxDelivery } from './mailbox-delivery.ts';
import { Pop3Error, type Pop3Session } from './pop3.ts';
import { reachedAt } from './reached-at.ts';

/** Where fetched mails go. */
export type Store = {
  table: Table;
  storeRaw: (key: string, bytes: Uint8Array) => Promise<void>;
  inbound: Pick<JobQueue, 'send'>;
  clock: () => Date;
  /** Bytes of mails that may be in this process's memory. */
  memory: Lane;
};

/** A session's work on one mailbox, and what has come of it so far. */
export type Visit = {
  store: Store;
  account: Pop3Account;
  session: Pop3Session;
  /** Bytes by message number, as LIST gave them. */
  sizes: ReadonlyMap<number, number>;
  /** No new work after that. */
  until: Date;
  tally: Tally;
};

export type Tally = {
  found?: number;
  fetched: number;
  skipped: number;
  deleted: number;
  bytes: number;
  /** Places in the ledger that this poll has written. */
  noted: Set<string>;
  /** A mail that turned out larger than LIST had said. */
  oversize?: { seen: string; truly: boolean };
};

export type Wanted = ListedMail & { receivedAt: string; firstSync?: true };

/** Stores under way beside the requests: S3 and SQS answer in tens of milliseconds, a pipelining server in less. */
const STORES_AT_ONCE = 16;
/** LIST is an estimate with some servers: twice as much and a little more is believed. */
const SLACK = 64 * 1024;
/** So many refusals in a row are not about single mails. */
const REFUSALS = 3;

/** True when this poll has had its share of time, mails or bytes. */
export const isOver = ({ store, until, tally }: Visit) =>
  store.clock() >= until || tally.fetched >= POLL_MAILS || tally.bytes >= POLL_BYTES;

/**
 * Fetches mails, stores each durably, hands it on to be filed, and then, last, writes its line in the ledger: a kill anywhere
 * leaves a mail that is fetched again, which changes nothing. Several at once where the server pipelines, bounded by bytes. A mail
 * that its server refuses is left for another time. With `since`, what is older is not stored but noted as skipped: for servers
 * without TOP. Answers those that were older. Throws what ended the session, when all that was under way is over.
 */
export async function fetchMails(visit: Visit, mails: readonly Wanted[], since?: Date): Promise<Set<string>> {
  const { session, store, account } = visit;
  const older = new Set<string>();
  const requests = new Lane(account.oversize ? 1 : session.window);
  const underWay = new Lane((account.oversize ? 1 : session.window) + STORES_AT_ONCE);
  const sessionBytes = new Lane(POLL_SESSION_BYTES);
  const tasks: Promise<void>[] = [];
  let broken: { by: unknown } | undefined;
  let refusals = 0;

  const fetchOne = async (mail: Wanted, allowed: number) => {
    try {
      const size = visit.sizes.get(mail.number) ?? 0;
      const isTooLarge = size > MAX_MAIL_BYTES || (account.oversize?.truly === true && account.oversize.seen === mail.seen);
      const bytes = await requested(() => (isTooLarge ? headerOf(session, mail.number) : retrieve(mail, allowed)));
      refusals = 0;
      if (since && !isTooLarge && isOlder(bytes, since)) {
        await noteSkipped(store.table, account, [mail.seen]);
        older.add(mail.seen);
        visit.tally.skipped++;
      } else {
        await deliver(visit, mail, bytes, size, isTooLarge);
      }
      visit.tally.noted.add(mail.seen);
    } catch (error) {
      const isRefused = error instanceof Pop3Error && error.trouble === 'refused';
      if (!isRefused || ++refusals >= REFUSALS) broken ??= { by: error };
    }
  };
  const requested = async (ask: () => Promise<Uint8Array>) => {
    try {
      return await ask();
    } finally {
      requests.give();
    }
  };
  const retrieve = async (mail: Wanted, allowed: number) => {
    try {
      return await session.retr(mail.number, allowed);
    } catch (error) {
      // Answers come in order: the first to fail is the one that was too large.
      if (error instanceof Pop3Error && error.trouble === 'too-large')
        visit.tally.oversize ??= { seen: mail.seen, truly: allowed >= MAX_MAIL_BYTES };
      throw error;
    }
  };

  for (const mail of mails) {
    const allowed = account.oversize ? MAX_MAIL_BYTES : Math.min(MAX_MAIL_BYTES, 2 * (visit.sizes.get(mail.number) ?? 0) + SLACK);
    await underWay.take();
    await sessionBytes.take(allowed);
    await store.memory.take(allowed);
    await requests.take();
    const giveBack = () => {
      underWay.give();
      sessionBytes.give(allowed);
      store.memory.give(allowed);
    };
    if (broken || isOver(visit)) {
      giveBack();
      break;
    }
    tasks.push(fetchOne(mail, allowed).finally(giveBack));
  }
  await Promise.all(tasks);
  if (broken) throw broken.by;
  return older;
}

/** A mail without a date that can be read is not older. */
export function isOlder(header: Uint8Array, since: Date): boolean {
  const at = reachedAt(header);
  return at !== undefined && at < since;
}

async function deliver({ store, account, tally }: Visit, mail: Wanted, bytes: Uint8Array, size: number, isTooLarge: boolean) {
  const { tenant, member, id } = account;
  const delivery: MailboxDelivery = {
    tenant,
    member,
    account: id,
    seen: mail.seen,
    // By account: what is swept for one reader of a mail must not be what another one reads.
    rawKey: `t/${tenant}/mail/${id}/${sha256(bytes)}.eml`,
    rawSize: isTooLarge ? size : bytes.length,
    receivedAt: mail.receivedAt,
    ...(mail.firstSync ? { firstSync: true } : {}),
    ...(isTooLarge ? { tooLarge: true } : {}),
  };
  await store.storeRaw(delivery.rawKey, bytes);
  await store.inbound.send({ mailbox: delivery });
  await noteFetched(store.table, delivery, size);
  tally.fetched++;
  tally.bytes += bytes.length;
}

/** TOP is optional (RFC 1939 7): without it nothing of the mail is known but its size. */
async function headerOf(session: Pop3Session, number: number): Promise<Uint8Array> {
  try {
    return await session.top(number, 0);
  } catch (error) {
    if (error instanceof Pop3Error && error.trouble === 'refused') return new Uint8Array();
    throw error;
  }
}
