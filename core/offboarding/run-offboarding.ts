import type { TenantId } from '../ids.ts';
import { OFFBOARDING_TRIES, OFFBOARDING_WAIT_SECONDS } from '../limits.ts';
import { endCancelled } from './cancel-store.ts';
import { tellActor } from './notice-store.ts';
import { nextStep, type Offboarding, type Step, type StepName } from './offboarding.ts';
import { commitStep, LostLease, lease, readOffboarding, release } from './offboarding-store.ts';
import type { OffboardingRoom, Outcome } from './step.ts';
import { takeStep } from './steps-store.ts';

/** What a worker's turn came to. */
export type Turn = 'handed-on' | 'waiting' | 'ended' | 'not-mine';

/**
 * A worker's turn at an off-boarding: steps, and parts of steps, begun before `until`; then word to the next worker, at once or when
 * there may be something to go on with. Killed anywhere and begun again, told twice, or by two at once, it comes to the same: the lease
 * lets one work, the fence lets nobody commit who has lost it, and what a step does outside it finds done when it comes again.
 */
export async function runOffboarding(room: OffboardingRoom, tenant: TenantId, id: string, until: Date): Promise<Turn> {
  try {
    let run = await lease(room.table, tenant, id, room.clock());
    if (!run) return await afterwards(room, tenant, id);
    // Each word comes again no sooner than a lease ends, and finds another's: it is the leases that are counted.
    if ((run.tries ?? 0) > OFFBOARDING_TRIES) return await interrupted(room, tenant, run);
    while (room.clock() < until) {
      const name = nextStep(run);
      if (!name) return await afterwards(room, tenant, id);
      if (run.cancel) {
        await endCancelled(room, tenant, run, run.cancel.by);
        return await afterwards(room, tenant, id);
      }
      const outcome = await takeStep(room, run, name, tenant);
      run = await commitStep(room.table, tenant, run, name, stepAfter(run.steps[name], outcome, room.clock()), room.clock());
      if ('wait' in outcome) return await waitFor(room, tenant, run, name);
      if (run.state !== 'running') return await afterwards(room, tenant, id);
      run.cancel = (await readOffboarding(room.table, tenant, id))?.cancel;
    }
    await handOn(room, tenant, run, 0);
    return 'handed-on';
  } catch (error) {
    if (error instanceof LostLease) return 'not-mine';
    throw error;
  }
}

/** After its last try: the step counts as failed, and whoever is told of it can resume it. */
export async function giveUp(room: OffboardingRoom, tenant: TenantId, id: string): Promise<void> {
  const run = await readOffboarding(room.table, tenant, id);
  try {
    if (run?.state === 'running') await interrupted(room, tenant, run);
    else await afterwards(room, tenant, id);
  } catch (error) {
    if (!(error instanceof LostLease)) throw error;
  }
}

async function interrupted(room: OffboardingRoom, tenant: TenantId, run: Offboarding): Promise<Turn> {
  const name = nextStep(run);
  const failed: Outcome = { end: 'failed', failure: { code: 'interrupted', detail: '' } };
  if (name) await commitStep(room.table, tenant, run, name, stepAfter(run.steps[name], failed, room.clock()), room.clock());
  return afterwards(room, tenant, run.id);
}

function stepAfter(before: Step, outcome: Outcome, now: Date): Step {
  const at = now.toISOString();
  const startedAt = before.startedAt ?? at;
  if ('goOn' in outcome) return { state: 'running', startedAt, memo: outcome.goOn, counts: outcome.counts ?? before.counts };
  if ('wait' in outcome) {
    return { state: 'running', startedAt, memo: outcome.wait, counts: before.counts, waits: (before.waits ?? 0) + 1 };
  }
  const ended = { state: outcome.end, startedAt, endedAt: at, memo: before.memo };
  if (outcome.end === 'failed') return { ...ended, counts: before.counts, failure: outcome.failure };
  return { ...ended, counts: outcome.counts, warning: outcome.warning };
}

/** Nobody stands and waits: the queue keeps the word until it is time to look again. */
async function waitFor(room: OffboardingRoom, tenant: TenantId, run: Offboarding, name: StepName): Promise<Turn> {
  await handOn(room, tenant, run, Math.min(OFFBOARDING_WAIT_SECONDS, 2 ** (run.steps[name].waits ?? 1)));
  return 'waiting';
}

/** The lease first: word that comes while it is held would be lost. Killed in between, who looks after them says it again. */
async function handOn({ table, queue, clock }: OffboardingRoom, tenant: TenantId, run: Offboarding, seconds: number): Promise<void> {
  await release(table, tenant, run, new Date(clock().getTime() + seconds * 1000));
  await queue.send({ tenant, offboarding: run.id }, seconds);
}

/** Of one that has ended, its actor is told; one that another worker has is that one's. */
async function afterwards(room: OffboardingRoom, tenant: TenantId, id: string): Promise<Turn> {
  const run = await readOffboarding(room.table, tenant, id);
  if (!run || run.state === 'running') return 'not-mine';
  await tellActor(room, tenant, run, room.clock());
  return 'ended';
}
