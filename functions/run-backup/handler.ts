import middy from '@middy/core';
import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { backupJob } from '../../core/backup/backup.ts';
import { endBackup, readBackup } from '../../core/backup/backup-store.ts';
import { type BackupRoom, runBackup } from '../../core/backup/run-backup.ts';
import { asTenantId } from '../../core/ids.ts';
import { BACKUP_SECONDS } from '../../core/limits.ts';
import { backupsQueue, mailBucket, outbound, setting, table } from '../connect.ts';
import { errorForLog, log } from '../edge/log.ts';
import { type Job, queueHandler } from '../edge/queue.ts';
import { resources } from '../manifest.ts';

/** A turn, and the page that was begun in its last moment. */
const NEEDS_MS = (BACKUP_SECONDS + 60) * 1000;

/** When a backup has work to do: a turn of pages, and word for the next worker. */
export const handler = middy<SQSEvent, SQSBatchResponse>().handler(queueHandler(takeTurn, NEEDS_MS));

async function takeTurn({ body, attempt }: Job): Promise<void> {
  const job = backupJob.parse(body);
  const tenant = asTenantId(job.tenant);
  const room: BackupRoom = {
    table: table(),
    files: mailBucket(),
    queue: backupsQueue(),
    tell: (mail) => outbound().send(mail),
    publicUrl: setting('PUBLIC_URL'),
    clock: () => new Date(),
  };
  try {
    const turn = await runBackup(room, tenant, job.backup, new Date(Date.now() + BACKUP_SECONDS * 1000));
    log.info('backup worked on', { tenant, backup: job.backup, turn });
  } catch (error) {
    if (attempt < resources.backups.maxReceives) throw error;
    // A backup must not stay "running" for ever: another one goes on with what this one has not shown.
    log.error('backup ended after its last try', { tenant, backup: job.backup, ...errorForLog(error) });
    await interrupt(room, tenant, job.backup);
  }
}

async function interrupt(room: BackupRoom, tenant: ReturnType<typeof asTenantId>, id: string): Promise<void> {
  const backup = await readBackup(room.table, tenant, id);
  if (backup?.state === 'running') await endBackup(room.table, tenant, backup, { state: 'failed', by: backup.startedBy, now: new Date() });
  await runBackup(room, tenant, id, new Date());
}
