import { type HiddenMail, keptUntil } from '../addon-user/hidden-mail.ts';
import { everybody } from '../addon-user/hidden-mail-store.ts';
import { lockOf } from '../addon-user/lock.ts';
import { auditEntry } from '../audit/audit-store.ts';
import { stableId, type TenantId } from '../ids.ts';
import { HIDDEN_MAIL_NOTICE_DAYS } from '../limits.ts';
import type { Member } from '../member/member.ts';
import type { Table } from '../table/client.ts';
import {
  backupStandingKey,
  deletionKey,
  hiddenMailKey,
  mailAccountPrefix,
  memberKey,
  memberPartition,
  ownMailPartition,
  runningDeletionKey,
  runningDeletionsPartition,
  tenantKey,
} from '../table/keys.ts';
import type { Tenant } from '../tenant/tenant.ts';
import { type Deletion, type DeletionJob, nothingHolds, RETENTION, type StopReason, type Walk } from './deletion.ts';

export type BeginRoom = { table: Table; queue: { send: (job: DeletionJob) => Promise<void> } };

const WEEK_MS = HIDDEN_MAIL_NOTICE_DAYS * 86_400_000;

/**
 * Begins to delete the hidden mail of those whose days are over (R-29): administrators were told a week ago at least, and since then
 * nothing has held it. A hold or a lock in between, or more days, make the warning void: it is given again. Leaves word for the worker
 * of each deletion that is under way, also of those begun before whose word was lost. One member's failure keeps no other from it.
 */
export async function beginDeletions(room: BeginRoom, now: Date): Promise<{ looked: number; begun: number; underWay: number }> {
  const counts = { looked: 0, begun: 0, underWay: 0 };
  const failures: unknown[] = [];
  for await (const hidden of everybody(room.table)) {
    counts.looked++;
    if (hidden.warnedAt === undefined) continue;
    await look(room.table, hidden, now).then(
      (isBegun) => (counts.begun += Number(isBegun)),
      (error) => failures.push(error),
    );
  }
  for (const { tenant, member } of await room.table.all<DeletionJob>({ pk: runningDeletionsPartition })) {
    await room.queue.send({ tenant, member });
    counts.underWay++;
  }
  if (failures.length > 0) throw failures[0];
  return counts;
}

async function look(table: Table, hidden: HiddenMail, now: Date): Promise<boolean> {
  const { tenant, member: id, deactivatedAt, warnedAt = '' } = hidden;
  const [organisation, member] = await Promise.all([table.get<Tenant>(tenantKey(tenant)), table.get<Member>(memberKey(tenant, id))]);
  if (!organisation || member?.deactivatedAt !== deactivatedAt) return false;
  const left = Date.parse(keptUntil(deactivatedAt, organisation.mailPolicy)) - now.getTime();
  if (member.hold || lockOf(member, now) || left > WEEK_MS) {
    await forgetWarning(table, hidden);
    return false;
  }
  if (left > 0 || now.getTime() - Date.parse(warnedAt) < WEEK_MS) return false;
  if (await table.get(backupStandingKey(tenant, id))) return false;
  return (await hasHiddenMail(table, tenant, member)) && begin(table, tenant, hidden, now);
}

/** Their mailbox's mail, a mailbox, or dropbox mail that follows the sharing type and was not gone through yet. */
async function hasHiddenMail(table: Table, tenant: TenantId, { id, deactivatedAt, dropboxVisibility }: Member): Promise<boolean> {
  const one = { limit: 1, only: ['sk'] };
  if ((await table.page({ pk: ownMailPartition(tenant, id), ...one })).items.length > 0) return true;
  if ((await table.page({ pk: memberPartition(tenant, id), begins: mailAccountPrefix, ...one })).items.length > 0) return true;
  if (dropboxVisibility !== 'sharing') return false;
  const last = await readDeletion(table, tenant, id);
  return last?.state !== 'ended' || last.deactivatedAt !== deactivatedAt;
}

/** False when it was begun already, or something has come in between. */
async function begin(table: Table, tenant: TenantId, { member, deactivatedAt, warnedAt }: HiddenMail, now: Date): Promise<boolean> {
  const startedAt = now.toISOString();
  const id = stableId(now, tenant, member, deactivatedAt);
  const deletion: Deletion = { id, member, deactivatedAt, startedAt, state: 'running', mails: 0, accounts: 0, forget: [] };
  return table.tryTransact([
    ...nothingHolds(tenant, deletion, now),
    {
      check: hiddenMailKey(tenant, member),
      condition: 'deactivatedAt = :at AND warnedAt = :warnedAt',
      values: { ':at': deactivatedAt, ':warnedAt': warnedAt },
    },
    {
      put: { ...deletionKey(tenant, member), ...deletion },
      condition: 'attribute_not_exists(pk) OR #state <> :running',
      names: { '#state': 'state' },
      values: { ':running': 'running' },
    },
    { put: { ...runningDeletionKey(tenant, member), tenant, member } },
    audit(tenant, 'delete', deletion, startedAt, { deactivatedAt, warnedAt }),
  ]);
}

export function readDeletion(table: Table, tenant: TenantId, member: string): Promise<Deletion | undefined> {
  return table.get<Deletion>(deletionKey(tenant, member));
}

/** Is the time over by what the organisation says today? Its days may have become more since the deletion was begun. */
export async function isTimeOver(table: Table, tenant: TenantId, { deactivatedAt }: Deletion, now: Date): Promise<boolean> {
  const organisation = await table.get<Tenant>(tenantKey(tenant));
  return organisation !== undefined && keptUntil(deactivatedAt, organisation.mailPolicy) <= now.toISOString();
}

/** Why nothing more may be deleted, for the audit and for administrators. */
export async function whatHolds(table: Table, tenant: TenantId, { member: id, deactivatedAt }: Deletion, now: Date): Promise<StopReason> {
  const member = await table.get<Member>(memberKey(tenant, id));
  if (member?.deactivatedAt !== deactivatedAt) return 'reactivated';
  if (member.hold) return 'hold';
  if (lockOf(member, now)) return 'lock';
  return (await table.get(backupStandingKey(tenant, id))) ? 'backup' : 'kept-longer';
}

/** How far the records were gone through. Whoever is behind goes through some of them again. */
export async function noteWalk(table: Table, tenant: TenantId, { id, member }: Deletion, dropbox: Walk): Promise<void> {
  await table.update(deletionKey(tenant, member), {
    update: 'SET #dropbox = :dropbox',
    condition: '#id = :id',
    names: { '#dropbox': 'dropbox', '#id': 'id' },
    values: { ':dropbox': dropbox, ':id': id },
  });
}

/** Ends the deletion, or stops it: once, with its counts in the audit. */
export async function endDeletion(
  table: Table,
  tenant: TenantId,
  deletion: Deletion,
  because: StopReason | undefined,
  now: Date,
): Promise<void> {
  const current = await readDeletion(table, tenant, deletion.member);
  if (current?.id !== deletion.id || current.state !== 'running') return;
  const { mails, accounts } = current;
  const finishedAt = now.toISOString();
  const state: Deletion['state'] = because ? 'stopped' : 'ended';
  const fields = { state, finishedAt, ...(because ? { because } : {}) };
  // Refused: another worker has just counted, or ended it; the word that comes again tells.
  await table.tryTransact([
    {
      update: deletionKey(tenant, deletion.member),
      with: {
        update: `SET ${Object.keys(fields)
          .map((name) => `#${name} = :${name}`)
          .join(', ')}`,
        condition: '#id = :id AND #state = :running AND #mails = :mails AND #accounts = :accounts',
        names: {
          '#id': 'id',
          '#mails': 'mails',
          '#accounts': 'accounts',
          ...Object.fromEntries(Object.keys(fields).map((name) => [`#${name}`, name])),
        },
        values: {
          ':id': deletion.id,
          ':running': 'running',
          ':mails': mails,
          ':accounts': accounts,
          ...Object.fromEntries(Object.entries(fields).map(([name, value]) => [`:${name}`, value])),
        },
      },
    },
    audit(tenant, because ? 'delete-stopped' : 'deleted', deletion, finishedAt, { mails, accounts, because }),
  ]);
}

export async function noteNoticeSent(table: Table, tenant: TenantId, { id, member }: Deletion, now: Date): Promise<void> {
  await table.update(deletionKey(tenant, member), {
    update: 'SET #sent = :now',
    condition: '#id = :id',
    names: { '#sent': 'noticeSentAt', '#id': 'id' },
    values: { ':now': now.toISOString(), ':id': id },
  });
}

/** Nothing is left to do, unless another deletion has begun since this one was read; it may have ended, too, and left something. */
export async function offTheList(table: Table, tenant: TenantId, { id, member }: Deletion): Promise<void> {
  await table.tryTransact([
    { check: deletionKey(tenant, member), condition: '#id = :id', names: { '#id': 'id' }, values: { ':id': id } },
    { delete: runningDeletionKey(tenant, member) },
  ]);
}

async function forgetWarning(table: Table, { tenant, member, warnedAt }: HiddenMail): Promise<void> {
  await table.update(hiddenMailKey(tenant, member), {
    update: 'REMOVE warnedAt',
    condition: 'warnedAt = :warnedAt',
    values: { ':warnedAt': warnedAt },
  });
}

const audit = (tenant: TenantId, verb: string, { id, member }: Deletion, at: string, more: object) =>
  auditEntry(tenant, {
    at,
    actor: RETENTION,
    action: `hidden-mail.${verb}`,
    subject: `member:${member}`,
    after: { deletion: id, ...more },
  });
