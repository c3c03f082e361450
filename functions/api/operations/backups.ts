import type * as z from 'zod';
import { type Backup, type backupInput, type backupsInput, backupView, manifestKey } from '../../../core/backup/backup.ts';
import {
  cancelBackup,
  findBackup,
  findComplete,
  listBackups,
  type StartRoom,
  startBackup,
  startLatestBackups,
} from '../../../core/backup/backup-store.ts';
import type { BackupKind } from '../../../core/backup/eligibility.ts';
import { noteDownload } from '../../../core/backup/reading-store.ts';
import { newId } from '../../../core/ids.ts';
import type { Viewer } from '../../../core/member/viewer.ts';
import { backupsQueue, mailBucket, tableOf } from '../../connect.ts';
import { errorForLog, log } from '../../edge/log.ts';
import type { Call, Operation, Reply } from '../call.ts';

type Start = Call<never, z.output<typeof backupInput>>;
type Page = { limit: number; cursor?: string };

export const backupOperations = {
  startBackup: (call: Start) => start('backup', call),
  startLatestBackup: (call: Start) => start('latest-backup', call),
  startLatestBackups: async ({ viewer, body, now }: Call<never, z.output<typeof backupsInput>>) => ({
    body: await startLatestBackups(room(viewer), viewer, body.members, { scope: body.scope, idOf: () => newId(now), now }),
  }),
  listBackups: async ({ viewer, params, query }: Call<Page>) => {
    const page = { limit: query.limit, after: query.cursor };
    const { items, next } = await listBackups(tableOf(viewer.tenant), viewer, params.memberId ?? '', page);
    return { body: { items: items.map(backupView), next } };
  },
  readBackup: async ({ viewer, params }: Call) => shown(await findBackup(tableOf(viewer.tenant), viewer, params.backupId ?? '')),
  cancelBackup: async ({ viewer, params, now }: Call) => shown(await cancelBackup(room(viewer), viewer, params.backupId ?? '', now)),
  downloadBackupManifest: async ({ viewer, params, now }: Call) => {
    const backup = await findComplete(tableOf(viewer.tenant), viewer, params.backupId ?? '');
    await noteDownload(tableOf(viewer.tenant), viewer, backup, 'manifest', now);
    return { location: await mailBucket().link(manifestKey(viewer.tenant, backup.id), `backup-${backup.id}.json`, 'application/json') };
  },
} satisfies Record<string, Operation>;

async function start(kind: BackupKind, { viewer, params, body, now }: Start): Promise<Reply> {
  const backup = await startBackup(room(viewer), viewer, params.memberId ?? '', kind, { scope: body.scope, id: newId(now), now });
  return { ...shown(backup), headers: { location: `/v1/backups/${backup.id}` } };
}

/** A word that cannot be sent now is said again within minutes, by `sweep-backups`: what was begun is answered as begun. */
const room = ({ tenant }: Viewer): StartRoom => ({
  table: tableOf(tenant),
  queue: {
    send: async (job) => {
      try {
        await backupsQueue().send(job);
      } catch (error) {
        log.error('the worker of a backup was not told', { ...job, ...errorForLog(error) });
      }
    },
  },
});

const shown = (backup: Backup): Reply => ({ body: backupView(backup) });
