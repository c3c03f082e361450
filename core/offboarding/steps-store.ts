import { type Lock, lockOf } from '../addon-user/lock.ts';
import { lockMember } from '../addon-user/lock-store.ts';
import { Problem } from '../errors.ts';
import type { TenantId } from '../ids.ts';
import { patchMember, readMember } from '../member/member-store.ts';
import { isAdministrator } from '../member/viewer.ts';
import { readSettings, readViewer } from '../tenant/tenant-store.ts';
import { backUp } from './back-up-store.ts';
import { handOver } from './hand-over-store.ts';
import { lastPoll } from './last-poll-store.ts';
import type { Offboarding, StepName } from './offboarding.ts';
import { refusalsOf } from './preflight.ts';
import { readOffboardingFacts } from './preflight-store.ts';
import type { At, OffboardingRoom, Outcome } from './step.ts';

const WORK: Record<StepName, (at: At) => Promise<Outcome>> = {
  lock: lockMailSettings,
  'last-poll': lastPoll,
  deactivate,
  'back-up': backUp,
  'hand-over': handOver,
};

/** Others change the same things in the same moment: tried again, not given up. */
const PASSING = ['changed-meanwhile', 'busy'];

/**
 * Does what is left of a step, or a part of it, by the rights of the off-boarding's actor as they are now. What refuses is the step's
 * failure; a service that cannot be reached is thrown.
 */
export async function takeStep(room: OffboardingRoom, run: Offboarding, name: StepName, tenant: At['tenant']): Promise<Outcome> {
  const viewer = await readViewer(room.table, tenant, run.actor);
  if (!viewer || !isAdministrator(viewer)) return failed('actor-gone');
  try {
    return await WORK[name]({ room, tenant, viewer, run, step: run.steps[name], now: room.clock() });
  } catch (error) {
    if (!(error instanceof Problem) || PASSING.includes(error.code)) throw error;
    return { end: 'failed', failure: { code: error.code, detail: error.message } };
  }
}

/** LCK-2: from here on they cannot go private, so that the backup stays possible. The lock stays when all is over. */
async function lockMailSettings({ room, tenant, viewer, run, now }: At): Promise<Outcome> {
  const read = async () => lockOf(await readMember(room.table, viewer, run.member), now);
  const before = await read();
  if (!before) await lockUnlessLocked(room, viewer, run, now);
  const lock = before ?? (await read());
  if (!lock) return failed('unlocked-meanwhile');
  if (lock.until !== undefined) return failed('lock-ends');
  if (!isOurs(lock, run)) return { end: 'skipped', warning: 'already-locked' };
  await tellOfOurLock(room, tenant, run, lock);
  return { end: 'done' };
}

/** Said again after a kill; the member is told once. */
export function tellOfOurLock(
  { queue }: OffboardingRoom,
  tenant: TenantId,
  { member }: Offboarding,
  { at, by, reason }: Lock,
): Promise<void> {
  return queue.send({ lockNotice: { tenant, member, what: 'locked', at, by, reason } });
}

async function lockUnlessLocked(
  { table }: OffboardingRoom,
  viewer: At['viewer'],
  { member, reason }: Offboarding,
  now: Date,
): Promise<void> {
  try {
    await lockMember(table, viewer, member, { reason }, now);
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'already-locked') throw error;
  }
}

/** The lock is this off-boarding's own. */
export const isOurs = ({ by, at }: Lock, { actor, startedAt }: Offboarding) => by === actor && at >= startedAt;

/** tokens, dropbox and polling stop at once; their mail is hidden until the backup shows it. */
async function deactivate({ room, tenant, viewer, run, now }: At): Promise<Outcome> {
  const member = await readMember(room.table, viewer, run.member);
  if (member.status === 'active') {
    const hindrance = await whyNotYet({ room, viewer, run, now });
    if (hindrance) return failed(hindrance);
    const settings = await readSettings(room.table, tenant);
    await patchMember(room.table, viewer, settings?.profiles ?? new Map(), run.member, { status: 'deactivated' }, now);
    return { end: 'done' };
  }
  return (member.deactivatedAt ?? '') >= run.startedAt ? { end: 'done' } : { end: 'skipped', warning: 'already-deactivated' };
}

/**
 * The last moment in which the leaver can put anything right: the lock may have been taken off while their mailbox was read, and who
 * resumed may be of another domain. Deactivated without a backup to come, their mail would be hidden.
 */
async function whyNotYet({ room, viewer, run, now }: Pick<At, 'room' | 'viewer' | 'run' | 'now'>): Promise<string | undefined> {
  const facts = await readOffboardingFacts(room.table, viewer, run.member, undefined, now);
  return facts.lock ? refusalsOf(facts)[0]?.code : 'unlocked-meanwhile';
}

const failed = (code: string): Outcome => ({ end: 'failed', failure: { code, detail: '' } });
