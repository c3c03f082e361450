import { asTenantId } from '../ids.ts';
import { OFFBOARDING_LEASE_SECONDS } from '../limits.ts';
import { offboardingKey, runningOffboardingsPartition } from '../table/keys.ts';
import type { Offboarding } from './offboarding.ts';
import type { StartRoom } from './offboarding-store.ts';

type Running = { tenant: string; offboarding: string };

/**
 * Leaves word for a worker about each off-boarding that nobody works on any more: its worker was killed, its word was lost, or its end
 * was not told. So none is stuck for longer than its lease. Answers how many.
 */
export async function sweepOffboardings({ table, queue }: StartRoom, now: Date): Promise<number> {
  const running = await table.all<Running>({ pk: runningOffboardingsPartition });
  const runs = await table.getMany<Offboarding>(running.map(({ tenant, offboarding }) => offboardingKey(asTenantId(tenant), offboarding)));
  const stuck = running.filter((_, i) => isStuck(runs[i], now));
  for (const { tenant, offboarding } of stuck) await queue.send({ tenant, offboarding });
  return stuck.length;
}

/** Word that waits in the queue is not missed sooner than a lease; two words do no harm. */
function isStuck(run: Offboarding | undefined, now: Date): boolean {
  if (!run) return false;
  const { leaseUntil, wakeAt, updatedAt } = run;
  const heard = leaseUntil ?? new Date(Date.parse(wakeAt ?? updatedAt) + OFFBOARDING_LEASE_SECONDS * 1000).toISOString();
  return heard <= now.toISOString();
}
