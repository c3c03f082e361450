import type { Viewer } from '../member/viewer.ts';
import type { Write } from '../table/client.ts';
import { memberKey } from '../table/keys.ts';

/** What keeps a member from changing how their mail is shared and which mailbox is read (LCK-1). Kept on the member's item. */
export type Lock = {
  /** The administrator who locked. */
  by: string;
  at: string;
  reason: string;
  /** ISO 8601, when it ends by itself; absent when only an administrator ends it. */
  until?: string;
};

/** Why the mail of a member is kept whatever else would have it deleted: a legal hold, until an administrator ends it. On the member's item. */
export type Hold = { by: string; at: string; reason: string };

type Lockable = { locked?: Lock };

/** The lock that holds at `now`: one that has run out counts as none, everywhere. */
export function lockOf(member: Lockable | undefined, now: Date): Lock | undefined {
  const lock = member?.locked;
  return lock && (lock.until === undefined || Date.parse(lock.until) > now.getTime()) ? lock : undefined;
}

/** The same as a condition on the member's item: for the very write that a lock is to keep out. */
export const unlockedAt = (now: Date) => ({
  condition: '(attribute_not_exists(#locked) OR #locked.#until <= :now)',
  names: { '#locked': 'locked', '#until': 'until' },
  values: { ':now': now.toISOString() },
});

/**
 * The check that the viewer may change their mail settings at the moment of the change: active, and not locked
 * (LCK-1, LCK-8). Whoever is locked or deactivated in the same moment is refused by the transaction.
 */
export function maySetMail({ tenant, member }: Viewer, now: Date): Write {
  const unlocked = unlockedAt(now);
  return {
    check: memberKey(tenant, member),
    condition: `#status = :active AND ${unlocked.condition}`,
    names: { '#status': 'status', ...unlocked.names },
    values: { ':active': 'active', ...unlocked.values },
  };
}
