import { asTenantId } from '../ids.ts';
import { BACKUP_LEASE_SECONDS, EXPORT_LEASE_SECONDS } from '../limits.ts';
import { backupKey, exportKey, runningBackupsPartition, runningExportsPartition } from '../table/keys.ts';
import type { Backup } from './backup.ts';
import type { StartRoom } from './backup-store.ts';
import type { Export, ExportJob } from './export.ts';
import type { ExportStartRoom } from './export-store.ts';

type Running = { sk: string; tenant: string; backup: string };

/**
 * Leaves word for a worker about each backup that nobody works on any more: its worker was killed, its word was lost, or who started
 * it was not told of its end. So none is stuck for longer than its lease. Answers how many.
 */
export async function sweepBackups({ table, queue }: StartRoom, now: Date): Promise<number> {
  const running = await table.all<Running>({ pk: runningBackupsPartition });
  const backups = await table.getMany<Backup>(running.map(({ tenant, backup }) => backupKey(asTenantId(tenant), backup)));
  const stuck = running.filter((_, i) => isStuck(backups[i], BACKUP_LEASE_SECONDS, now));
  for (const { tenant, backup } of stuck) await queue.send({ tenant, backup });
  return stuck.length;
}

/** The same for exports of backups. */
export async function sweepExports({ table, queue }: ExportStartRoom, now: Date): Promise<number> {
  const running = await table.all<ExportJob>({ pk: runningExportsPartition });
  const exports = await table.getMany<Export>(running.map(({ tenant, backup, format }) => exportKey(asTenantId(tenant), backup, format)));
  const stuck = running.filter((_, i) => isStuck(exports[i], EXPORT_LEASE_SECONDS, now));
  for (const { tenant, backup, format } of stuck) await queue.send({ tenant, backup, format });
  return stuck.length;
}

/** Word that waits in the queue is not missed sooner than a lease; two words do no harm. */
function isStuck(job: Pick<Backup, 'leaseUntil' | 'updatedAt'> | undefined, leaseSeconds: number, now: Date): boolean {
  if (!job) return false;
  const { leaseUntil, updatedAt } = job;
  const heard = leaseUntil ?? new Date(Date.parse(updatedAt) + leaseSeconds * 1000).toISOString();
  return heard <= now.toISOString();
}
