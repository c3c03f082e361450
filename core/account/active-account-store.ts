import { maySetMail } from '../addon-user/lock.ts';
import { requireUnlocked } from '../addon-user/lock-guard-store.ts';
import { conflict, tooMany } from '../errors.ts';
import type { TenantId } from '../ids.ts';
import { POLL_NOW_SECONDS } from '../limits.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Table, Write } from '../table/client.ts';
import { mailAccountKey } from '../table/keys.ts';
import type { MailAccount, Pop3Account } from './account.ts';
import {
  accountAudit,
  accountChange,
  anew,
  isStopped,
  nextMinute,
  noPassword,
  placeOf,
  readAccount,
  readPop3Account,
} from './account-store.ts';
import { readMailSettings, settingsChange, settingsUnchanged } from './mail-settings-store.ts';

/**
 * Makes this account the one that is read, and the other one not (POP-7): one transaction, in which both move in the timetable.
 * An account whose password was refused stays off it until the password is changed. Throws `not-found`, `locked`.
 */
export async function activateAccount(table: Table, viewer: Viewer, id: string, now: Date): Promise<MailAccount> {
  const { tenant, member } = viewer;
  return anew(async () => {
    await requireUnlocked(table, viewer, now);
    const settings = await readMailSettings(table, tenant, member);
    const account = await readAccount(table, viewer, id);
    if (settings.active === id) return account;
    const other = await activeAccount(table, tenant, member, settings.active);
    await table.transact([
      settingsChange(tenant, member, settings, { active: id }),
      ...accountChange(account, { active: true }, placeOf(account, now)),
      ...(other ? accountChange(other, { active: false }, undefined) : []),
      maySetMail(viewer, now),
      accountAudit(viewer, now, 'activate', id, { before: { active: settings.active }, after: { active: id } }),
    ]);
    return readAccount(table, viewer, id);
  });
}

/** Makes an account the main one (POP-20). Throws `not-found`, `locked`. */
export async function makeMain(table: Table, viewer: Viewer, id: string, now: Date): Promise<MailAccount> {
  const { tenant, member } = viewer;
  return anew(async () => {
    await requireUnlocked(table, viewer, now);
    const settings = await readMailSettings(table, tenant, member);
    const account = await readAccount(table, viewer, id);
    if (settings.main === id) return account;
    await table.transact([
      settingsChange(tenant, member, settings, { main: id }),
      { check: mailAccountKey(tenant, member, id), condition: 'attribute_exists(pk)' },
      maySetMail(viewer, now),
      accountAudit(viewer, now, 'make-main', id, { before: { main: settings.main }, after: { main: id } }),
    ]);
    return account;
  });
}

/**
 * Notes that the owner wants the account polled now; the caller sends the job. Throws `not-found`, `not-active`,
 * `password-refused`, `no-password`, `hosted-mailbox`, and 429 within a minute of the last time.
 */
export async function askPoll(table: Table, viewer: Viewer, id: string, now: Date): Promise<Pop3Account> {
  const account = await readPop3Account(table, viewer, id);
  if (!account.active) throw conflict('not-active', 'This account is not the one that is read. Activate it first.');
  if (account.incomingPassword === undefined) throw noPassword('incoming');
  if (isStopped(account)) {
    throw conflict('password-refused', 'The server refused the password three times. Put the right one first: it is polled at once then.');
  }
  const before = new Date(now.getTime() - POLL_NOW_SECONDS * 1000).toISOString();
  const asked = await table.update<Pop3Account>(mailAccountKey(viewer.tenant, viewer.member, id), {
    update: 'SET pollAskedAt = :now',
    condition: 'active = :yes AND (attribute_not_exists(pollAskedAt) OR pollAskedAt <= :before)',
    values: { ':yes': true, ':now': now.toISOString(), ':before': before },
  });
  if (asked) return asked;
  const last = (await readPop3Account(table, viewer, id)).pollAskedAt ?? before;
  const wait = POLL_NOW_SECONDS - (now.getTime() - Date.parse(last)) / 1000;
  throw tooMany(`This mailbox was polled at your wish less than ${POLL_NOW_SECONDS} seconds ago.`, wait);
}

/**
 * Has a leaver's account looked into once more, closely: it stands at a place of the timetable that is for once, so that the poll lists
 * the mailbox in full and leaves word of it, and the planner comes to it even if the caller's job is lost. Asked again for the same
 * time it changes nothing.
 */
export async function askLastPoll(table: Table, account: Pop3Account, askedAt: string, now: Date): Promise<void> {
  await anew(async () => {
    const { tenant, member, id } = account;
    const fresh = await table.get<Pop3Account>(mailAccountKey(tenant, member, id));
    if (!fresh?.active || fresh.ownerDeactivatedAt || isStopped(fresh) || wasAsked(fresh, askedAt)) return;
    await table.transact(accountChange(fresh, { pollAskedAt: askedAt }, nextMinute(now)));
  });
}

export const wasAsked = ({ pollAskedAt }: Pick<Pop3Account, 'pollAskedAt'>, since: string) =>
  pollAskedAt !== undefined && pollAskedAt >= since;

/**
 * The writes by which a member's active account follows them: off the timetable when they are deactivated, back on it when they
 * are active again. They hold as long as nobody gives the member another active account meanwhile.
 */
export async function accountFollowsOwner(
  table: Table,
  owner: { tenant: TenantId; id: string; deactivatedAt?: string },
  now: Date,
): Promise<Write[]> {
  const settings = await readMailSettings(table, owner.tenant, owner.id);
  const account = await activeAccount(table, owner.tenant, owner.id, settings.active);
  const guard = settingsUnchanged(owner.tenant, owner.id, settings);
  if (!account) return [guard];
  const place = owner.deactivatedAt === undefined ? placeOf(account, now) : undefined;
  return [guard, ...accountChange(account, { ownerDeactivatedAt: owner.deactivatedAt }, place)];
}

async function activeAccount(table: Table, tenant: TenantId, member: string, id: string | undefined) {
  return id === undefined ? undefined : table.get<MailAccount>(mailAccountKey(tenant, member, id));
}
