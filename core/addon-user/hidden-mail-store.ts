import { readMailSettings } from '../account/mail-settings-store.ts';
import type { TenantId } from '../ids.ts';
import { HIDDEN_MAIL_NOTICE_DAYS } from '../limits.ts';
import { readAdministrators } from '../member/administrators-store.ts';
import type { Member } from '../member/member.ts';
import type { ProductMail } from '../outbound/send.ts';
import { hiddenMailMail } from '../outbound/texts.ts';
import type { Table } from '../table/client.ts';
import { backupStandingKey, hiddenMailKey, hiddenMailPartition, memberKey, tenantKey } from '../table/keys.ts';
import type { Tenant } from '../tenant/tenant.ts';
import { usesAddOn } from './addon-user-store.ts';
import { type HiddenMail, keptUntil } from './hidden-mail.ts';
import { lockOf } from './lock.ts';

type Post = { table: Table; tell: (mail: ProductMail) => Promise<void> };
type Due = { member: Member; keptUntil: string };

const DAY_MS = 86_400_000;
/** Members of the list read at once. */
const CHUNK = 500;

/**
 * Tells administrators of deactivated members whose hidden mail is kept for a week more only: one mail for all of an
 * organisation's. A lock holds the mail, and so does a backup: of who is locked nothing is said, until
 * the lock is gone. Whom a failure keeps from being
 * told is told the next day, and keeps no other organisation from it; the day that is named is a week off at least, however late.
 */
export async function warnOfHiddenMail(post: Post, now: Date): Promise<{ looked: number; warned: number }> {
  const counts = { looked: 0, warned: 0 };
  const failures: unknown[] = [];
  let group: HiddenMail[] = [];
  const settle = async () => {
    await warnOrganisation(post, group, now).then(
      (warned) => (counts.warned += warned),
      (error) => failures.push(error),
    );
    group = [];
  };
  for await (const hidden of everybody(post.table)) {
    counts.looked++;
    // In the order of tenants: one organisation's stand together.
    if (group[0] && group[0].tenant !== hidden.tenant) await settle();
    if (hidden.warnedAt === undefined) group.push(hidden);
  }
  await settle();
  if (failures.length > 0) throw failures[0];
  return counts;
}

/** All deactivated members of all organisations, one organisation's together. */
export async function* everybody(table: Table): AsyncGenerator<HiddenMail> {
  let after: string | undefined;
  for (;;) {
    const { items, more } = await table.page<HiddenMail & { sk: string }>({ pk: hiddenMailPartition, after, limit: CHUNK });
    yield* items;
    if (!more) return;
    after = items.at(-1)?.sk;
  }
}

async function warnOrganisation({ table, tell }: Post, group: HiddenMail[], now: Date): Promise<number> {
  const [first] = group;
  if (!first) return 0;
  const organisation = await table.get<Tenant>(tenantKey(first.tenant));
  if (!organisation) return 0;
  const due: Due[] = [];
  for (const hidden of group) {
    const end = keptUntil(hidden.deactivatedAt, organisation.mailPolicy);
    if (Date.parse(end) - now.getTime() > HIDDEN_MAIL_NOTICE_DAYS * DAY_MS) continue;
    const member = await readHeld(table, hidden, now);
    if (member) due.push({ member, keptUntil: later(end, new Date(now.getTime() + HIDDEN_MAIL_NOTICE_DAYS * DAY_MS).toISOString()) });
  }
  if (due.length === 0) return 0;
  const users = due.map(({ member, keptUntil: until }) => ({ ...member, deactivatedAt: member.deactivatedAt ?? '', keptUntil: until }));
  for (const { email } of await readAdministrators(table, first.tenant))
    await tell({ to: email, ...hiddenMailMail(organisation.name, users) });
  for (const { member } of due) await noteWarned(table, first.tenant, member, now);
  return due.length;
}

/** The member, if they have mail that is hidden and that nothing holds. */
async function readHeld(table: Table, { tenant, member: id, deactivatedAt }: HiddenMail, now: Date): Promise<Member | undefined> {
  const member = await table.get<Member>(memberKey(tenant, id));
  if (member?.deactivatedAt !== deactivatedAt || lockOf(member, now) || member.hold) return undefined;
  // Of whom a backup was ever begun nothing is deleted, nor is it said that it will be.
  if (await table.get(backupStandingKey(tenant, id))) return undefined;
  return usesAddOn(member, await readMailSettings(table, tenant, id)) ? member : undefined;
}

/** Not when they came back and left again meanwhile: that is another time. */
async function noteWarned(table: Table, tenant: TenantId, { id, deactivatedAt }: Member, now: Date): Promise<void> {
  await table.update(hiddenMailKey(tenant, id), {
    update: 'SET warnedAt = :now',
    condition: 'deactivatedAt = :deactivatedAt',
    values: { ':now': now.toISOString(), ':deactivatedAt': deactivatedAt },
  });
}

const later = (a: string, b: string) => (a > b ? a : b);
