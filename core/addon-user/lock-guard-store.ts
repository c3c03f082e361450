import { Problem } from '../errors.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Table } from '../table/client.ts';
import { memberKey } from '../table/keys.ts';
import { type Hold, type Lock, lockOf } from './lock.ts';

/** A lock as people are shown it. */
export type LockShown = { by: { id: string; name: string }; since: string; reason: string; until?: string };

/** What a lock leaves to its member: without it mail would stop coming in before it is backed up, against the lock's purpose. */
const STILL_ALLOWED = [
  'PUT incoming-password and outgoing-password of a mail account',
  'test and poll a mail account',
  'read all settings',
];

/**
 * Refuses with 423 `locked` while the viewer's mail settings are locked (LCK-1): who locked them, since when, why, until when,
 * and what still works. It is the words of the refusal; that nothing slips past is for the condition of the write itself.
 */
export async function requireUnlocked(table: Table, viewer: Viewer, now: Date): Promise<void> {
  const lock = lockOf(await table.get<Member>(memberKey(viewer.tenant, viewer.member)), now);
  if (!lock) return;
  const locked = await showLock(table, viewer, lock);
  const end = lock.until ? `until ${lock.until}` : 'until an administrator unlocks them';
  throw new Problem(
    423,
    'locked',
    `Your mail settings are locked ${end}: ${locked.by.name} locked them on ${lock.at}. Reason: ${lock.reason}. Passwords may still be changed, and mail goes on coming in.`,
    { locked, stillAllowed: STILL_ALLOWED },
  );
}

export async function showLock(table: Table, viewer: Viewer, lock: Lock): Promise<LockShown> {
  const by = await table.get<Member>(memberKey(viewer.tenant, lock.by));
  return lockShown(lock, by?.name);
}

export const lockShown = (lock: Lock, name?: string): LockShown => ({ ...holdShown(lock, name), until: lock.until });

export const holdShown = ({ by, at, reason }: Hold, name = 'a former administrator') => ({ by: { id: by, name }, since: at, reason });
