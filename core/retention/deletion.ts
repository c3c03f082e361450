import * as z from 'zod';
import { unlockedAt } from '../addon-user/lock.ts';
import type { TenantId } from '../ids.ts';
import type { Message } from '../message/message.ts';
import type { Module } from '../record/module.ts';
import type { Write } from '../table/client.ts';
import { backupStandingKey, type Channel, deletionKey, memberKey } from '../table/keys.ts';

/** Who does what is done because its time is over, in the audit. */
export const RETENTION = 'retention';

/** What the worker's queue carries: go on with the deletion of a member's hidden mail, and with what it leaves. */
export const deletionJob = z.object({ tenant: z.string(), member: z.string() });
export type DeletionJob = z.infer<typeof deletionJob>;

/** The deletion of the hidden mail of a deactivated member: one item a member, of the last time it was begun. */
export type Deletion = {
  id: string;
  member: string;
  /** When they were deactivated: who came back meanwhile, and left again, has all the days again. */
  deactivatedAt: string;
  startedAt: string;
  state: 'running' | 'stopped' | 'ended';
  /** Copies of mails, and mail accounts, that are gone. */
  mails: number;
  accounts: number;
  /** Accounts whose ledgers are to be forgotten. */
  forget: string[];
  /** How far the records were gone through for dropbox mail that follows the sharing type. */
  dropbox?: Walk;
  finishedAt?: string;
  /** Why it was stopped. */
  because?: StopReason;
  noticeSentAt?: string;
};

export type StopReason = 'reactivated' | 'hold' | 'lock' | 'backup' | 'kept-longer';

/** A place among all records: those of a module behind this one. `done`: all were gone through. */
export type Walk = { module: Module; after?: string } | 'done';

/** A mail that its holder no longer has: whether its message and bytes may go, is looked at a day later. */
export type Remains = Pick<Message, 'rawKey'> & {
  sk: string;
  message: string;
  channel: Channel;
  since: string;
  /** When the copy was deleted, of a mail that was looked at before, and is to be again. */
  deletedAt?: string;
  turn: number;
  /** Where it stood, and with whom: the notes of who holds mail there go when there is none left. */
  records: { module: string; id: string }[];
  counterparts: string[];
};

/** Something holds the mail now: nothing more is deleted. */
export class Held extends Error {}
/** Another worker has ended or stopped the deletion. */
export class Over extends Error {}

/**
 * The checks of every transaction that deletes hidden mail: its holder is still deactivated, since the same moment; there is no hold, no
 * lock, and no backup was ever begun: one that was broken off has shown mails too, and what is shown stays. Whatever of these
 * comes in the same moment is refused, or refuses the deletion.
 */
export function nothingHolds(tenant: TenantId, { member, deactivatedAt }: Pick<Deletion, 'member' | 'deactivatedAt'>, now: Date): Write[] {
  const unlocked = unlockedAt(now);
  return [
    {
      check: memberKey(tenant, member),
      condition: `#status = :deactivated AND #deactivatedAt = :at AND attribute_not_exists(#hold) AND ${unlocked.condition}`,
      names: { '#status': 'status', '#deactivatedAt': 'deactivatedAt', '#hold': 'hold', ...unlocked.names },
      values: { ':deactivated': 'deactivated', ':at': deactivatedAt, ...unlocked.values },
    },
    { check: backupStandingKey(tenant, member), condition: 'attribute_not_exists(pk)' },
  ];
}

/** So many of the first writes of a transaction say that something holds the mail; the next one counts. */
export const HOLDING = 2;

/** The write that counts, for as long as this deletion runs. */
export const counted = (tenant: TenantId, { id, member }: Deletion, change: { mails?: number; forget?: string[] }): Write => ({
  update: deletionKey(tenant, member),
  with: {
    update: change.forget ? 'SET #accounts = #accounts + :one, #forget = :forget' : 'SET #mails = #mails + :mails',
    condition: '#id = :id AND #state = :running',
    names: {
      '#id': 'id',
      '#state': 'state',
      ...(change.forget ? { '#accounts': 'accounts', '#forget': 'forget' } : { '#mails': 'mails' }),
    },
    values: { ':id': id, ':running': 'running', ...(change.forget ? { ':one': 1, ':forget': change.forget } : { ':mails': change.mails }) },
  },
});
