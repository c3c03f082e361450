import { auditEntry } from '../audit/audit-store.ts';
import { conflict, notFound, Problem } from '../errors.ts';
import { ID, type TenantId } from '../ids.ts';
import { BACKUP_LEASE_SECONDS } from '../limits.ts';
import { readMember } from '../member/member-store.ts';
import { isAdministrator, type Viewer } from '../member/viewer.ts';
import { isNew, type Table, TransactionRefused, type Write } from '../table/client.ts';
import {
  backupKey,
  backupPageKey,
  backupPagesPartition,
  backupStandingKey,
  memberBackupKey,
  memberBackupPrefix,
  memberKey,
  memberPartition,
  runningBackupKey,
} from '../table/keys.ts';
import type { Page } from '../table/page.ts';
import type { Backup, BackupJob, BackupPage, BackupState, BackupsReturned } from './backup.ts';
import { NO_TALLY } from './backup.ts';
import { readBackupFacts } from './backup-facts-store.ts';
import { type BackupKind, REASONS, type Refusal, refusalsOf } from './eligibility.ts';
import { type BackupScope, sharingInScope } from './scope.ts';

export type StartRoom = { table: Table; queue: { send: (job: BackupJob) => Promise<void> } };

/** Another worker has the backup, or it has ended: what this one was about to commit counts for nothing. */
export class LostLease extends Error {}

/**
 * Starts a backup of a deactivated member's mail (BKP-1..6, LBK-1..3): fixes its scope, notes it as the one that runs, leaves word
 * for the worker. One transaction: with a reactivation or another start in the same moment, one of the two is refused. Throws
 * `not-found`, and 409 with the first of all `reasons` as its code; then nothing was changed.
 */
export async function startBackup(
  { table, queue }: StartRoom,
  viewer: Viewer,
  memberId: string,
  kind: BackupKind,
  given: { scope: BackupScope; id: string; now: Date; offboarding?: string },
): Promise<Backup> {
  const member = await readMember(table, viewer, memberId);
  const { facts, standing } = await readBackupFacts(table, viewer, member);
  const refusals = refusalsOf(kind, facts);
  if (refusals.length > 0) throw refused(refusals);
  const at = given.now.toISOString();
  const backup: Backup = {
    id: given.id,
    kind,
    member: member.id,
    mailbox: facts.account?.address ?? '',
    scope: given.scope,
    sharing: sharingInScope(given.scope, member, viewer.organisation.mailPolicy),
    startedBy: viewer.member,
    startedAt: at,
    offboarding: given.offboarding,
    state: 'running',
    earlier: standing.completed ?? [],
    tally: NO_TALLY,
    pages: 0,
    fence: 0,
    updatedAt: at,
  };
  const { tenant } = viewer;
  try {
    await table.transact([
      standingChange(tenant, backup, {
        update: 'SET #running = :id',
        condition: `attribute_not_exists(#running) AND ${standing.backedUpAt ? '#backedUpAt = :was' : 'attribute_not_exists(#backedUpAt)'}`,
        names: { '#running': 'running', '#backedUpAt': 'backedUpAt' },
        values: { ':id': backup.id, ...(standing.backedUpAt ? { ':was': standing.backedUpAt } : {}) },
      }),
      {
        check: memberKey(tenant, member.id),
        condition: '#status = :deactivated AND #version = :version',
        names: { '#status': 'status', '#version': 'version' },
        values: { ':deactivated': 'deactivated', ':version': member.version },
      },
      { put: { ...backupKey(tenant, backup.id), ...backup }, condition: isNew },
      { put: { ...memberBackupKey(tenant, member.id, backup.id), backup: backup.id } },
      { put: { ...runningBackupKey(tenant, backup.id), tenant, backup: backup.id } },
      auditOf(tenant, viewer.member, 'start', backup, at, { scope: backup.scope, sharing: backup.sharing }),
    ]);
  } catch (error) {
    if (!(error instanceof TransactionRefused)) throw error;
    const now = refusalsOf(kind, (await readBackupFacts(table, viewer, await readMember(table, viewer, memberId))).facts);
    throw now.length > 0 ? refused(now) : conflict('changed-meanwhile', 'This member was changed in the same moment. Try again.');
  }
  // What cannot be sent now, whoever looks after running backups sends later.
  await queue.send({ tenant, backup: backup.id });
  return backup;
}

/**
 * Starts the latest backup of several members, each for itself (LBK-4): one outcome for each, in their order. Who is refused, or is not
 * there, keeps none of the others from it.
 */
export async function startLatestBackups(
  room: StartRoom,
  viewer: Viewer,
  members: string[],
  given: { scope: BackupScope; idOf: () => string; now: Date },
): Promise<BackupsReturned> {
  const items: BackupsReturned['items'] = [];
  for (const member of new Set(members)) {
    try {
      const { id } = await startBackup(room, viewer, member, 'latest-backup', { scope: given.scope, id: given.idOf(), now: given.now });
      items.push({ member, outcome: 'started', backup: id });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const { reasons } = error.extra as { reasons?: Refusal[] };
      items.push({ member, outcome: 'refused', code: error.code, detail: error.message, reasons });
    }
  }
  return { items };
}

/** 409 with the first reason's problem as its code; all of them are listed as they stand in truth table 2.3. */
function refused(reasons: Refusal[]): Problem {
  const [{ code, words, cure }] = reasons as [Refusal];
  return conflict(REASONS[code].problem, `${words} ${cure}`, { reasons });
}

export function readBackup(table: Table, tenant: TenantId, id: string): Promise<Backup | undefined> {
  return table.get<Backup>(backupKey(tenant, id));
}

/** A backup as administrators may see it (GEN-3). Throws `not-found`. */
export async function findBackup(table: Table, viewer: Viewer, id: string): Promise<Backup> {
  const backup = ID.test(id) && isAdministrator(viewer) ? await readBackup(table, viewer.tenant, id) : undefined;
  if (!backup) throw notFound('backup');
  return backup;
}

/** The same, when it is complete: only then there is anything to take away. Throws `not-found`, `not-complete`. */
export async function findComplete(table: Table, viewer: Viewer, id: string): Promise<Backup> {
  const backup = await findBackup(table, viewer, id);
  if (backup.state === 'completed') return backup;
  throw conflict('not-complete', 'Only a completed backup can be downloaded. Wait until it is, or take another one.');
}

/** All backups ever taken of a member, newest first (R-17). Throws `not-found`. */
export async function listBackups(
  table: Table,
  viewer: Viewer,
  memberId: string,
  page: { limit: number; after?: string },
): Promise<Page<Backup>> {
  const member = await readMember(table, viewer, memberId);
  const pk = memberPartition(viewer.tenant, member.id);
  const { items, more } = await table.page<{ sk: string; backup: string }>({
    pk,
    begins: memberBackupPrefix,
    limit: page.limit,
    after: page.after,
    descending: true,
  });
  const found = items.length > 0 ? await table.getMany<Backup>(items.map(({ backup }) => backupKey(viewer.tenant, backup))) : [];
  return { items: found.filter((backup) => backup !== undefined), next: more ? items.at(-1)?.sk : undefined };
}

/**
 * Stops a running backup: no further mail becomes visible. What it showed so far stays, and is part of the next one's result. Throws
 * `not-found`, `not-running`.
 */
export async function cancelBackup({ table, queue }: StartRoom, viewer: Viewer, id: string, now: Date): Promise<Backup> {
  const backup = await findBackup(table, viewer, id);
  const ended = await endBackup(table, viewer.tenant, backup, { state: 'cancelled', by: viewer.member, now });
  if (!ended) throw conflict('not-running', 'This backup has ended already.');
  await queue.send({ tenant: viewer.tenant, backup: id });
  return (await readBackup(table, viewer.tenant, id)) ?? backup;
}

/** Takes the backup for this worker; undefined when another one has it, or it has ended. */
export function lease(table: Table, tenant: TenantId, id: string, now: Date): Promise<Backup | undefined> {
  return table.update<Backup>(backupKey(tenant, id), {
    update: 'SET #fence = #fence + :one, #leaseUntil = :until',
    condition: '#state = :running AND (attribute_not_exists(#leaseUntil) OR #leaseUntil <= :now)',
    names: { '#fence': 'fence', '#leaseUntil': 'leaseUntil', '#state': 'state' },
    values: { ':one': 1, ':until': leaseEnd(now), ':now': now.toISOString(), ':running': 'running' },
  });
}

/** Lets the next worker have it at once. */
export async function release(table: Table, tenant: TenantId, { id, fence }: Backup): Promise<void> {
  await table.update(backupKey(tenant, id), {
    update: 'REMOVE #leaseUntil',
    condition: '#fence = :fence',
    names: { '#leaseUntil': 'leaseUntil', '#fence': 'fence' },
    values: { ':fence': fence },
  });
}

/** Notes how many mails there are to look at. Throws LostLease. */
export async function noteTotal(table: Table, tenant: TenantId, backup: Backup, total: number): Promise<Backup> {
  const noted = await table.update<Backup>(backupKey(tenant, backup.id), {
    update: 'SET #total = :total',
    condition: HELD,
    names: { '#total': 'total', ...HELD_NAMES },
    values: { ':total': total, ...heldBy(backup) },
  });
  if (!noted) throw new LostLease('the backup has another worker');
  return noted;
}

/** THE COMMIT MARKER of a page: what it came to, and where the next one begins. Throws LostLease: then the page is another's. */
export async function commitPage(table: Table, tenant: TenantId, after: Backup, page: BackupPage, now: Date): Promise<Backup> {
  const committed = { ...after, updatedAt: now.toISOString(), leaseUntil: leaseEnd(now) };
  const { pages, cursor, tally, walked, updatedAt, leaseUntil } = committed;
  const change = Object.entries({ pages, cursor, tally, walked, updatedAt, leaseUntil }).filter(([, value]) => value !== undefined);
  await table.transact(
    [
      {
        update: backupKey(tenant, after.id),
        with: {
          update: `SET ${change.map(([name]) => `#${name} = :${name}`).join(', ')}`,
          condition: HELD,
          names: { ...Object.fromEntries(change.map(([name]) => [`#${name}`, name])), ...HELD_NAMES },
          values: { ...Object.fromEntries(change.map(([name, value]) => [`:${name}`, value])), ...heldBy(after) },
        },
      },
      { put: { ...backupPageKey(tenant, after.id, page.page), ...page } },
    ],
    () => new LostLease('the backup has another worker'),
  );
  return committed;
}

/** All pages of a backup that are done, in their order. */
export function readPages(table: Table, tenant: TenantId, id: string): Promise<BackupPage[]> {
  return table.all<BackupPage>({ pk: backupPagesPartition(tenant, id) });
}

/** Last of all: it is complete, and its manifest the one that counts. Throws LostLease. */
export async function completeBackup(table: Table, tenant: TenantId, backup: Backup, manifest: string, now: Date): Promise<void> {
  const done = await endBackup(table, tenant, backup, { state: 'completed', by: backup.startedBy, now, manifest });
  if (!done) throw new LostLease('the backup has another worker');
}

/**
 * Ends a backup that runs: its own item, the member's standing, and the audit. Answers false when it was not running any more; to
 * complete it takes the lease too.
 */
export async function endBackup(
  table: Table,
  tenant: TenantId,
  backup: Backup,
  end: { state: Exclude<BackupState, 'running'>; by: string; now: Date; manifest?: string },
): Promise<boolean> {
  const { state, manifest } = end;
  const at = end.now.toISOString();
  const isComplete = state === 'completed';
  const { id, kind, scope, startedBy, startedAt } = backup;
  const { mails, bytes, missing } = backup.tally;
  const last = { id, kind, scope, state, startedBy, startedAt, finishedAt: at, mails, bytes, missing };
  const fields = { state, finishedAt: at, updatedAt: at, manifest, error: state === 'failed' ? 'interrupted' : undefined };
  const set = Object.entries(fields).filter(([, value]) => value !== undefined);
  const writes: Write[] = [
    {
      update: backupKey(tenant, id),
      with: {
        update: `SET ${set.map(([name]) => `#${name} = :${name}`).join(', ')} REMOVE #leaseUntil`,
        condition: isComplete ? HELD : '#state = :running',
        names: {
          ...Object.fromEntries(set.map(([name]) => [`#${name}`, name])),
          '#leaseUntil': 'leaseUntil',
          ...(isComplete ? HELD_NAMES : {}),
        },
        values: {
          ...Object.fromEntries(set.map(([name, value]) => [`:${name}`, value])),
          ...(isComplete ? heldBy(backup) : { ':running': 'running' }),
        },
      },
    },
    standingChange(tenant, backup, {
      update: `SET #last = :last${isComplete ? ', #completed = :completed, #backedUpAt = :startedAt' : ''} REMOVE #running`,
      condition: '#running = :id',
      names: { '#last': 'last', '#running': 'running', ...(isComplete ? { '#completed': 'completed', '#backedUpAt': 'backedUpAt' } : {}) },
      values: { ':last': last, ':id': id, ...(isComplete ? { ':completed': [...backup.earlier, id], ':startedAt': startedAt } : {}) },
    }),
    auditOf(tenant, end.by, END_VERB[state], backup, at, { mails, bytes, missing }),
  ];
  return table.tryTransact(writes);
}

const END_VERB = { completed: 'complete', failed: 'fail', cancelled: 'cancel' } as const;

/** Nothing is left to do for this backup. */
export async function noteNoticeSent(table: Table, tenant: TenantId, id: string, now: Date): Promise<void> {
  await table.update(backupKey(tenant, id), {
    update: 'SET #sent = if_not_exists(#sent, :now)',
    names: { '#sent': 'noticeSentAt' },
    values: { ':now': now.toISOString() },
  });
  await table.delete(runningBackupKey(tenant, id));
}

const HELD = '#state = :running AND #fence = :fence';
const HELD_NAMES = { '#state': 'state', '#fence': 'fence' };
const heldBy = ({ fence }: Backup) => ({ ':running': 'running', ':fence': fence });

const leaseEnd = (now: Date) => new Date(now.getTime() + BACKUP_LEASE_SECONDS * 1000).toISOString();

const standingChange = (tenant: TenantId, { member }: Backup, change: Extract<Write, { update: unknown }>['with']): Write => ({
  update: backupStandingKey(tenant, member),
  with: change,
});

const auditOf = (tenant: TenantId, actor: string, verb: string, { id, member, kind }: Backup, at: string, more: object): Write =>
  auditEntry(tenant, { at, actor, action: `backup.${verb}`, subject: `member:${member}`, after: { backup: id, kind, ...more } });
