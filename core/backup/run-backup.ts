import { sha256, type TenantId } from '../ids.ts';
import { BACKUP_TURN_PAGES } from '../limits.ts';
import type { ProductMail } from '../outbound/send.ts';
import type { Backup, BackupJob, BackupPage } from './backup.ts';
import { countMails, type PageRoom, showPage } from './backup-page-store.ts';
import { commitPage, completeBackup, LostLease, lease, noteTotal, readBackup, readPages, release } from './backup-store.ts';
import { manifestOf } from './manifest.ts';
import { tellStarter } from './notice-store.ts';

export type BackupRoom = PageRoom & {
  queue: { send: (job: BackupJob) => Promise<void> };
  tell: (mail: ProductMail) => Promise<void>;
  /** Where the API is reached from outside. */
  publicUrl: string;
  clock: () => Date;
};

/** What a worker's turn came to. */
export type Turn = 'handed-on' | 'ended' | 'not-mine';

/**
 * A worker's turn at a backup: some pages, begun before `until`, then word to the next worker; when all are done, the manifest, and
 * last that it is complete (BKP-7). Killed anywhere and begun again, told twice, or by two at once, it comes to the same: the lease
 * lets one work, the fence lets nobody commit who has lost it, and a page counts by its commit alone.
 */
export async function runBackup(room: BackupRoom, tenant: TenantId, id: string, until: Date): Promise<Turn> {
  try {
    const leased = await lease(room.table, tenant, id, room.clock());
    if (!leased) return await afterwards(room, tenant, id);
    const backup = await walk(room, tenant, leased, until);
    if (!backup.walked) return await handOn(room, tenant, backup);
    await close(room, tenant, backup);
    return await afterwards(room, tenant, id);
  } catch (error) {
    if (error instanceof LostLease) return 'not-mine';
    throw error;
  }
}

async function walk(room: BackupRoom, tenant: TenantId, leased: Backup, until: Date): Promise<Backup> {
  let backup = leased;
  if (backup.total === undefined) backup = await noteTotal(room.table, tenant, backup, await countMails(room.table, tenant, backup));
  const lastPage = backup.pages + BACKUP_TURN_PAGES;
  while (!backup.walked && backup.pages < lastPage && room.clock() < until) {
    const { after, page } = await showPage(room, tenant, backup);
    backup = await commitPage(room.table, tenant, after, page, room.clock());
  }
  return backup;
}

/** The lease first: word that comes while it is held would be lost. Killed in between, this worker's own word comes again. */
async function handOn({ table, queue }: BackupRoom, tenant: TenantId, backup: Backup): Promise<Turn> {
  await release(table, tenant, backup);
  await queue.send({ tenant, backup: backup.id });
  return 'handed-on';
}

async function close({ table, files, clock }: BackupRoom, tenant: TenantId, backup: Backup): Promise<void> {
  const pages = new Map<string, BackupPage[]>();
  for (const id of [...backup.earlier, backup.id]) pages.set(id, await readPages(table, tenant, id));
  const { key, manifest } = manifestOf(tenant, backup, pages);
  const bytes = Buffer.from(JSON.stringify(manifest));
  await files.write(key, bytes, 'application/json');
  await completeBackup(table, tenant, backup, sha256(bytes), clock());
}

/** Of one that has ended, who started it is told; one that another worker has is that one's. */
async function afterwards(room: BackupRoom, tenant: TenantId, id: string): Promise<Turn> {
  const backup = await readBackup(room.table, tenant, id);
  if (!backup || backup.state === 'running') return 'not-mine';
  await tellStarter(room, tenant, backup, room.clock());
  return 'ended';
}
