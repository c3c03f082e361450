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
import { type Export, type exportInput, exportView } from '../../../core/backup/export.ts';
import { cancelExport, findExport, findFile, startExport } from '../../../core/backup/export-store.ts';
import { noteDownload } from '../../../core/backup/reading-store.ts';
import { newId } from '../../../core/ids.ts';
import type { Viewer } from '../../../core/member/viewer.ts';
import { backupsQueue, exportsQueue, mailBucket, tableOf } from '../../connect.ts';
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
  startBackupExport: async ({ viewer, params, body, now }: Call<never, z.output<typeof exportInput>>) => {
    const { format } = body;
    const begun = await startExport(exportRoom(viewer), viewer, params.backupId ?? '', { format, id: newId(now), now });
    return { ...shownExport(begun, now), headers: { location: `/v1/backups/${begun.backup}/export/${format}` } };
  },
  readBackupExport: async ({ viewer, params, now }: Call) => shownExport((await exportOf(viewer, params)).found, now),
  cancelBackupExport: async ({ viewer, params: { backupId = '', format = '' }, now }: Call) =>
    shownExport(await cancelExport(exportRoom(viewer), viewer, backupId, format, now), now),
  downloadBackupExport: async ({ viewer, params, now }: Call) => {
    const { backup, found } = await exportOf(viewer, params);
    const { key, name, contentType } = findFile(found, params.file ?? '', now);
    await noteDownload(tableOf(viewer.tenant), viewer, backup, name, now);
    return { location: await mailBucket().link(key, name, contentType) };
  },
} satisfies Record<string, Operation>;

const exportRoom = ({ tenant }: Viewer) => ({ table: tableOf(tenant), queue: { send: toldLater(exportsQueue) } });
const exportOf = (viewer: Viewer, { backupId = '', format = '' }: Record<string, string>) =>
  findExport(tableOf(viewer.tenant), viewer, backupId, format);
const shownExport = (found: Export, now: Date): Reply => ({ body: exportView(found, now) });

async function start(kind: BackupKind, { viewer, params, body, now }: Start): Promise<Reply> {
  const backup = await startBackup(room(viewer), viewer, params.memberId ?? '', kind, { scope: body.scope, id: newId(now), now });
  return { ...shown(backup), headers: { location: `/v1/backups/${backup.id}` } };
}

const room = ({ tenant }: Viewer): StartRoom => ({ table: tableOf(tenant), queue: { send: toldLater(backupsQueue) } });

/** A word that cannot be sent now is said again within minutes, by `sweep-backups`: what was begun is answered as begun. */
function toldLater<Job extends { backup: string }>(queue: () => { send: (job: Job) => Promise<void> }) {
  return async (job: Job): Promise<void> => {
    try {
      await queue().send(job);
    } catch (error) {
      log.error('the worker of a backup was not told', { ...job, ...errorForLog(error) });
    }
  };
}

const shown = (backup: Backup): Reply => ({ body: backupView(backup) });
