import type { Table } from '../table/client.ts';
import { mailAccountKey, seenMailKey } from '../table/keys.ts';
import type { MailboxDelivery } from './mailbox-delivery.ts';

/**
 * A line of an account's ledger: a mail that was seen on its server. Written when the mail is stored and queued, never
 * before: a mail without a line is fetched again, which changes nothing; a line without its mail would be a lost mail.
 */
export type SeenMail = {
  /** When it was taken; absent for what was never fetched. */
  receivedAt?: string;
  /** What became of it, once that is certain; only then may it be deleted from the server. */
  outcome?: SeenOutcome;
  message?: string;
  /** When it was deleted from the server. */
  deletedAt?: string;
};

/**
 * `filed` and `duplicate` (its owner held it already) are durable: these alone may be deleted from the server. `held`: it
 * could not be read, its bytes are kept for thirty days. `too-large`: only its header is. `not-kept`: it concerns no record, and
 * policy says to store only what does. `skipped`: older than the account's `since`.
 */
export type SeenOutcome = 'filed' | 'duplicate' | 'held' | 'not-kept' | 'skipped' | 'too-large';

/** The time of receipt of a delivery, the same for every try of it: the first one to ask fixes it. */
export async function fixReceivedAt(table: Table, { tenant, account, seen, receivedAt }: MailboxDelivery): Promise<string> {
  const line = await table.update<SeenMail>(seenMailKey(tenant, account, seen), {
    update: 'SET receivedAt = if_not_exists(receivedAt, :at)',
    values: { ':at': receivedAt },
  });
  return line?.receivedAt ?? receivedAt;
}

/**
 * Notes what became of a delivery; the first word stands, but for a held mail that a replay has filed. In the first sync it is counted for its owner to see: by a plain
 * update, because transactions of fifty workers on one item would hinder each other. A worker killed between the two leaves the
 * count one short; who ends the sync counts the lines themselves.
 */
export async function settleSeen(table: Table, delivery: MailboxDelivery, outcome: SeenOutcome, message?: string): Promise<void> {
  const { tenant, member, account, seen, receivedAt } = delivery;
  const isNews = await table.update(seenMailKey(tenant, account, seen), {
    update: `SET outcome = :outcome, receivedAt = if_not_exists(receivedAt, :at)${message ? ', message = :message' : ''}`,
    condition: 'attribute_not_exists(outcome) OR (outcome = :held AND :outcome <> :held)',
    values: { ':held': 'held', ':outcome': outcome, ':at': receivedAt, ...(message ? { ':message': message } : {}) },
  });
  if (!isNews || !delivery.firstSync) return;
  // An account removed meanwhile must not come back to life as a counter.
  await table.update(mailAccountKey(tenant, member, account), {
    update: 'SET sync.filed = sync.filed + :one',
    condition: 'attribute_exists(pk)',
    values: { ':one': 1 },
  });
}
