import { auditEntry } from '../audit/audit-store.ts';
import { conflict, notFound } from '../errors.ts';
import type { TenantId } from '../ids.ts';
import { EXPORT_LEASE_SECONDS } from '../limits.ts';
import type { Viewer } from '../member/viewer.ts';
import type { BegunUpload } from '../message/raw-mail.ts';
import { type Table, TransactionRefused, type Write } from '../table/client.ts';
import { exportKey, runningExportKey } from '../table/keys.ts';
import type { Backup } from './backup.ts';
import { findBackup, findComplete, LostLease } from './backup-store.ts';
import {
  type Export,
  type ExportFile,
  type ExportFormat,
  type ExportJob,
  type ExportState,
  exportEnd,
  exportFormats,
  filesOf,
  isExpired,
  isOfUse,
  sum,
} from './export.ts';

export type ExportQueue = { send: (job: ExportJob) => Promise<void> };
export type ExportStartRoom = { table: Table; queue: ExportQueue };

/**
 * Starts an export of a completed backup; one that is being made, or can be downloaded, is answered instead. Throws `not-found`,
 * `not-complete` (of the backup).
 */
export async function startExport(
  { table, queue }: ExportStartRoom,
  viewer: Viewer,
  backupId: string,
  given: { format: ExportFormat; id: string; now: Date },
): Promise<Export> {
  const backup = await findComplete(table, viewer, backupId);
  const { tenant } = viewer;
  const known = await readExport(table, tenant, backup.id, given.format);
  if (known && isOfUse(known, given.now)) return known;
  const at = given.now.toISOString();
  const begun: Export = {
    id: given.id,
    backup: backup.id,
    format: given.format,
    member: backup.member,
    startedBy: viewer.member,
    startedAt: at,
    expiresAt: exportEnd(given.now),
    state: 'running',
    volumes: [],
    next: { part: 0, line: 0 },
    fence: 0,
    tries: 0,
    updatedAt: at,
  };
  const job = { tenant, backup: backup.id, format: given.format };
  try {
    await table.transact([
      {
        put: { ...exportKey(tenant, backup.id, given.format), ...begun },
        condition: known ? '#id = :known AND #state = :state' : 'attribute_not_exists(pk)',
        ...(known ? { names: { '#id': 'id', '#state': 'state' }, values: { ':known': known.id, ':state': known.state } } : {}),
      },
      { put: { ...runningExportKey(tenant, backup.id, given.format), ...job } },
      auditOf(tenant, viewer.member, 'export', begun, at),
    ]);
  } catch (error) {
    if (!(error instanceof TransactionRefused)) throw error;
    // Somebody asked for it in the same moment.
    const other = await readExport(table, tenant, backup.id, given.format);
    if (other && isOfUse(other, given.now)) return other;
    throw conflict('changed-meanwhile', 'This export was changed in the same moment. Try again.');
  }
  // What cannot be sent now, whoever looks after running exports sends later.
  await queue.send(job);
  return begun;
}

export function readExport(table: Table, tenant: TenantId, backup: string, format: string): Promise<Export | undefined> {
  return table.get<Export>(exportKey(tenant, backup, format));
}

/** An export as administrators may see it, and its backup (GEN-3). Throws `not-found`. */
export async function findExport(
  table: Table,
  viewer: Viewer,
  backupId: string,
  format: string,
): Promise<{ backup: Backup; found: Export }> {
  const backup = await findBackup(table, viewer, backupId);
  const isFormat = (exportFormats as readonly string[]).includes(format);
  const found = isFormat ? await readExport(table, viewer.tenant, backup.id, format) : undefined;
  if (!found) throw notFound('export');
  return { backup, found };
}

/** One of its files, from 1. Throws `not-found`, `not-complete` and `expired`: what is not whole is not given out. */
export function findFile(found: Export, number: string, now: Date): ExportFile {
  if (found.state !== 'completed') {
    throw conflict(
      'not-complete',
      'Only a completed export can be downloaded. Wait until it is, or ask for it again if it failed or was cancelled.',
    );
  }
  if (isExpired(found, now)) throw conflict('expired', 'The files of this export have been deleted. Ask for it again.');
  const file = /^[1-9]\d{0,4}$/.test(number) ? filesOf(found)[Number(number) - 1] : undefined;
  if (!file) throw notFound('file');
  return file;
}

/**
 * Stops a running export: what it made cannot be downloaded, and it can be asked for anew. A worker that is at it commits nothing more.
 * Throws `not-found`, `not-running`.
 */
export async function cancelExport(
  { table, queue }: ExportStartRoom,
  viewer: Viewer,
  backupId: string,
  format: string,
  now: Date,
): Promise<Export> {
  const { found } = await findExport(table, viewer, backupId, format);
  const { tenant } = viewer;
  const ended = await table.tryTransact(
    endWrites(tenant, found, { state: 'cancelled', by: viewer.member, now }, { condition: RUNNING, values: runningAs(found) }),
  );
  if (!ended) throw conflict('not-running', 'This export has ended already.');
  await queue.send({ tenant, backup: found.backup, format: found.format });
  return (await readExport(table, tenant, found.backup, found.format)) ?? found;
}

/** Takes the export for this worker; undefined when another one has it, or it has ended. */
export function leaseExport(table: Table, tenant: TenantId, { backup, format }: ExportJob, now: Date): Promise<Export | undefined> {
  return table.update<Export>(exportKey(tenant, backup, format), {
    update: 'SET #fence = #fence + :one, #tries = #tries + :one, #leaseUntil = :until',
    condition: '#state = :running AND (attribute_not_exists(#leaseUntil) OR #leaseUntil <= :now)',
    names: { '#fence': 'fence', '#tries': 'tries', '#leaseUntil': 'leaseUntil', '#state': 'state' },
    values: { ':one': 1, ':until': leaseEnd(now), ':now': now.toISOString(), ':running': 'running' },
  });
}

/** Lets the next worker have it at once. */
export async function releaseExport(table: Table, tenant: TenantId, one: Export): Promise<void> {
  await table.update(exportKey(tenant, one.backup, one.format), {
    update: 'REMOVE #leaseUntil',
    condition: HELD,
    names: { '#leaseUntil': 'leaseUntil', ...HELD_NAMES },
    values: heldBy(one),
  });
}

/** Notes the upload of a volume before it has a byte, so that the next worker can forget it. Throws LostLease. */
export function noteUpload(
  table: Table,
  tenant: TenantId,
  one: Export,
  more: { upload: BegunUpload; total: Export['total'] },
  now: Date,
): Promise<Export> {
  return change(table, tenant, one, { ...more, begun: { mails: 0, bytes: 0 } }, now);
}

/** The worker is still at it, and so far. Throws LostLease: then it may stop. */
export function notePulse(table: Table, tenant: TenantId, one: Export, begun: NonNullable<Export['begun']>, now: Date): Promise<Export> {
  return change(table, tenant, one, { begun }, now);
}

/** THE COMMIT MARKER of a volume: it is there, and where the next one begins. Throws LostLease: then the volume is another's. */
export function commitVolume(
  table: Table,
  tenant: TenantId,
  one: Export,
  done: Pick<Export, 'volumes' | 'next' | 'walked'>,
  now: Date,
): Promise<Export> {
  return change(table, tenant, one, { ...done, tries: 0, begun: undefined, upload: undefined }, now);
}

/** Ends a running export for who has the lease. Throws LostLease. */
export async function endExport(table: Table, tenant: TenantId, one: Export, state: 'completed' | 'failed', now: Date): Promise<void> {
  const writes = endWrites(tenant, one, { state, by: one.startedBy, now }, { condition: HELD, values: heldBy(one) });
  await table.transact(writes, () => new LostLease('the export has another worker'));
}

type End = { state: Exclude<ExportState, 'running'>; by: string; now: Date };

/** Its item, and the audit. It stays among those that run until who started it was told, and what was being made is forgotten. */
function endWrites(tenant: TenantId, one: Export, { state, by, now }: End, only: { condition: string; values: object }): Write[] {
  const at = now.toISOString();
  const { volumes } = one;
  const result = { mails: sum(volumes, 'mails'), missing: sum(volumes, 'missing'), damaged: sum(volumes, 'damaged') };
  return [
    {
      update: exportKey(tenant, one.backup, one.format),
      with: {
        update: 'SET #state = :state, #finishedAt = :at, #updatedAt = :at REMOVE #leaseUntil, #begun',
        condition: only.condition,
        names: {
          '#finishedAt': 'finishedAt',
          '#updatedAt': 'updatedAt',
          '#leaseUntil': 'leaseUntil',
          '#begun': 'begun',
          '#state': 'state',
          '#id': 'id',
          ...(only.condition === HELD ? { '#fence': 'fence' } : {}),
        },
        values: { ':state': state, ':at': at, ...only.values },
      },
    },
    auditOf(tenant, by, END_VERB[state], one, at, { ...result, files: filesOf(one).length }),
  ];
}

const END_VERB = { completed: 'export-complete', failed: 'export-fail', cancelled: 'export-cancel' } as const;

/** Nothing is left to do for this export. Of one that was asked for anew meanwhile nothing is changed. */
export async function noteExportNoticeSent(table: Table, tenant: TenantId, one: Export, now: Date): Promise<void> {
  await table.tryTransact([
    {
      update: exportKey(tenant, one.backup, one.format),
      with: {
        update: 'SET #sent = if_not_exists(#sent, :now) REMOVE #upload',
        condition: '#id = :id',
        names: { '#sent': 'noticeSentAt', '#upload': 'upload', '#id': 'id' },
        values: { ':now': now.toISOString(), ':id': one.id },
      },
    },
    { delete: runningExportKey(tenant, one.backup, one.format) },
  ]);
}

/** Sets what is given, removes what is given as undefined, and prolongs the lease. */
async function change(table: Table, tenant: TenantId, one: Export, fields: Partial<Export>, now: Date): Promise<Export> {
  const all = Object.entries({ ...fields, updatedAt: now.toISOString(), leaseUntil: leaseEnd(now) });
  const set = all.filter(([, value]) => value !== undefined);
  const gone = all.filter(([, value]) => value === undefined);
  const changed = await table.update<Export>(exportKey(tenant, one.backup, one.format), {
    update: `SET ${set.map(([name]) => `#${name} = :${name}`).join(', ')}${gone.length > 0 ? ` REMOVE ${gone.map(([name]) => `#${name}`).join(', ')}` : ''}`,
    condition: HELD,
    names: { ...Object.fromEntries(all.map(([name]) => [`#${name}`, name])), ...HELD_NAMES },
    values: { ...Object.fromEntries(set.map(([name, value]) => [`:${name}`, value])), ...heldBy(one) },
  });
  if (!changed) throw new LostLease('the export has another worker');
  return changed;
}

const RUNNING = '#state = :running AND #id = :id';
const runningAs = ({ id }: Export) => ({ ':running': 'running', ':id': id });
/** With its id: the fence of an export that was asked for anew begins at 0 again. */
const HELD = `${RUNNING} AND #fence = :fence`;
const HELD_NAMES = { '#state': 'state', '#fence': 'fence', '#id': 'id' };
const heldBy = (one: Export) => ({ ...runningAs(one), ':fence': one.fence });

const leaseEnd = (now: Date) => new Date(now.getTime() + EXPORT_LEASE_SECONDS * 1000).toISOString();

const auditOf = (tenant: TenantId, actor: string, verb: string, one: Export, at: string, more: object = {}): Write => {
  const after = { backup: one.backup, export: one.id, format: one.format, ...more };
  return auditEntry(tenant, { at, actor, action: `backup.${verb}`, subject: `member:${one.member}`, after });
};
