import { lockOf } from '../addon-user/lock.ts';
import { conflict, forbidden } from '../errors.ts';
import type { TenantId } from '../ids.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Write } from '../table/client.ts';
import { memberKey, offboardingKey } from '../table/keys.ts';
import { countsOf, endItsBackup } from './back-up-store.ts';
import { countHandedOver } from './hand-over-store.ts';
import { nextStep, type Offboarding, STEPS, type Step, type StepName } from './offboarding.ts';
import { auditOf, ends, findOffboarding, LostLease, readOffboarding, type StartRoom } from './offboarding-store.ts';
import type { OffboardingRoom } from './step.ts';
import { isOurs, tellOfOurLock } from './steps-store.ts';

/**
 * Asks that nothing more be begun of an off-boarding: what its worker has in hand it ends first. Nothing is undone; asked again it changes
 * nothing. Throws `not-found`, `own-lock`, and `not-running` of one that is over or has stopped by itself.
 */
export async function cancelOffboarding({ table, queue }: StartRoom, viewer: Viewer, id: string, now: Date): Promise<Offboarding> {
  const before = await findOffboarding(table, viewer, id);
  if (before.member === viewer.member) throw forbidden('own-lock', 'Your own off-boarding is for another administrator to cancel.');
  if (before.state === 'running' && before.cancel === undefined) {
    const cancel = { by: viewer.member, at: now.toISOString() };
    await table.tryTransact([
      {
        update: offboardingKey(viewer.tenant, id),
        with: {
          update: 'SET #cancel = :cancel REMOVE #wakeAt',
          condition: '#state = :running AND attribute_not_exists(#cancel)',
          names: { '#cancel': 'cancel', '#wakeAt': 'wakeAt', '#state': 'state' },
          values: { ':cancel': cancel, ':running': 'running' },
        },
      },
      auditOf(viewer.tenant, viewer.member, 'cancel', before, cancel.at, {}),
    ]);
  }
  const run = (await readOffboarding(table, viewer.tenant, id)) ?? before;
  if (run.state !== 'running') throw conflict('not-running', WHY_NOT[run.state]);
  await queue.send({ tenant: viewer.tenant, offboarding: id });
  return run;
}

const WHY_NOT: Record<Exclude<Offboarding['state'], 'running'>, string> = {
  completed: 'This off-boarding is complete. What it did is undone by hand: unlock, reactivate, change the owner of the records.',
  failed: 'This off-boarding has stopped at a step that failed: nothing goes on by itself. Resume it, or leave it as it is.',
  cancelled: 'This off-boarding was cancelled already.',
};

/**
 * Ends an off-boarding that is to be cancelled: the step it stands at is noted as it is, whatever a worker that was killed has left of
 * it; a backup that runs is cancelled; what comes behind is not begun. Throws LostLease.
 */
export async function endCancelled(room: OffboardingRoom, tenant: TenantId, run: Offboarding, by: string): Promise<void> {
  const at = room.clock().toISOString();
  const name = nextStep(run);
  const reached = name && { [name]: await asItStands(room, tenant, run, name, by) };
  const steps = Object.fromEntries(STEPS.map((each) => [each, ended({ ...run.steps, ...reached }[each], at)])) as Offboarding['steps'];
  // The last step was over when it was looked at: there was nothing left to cancel.
  const state = STEPS.some((each) => steps[each].state === 'cancelled') ? 'cancelled' : 'completed';
  const done = STEPS.filter((each) => steps[each].state === 'done');
  const verb = state === 'cancelled' ? 'cancelled' : 'complete';
  const change: Write = {
    update: offboardingKey(tenant, run.id),
    with: {
      update: 'SET #steps = :steps, #state = :state, #updatedAt = :now, #finishedAt = :now REMOVE #leaseUntil, #wakeAt, #tries',
      condition: '#state = :running AND #fence = :fence',
      names: {
        '#steps': 'steps',
        '#state': 'state',
        '#fence': 'fence',
        '#updatedAt': 'updatedAt',
        '#finishedAt': 'finishedAt',
        '#leaseUntil': 'leaseUntil',
        '#wakeAt': 'wakeAt',
        '#tries': 'tries',
      },
      values: { ':steps': steps, ':state': state, ':now': at, ':running': 'running', ':fence': run.fence },
    },
  };
  await room.table.transact(
    [change, ends(tenant, run), auditOf(tenant, by, verb, run, at, { done })],
    () => new LostLease('the off-boarding has another worker'),
  );
}

const isOver = ({ state }: Step) => state !== 'waiting' && state !== 'running';
const ended = (step: Step, at: string): Step => (isOver(step) ? step : { ...step, state: 'cancelled', endedAt: at });

/** The step as it is: what has taken place is done, though nobody has noted it. */
async function asItStands(room: OffboardingRoom, tenant: TenantId, run: Offboarding, name: StepName, by: string): Promise<Step> {
  const step = run.steps[name];
  const done: Step = { ...step, state: 'done', endedAt: room.clock().toISOString() };
  if (name === 'lock') return (await tellIfLocked(room, tenant, run)) ? done : step;
  if (name === 'deactivate') return (await isDeactivated(room, tenant, run)) ? done : step;
  if (name === 'hand-over') return { ...step, counts: await countHandedOver(room.table, tenant, run) };
  if (name !== 'back-up') return step;
  const backup = await endItsBackup(room, tenant, run, by);
  if (!backup) return step;
  return { ...(backup.state === 'completed' ? done : step), counts: countsOf(backup.tally) };
}

async function tellIfLocked(room: OffboardingRoom, tenant: TenantId, run: Offboarding): Promise<boolean> {
  const lock = lockOf(await room.table.get<Member>(memberKey(tenant, run.member)), room.clock());
  if (!lock || !isOurs(lock, run)) return false;
  await tellOfOurLock(room, tenant, run, lock);
  return true;
}

async function isDeactivated({ table }: OffboardingRoom, tenant: TenantId, { member, startedAt }: Offboarding): Promise<boolean> {
  const { deactivatedAt } = (await table.get<Member>(memberKey(tenant, member))) ?? {};
  return deactivatedAt !== undefined && deactivatedAt >= startedAt;
}
