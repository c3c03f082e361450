import { asTenantId } from '../ids.ts';
import type { Member } from '../member/member.ts';
import type { OffboardingJob } from '../offboarding/offboarding.ts';
import type { ProductMail } from '../outbound/send.ts';
import { lockedMail, unlockedMail } from '../outbound/texts.ts';
import type { Table } from '../table/client.ts';
import { lockNoticeKey, memberKey, tenantKey } from '../table/keys.ts';
import type { Tenant } from '../tenant/tenant.ts';
import { lockOf } from './lock.ts';

/** What a member is to be told: that their mail settings were locked then, or unlocked. */
export type LockNotice = Extract<OffboardingJob, { lockNotice: unknown }>['lockNotice'];
type NoticeItem = { at: string; claimedAt?: string; sentAt?: string };
type Post = { table: Table; tell: (mail: ProductMail) => Promise<void> };

/** Minutes after which a claim is void: who made it was killed before the mail was noted as sent. */
const CLAIM_MINUTES = 6;

/**
 * Tells a member of a lock or its end, once, unless it is overtaken: only a worker killed between sending and noting it makes a second
 * mail of it. Throws when the mail cannot be sent now, or another worker is at it: the queue brings the job again.
 */
export async function tellOfLock({ table, tell }: Post, notice: LockNotice, now: Date): Promise<void> {
  const tenant = asTenantId(notice.tenant);
  const keys = [memberKey(tenant, notice.member), memberKey(tenant, notice.by), tenantKey(tenant)];
  const [member, by, organisation] = (await table.getMany<object>(keys)) as [Member?, Member?, Tenant?];
  if (!member || wasGone(member, notice) || isOvertaken(member, notice, now)) return;
  const key = lockNoticeKey(tenant, notice.member);
  if (!(await claim(table, key, notice.at, now))) {
    const other = await table.get<NoticeItem>(key);
    if (other?.sentAt === undefined && other?.at === notice.at) throw new Error('another worker is at this notice');
    return;
  }
  const mail = notice.what === 'locked' ? lockedMail : unlockedMail;
  const words = { by: by?.name ?? 'A former administrator', reason: notice.reason, until: member.locked?.until };
  try {
    await tell({ to: member.email, ...mail(organisation?.name ?? '', words) });
  } catch (error) {
    await note(table, key, notice.at, { update: 'REMOVE #claimed', names: { '#claimed': 'claimedAt' } });
    throw error;
  }
  await note(table, key, notice.at, { update: 'SET #sent = :now', names: { '#sent': 'sentAt' }, values: { ':now': now.toISOString() } });
}

/** Who is off-boarded is deactivated seconds after they were locked, and told all the same. */
const wasGone = ({ deactivatedAt }: Member, { at }: LockNotice) => deactivatedAt !== undefined && deactivatedAt < at;

/** Locked or unlocked again since: of that they are told by itself. */
function isOvertaken(member: Member, { what, at }: LockNotice, now: Date): boolean {
  const lock = lockOf(member, now);
  return what === 'locked' ? lock?.at !== at : lock !== undefined;
}

type Key = ReturnType<typeof lockNoticeKey>;

async function claim(table: Table, key: Key, at: string, now: Date): Promise<boolean> {
  const claimed = await table.update(key, {
    update: 'SET #at = :at, #claimed = :now REMOVE #sent',
    condition:
      'attribute_not_exists(#at) OR #at < :at OR (#at = :at AND attribute_not_exists(#sent) AND (attribute_not_exists(#claimed) OR #claimed <= :void))',
    names: { '#at': 'at', '#claimed': 'claimedAt', '#sent': 'sentAt' },
    values: { ':at': at, ':now': now.toISOString(), ':void': new Date(now.getTime() - CLAIM_MINUTES * 60_000).toISOString() },
  });
  return claimed !== undefined;
}

async function note(table: Table, key: Key, at: string, change: { update: string; names: object; values?: object }): Promise<void> {
  await table.update(key, {
    update: change.update,
    condition: '#at = :at',
    names: { ...change.names, '#at': 'at' },
    values: { ...change.values, ':at': at },
  });
}
