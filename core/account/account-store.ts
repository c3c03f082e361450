import { maySetMail } from '../addon-user/lock.ts';
import { requireUnlocked } from '../addon-user/lock-guard-store.ts';
import { auditEntry } from '../audit/audit-store.ts';
import { conflict, invalid, notFound, stale } from '../errors.ts';
import { ID, sha256 } from '../ids.ts';
import { FIRST_SYNC_DAYS, MAX_MAIL_ACCOUNTS } from '../limits.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Sharing } from '../sharing/sharing.ts';
import { isNew, type Table, TransactionRefused, type Write } from '../table/client.ts';
import { hostedAddressKey, mailAccountKey, mailAccountPrefix, memberPartition } from '../table/keys.ts';
import type { Vault } from '../tenant/data-key-store.ts';
import type { HostedMailbox, Incoming, MailAccount, Pop3Account } from './account.ts';
import { type AccountForm, changedForm, isSameServer, mailboxOf, readForm } from './account-form.ts';
import type { AccountInput, AccountPatch } from './account-input.ts';
import { type MailSettings, readMailSettings, settingsChange } from './mail-settings-store.ts';
import { readSharing, sharingChange } from './own-sharing.ts';
import { moveTo, type Slot, slotOf } from './slot.ts';

export type AccountStore = { table: Table; vault: Vault };

/** All mail accounts of a member (POP-5, POP-22), in the order they were made, and what holds for all of them. */
export type Mailboxes = { accounts: MailAccount[]; settings: MailSettings };

export async function readMailboxes(table: Table, viewer: Viewer): Promise<Mailboxes> {
  // In this order: whoever adds or removes an account after the first read is noticed by the settings' version.
  const settings = await readMailSettings(table, viewer.tenant, viewer.member);
  const accounts = await table.all<MailAccount>({ pk: memberPartition(viewer.tenant, viewer.member), begins: mailAccountPrefix });
  return { accounts, settings };
}

/** An account of the viewer's own: another's is none, an administrator's eyes included (GEN-2). Throws `not-found`. */
export async function readAccount(table: Table, viewer: Viewer, id: string): Promise<MailAccount> {
  const account = ID.test(id) ? await table.get<MailAccount>(mailAccountKey(viewer.tenant, viewer.member, id)) : undefined;
  if (!account) throw notFound('mail account');
  return account;
}

/** The same of one that has a server. Throws `not-found`, and `hosted-mailbox` for one that has none. */
export const readPop3Account = async (table: Table, viewer: Viewer, id: string) => requireServer(await readAccount(table, viewer, id));

/**
 * Sets an account up (POP-8, POP-19). The first one is the active and the main one by itself. Throws as `readForm`,
 * `too-many-accounts`, `duplicate-account`, `since-in-future`, `locked`.
 */
export async function createAccount({ table, vault }: AccountStore, viewer: Viewer, input: AccountInput, id: string, now: Date) {
  const form = readForm(input);
  const sharing = input.sharing && readSharing(viewer, input.sharing);
  const { tenant, member } = viewer;
  const account: Pop3Account = {
    ...freshAccount(now),
    ...form,
    incomingPassword: await vault.seal(tenant, passwordPurpose(id, 'incoming'), input.incoming.password),
    outgoingPassword: input.outgoing?.password && (await vault.seal(tenant, passwordPurpose(id, 'outgoing'), input.outgoing.password)),
    id,
    tenant,
    member,
    since: readSince(input.since, now),
  };
  return addAccount(table, viewer, account, now, { sharing, mayStandBeside: (others) => requireOther(others, form.incoming) });
}

/** What comes with a new account: how its owner shares from now on, whether it goes with the others, and further writes. */
type Joining = { sharing?: Sharing; mayStandBeside?: (others: MailAccount[]) => void; writes?: Write[] };

/** Puts a new account among the viewer's: the first one is the active and the main one by itself. Throws `too-many-accounts`, `locked`. */
export function addAccount<Account extends MailAccount>(
  table: Table,
  viewer: Viewer,
  account: Account,
  now: Date,
  { sharing, mayStandBeside, writes = [] }: Joining,
): Promise<Account> {
  const { tenant, member } = viewer;
  const { id } = account;
  return anew(async () => {
    await requireUnlocked(table, viewer, now);
    const { accounts, settings } = await readMailboxes(table, viewer);
    if (accounts.length >= MAX_MAIL_ACCOUNTS) {
      throw conflict('too-many-accounts', `You have ${MAX_MAIL_ACCOUNTS} mail accounts, which is the most. Remove one first.`);
    }
    mayStandBeside?.(accounts);
    const isFirst = accounts.length === 0;
    const place = isFirst ? placeOf(account, now) : undefined;
    const placed = { ...account, active: isFirst, slot: place && slotOf(account, place) };
    await table.transact([
      settingsChange(tenant, member, settings, {
        ...(isFirst ? { active: id, main: id } : {}),
        ...(sharing ? { savedAt: now.toISOString() } : {}),
      }),
      { put: { ...mailAccountKey(tenant, member, id), ...placed }, condition: isNew },
      ...moveTo(account, place),
      ...writes,
      sharing ? sharingChange(viewer, sharing, now) : maySetMail(viewer, now),
      accountAudit(viewer, now, 'create', id, { after: { ...settingsOf(placed), sharing } }),
    ]);
    return placed;
  });
}

/**
 * Changes what is set of an account. Another server or user name is tried at once. Of a hosted mailbox only the name can be changed.
 * Throws as `changedForm`, `not-found`, `stale`, `duplicate-account`, `changed-meanwhile`, `hosted-mailbox`, `locked`.
 */
export async function patchAccount(
  { table, vault }: AccountStore,
  viewer: Viewer,
  id: string,
  patch: AccountPatch,
  now: Date,
  ifMatch?: number,
): Promise<MailAccount> {
  return anew(async () => {
    await requireUnlocked(table, viewer, now);
    const { accounts, settings } = await readMailboxes(table, viewer);
    const before = requireVersion(await readAccount(table, viewer, id), ifMatch);
    if (Object.keys(patch).length === 0) return before;
    if (before.protocol === 'hosted') return renameHosted(table, viewer, before, patch, now);
    const form = changedForm(before, patch);
    requireOther(
      accounts.filter((account) => account.id !== id),
      form.incoming,
    );
    const after: Partial<Pop3Account> = { ...form, version: before.version + 1, ...(await newPasswords(vault, before, form, patch)) };
    const isOther = !isSameServer(form.incoming, before.incoming) || after.incomingPassword !== undefined;
    if (isOther) Object.assign(after, afresh(before, now));
    const isOtherMailbox = mailboxOf(form.incoming) !== mailboxOf(before.incoming);
    if (isOtherMailbox) after.snapshot = undefined;
    await table.transact([
      ...(isOtherMailbox ? [settingsChange(viewer.tenant, viewer.member, settings, {})] : []),
      // What is to be deleted from now on is looked for at once; a server that refuses us is left alone.
      ...accountChange(before, after, isRead(before) && (isOther || (patch.deletion && !isStopped(before))) ? nextMinute(now) : 'stay'),
      maySetMail(viewer, now),
      accountAudit(viewer, now, 'change', id, whatChanged(before, form, patch)),
    ]);
    return readAccount(table, viewer, id);
  });
}

/**
 * Another password for the incoming server (POP-23, POP-25, C-10), a lock or not (R-27): the account is read again at once, even if its server had
 * refused the one before (R-37). The outgoing server's own password stays as it is. Throws `not-found`, `stale`, `hosted-mailbox`.
 */
export async function changeIncomingPassword(
  { table, vault }: AccountStore,
  viewer: Viewer,
  id: string,
  password: string,
  now: Date,
  ifMatch?: number,
): Promise<Pop3Account> {
  return anew(async () => {
    const before = requireVersion(await readPop3Account(table, viewer, id), ifMatch);
    const incomingPassword = await vault.seal(viewer.tenant, passwordPurpose(id, 'incoming'), password);
    const after = { ...afresh(before, now), incomingPassword, version: before.version + 1 };
    await table.transact([
      ...accountChange(before, after, isRead(before) ? nextMinute(now) : 'stay'),
      accountAudit(viewer, now, 'change-incoming-password', id),
    ]);
    return readPop3Account(table, viewer, id);
  });
}

/**
 * Another password for the outgoing server alone (POP-26); a lock does not stand against it (R-27), which has credentials of its own from then on. Throws `not-found`,
 * `stale`, `no-outgoing-server`, `hosted-mailbox`.
 */
export async function changeOutgoingPassword(
  { table, vault }: AccountStore,
  viewer: Viewer,
  id: string,
  { password, userName }: { password: string; userName?: string },
  now: Date,
  ifMatch?: number,
): Promise<Pop3Account> {
  return anew(async () => {
    const before = requireVersion(await readPop3Account(table, viewer, id), ifMatch);
    if (!before.outgoing) throw conflict('no-outgoing-server', 'This account has no outgoing server. Set it with PATCH first.');
    const outgoing = {
      ...before.outgoing,
      sameCredentials: false,
      userName: userName?.trim() ?? before.outgoing.userName ?? before.incoming.userName,
    };
    const outgoingPassword = await vault.seal(viewer.tenant, passwordPurpose(id, 'outgoing'), password);
    await table.transact([
      ...accountChange(before, { outgoing, outgoingPassword, version: before.version + 1 }, 'stay'),
      accountAudit(viewer, now, 'change-outgoing-password', id, { after: { userName: outgoing.userName } }),
    ]);
    return readPop3Account(table, viewer, id);
  });
}

/**
 * Removes an account, but not while its owner is locked (R-28); mail that came through it stays. When it was the one that is read,
 * none is (R-44). The address of a hosted mailbox is dead from this moment, and is never given to anybody again. Throws `not-found`, `stale`, `locked`.
 */
export async function removeAccount(table: Table, viewer: Viewer, id: string, now: Date, ifMatch?: number): Promise<void> {
  return anew(async () => {
    await requireUnlocked(table, viewer, now);
    const { settings } = await readMailboxes(table, viewer);
    const account = requireVersion(await readAccount(table, viewer, id), ifMatch);
    await table.transact([
      ...accountRemoval(settings, account, now),
      maySetMail(viewer, now),
      accountAudit(viewer, now, 'remove', id, { before: settingsOf(account) }),
    ]);
  });
}

/** The writes that remove an account as it was read, from the settings and the timetable as well; the address of a hosted one is nobody's then. */
export const accountRemoval = (settings: MailSettings, account: MailAccount, now: Date): Write[] => {
  const { tenant, member, id, address, protocol } = account;
  return [
    settingsChange(tenant, member, settings, {
      ...(settings.active === id ? { active: undefined } : {}),
      ...(settings.main === id ? { main: undefined } : {}),
      lastMailbox: { id, address, protocol },
    }),
    { delete: mailAccountKey(tenant, member, id), ...asRead(account) },
    ...moveTo(account, undefined),
    ...(account.protocol === 'hosted' ? [retire(account, now)] : []),
  ];
};

/** The password of an account's server; undefined when there is none, as with an outgoing server that has the incoming one's. */
export async function openPassword(vault: Vault, account: Pop3Account, side: 'incoming' | 'outgoing'): Promise<string | undefined> {
  const sealed = side === 'incoming' ? account.incomingPassword : account.outgoingPassword;
  if (sealed === undefined) return undefined;
  const password = await vault.open(account.tenant, passwordPurpose(account.id, side), sealed);
  if (password === undefined) throw new Error('the password of a mail account does not open with its tenant key');
  return password;
}

export const passwordPurpose = (account: string, side: 'incoming' | 'outgoing') => `mail-account ${account} ${side}`;

/** Polls and other requests change the same items: what was refused is read again and tried anew. */
export async function anew<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof TransactionRefused)) throw error;
      if (tries === TRIES) throw conflict('changed-meanwhile', 'Your mail accounts were changed in the same moment. Read them again.');
    }
  }
}
const TRIES = 5;

/**
 * The writes that change an account, `undefined` removing what it is given for, and move it in the timetable unless it stays.
 * Refused when somebody else changed it, or moved it, since `before` was read.
 */
export function accountChange(before: MailAccount, change: Partial<Pop3Account>, slot: Slot | undefined | 'stay'): Write[] {
  const moves = slot !== 'stay';
  const after = moves ? { ...change, slot: slot && slotOf(before, slot) } : change;
  const set = Object.entries(after).filter(([, value]) => value !== undefined);
  const gone = Object.keys(after).filter((name) => after[name as keyof Pop3Account] === undefined);
  const { condition, names, values } = asRead(before, { moves });
  const update = {
    update: [
      set.length > 0 ? `SET ${set.map(([name]) => `#${name} = :${name}`).join(', ')}` : '',
      gone.length > 0 ? `REMOVE ${gone.map((name) => `#${name}`).join(', ')}` : '',
    ].join(' '),
    condition,
    names: { ...names, ...Object.fromEntries(Object.keys(after).map((name) => [`#${name}`, name])) },
    values: { ...values, ...Object.fromEntries(set.map(([name, value]) => [`:${name}`, value])) },
  };
  const key = mailAccountKey(before.tenant, before.member, before.id);
  return [{ update: key, with: update }, ...(moves ? moveTo(before, slot) : [])];
}

function asRead({ version, active, slot }: MailAccount, { moves } = { moves: true }) {
  const inPlace = slot === undefined ? 'attribute_not_exists(#slot)' : '#slot = :wasSlot';
  return {
    condition: `version = :wasVersion AND active = :wasActive${moves ? ` AND ${inPlace}` : ''}`,
    names: (moves ? { '#slot': 'slot' } : {}) as Record<string, string>,
    values: { ':wasVersion': version, ':wasActive': active, ...(moves && slot !== undefined ? { ':wasSlot': slot } : {}) },
  };
}

export const accountAudit = (
  viewer: Pick<Viewer, 'tenant' | 'member'>,
  now: Date,
  verb: string,
  account: string,
  what: { before?: unknown; after?: unknown } = {},
) =>
  auditEntry(viewer.tenant, {
    at: now.toISOString(),
    actor: viewer.member,
    action: `mail-account.${verb}`,
    subject: `mail-account:${account}`,
    ...what,
  });

export const nextMinute = (now: Date): Slot => ({ at: new Date(now.getTime() + 60_000).toISOString() });

/** Where an account stands in the timetable that comes to be read: nowhere when it has no server, or one that has refused us. */
export const placeOf = (account: MailAccount, now: Date): Slot | undefined =>
  account.protocol === 'hosted' || isStopped(account) ? undefined : nextMinute(now);

/** Of an account whose owner was away for so long that its passwords were deleted. */
export const noPassword = (side: 'incoming' | 'outgoing') =>
  conflict(
    'no-password',
    `The ${side} password of this account was deleted while you were deactivated. Enter it again: PUT /v1/mail-accounts/{accountId}/${side}-password.`,
  );

/** Its server has refused the password as often as we try (R-37). */
export const isStopped = ({ state }: Pop3Account) => state === 'auth-failed';

/** An account that has a server; throws `hosted-mailbox` for one that has none. */
function requireServer(account: MailAccount): Pop3Account {
  if (account.protocol !== 'hosted') return account;
  throw conflict(
    'hosted-mailbox',
    'This mailbox is received here. It has no server: nothing to poll, to test or to log in to. Only its name can be changed.',
  );
}

const isRead = ({ active, ownerDeactivatedAt }: MailAccount) => active && !ownerDeactivatedAt;

/** What a change of server, user name or password does to an account's state: whatever was held against the old ones is void. */
function afresh({ credentials, sync }: Pop3Account, now: Date) {
  const state = sync.doneAt ? ('ok' as const) : sync.startedAt ? ('syncing' as const) : ('never-synced' as const);
  return {
    credentials: credentials + 1,
    authFailures: 0,
    connectFailures: 0,
    lastError: undefined,
    state,
    stateSince: now.toISOString(),
  };
}

function freshAccount(now: Date) {
  const at = now.toISOString();
  return {
    protocol: 'pop3' as const,
    createdAt: at,
    version: 1,
    active: false,
    credentials: 1,
    state: 'never-synced' as const,
    stateSince: at,
    authFailures: 0,
    connectFailures: 0,
    sync: { found: 0, fetched: 0, filed: 0, skipped: 0, bytes: 0 },
    totals: { filed: 0, deleted: 0 },
  };
}

/** Passwords that come with a change; an outgoing server without one of its own forgets the one it had. */
async function newPasswords(vault: Vault, { id, tenant }: Pop3Account, { outgoing }: AccountForm, patch: AccountPatch) {
  const [incoming, own] = [patch.incoming?.password, patch.outgoing?.password];
  return {
    ...(incoming ? { incomingPassword: await vault.seal(tenant, passwordPurpose(id, 'incoming'), incoming) } : {}),
    ...(own ? { outgoingPassword: await vault.seal(tenant, passwordPurpose(id, 'outgoing'), own) } : {}),
    ...(!outgoing || outgoing.sameCredentials ? { outgoingPassword: undefined } : {}),
  };
}

/** Two accounts of a member that read the same mailbox would take each other's mail. */
function requireOther(others: MailAccount[], incoming: Incoming): void {
  const twin = others.find((other) => other.protocol !== 'hosted' && mailboxOf(other.incoming) === mailboxOf(incoming));
  if (!twin) return;
  throw conflict('duplicate-account', 'You have an account with this server and user name already. Change that one.', {
    existing: twin.id,
  });
}

function requireVersion<Account extends MailAccount>(account: Account, ifMatch: number | undefined): Account {
  if (ifMatch !== undefined && ifMatch !== account.version) throw stale();
  return account;
}

/** A hosted mailbox under another name. */
async function renameHosted(table: Table, viewer: Viewer, before: HostedMailbox, patch: AccountPatch, now: Date): Promise<MailAccount> {
  const { name = before.name, ...more } = patch;
  if (Object.keys(more).length > 0) requireServer(before);
  await table.transact([
    ...accountChange(before, { name, version: before.version + 1 }, 'stay'),
    maySetMail(viewer, now),
    accountAudit(viewer, now, 'change', before.id, { before: { name: before.name }, after: { name } }),
  ]);
  return readAccount(table, viewer, before.id);
}

/** Leaves the address of a hosted mailbox with a stone on it, for good: what is sent there later must never reach anybody else. */
function retire({ address }: HostedMailbox, now: Date): Write {
  const stone = { update: 'SET retiredAt = :now', condition: 'attribute_exists(pk)', values: { ':now': now.toISOString() } };
  return { update: hostedAddressKey(sha256(address)), with: stone };
}

export const settingsOf = (account: AccountForm | MailAccount) => {
  const { name, address } = account;
  return 'incoming' in account
    ? { name, address, incoming: account.incoming, outgoing: account.outgoing, deletion: account.deletion }
    : { name, address };
};

/** The fields a change names, before and after; passwords are not among them. */
function whatChanged(before: AccountForm, after: AccountForm, patch: AccountPatch) {
  const fields = Object.keys(settingsOf(before)).filter((field) => field in patch) as (keyof AccountForm)[];
  const only = (form: AccountForm) => Object.fromEntries(fields.map((field) => [field, form[field]]));
  return { before: only(before), after: only(after) };
}

/** How far back the first sync goes (R-39). */
function readSince(since: string | undefined, now: Date): string {
  if (since === undefined) return new Date(now.getTime() - FIRST_SYNC_DAYS * 86_400_000).toISOString();
  if (Date.parse(since) > now.getTime())
    throw invalid('since-in-future', 'Give a time that is past: mail that came before it is left alone.');
  return new Date(since).toISOString();
}
