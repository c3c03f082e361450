import type { MailAccount } from '../account/account.ts';
import type { MailSettings } from '../account/mail-settings-store.ts';
import type { BackupStanding } from '../backup/backup.ts';
import { factsOf } from '../backup/backup-facts-store.ts';
import { conflict, notFound } from '../errors.ts';
import { ID } from '../ids.ts';
import { MAX_ADDON_USER_LINES, MAX_ADDON_USERS_LOOKED_AT } from '../limits.ts';
import type { Member } from '../member/member.ts';
import { ADMINISTRATOR } from '../member/profile.ts';
import type { Viewer } from '../member/viewer.ts';
import { underPolicy } from '../sharing/sharing.ts';
import type { Table } from '../table/client.ts';
import { backupStandingKey, mailAccountKey, mailSettingsKey, memberKey, membersPartition } from '../table/keys.ts';
import type { Page } from '../table/page.ts';
import type { AddonUserFilter, AddonUserRow } from './addon-user.ts';
import { backupDetails } from './backup-details.ts';
import { keptUntil } from './hidden-mail.ts';
import { lockOf } from './lock.ts';
import { holdShown, lockShown } from './lock-guard-store.ts';

/** A member with what is known of their use of the add-on. `account` is there while the mailbox of the settings is. */
export type AddonUser = { member: Member; settings: MailSettings; account?: MailAccount; standing?: BackupStanding };

/** Members one Query reads: as many as one BatchGet takes. */
const CHUNK = 100;

/**
 * Does a member belong in the list? Active and confirmed ones who have set something up (ADM-1, ADM-4), and deactivated ones who
 * had an account (ADM-5, C-5). Whether the add-on is enabled for them just now does not matter: what they set up still stands.
 */
export function usesAddOn(member: Member, settings: MailSettings): boolean {
  if (!member.confirmed) return false;
  const hasMailbox = (settings.active ?? settings.main ?? settings.lastMailbox) !== undefined;
  return member.status === 'active' ? hasMailbox || settings.savedAt !== undefined : hasMailbox;
}

/**
 * A page of the add-on users, in the order their members were invited. A page costs one Query and two BatchGets for each hundred
 * members it looks at, and one more where some are deactivated; it ends after MAX_ADDON_USERS_LOOKED_AT of them even when few fit the filter, and goes on with `next`.
 */
export async function listAddonUsers(
  table: Table,
  viewer: Viewer,
  filter: AddonUserFilter,
  page: { limit: number; after?: string },
  now: Date,
): Promise<Page<AddonUserRow>> {
  const found: AddonUser[] = [];
  let after = page.after;
  for (let looked = 0; looked < MAX_ADDON_USERS_LOOKED_AT; looked += CHUNK) {
    const chunk = await table.page<Member>({ pk: membersPartition(viewer.tenant), after, limit: CHUNK });
    const users = await usersAmong(
      table,
      viewer,
      chunk.items.filter((member) => mayFit(member, filter, viewer, now)),
    );
    for (const user of users.filter((one) => fits(one, filter))) {
      if (found.length === page.limit) return { items: await rowsOf(table, viewer, found, now), next: found.at(-1)?.member.id };
      found.push(user);
    }
    after = chunk.items.at(-1)?.id ?? after;
    if (!chunk.more) return { items: await rowsOf(table, viewer, found, now) };
  }
  return { items: await rowsOf(table, viewer, found, now), next: after };
}

/** All of them that fit, for a download. Throws `too-many-rows`. */
export async function allAddonUsers(table: Table, viewer: Viewer, filter: AddonUserFilter, now: Date): Promise<AddonUserRow[]> {
  const rows: AddonUserRow[] = [];
  let after: string | undefined;
  do {
    const page = await listAddonUsers(table, viewer, filter, { limit: MAX_ADDON_USERS_LOOKED_AT, after }, now);
    rows.push(...page.items);
    after = page.next;
    if (rows.length > MAX_ADDON_USER_LINES) {
      throw conflict(
        'too-many-rows',
        `These are more than ${MAX_ADDON_USER_LINES} users. Narrow them with a filter, or page through the list.`,
      );
    }
  } while (after !== undefined);
  return rows;
}

/** One of them. Throws `not-found`, also for a member who does not use the add-on. */
export async function readAddonUser(table: Table, viewer: Viewer, id: string, now: Date): Promise<AddonUserRow> {
  const member = ID.test(id) ? await table.get<Member>(memberKey(viewer.tenant, id)) : undefined;
  const [user] = member ? await usersAmong(table, viewer, [member]) : [];
  const [row] = user ? await rowsOf(table, viewer, [user], now) : [];
  if (!row) throw notFound('add-on user');
  return row;
}

/** A member as a row, whether they belong in the list or not. */
export async function showAddonUser(table: Table, viewer: Viewer, member: Member, now: Date): Promise<AddonUserRow> {
  const users = await withAccounts(table, viewer, await withSettings(table, viewer, [member]));
  const [row] = await rowsOf(table, viewer, users, now);
  return row as AddonUserRow;
}

async function usersAmong(table: Table, viewer: Viewer, members: Member[]): Promise<AddonUser[]> {
  const known = await withSettings(table, viewer, members);
  return withAccounts(
    table,
    viewer,
    known.filter(({ member, settings }) => usesAddOn(member, settings)),
  );
}

async function withSettings(table: Table, { tenant }: Viewer, members: Member[]): Promise<AddonUser[]> {
  const settings = members.length > 0 ? await table.getMany<MailSettings>(members.map(({ id }) => mailSettingsKey(tenant, id))) : [];
  return members.map((member, i) => ({ member, settings: settings[i] ?? { version: 0 } }));
}

async function withAccounts(table: Table, { tenant }: Viewer, users: AddonUser[]): Promise<AddonUser[]> {
  const keys = users.map(({ member, settings: { active, main } }) => mailAccountKey(tenant, member.id, active ?? main ?? 'none'));
  const accounts = keys.length > 0 ? await table.getMany<MailAccount>(keys) : [];
  const left = users.filter(({ member }) => member.status === 'deactivated').map(({ member }) => member.id);
  const standings = left.length > 0 ? await table.getMany<BackupStanding>(left.map((id) => backupStandingKey(tenant, id))) : [];
  const standingOf = new Map(left.map((id, i) => [id, standings[i] ?? {}]));
  return users.map((user, i) => ({ ...user, account: accounts[i], standing: standingOf.get(user.member.id) }));
}

/** What can be told from the member alone, before anything else is read. */
function mayFit(member: Member, { status, locked, sharing }: AddonUserFilter, { organisation }: Viewer, now: Date): boolean {
  if (!member.confirmed || (status && member.status !== status)) return false;
  if (locked && (lockOf(member, now) !== undefined) !== (locked === 'true')) return false;
  return !sharing || underPolicy(member.sharing, organisation.mailPolicy).type === sharing;
}

function fits({ member, settings, account }: AddonUser, { q }: AddonUserFilter): boolean {
  if (q === undefined) return true;
  const wanted = q.toLowerCase();
  const address = (account ?? settings.lastMailbox)?.address ?? '';
  return [member.name, member.email, address].some((text) => text.toLowerCase().includes(wanted));
}

async function rowsOf(table: Table, viewer: Viewer, users: AddonUser[], now: Date): Promise<AddonUserRow[]> {
  const lockers = [...new Set(users.flatMap(({ member }) => [lockOf(member, now)?.by ?? [], member.hold?.by ?? []].flat()))];
  const known = lockers.length > 0 ? await table.getMany<Member>(lockers.map((id) => memberKey(viewer.tenant, id))) : [];
  const names = new Map(known.flatMap((member) => (member ? [[member.id, member.name]] : [])));
  return users.map((user) => rowOf(viewer, user, names, now));
}

function rowOf(viewer: Viewer, user: AddonUser, names: Map<string, string>, now: Date): AddonUserRow {
  const { organisation } = viewer;
  const { member, settings, account, standing } = user;
  const { id, name, email, profile, status, deactivatedAt, reactivatedAt, sharing, hold } = member;
  const lock = lockOf(member, now);
  return {
    id,
    name,
    email,
    administrator: profile === ADMINISTRATOR,
    status,
    deactivatedAt,
    reactivatedAt,
    hiddenMailKeptUntil: deactivatedAt && keptUntil(deactivatedAt, organisation.mailPolicy),
    mailbox: account
      ? { id: account.id, address: account.address, protocol: account.protocol, ...progressOf(account) }
      : settings.lastMailbox && { ...settings.lastMailbox, state: 'removed' },
    sharing: { chosen: sharing?.type, inForce: underPolicy(sharing, organisation.mailPolicy).type },
    locked: lock && lockShown(lock, names.get(lock.by)),
    hold: hold && holdShown(hold, names.get(hold.by)),
    savedAt: settings.savedAt,
    settingsSavedSince: savedSince(member, settings),
    backup: standing && backupDetails(factsOf(viewer, member, { account, standing, savedAt: settings.savedAt }), standing),
  };
}

const progressOf = (account: MailAccount) =>
  account.protocol === 'hosted' ? { state: 'receiving' as const } : { state: account.state, lastSyncAt: account.lastSuccessAt };

/** Whether a member who came back has saved their settings since (LBK-2); undefined of one who was never away. */
export const savedSince = ({ reactivatedAt }: Pick<Member, 'reactivatedAt'>, { savedAt }: Pick<MailSettings, 'savedAt'>) =>
  reactivatedAt === undefined ? undefined : savedAt !== undefined && savedAt > reactivatedAt;
