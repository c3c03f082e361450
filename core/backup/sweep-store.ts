import { asTenantId } from '../ids.ts';
import { BACKUP_LEASE_SECONDS } from '../limits.ts';
import { backupKey, runningBackupsPartition } from '../table/keys.ts';
import type { Backup } from './backup.ts';
import type { StartRoom } from './backup-store.ts';

type Running = { sk: string; tenant: string; backup: string };

/**
 * Leaves word for a worker about each backup that nobody works on any more: its worker was killed, its word was lost, or who started
 * it was not told of its end. So none is stuck for longer than its lease. Answers how many.
 */
export async function sweepBackups({ table, queue }: StartRoom, now: Date): Promise<number> {
  const running = await table.all<Running>({ pk: runningBackupsPartition });
  const backups = await table.getMany<Backup>(running.map(({ tenant, backup }) => backupKey(asTenantId(tenant), backup)));
  const stuck = running.filter((_, i) => isStuck(backups[i], now));
  for (const { tenant, backup } of stuck) await queue.send({ tenant, backup });
  return stuck.length;
}

/** Word that waits in the queue is not missed sooner than a lease; two words do no harm. */
function isStuck(backup: Backup | undefined, now: Date): boolean {
  if (!backup) return false;
  const { leaseUntil, updatedAt } = backup;
  const heard = leaseUntil ?? new Date(Date.parse(updatedAt) + BACKUP_LEASE_SECONDS * 1000).toISOString();
  return heard <= now.toISOString();
}
