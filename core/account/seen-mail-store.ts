import type { TenantId } from '../ids.ts';
import { type Table, TransactionRefused } from '../table/client.ts';
import { mailAccountKey, seenMailKey } from '../table/keys.ts';

/** A mail fetched from a mailbox and stored durably, on its way to be filed. What the poller puts into the inbound queue. */
export type MailboxDelivery = {
  tenant: TenantId;
  member: string;
  account: string;
  /** Hash of its unique id on the server and its occurrence: its place in the ledger. */
  seen: string;
  rawKey: string;
  rawSize: number;
  /** When the poll took it: a proposal, the first one to be written down stands. */
  receivedAt: string;
  /** Fetched by the account's first sync, whose progress counts it. */
  firstSync?: true;
};

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
 * `duplicate`: its owner held it already. `held`: it could not be read; its bytes are kept. `not-kept`: it concerns no record,
 * and policy says to store only what does; so it is never deleted from the server. `skipped`: older than the account's `since`.
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
 * Notes what became of a delivery, and counts it for its account in the same transaction, so that a redelivery counts once.
 * The first word stands.
 */
export async function settleSeen(table: Table, delivery: MailboxDelivery, outcome: SeenOutcome, message?: string): Promise<void> {
  const { tenant, member, account, seen } = delivery;
  const line = {
    update: `SET outcome = :outcome, receivedAt = if_not_exists(receivedAt, :at)${message ? ', message = :message' : ''}`,
    condition: 'attribute_not_exists(outcome)',
    values: { ':outcome': outcome, ':at': delivery.receivedAt, ...(message ? { ':message': message } : {}) },
  };
  if (!delivery.firstSync) {
    await table.update(seenMailKey(tenant, account, seen), line);
    return;
  }
  try {
    await table.transact([
      { update: seenMailKey(tenant, account, seen), with: line },
      {
        update: mailAccountKey(tenant, member, account),
        with: {
          update: 'SET sync.filed = sync.filed + :one',
          condition: 'attribute_exists(pk)',
          values: { ':one': 1 },
        },
      },
    ]);
  } catch (error) {
    // Settled before; or the account is gone, and with it everything that is told of it.
    if (!(error instanceof TransactionRefused)) throw error;
  }
}
