import { accountInput } from '../../core/account/account-input.ts';
import {
  changeIncomingPassword,
  changeOutgoingPassword,
  createAccount,
  patchAccount,
  readPop3Account,
  removeAccount,
} from '../../core/account/account-store.ts';
import { activateAccount, askPoll, makeMain } from '../../core/account/active-account-store.ts';
import { chooseFromAddress } from '../../core/account/from-address-store.ts';
import type { MailSettingsInput } from '../../core/account/mail-settings.ts';
import { takeLease } from '../../core/account/poll-store.ts';
import { readOwnSettings, saveSettings } from '../../core/account/save-settings-store.ts';
import { allAddonUsers, listAddonUsers, readAddonUser } from '../../core/addon-user/addon-user-store.ts';
import { warnOfHiddenMail } from '../../core/addon-user/hidden-mail-store.ts';
import { maySetMail } from '../../core/addon-user/lock.ts';
import { lockMember, unlockMember } from '../../core/addon-user/lock-store.ts';
import { listAudit } from '../../core/audit/audit-store.ts';
import { ownDropbox, patchDropbox } from '../../core/dropbox/dropbox-store.ts';
import { newId } from '../../core/ids.ts';
import { MAX_ADDON_USER_LINES, MAX_ADDON_USERS_LOOKED_AT, MAX_HIDDEN_MAIL_DAYS, MIN_HIDDEN_MAIL_DAYS } from '../../core/limits.ts';
import type { Member } from '../../core/member/member.ts';
import { patchMember } from '../../core/member/member-store.ts';
import { checkToken, createToken } from '../../core/member/token-store.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import { mailPolicyPatch } from '../../core/sharing/mail-policy.ts';
import type { Sharing } from '../../core/sharing/sharing.ts';
import { setTick } from '../../core/sharing/tick-store.ts';
import type { Table } from '../../core/table/client.ts';
import { backupStandingKey, dropboxKey, mailSettingsKey, memberKey, tenantKey } from '../../core/table/keys.ts';
import { patchTenant, readViewer } from '../../core/tenant/tenant-store.ts';
import { interrupted } from '../support/interrupted.ts';
import { newOrganisation, PROFILES, startStores } from '../support/organisation.ts';

let stores: Awaited<ReturnType<typeof startStores>>;
let table: Table;
beforeAll(async () => {
  stores = await startStores();
  ({ table } = stores);
});
afterAll(() => stores.end());

const NOW = new Date('2026-03-01T09:00:00.000Z');
const later = (minutes: number) => new Date(NOW.getTime() + minutes * 60_000);
const REASON = { reason: 'Leaves in March' };
const CUSTOM: Sharing = { type: 'custom' };

/** An organisation with its first administrator, and whoever a test adds: each with a mailbox, sharing as said. */
async function world() {
  const { tenant, boss, viewerOf, join } = await newOrganisation(stores, NOW);
  let count = 0;
  const mailbox = async (viewer: Viewer) => {
    const incoming = { host: 'pop.example.com', password: 'secret', userName: `u${++count}` };
    const form = accountInput.parse({ name: 'Work', address: viewer.email, incoming, outgoing: { host: 'smtp.example.com' } });
    return createAccount(stores, viewer, form, newId(later(count)), NOW);
  };
  const user = async (name: string, sharing: Sharing | undefined = CUSTOM, more: Partial<Member> = {}) => {
    const viewer = await join(name, { ...more, sharing });
    return { viewer, account: await mailbox(viewer) };
  };
  const readMember = async (id: string) => (await table.get<Member>(memberKey(tenant, id))) as Member;
  return { tenant, boss, viewerOf, join, user, mailbox, readMember };
}

const lock = (by: Viewer, of: Viewer, more: { expiresAt?: string } = {}, now = NOW) =>
  lockMember(table, by, of.member, { ...REASON, ...more }, now);
const unlock = (by: Viewer, of: Viewer, now = NOW) => unlockMember(table, by, of.member, {}, now);
const settings = (viewer: Viewer, sharing: Sharing): MailSettingsInput => ({
  activeMailbox: null,
  fromAddress: viewer.email,
  sharing: sharing as MailSettingsInput['sharing'],
  dropboxVisibility: 'record',
  gather: null,
});

const PUBLIC: Sharing = { type: 'public', excludedDomains: [] };

describe('truth table 2.2: lock and unlock', () => {
  test.each([
    ['custom', CUSTOM],
    ['public', PUBLIC],
    ['admin (R-14)', { type: 'admin' } as Sharing],
  ])('LCK-5, LCK-7, UNL-1: of two administrators either locks and unlocks the other, and ordinary users: %s', async (_, sharing) => {
    const { boss, user, readMember } = await world();
    const { viewer: second } = await user('Second', sharing, { profile: 'administrator' });
    const { viewer: mika } = await user('Mika', sharing);
    for (const [by, of] of [
      [boss, second],
      [second, mika],
    ] as const) {
      await lock(by, of);
      expect((await readMember(of.member)).locked).toEqual({ by: by.member, at: NOW.toISOString(), ...REASON });
      await unlock(by, of);
      expect(await readMember(of.member)).not.toHaveProperty('locked');
    }
  });

  test('LCK-3: who shares nothing cannot be locked: private as chosen, as not chosen, and as the policy makes it', async () => {
    const { boss, user, viewerOf } = await world();
    const { viewer: chosen } = await user('Mika', { type: 'private' });
    const { viewer: silent } = await user('Jun', undefined);
    await table.update(memberKey(boss.tenant, silent.member), { update: 'REMOVE sharing' });
    for (const of of [chosen, silent]) await expect(lock(boss, of)).rejects.toMatchObject({ status: 409, code: 'private-account' });
    const { viewer: open } = await user('Ken', PUBLIC);
    await patchTenant(table, boss, { mailPolicy: { allowedSharing: ['private', 'custom'] } }, NOW.toISOString());
    await expect(lock(await viewerOf(boss.member), open)).rejects.toMatchObject({ code: 'private-account' });
    // And the other way round: a default of the organisation is as good as a choice.
    await patchTenant(table, await viewerOf(boss.member), { mailPolicy: { defaultSharing: 'custom' } }, NOW.toISOString());
    await lock(boss, silent);
  });

  test.each([
    ['custom', CUSTOM],
    ['private', { type: 'private' } as Sharing],
  ])('LCK-4, UNL-2: with two administrators nobody locks or unlocks themselves: %s', async (_, sharing) => {
    const { boss, user } = await world();
    const { viewer: second } = await user('Second', sharing, { profile: 'administrator' });
    await expect(lock(second, second)).rejects.toMatchObject({ status: 403, code: 'own-lock' });
    await expect(unlock(second, second)).rejects.toMatchObject({ status: 403, code: 'own-lock' });
    if (sharing.type === 'private') return;
    await lock(boss, second);
    await expect(unlock(second, second)).rejects.toMatchObject({ code: 'own-lock' });
  });

  test('LCK-6, UNL-3, R-25: the only active, confirmed administrator locks and unlocks themselves, unless private', async () => {
    const { boss, mailbox, join } = await world();
    await mailbox(boss);
    await table.update(memberKey(boss.tenant, boss.member), { update: 'SET sharing = :s', values: { ':s': CUSTOM } });
    await join('Gone', { profile: 'administrator', status: 'deactivated' });
    await table.update(tenantKey(boss.tenant), { update: 'SET administrators = :one', values: { ':one': 1 } });
    await lock(boss, boss);
    await unlock(boss, boss);
    await table.update(memberKey(boss.tenant, boss.member), { update: 'SET sharing = :s', values: { ':s': { type: 'private' } } });
    await expect(lock(boss, boss)).rejects.toMatchObject({ code: 'private-account' });
  });

  test('GEN-4, UNL-4: who is not an administrator locks and unlocks nobody, themselves included', async () => {
    const { boss, user } = await world();
    const { viewer: mika } = await user('Mika');
    const { viewer: jun } = await user('Jun');
    await lock(boss, mika);
    for (const of of [mika, jun, boss]) {
      await expect(lock(mika, of)).rejects.toMatchObject({ status: 403, code: 'administrators-only' });
      await expect(unlock(mika, of)).rejects.toMatchObject({ status: 403, code: 'administrators-only' });
    }
  });

  test('who does not use the add-on, is locked or is not locked already, or is nobody: each refusal says so', async () => {
    const { boss, user, join } = await world();
    const idle = await join('Idle');
    await expect(lock(boss, idle)).rejects.toMatchObject({ status: 409, code: 'not-an-add-on-user' });
    const { viewer: mika } = await user('Mika');
    await expect(unlock(boss, mika)).rejects.toMatchObject({ status: 409, code: 'not-locked' });
    await lock(boss, mika);
    const locked = { by: { id: boss.member, name: 'Boss' }, since: NOW.toISOString(), reason: REASON.reason };
    await expect(lock(boss, mika, {}, later(1))).rejects.toMatchObject({ status: 409, code: 'already-locked', extra: { locked } });
    for (const id of [newId(NOW), 'x', '#']) await expect(lockMember(table, boss, id, REASON, NOW)).rejects.toMatchObject({ status: 404 });
    await expect(lock(boss, mika, { expiresAt: NOW.toISOString() })).rejects.toMatchObject({ status: 422, code: 'expiry-past' });
  });

  test('LCK-1: an end that is too far to be compared is refused: the lock would count as ended in every condition', async () => {
    const { boss, user } = await world();
    const { viewer: mika } = await user('Mika');
    const last = '9999-12-31T23:59:59';
    await expect(lock(boss, mika, { expiresAt: `${last}-12:00` })).rejects.toMatchObject({ status: 422, code: 'expiry-too-far' });
    await lock(boss, mika, { expiresAt: `${last}Z` });
    await expect(table.transact([maySetMail(mika, NOW)])).rejects.toThrow();
  });

  test('R-26: the lock stays when its member is promoted or its maker demoted; who may unlock is judged afresh', async () => {
    const { boss, user, viewerOf, readMember } = await world();
    const { viewer: second } = await user('Second', CUSTOM, { profile: 'administrator' });
    await lock(second, { ...boss, member: (await user('Mika')).viewer.member });
    await lock(boss, second);
    await patchMember(table, second, PROFILES, boss.member, { profile: 'standard' }, NOW);
    expect((await readMember(second.member)).locked).toMatchObject({ by: boss.member });
    // Now the only administrator: their own lock is theirs to end (UNL-3).
    await unlock(await viewerOf(second.member), second);
  });

  test('a lock with an end counts as none from then on: it keeps nobody out, needs no unlock, and makes way for another', async () => {
    const { boss, user } = await world();
    const { viewer: mika, account } = await user('Mika');
    await lock(boss, mika, { expiresAt: '2026-03-01T19:00:00+09:00' });
    await expect(makeMain(table, mika, account.id, later(59))).rejects.toMatchObject({ status: 423 });
    expect((await readAddonUser(table, boss, mika.member, later(59))).locked?.until).toBe('2026-03-01T10:00:00.000Z');
    expect((await readAddonUser(table, boss, mika.member, later(60))).locked).toBeUndefined();
    await expect(unlock(boss, mika, later(60))).rejects.toMatchObject({ code: 'not-locked' });
    await saveSettings(table, mika, { ...settings(mika, { type: 'private' }), activeMailbox: account.id }, later(60));
    await saveSettings(table, mika, settings(mika, CUSTOM), later(61));
    await lock(boss, mika, {}, later(62));
  });

  test('LCK-1, UNL-1: both are in the audit, with who and why', async () => {
    const { boss, user } = await world();
    const { viewer: mika } = await user('Mika');
    await lock(boss, mika, { expiresAt: later(99).toISOString() });
    await unlock(boss, mika, later(1));
    const { items } = await listAudit(table, boss.tenant, { limit: 50, now: later(2), since: NOW.toISOString() });
    const subject = `member:${mika.member}`;
    expect(items).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          actor: boss.member,
          action: 'addon-user.lock',
          subject,
          after: { ...REASON, until: later(99).toISOString() },
        }),
        expect.objectContaining({ actor: boss.member, action: 'addon-user.unlock', subject }),
      ]),
    );
  });
});

/** Everything a member can do to their mail settings. */
type Change = [string, (t: Table, viewer: Viewer, account: string, record: string) => Promise<unknown>];
const changes: Change[] = [
  ['private, saved with all settings', (t, v) => saveSettings(t, v, settings(v, { type: 'private' }), NOW)],
  ['the same settings again', (t, v, id) => saveSettings(t, v, { ...settings(v, CUSTOM), activeMailbox: id }, NOW)],
  ['private, with a new mailbox', (t, v) => another(t, v, { sharing: { type: 'private' } })],
  ['a new mailbox', (t, v) => another(t, v)],
  ['a mailbox renamed', (t, v, id) => patchAccount({ table: t, vault: stores.vault }, v, id, { name: 'x' }, NOW)],
  ['the main mailbox', (t, v, id) => makeMain(t, v, id, NOW)],
  ['the mailbox that is read (R-28)', (t, v, id) => activateAccount(t, v, id, NOW)],
  ['a mailbox removed (R-28)', (t, v, id) => removeAccount(t, v, id, NOW)],
  ['the From address', (t, v) => chooseFromAddress(t, v, v.email, NOW)],
  ['a tick', (t, v, _, record) => setTick(t, v, record, true, NOW)],
  ['a tick taken off', (t, v, _, record) => setTick(t, v, record, false, NOW)],
  ['who sees dropbox mail', (t, v) => patchDropbox(dropboxStore(t), v, { visibility: 'sharing' }, NOW)],
];
const dropboxStore = (t: Table) => ({ table: t, vault: stores.vault, mailDomain: 'in.example.com' });
function another(t: Table, viewer: Viewer, more: object = {}) {
  const incoming = { host: 'pop.example.com', password: 'secret', userName: 'another' };
  const form = accountInput.parse({ name: 'Other', address: 'other@example.com', incoming, ...more });
  return createAccount({ table: t, vault: stores.vault }, viewer, form, newId(later(999)), NOW);
}

describe('LCK-1: while they are locked a member changes none of their mail settings', () => {
  /** Mika with two mailboxes, of which the second is neither read nor main, and a dropbox. */
  async function mikas() {
    const made = await world();
    const { viewer, account } = await made.user('Mika');
    const second = await made.mailbox(viewer);
    await ownDropbox(dropboxStore(table), viewer, NOW);
    const state = async () => [
      await made.readMember(viewer.member),
      await readOwnSettings(table, viewer, later(1e6)),
      await readPop3Account(table, viewer, account.id),
      await readPop3Account(table, viewer, second.id).catch(() => 'none'),
    ];
    return { ...made, viewer, account, second, state };
  }
  const record = newId(NOW);

  test.each(changes)('%s', async (_, change) => {
    const { boss, viewer, second, state } = await mikas();
    await lock(boss, viewer);
    const before = await state();
    const locked = { by: { id: boss.member, name: 'Boss' }, since: NOW.toISOString(), reason: REASON.reason };
    const stillAllowed = expect.arrayContaining([expect.stringContaining('password')]);
    await expect(change(table, viewer, second.id, record)).rejects.toMatchObject({
      status: 423,
      code: 'locked',
      extra: { locked, stillAllowed },
    });
    expect(await state()).toEqual(before);
    await unlock(boss, viewer);
    await change(table, viewer, second.id, record);
  });

  test.each(changes)('LCK-8: locked in the very moment of the change, after it was let in: %s', async (_, change) => {
    const { boss, viewer, second, state } = await mikas();
    let before: unknown;
    const racing = interrupted(table, async () => {
      await lock(boss, viewer);
      before = await state();
    });
    await expect(change(racing, viewer, second.id, record)).rejects.toMatchObject({ status: 423, code: 'locked' });
    expect(await state()).toEqual(before);
  });

  test('LCK-8: private, saved in the very moment of the lock, comes first: then the lock is refused', async () => {
    const { boss, viewer, readMember } = await mikas();
    const racing = interrupted(table, () => saveSettings(table, viewer, settings(viewer, { type: 'private' }), NOW));
    await expect(lockMember(racing, boss, viewer.member, REASON, NOW)).rejects.toMatchObject({ code: 'private-account' });
    expect(await readMember(viewer.member)).not.toHaveProperty('locked');
  });

  test('LCK-8: locks and changes to private, all at once: never both', async () => {
    for (let round = 0; round < 8; round++) {
      const { boss, viewer, readMember } = await mikas();
      const toPrivate = () => saveSettings(table, viewer, settings(viewer, { type: 'private' }), NOW).catch(() => undefined);
      await Promise.all([toPrivate(), lock(boss, viewer).catch(() => undefined), toPrivate()]);
      const { locked, sharing } = await readMember(viewer.member);
      expect({ round, lockedAndPrivate: locked !== undefined && sharing?.type === 'private' }).toEqual({ round, lockedAndPrivate: false });
    }
  });

  test('R-27: passwords may be changed, the mailbox is polled, and the dropbox may be told how to file', async () => {
    const { boss, viewer, account } = await mikas();
    await lock(boss, viewer);
    await changeIncomingPassword(stores, viewer, account.id, 'new', later(1));
    await changeOutgoingPassword(stores, viewer, account.id, { password: 'new' }, later(1));
    await askPoll(table, viewer, account.id, later(1));
    expect(await takeLease(table, await readPop3Account(table, viewer, account.id), later(1))).toBeDefined();
    await patchDropbox(dropboxStore(table), viewer, { severalRecords: 'newest' }, later(1));
  });

  test('LCK-9, GEN-2: a lock gives the administrator no way to the settings', async () => {
    const { boss, viewer, account } = await mikas();
    await lock(boss, viewer);
    await expect(removeAccount(table, boss, account.id, NOW)).rejects.toMatchObject({ status: 404 });
    await expect(readPop3Account(table, boss, account.id)).rejects.toMatchObject({ status: 404 });
  });
});

describe('LCK-8: the policy of the organisation', () => {
  const onlyPrivate = { mailPolicy: { allowedSharing: ['private' as const] } };

  test('a policy that would change the type of a locked member is refused with their name; unlocked, or run out, it is taken', async () => {
    const { boss, user, viewerOf } = await world();
    const { viewer: mika } = await user('Mika');
    await lock(boss, mika, { expiresAt: later(60).toISOString() });
    const now = await viewerOf(boss.member);
    const members = [{ id: mika.member, name: 'Mika' }];
    await expect(patchTenant(table, now, onlyPrivate, NOW.toISOString())).rejects.toMatchObject({
      code: 'members-locked',
      extra: { members },
    });
    await patchTenant(table, now, { mailPolicy: { excludedDomains: ['example.org'] } }, NOW.toISOString());
    await patchTenant(table, await viewerOf(boss.member), onlyPrivate, later(60).toISOString());
  });

  test('a member locked while a policy is judged: the policy is refused; a policy changed while a lock is judged: the lock is', async () => {
    const { boss, user, viewerOf, readMember } = await world();
    const { viewer: mika } = await user('Mika');
    const locks = interrupted(table, () => lock(boss, mika));
    await expect(patchTenant(locks, boss, onlyPrivate, NOW.toISOString())).rejects.toMatchObject({ code: 'changed-meanwhile' });
    await unlock(boss, mika);
    const now = await viewerOf(boss.member);
    const narrows = interrupted(table, () => patchTenant(table, now, onlyPrivate, NOW.toISOString()));
    await expect(lockMember(narrows, boss, mika.member, REASON, NOW)).rejects.toMatchObject({ code: 'private-account' });
    expect(await readMember(mika.member)).not.toHaveProperty('locked');
  });
});

describe('R-25: who is an administrator at the moment of the lock', () => {
  test('an administrator who is deactivated or demoted in the very moment locks and unlocks nobody', async () => {
    for (const patch of [{ status: 'deactivated' as const }, { profile: 'standard' }]) {
      const { boss, user, join, readMember } = await world();
      const second = await join('Second', { profile: 'administrator' });
      const { viewer: mika } = await user('Mika');
      const goes = () => interrupted(table, () => patchMember(table, boss, PROFILES, second.member, patch, NOW));
      await expect(lockMember(goes(), second, mika.member, REASON, NOW)).rejects.toMatchObject({ code: 'administrators-only' });
      expect(await readMember(mika.member)).not.toHaveProperty('locked');
    }
  });

  test('the only administrator locks themselves while another one comes, or goes: judged as it then is', async () => {
    const { boss, user, join } = await world();
    const { viewer: second } = await user('Second', CUSTOM, { profile: 'administrator' });
    const goes = interrupted(table, () => patchMember(table, second, PROFILES, boss.member, { status: 'deactivated' }, NOW));
    // Refused before anything was written, so nothing interrupted it.
    await expect(lockMember(goes, second, second.member, REASON, NOW)).rejects.toMatchObject({ code: 'own-lock' });
    await patchMember(table, second, PROFILES, boss.member, { status: 'deactivated' }, NOW);
    const comes = interrupted(table, () => join('Third', { profile: 'administrator' }));
    await expect(lockMember(comes, second, second.member, REASON, NOW)).rejects.toMatchObject({ code: 'own-lock' });
    await table.update(tenantKey(boss.tenant), { update: 'SET administrators = :one', values: { ':one': 1 } });
    await lock(second, second);
    const third = interrupted(table, () =>
      table.update(tenantKey(boss.tenant), { update: 'SET administrators = :two', values: { ':two': 2 } }),
    );
    await expect(unlockMember(third, second, second.member, {}, NOW)).rejects.toMatchObject({ code: 'own-lock' });
  });

  test('two administrators lock each other in the same moment: each may end the lock of the other', async () => {
    const { boss, user, mailbox, readMember } = await world();
    const { viewer: second } = await user('Second', CUSTOM, { profile: 'administrator' });
    await mailbox(boss);
    await table.update(memberKey(boss.tenant, boss.member), { update: 'SET sharing = :s', values: { ':s': CUSTOM } });
    await Promise.all([lock(boss, second), lock(second, boss)]);
    await Promise.all([unlock(boss, second), unlock(second, boss)]);
    for (const { member } of [boss, second]) expect(await readMember(member)).not.toHaveProperty('locked');
  });

  test('two locks of one member in the same moment: one of them', async () => {
    const { boss, user, join } = await world();
    const second = await join('Second', { profile: 'administrator' });
    const { viewer: mika } = await user('Mika');
    const done = await Promise.allSettled([lock(boss, mika), lock(second, mika), lock(boss, mika)]);
    expect(done.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const one of done) if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'already-locked' });
  });
});

describe('the list', () => {
  const everybody = async (viewer: Viewer, filter: Parameters<typeof listAddonUsers>[2] = {}, limit = 50) => {
    const names: string[] = [];
    let after: string | undefined;
    do {
      const page = await listAddonUsers(table, viewer, filter, { limit, after }, NOW);
      names.push(...page.items.map(({ name }) => name));
      after = page.next;
    } while (after);
    return names;
  };

  test('ADM-1, ADM-4, ADM-5, C-5: who uses the add-on, and deactivated ones who had an account; nobody else', async () => {
    const { boss, user, join } = await world();
    await user('Mika');
    const saved = await join('Saved');
    await saveSettings(table, saved, settings(saved, CUSTOM), NOW);
    await join('Idle');
    await join('Invited', { confirmed: false });
    const { viewer: gone } = await user('Gone');
    await patchMember(table, boss, PROFILES, gone.member, { status: 'deactivated' }, NOW);
    const never = await join('Never');
    await saveSettings(table, never, settings(never, CUSTOM), NOW);
    await patchMember(table, boss, PROFILES, never.member, { status: 'deactivated' }, NOW);
    const { viewer: removed, account } = await user('Removed');
    await removeAccount(table, removed, account.id, NOW);
    await patchMember(table, boss, PROFILES, removed.member, { status: 'deactivated' }, NOW);
    expect(await everybody(boss)).toEqual(['Mika', 'Saved', 'Gone', 'Removed']);
    expect(await readAddonUser(table, boss, removed.member, NOW)).toMatchObject({
      status: 'deactivated',
      mailbox: { id: account.id, address: 'removed@example.com', state: 'removed' },
    });
    await expect(readAddonUser(table, boss, never.member, NOW)).rejects.toMatchObject({ status: 404 });
  });

  test('ADM-2: mailbox, protocol, state, last sync; the sharing type as chosen and in force; the lock', async () => {
    const { boss, user, viewerOf } = await world();
    const { viewer: mika, account } = await user('Mika', PUBLIC);
    const { viewer: jun } = await user('Jun');
    await lock(boss, jun);
    await patchTenant(table, await viewerOf(boss.member), { mailPolicy: { allowedSharing: ['private', 'custom'] } }, NOW.toISOString());
    const { items } = await listAddonUsers(table, await viewerOf(boss.member), {}, { limit: 9 }, NOW);
    expect(items).toMatchObject([
      {
        id: mika.member,
        administrator: false,
        mailbox: { id: account.id, address: 'mika@example.com', protocol: 'pop3', state: 'never-synced' },
        sharing: { chosen: 'public', inForce: 'private' },
        locked: undefined,
      },
      { id: jun.member, sharing: { chosen: 'custom', inForce: 'custom' }, locked: { by: { id: boss.member, name: 'Boss' }, ...REASON } },
    ]);
  });

  test('filters narrow, together too; pages go on without a gap or a repetition', async () => {
    const { boss, user, join } = await world();
    for (let i = 0; i < 7; i++) {
      await user(`User${i}`, i % 2 ? PUBLIC : CUSTOM);
      await join(`Idle${i}`);
    }
    const all = [0, 1, 2, 3, 4, 5, 6].map((i) => `User${i}`);
    for (const limit of [1, 2, 3, 7, 8]) expect(await everybody(boss, {}, limit)).toEqual(all);
    expect(await everybody(boss, { sharing: 'public' }, 2)).toEqual(['User1', 'User3', 'User5']);
    expect(await everybody(boss, { q: 'uSER3@' })).toEqual(['User3']);
    expect(await everybody(boss, { q: 'user', sharing: 'public', status: 'active', locked: 'false' }, 1)).toEqual([
      'User1',
      'User3',
      'User5',
    ]);
    expect(await everybody(boss, { status: 'deactivated' })).toEqual([]);
    expect(await everybody(boss, { locked: 'true' })).toEqual([]);
  });
});

describe('ADM-3: of deactivated members, how it stands with backups', () => {
  test('whether a backup and a latest backup may be taken, with every reason why not; how the last one ended', async () => {
    const { boss, user, tenant } = await world();
    const { viewer: mika } = await user('Mika');
    const { viewer: jun } = await user('Jun', { type: 'private' });
    expect((await readAddonUser(table, boss, mika.member, NOW)).backup).toBeUndefined();
    for (const { member } of [mika, jun]) await patchMember(table, boss, PROFILES, member, { status: 'deactivated' }, NOW);
    const codes = async ({ member }: Viewer) => {
      const { backup } = await readAddonUser(table, boss, member, NOW);
      return [backup?.backup, backup?.latestBackup].map((offer) => [offer?.eligible, ...(offer?.reasons.map(({ code }) => code) ?? [])]);
    };
    expect(await codes(mika)).toEqual([[true], [false, 'not_reactivated']]);
    expect(await codes(jun)).toEqual([
      [false, 'private_account'],
      [false, 'private_account', 'not_reactivated'],
    ]);
    const ended = { kind: 'backup', scope: 'shared', state: 'completed', startedBy: boss.member, mails: 3, bytes: 9, missing: 0 };
    const last = { id: 'b', ...ended, startedAt: later(1).toISOString(), finishedAt: later(2).toISOString() };
    await table.put({
      ...backupStandingKey(tenant, mika.member),
      last,
      running: 'c',
      completed: ['b'],
      backedUpAt: later(1).toISOString(),
    });
    const { items } = await listAddonUsers(table, boss, { status: 'deactivated' }, { limit: 9 }, NOW);
    expect(items.map(({ backup }) => [backup?.last, backup?.running, backup?.backup.eligible])).toEqual([
      [last, 'c', false],
      [undefined, undefined, false],
    ]);
  });
});

describe('of many members', () => {
  /** So many members of a fresh organisation, of whom those from `from` on use the add-on. */
  async function many(count: number, from = 0) {
    const { boss, tenant } = await world();
    const idOf = (i: number) => String(i).padStart(26, '0');
    const nobodyYet = { name: 'x', email: 'x@example.com', profile: 'standard', status: 'active', confirmed: true, version: 1 };
    const numbers = Array.from({ length: count }, (_, i) => i);
    await table.putMany(numbers.map((i) => ({ ...memberKey(tenant, idOf(i)), ...nobodyYet, id: idOf(i) })));
    await table.putMany(numbers.slice(from).map((i) => ({ ...mailSettingsKey(tenant, idOf(i)), savedAt: NOW.toISOString(), version: 1 })));
    return { boss, idOf };
  }

  test('a page looks at so many members and says where it goes on, also when nobody of them fits', async () => {
    const { boss, idOf } = await many(MAX_ADDON_USERS_LOOKED_AT + 1, MAX_ADDON_USERS_LOOKED_AT);
    const first = await listAddonUsers(table, boss, {}, { limit: 5 }, NOW);
    expect(first).toEqual({ items: [], next: idOf(MAX_ADDON_USERS_LOOKED_AT - 1) });
    const second = await listAddonUsers(table, boss, {}, { limit: 5, after: first.next }, NOW);
    expect(second.items.map(({ id }) => id)).toEqual([idOf(MAX_ADDON_USERS_LOOKED_AT)]);
    // The last one of those looked at is found.
    const { boss: other, idOf: idsOf } = await many(MAX_ADDON_USERS_LOOKED_AT, MAX_ADDON_USERS_LOOKED_AT - 1);
    const { items } = await listAddonUsers(table, other, {}, { limit: 5 }, NOW);
    expect(items.map(({ id }) => id)).toEqual([idsOf(MAX_ADDON_USERS_LOOKED_AT - 1)]);
  });

  test('the table to download has so many lines, and refuses more instead of leaving some out', async () => {
    const { boss, idOf } = await many(MAX_ADDON_USER_LINES);
    expect(await allAddonUsers(table, boss, {}, NOW)).toHaveLength(MAX_ADDON_USER_LINES);
    const one = { ...(await table.get(memberKey(boss.tenant, idOf(0)))), id: 'z' };
    await table.put({ ...one, ...memberKey(boss.tenant, 'z') });
    await table.put({ ...mailSettingsKey(boss.tenant, 'z'), savedAt: NOW.toISOString(), version: 1 });
    await expect(allAddonUsers(table, boss, {}, NOW)).rejects.toMatchObject({ status: 409, code: 'too-many-rows' });
    expect(await allAddonUsers(table, boss, { locked: 'true' }, NOW)).toEqual([]);
  });
});

describe('deactivated and back', () => {
  test('R-33: tokens, the dropbox and polls stop at once; the mailbox and its settings stay, and so does a lock (R-26)', async () => {
    const { boss, user, readMember } = await world();
    const { viewer: mika, account } = await user('Mika');
    const { token } = await createToken(table, mika, { name: 'laptop' }, newId(NOW), NOW);
    const { dropbox } = await ownDropbox(dropboxStore(table), mika, NOW);
    await lock(boss, mika);
    await patchMember(table, boss, PROFILES, mika.member, { status: 'deactivated' }, later(1));
    expect(await readViewer(table, mika.tenant, mika.member)).toBeUndefined();
    expect(await table.get(dropboxKey(dropbox.hash))).toMatchObject({ deactivatedAt: later(1).toISOString() });
    const stopped = await readPop3Account(table, mika, account.id);
    expect([stopped.slot, stopped.active, await takeLease(table, stopped, later(1))]).toEqual([undefined, true, undefined]);
    expect((await readMember(mika.member)).locked).toBeDefined();
    expect(await readAddonUser(table, boss, mika.member, later(1))).toMatchObject({
      status: 'deactivated',
      deactivatedAt: later(1).toISOString(),
      mailbox: { address: 'mika@example.com' },
      locked: REASON,
    });
    await patchMember(table, boss, PROFILES, mika.member, { status: 'active' }, later(2));
    expect(await checkToken(table, token, later(2))).toMatchObject({ member: mika.member });
    expect((await readPop3Account(table, mika, account.id)).slot).toBeDefined();
    const { items } = await listAudit(table, boss.tenant, { limit: 50, now: later(3), since: NOW.toISOString() });
    expect(items.map(({ action }) => action)).toEqual(expect.arrayContaining(['member.deactivate', 'member.reactivate']));
  });

  test('LBK-2: who came back has not saved their settings since, until they save them in person', async () => {
    const { boss, user } = await world();
    const { viewer: mika, account } = await user('Mika');
    const save = (at: Date) => saveSettings(table, mika, { ...settings(mika, CUSTOM), activeMailbox: account.id }, at);
    await save(NOW);
    const seen = async () => [
      (await readAddonUser(table, boss, mika.member, NOW)).settingsSavedSince,
      (await readOwnSettings(table, mika, NOW)).settingsSavedSince,
    ];
    expect(await seen()).toEqual([undefined, undefined]);
    await patchMember(table, boss, PROFILES, mika.member, { status: 'deactivated' }, later(1));
    await patchMember(table, boss, PROFILES, mika.member, { status: 'active' }, later(2));
    expect(await seen()).toEqual([false, false]);
    await patchMember(table, boss, PROFILES, mika.member, { name: 'Mika S.' }, later(3));
    await makeMain(table, mika, account.id, later(3));
    expect(await seen()).toEqual([false, false]);
    await save(later(4));
    expect(await seen()).toEqual([true, true]);
    await patchMember(table, boss, PROFILES, mika.member, { status: 'deactivated' }, later(5));
    expect((await readAddonUser(table, boss, mika.member, NOW)).settingsSavedSince).toBe(true);
    await patchMember(table, boss, PROFILES, mika.member, { status: 'active' }, later(6));
    expect(await seen()).toEqual([false, false]);
  });
});

describe('R-29: hidden mail is kept for a while, and administrators are told before that ends', () => {
  const DAY = 1440;
  async function left() {
    const made = await world();
    await made.join('Second', { profile: 'administrator' });
    const { viewer: mika } = await made.user('Mika');
    await patchMember(table, made.boss, PROFILES, mika.member, { status: 'deactivated' }, NOW);
    const mails: { to: string; text: string }[] = [];
    const tell = async (mail: { to: string; text: string }) => void mails.push(mail);
    const warn = async (at: Date) => {
      mails.length = 0;
      await warnOfHiddenMail({ table, tell }, at);
      return mails.filter(({ text }) => text.includes('Mika')).map(({ to }) => to);
    };
    return { ...made, mika, mails, warn };
  }
  /** Each of these goes through the one list there is: it begins empty. */
  beforeEach(async () => {
    for (const { pk, sk } of await table.all<{ pk: string; sk: string }>({ pk: 'D#HIDDEN' })) await table.delete({ pk, sk });
  });

  test('ninety days unless the organisation says otherwise: a week before, each administrator is told once, with the day', async () => {
    const { boss, mika, mails, warn } = await left();
    expect((await readAddonUser(table, boss, mika.member, NOW)).hiddenMailKeptUntil).toBe('2026-05-30T09:00:00.000Z');
    expect(await warn(later(83 * DAY - 1))).toEqual([]);
    expect((await warn(later(83 * DAY))).sort()).toEqual(['boss@example.com', 'second@example.com']);
    expect(mails[0]?.text).toContain('Mika <mika@example.com>: deactivated / 無効化 2026-03-01, kept until / 保存期限 2026-05-30');
    for (const days of [84, 90, 400]) expect(await warn(later(days * DAY))).toEqual([]);
  });

  test('told late, or after the days were made fewer: the day named is a week off all the same', async () => {
    const { boss, mails, warn, viewerOf } = await left();
    await patchTenant(table, boss, { mailPolicy: { hiddenMailDays: 30 } }, NOW.toISOString());
    expect((await viewerOf(boss.member)).organisation.mailPolicy?.hiddenMailDays).toBe(30);
    expect(await warn(later(40 * DAY))).toHaveLength(2);
    expect(mails[0]?.text).toContain('保存期限 2026-04-17');
  });

  test('the days have a least and a most', () => {
    const taken = (hiddenMailDays: number) => mailPolicyPatch.safeParse({ hiddenMailDays }).success;
    const days = [MIN_HIDDEN_MAIL_DAYS - 1, MIN_HIDDEN_MAIL_DAYS, 45.5, MAX_HIDDEN_MAIL_DAYS, MAX_HIDDEN_MAIL_DAYS + 1];
    expect(days.map(taken)).toEqual([false, true, false, true, false]);
  });

  test('a lock holds the mail: nothing is said until it is gone', async () => {
    const { boss, mika, warn } = await left();
    await lock(boss, mika, { expiresAt: later(100 * DAY).toISOString() }, later(1));
    expect(await warn(later(99 * DAY))).toEqual([]);
    expect(await warn(later(100 * DAY))).toHaveLength(2);
  });

  test.each([
    ['of this time away', { backedUpAt: later(1).toISOString() }],
    ['of an earlier time away', { backedUpAt: later(-1).toISOString() }],
    ['that was broken off', { last: { state: 'cancelled' } }],
  ])('a backup %s holds the mail for good: nothing is said of a deletion that never comes', async (_, standing) => {
    const { mika, warn, tenant } = await left();
    await table.put({ ...backupStandingKey(tenant, mika.member), ...standing });
    expect(await warn(later(85 * DAY))).toEqual([]);
    await table.delete(backupStandingKey(tenant, mika.member));
    expect(await warn(later(85 * DAY))).toHaveLength(2);
  });

  test('who came back is off the list; who leaves again has all the days again', async () => {
    const { boss, mika, warn } = await left();
    await patchMember(table, boss, PROFILES, mika.member, { status: 'active' }, later(50 * DAY));
    expect(await warn(later(85 * DAY))).toEqual([]);
    await patchMember(table, boss, PROFILES, mika.member, { status: 'deactivated' }, later(86 * DAY));
    expect(await warn(later(168 * DAY))).toEqual([]);
    expect(await warn(later(169 * DAY))).toHaveLength(2);
  });

  test('an organisation that cannot be told keeps no other from being told', async () => {
    const [one, other] = [await left(), await left()];
    const mails: string[] = [];
    const deaf = [one.tenant, other.tenant].sort()[0];
    await table.update(tenantKey(deaf as typeof one.tenant), {
      update: 'SET #name = :deaf',
      names: { '#name': 'name' },
      values: { ':deaf': 'Deaf' },
    });
    const tell = async ({ to, text }: { to: string; text: string }) => {
      if (text.includes('Deaf')) throw new Error('no such mailbox');
      mails.push(to);
    };
    await expect(warnOfHiddenMail({ table, tell }, later(83 * DAY))).rejects.toThrow('no such mailbox');
    expect(mails.sort()).toEqual(['boss@example.com', 'second@example.com']);
  });

  test('who never had a mailbox has nothing hidden; a mail that could not be sent is sent the next day', async () => {
    const { boss, join, warn } = await left();
    const idle = await join('Mikael');
    await patchMember(table, boss, PROFILES, idle.member, { status: 'deactivated' }, NOW);
    const refuse = async () => {
      throw new Error('the mail service is away');
    };
    await expect(warnOfHiddenMail({ table, tell: refuse }, later(83 * DAY))).rejects.toThrow('away');
    const mails: { text: string }[] = [];
    await warnOfHiddenMail({ table, tell: async (mail) => void mails.push(mail) }, later(84 * DAY));
    expect(mails.map(({ text }) => [/Mika </.test(text), /Mikael/.test(text)])).toEqual([
      [true, false],
      [true, false],
    ]);
    expect(await warn(later(85 * DAY))).toEqual([]);
  });
});
