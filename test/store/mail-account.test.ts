import { ScanCommand } from '@aws-sdk/lib-dynamodb';
import type { Pop3Account } from '../../core/account/account.ts';
import { outgoingUserName } from '../../core/account/account-form.ts';
import { accountInput } from '../../core/account/account-input.ts';
import { accountsShown, pop3AccountShown } from '../../core/account/account-shown.ts';
import {
  changeIncomingPassword,
  changeOutgoingPassword,
  createAccount,
  openPassword,
  patchAccount,
  readAccount,
  readMailboxes,
  readPop3Account,
  removeAccount,
} from '../../core/account/account-store.ts';
import { activateAccount, askPoll, makeMain } from '../../core/account/active-account-store.ts';
import { chooseFromAddress, listFromAddresses } from '../../core/account/from-address-store.ts';
import { readMailSettings } from '../../core/account/mail-settings-store.ts';
import { slotOf } from '../../core/account/slot.ts';
import { ownDropbox } from '../../core/dropbox/dropbox-store.ts';
import { addSender, verifySender } from '../../core/dropbox/sender-store.ts';
import { newId, type TenantId } from '../../core/ids.ts';
import { FIRST_SYNC_DAYS, MAX_MAIL_ACCOUNTS, MAX_PASSWORD_CHARS, POLL_NOW_SECONDS } from '../../core/limits.ts';
import { patchMember } from '../../core/member/member-store.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import type { Table } from '../../core/table/client.ts';
import { auditPartition, mailAccountKey, slotPartition } from '../../core/table/keys.ts';
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
const later = (ms: number) => new Date(NOW.getTime() + ms);
const MINUTE = 60_000;

/** An administrator and mika, who sets mailboxes up. */
async function world() {
  const { tenant, boss, join } = await newOrganisation(stores, NOW);
  const viewer = await join('Mika');
  const store = { table, vault: stores.vault };
  let count = 0;
  const add = (more: object = {}, incoming: object = {}) => {
    const nth = ++count;
    const input = form({ ...more, incoming: { userName: `mika${nth}`, ...incoming } });
    return createAccount(store, viewer, input, newId(later(nth)), NOW);
  };
  return { tenant, store, boss, viewer, add };
}

const form = ({ incoming = {}, ...more }: { incoming?: object } & Record<string, unknown> = {}) =>
  accountInput.parse({
    name: 'Sales',
    address: 'Mika@Example.com',
    incoming: { host: 'pop.example.com', password: 'canary', ...incoming },
    ...more,
  });

/** Accounts of a tenant that stand in the timetable at a place. */
async function dueAt(slot: string, tenant: TenantId): Promise<string[]> {
  const items = await table.all<{ tenant: string; account: string }>({ pk: slotPartition(slot) });
  return items.filter((item) => item.tenant === tenant).map(({ account }) => account);
}

/** All of a tenant's accounts that stand somewhere in the timetable, once for each place. */
async function timetable(tenant: TenantId): Promise<string[]> {
  const { Items = [] } = await table.client.send(
    new ScanCommand({
      TableName: table.name,
      FilterExpression: 'begins_with(pk, :d) AND tenant = :tenant',
      ExpressionAttributeValues: { ':d': 'D#', ':tenant': tenant },
    }),
  );
  return Items.map(({ account }) => account as string).sort();
}

const activeOnes = async (viewer: Viewer) =>
  (await readMailboxes(table, viewer)).accounts.filter(({ active }) => active).map(({ id }) => id);

/** What polls write: the account as it stands after some of them. */
async function polled(account: Pop3Account, state: Partial<Pop3Account>): Promise<Pop3Account> {
  const item = { ...(await readMailAccount(account)), ...state };
  await table.put({ ...mailAccountKey(account.tenant, account.member, account.id), ...item });
  return item;
}
const readMailAccount = async ({ tenant, member, id }: Pop3Account) =>
  (await table.get<Pop3Account>(mailAccountKey(tenant, member, id))) as Pop3Account;

describe('setting up', () => {
  test('POP-8, POP-10, POP-11, POP-19, R-39: what the form says is kept; TLS, its port, the address as user name and thirty days unless told', async () => {
    const { store, viewer } = await world();
    const { incoming, ...rest } = await createAccount(store, viewer, form(), newId(NOW), NOW);
    expect(incoming).toEqual({ host: 'pop.example.com', port: 995, security: 'implicit', userName: 'mika@example.com' });
    expect(rest).toMatchObject({ name: 'Sales', address: 'mika@example.com', protocol: 'pop3', deletion: { policy: 'leave' } });
    expect(rest).toMatchObject({ state: 'never-synced', since: later(-FIRST_SYNC_DAYS * 1440 * MINUTE).toISOString() });
    const plain = { host: 'POP.Example.org.', security: 'none', userName: 'mika' };
    const other = await createAccount(store, viewer, form({ incoming: plain, since: '2026-01-01T09:00:00+09:00' }), newId(NOW), NOW);
    expect(other.incoming).toEqual({ host: 'pop.example.org', port: 110, security: 'none', userName: 'mika' });
    expect(other.since).toBe('2026-01-01T00:00:00.000Z');
    expect(pop3AccountShown(other, {}, NOW).warnings).toMatchObject([{ code: 'incoming-not-encrypted' }]);
    expect((await readMailboxes(table, viewer)).accounts).toHaveLength(2);
  });

  test('POP-9, POP-14, INB-17: where the provider is known its servers are filled in; where it is not, its owner is asked', async () => {
    const { store, viewer, add } = await world();
    const bare = (address: string, more: object = {}) => accountInput.parse({ name: 'x', address, incoming: { password: 'x', ...more } });
    const made = (input: ReturnType<typeof bare>) => createAccount(store, viewer, input, newId(NOW), NOW);
    expect(await made(bare('mika@gmail.com'))).toMatchObject({
      incoming: { host: 'pop.gmail.com', port: 995, security: 'implicit', userName: 'mika@gmail.com' },
      outgoing: { host: 'smtp.gmail.com', port: 465, security: 'implicit', sameCredentials: true },
    });
    expect((await made(bare('mika@web.de'))).incoming.userName).toBe('mika');
    // A firm's own address, at a provider that is known by the server.
    const firm = await made(bare('mika@example.com', { host: 'POP.gmail.com', userName: 'recent:mika@example.com' }));
    expect(firm.outgoing).toEqual({ host: 'smtp.gmail.com', port: 465, security: 'implicit', sameCredentials: true });
    expect(outgoingUserName(firm)).toBe('mika@example.com');
    // Another server than the provider's: nothing is said about what is sent through.
    const own = await made(bare('other@gmail.com', { host: 'pop.example.net', security: 'starttls' }));
    expect([own.incoming.port, own.outgoing]).toEqual([110, undefined]);
    await expect(made(bare('mika@nobody.example'))).rejects.toMatchObject({ code: 'server-needed' });
    const advice = { what: { en: expect.stringContaining('iCloud') } };
    await expect(made(bare('mika@icloud.com'))).rejects.toMatchObject({ code: 'server-needed', extra: { advice } });
    const exchange = pop3AccountShown(await add({}, { host: 'outlook.office365.com' }), {}, NOW);
    expect(exchange.warnings).toMatchObject([{ code: 'no-password-pop' }]);
  });

  test('POP-24, INB-16: what its server refused is told in words, with what to do', async () => {
    const { add } = await world();
    const account = await add({}, { host: 'pop.gmail.com' });
    const failed = await polled(account, { lastError: { at: NOW.toISOString(), code: 'app-password-required', server: 'no' } });
    expect(pop3AccountShown(failed, {}, NOW).lastError).toMatchObject({
      code: 'app-password-required',
      server: 'no',
      advice: {
        todo: { en: expect.stringContaining('app-specific password'), ja: expect.any(String) },
        link: expect.stringMatching(/^https:/),
      },
    });
  });

  test('R-39: the end of the first sync is estimated by how it went so far', async () => {
    const { add } = await world();
    const sync = { startedAt: NOW.toISOString(), found: 100, fetched: 20, filed: 10, skipped: 5, bytes: 1 };
    const syncing = await polled(await add(), { state: 'syncing', sync });
    const estimated = (more: object) => pop3AccountShown({ ...syncing, sync: { ...sync, ...more } }, {}, later(MINUTE)).sync.estimatedEndAt;
    expect(estimated({})).toBe(later(4 * MINUTE).toISOString());
    for (const more of [{ fetched: 0, skipped: 0 }, { doneAt: NOW.toISOString() }, { startedAt: undefined }, { found: 3 }])
      expect(estimated(more)).toBeUndefined();
  });

  test('POP-3: IMAP is refused', async () => {
    const { add } = await world();
    await expect(add({ protocol: 'imap' })).rejects.toMatchObject({ status: 422, code: 'imap-not-supported' });
  });

  test('what is no address, no server, no time that is past, or would end a command is refused', async () => {
    const { add } = await world();
    await expect(add({ address: 'nobody' })).rejects.toMatchObject({ code: 'invalid-address' });
    for (const host of ['a b', 'pop/example', '.', 'pop@example.com'])
      await expect(add({}, { host })).rejects.toMatchObject({ code: 'invalid-server' });
    await expect(add({ since: later(1000).toISOString() })).rejects.toMatchObject({ code: 'since-in-future' });
    const fits = (incoming: object) =>
      accountInput.safeParse({ name: 'x', address: 'x', incoming: { password: 'x', ...incoming } }).success;
    expect([fits({}), fits({ password: 'a\r\nDELE 1' }), fits({ userName: 'a\nQUIT' }), fits({ password: 'a\0' })]).toEqual([
      true,
      false,
      false,
      false,
    ]);
    expect([fits({ password: 'x'.repeat(MAX_PASSWORD_CHARS) }), fits({ password: 'x'.repeat(MAX_PASSWORD_CHARS + 1) })]).toEqual([
      true,
      false,
    ]);
  });

  test('POP-15, R-36: leave, delete after 1 to 365 days, delete at once', async () => {
    const { add } = await world();
    for (const deletion of [{ policy: 'leave' }, { policy: 'delete-after-days', days: 365 }, { policy: 'delete-at-once' }])
      expect((await add({ deletion })).deletion).toEqual(deletion);
    for (const days of [0, 366, 1.5]) expect(() => form({ deletion: { policy: 'delete-after-days', days } })).toThrow();
  });

  test('POP-16, POP-17, R-36: Gmail that others read too is read as `recent:`, and then mail is left on the server', async () => {
    const { store, viewer, add } = await world();
    const gmail = { host: 'pop.gmail.com', userName: 'mika@gmail.com' };
    const refused = { status: 422, code: 'recent-needs-leave' };
    await expect(add({ readByOtherClients: true, deletion: { policy: 'delete-at-once' } }, gmail)).rejects.toMatchObject(refused);
    await expect(add({ deletion: { policy: 'delete-at-once' } }, { ...gmail, userName: 'Recent:mika@gmail.com' })).rejects.toMatchObject(
      refused,
    );
    const account = await add({ readByOtherClients: true }, gmail);
    expect(account.incoming.userName).toBe('recent:mika@gmail.com');
    await expect(patchAccount(store, viewer, account.id, { deletion: { policy: 'delete-at-once' } }, NOW)).rejects.toMatchObject(refused);
    await patchAccount(
      store,
      viewer,
      account.id,
      { deletion: { policy: 'delete-at-once' }, incoming: { userName: 'mika@gmail.com' } },
      NOW,
    );
    expect((await add({ readByOtherClients: true }, { userName: 'else' })).incoming.userName).toBe('else');
    expect((await add({}, { ...gmail, userName: 'other@gmail.com' })).incoming.userName).toBe('other@gmail.com');
  });

  test('POP-13, C-9: the outgoing server takes the incoming credentials, or has its own', async () => {
    const { store, add } = await world();
    const same = await add({ outgoing: { host: 'smtp.example.com', sameCredentials: true } });
    expect(same.outgoing).toEqual({ host: 'smtp.example.com', port: 465, security: 'implicit', sameCredentials: true });
    expect(await openPassword(store.vault, same, 'outgoing')).toBeUndefined();
    const own = await add({ outgoing: { host: 'smtp.example.com', security: 'starttls', userName: 'out', password: 'other' } });
    expect(own.outgoing).toEqual({ host: 'smtp.example.com', port: 587, security: 'starttls', sameCredentials: false, userName: 'out' });
    expect([await openPassword(store.vault, own, 'incoming'), await openPassword(store.vault, own, 'outgoing')]).toEqual([
      'canary',
      'other',
    ]);
    await expect(add({ outgoing: { host: 'smtp.example.com', sameCredentials: true, password: 'x' } })).rejects.toMatchObject({
      code: 'outgoing-credentials',
    });
    await expect(add({ outgoing: { host: 'smtp.example.com', sameCredentials: false } })).rejects.toMatchObject({
      code: 'password-needed',
    });
  });

  test(`POP-6: ${MAX_MAIL_ACCOUNTS} accounts, one more is refused; the same mailbox twice as well, in any mode`, async () => {
    const { viewer, add } = await world();
    const { id } = await add({}, { userName: 'Twice@example.com' });
    for (const userName of ['Twice@example.com', 'twice@example.com', 'recent:twice@example.com'])
      await expect(add({}, { userName })).rejects.toMatchObject({ status: 409, code: 'duplicate-account', extra: { existing: id } });
    for (let i = 1; i < MAX_MAIL_ACCOUNTS; i++) await add();
    await expect(add()).rejects.toMatchObject({ status: 409, code: 'too-many-accounts' });
    expect((await readMailboxes(table, viewer)).accounts).toHaveLength(MAX_MAIL_ACCOUNTS);
  });

  test('the same mailbox set up twice in one moment is there once', async () => {
    const { viewer, add } = await world();
    const tries = await Promise.allSettled([1, 2, 3].map(() => add({}, { userName: 'same' })));
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect((await readMailboxes(table, viewer)).accounts).toHaveLength(1);
  });

  test("GEN-2: nobody reaches another's account, an administrator neither", async () => {
    const { boss, viewer, store, add } = await world();
    const { id } = await add();
    for (const reach of [
      () => readAccount(table, boss, id),
      () => patchAccount(store, boss, id, { name: 'x' }, NOW),
      () => activateAccount(table, boss, id, NOW),
      () => removeAccount(table, boss, id, NOW),
      () => changeIncomingPassword(store, boss, id, 'x', NOW),
    ])
      await expect(reach()).rejects.toMatchObject({ status: 404 });
    expect((await readMailboxes(table, boss)).accounts).toEqual([]);
    expect((await readAccount(table, viewer, id)).version).toBe(1);
  });
});

describe('one is active', () => {
  test('POP-7, POP-20: the first is active and main by itself, and stands in the timetable; the second waits', async () => {
    const { tenant, viewer, add } = await world();
    const [one, two] = [await add(), await add()];
    expect([one.active, two.active, two.slot]).toEqual([true, false, undefined]);
    expect(await readMailSettings(table, tenant, viewer.member)).toMatchObject({ active: one.id, main: one.id });
    expect(await dueAt(slotOf(one, { at: later(MINUTE).toISOString() }), tenant)).toEqual([one.id]);
    await makeMain(table, viewer, two.id, NOW);
    const { items } = accountsShown(await readMailboxes(table, viewer), NOW);
    expect(items.map((shown) => [shown.active, shown.main, 'nextPollAt' in shown ? shown.nextPollAt : undefined])).toEqual([
      [true, false, '2026-03-01T09:01:00.000Z'],
      [false, true, undefined],
    ]);
  });

  test('POP-7: activating one deactivates the other, and takes its place in the timetable', async () => {
    const { tenant, viewer, add } = await world();
    const [one, two] = [await add(), await add()];
    expect(await activateAccount(table, viewer, two.id, NOW)).toMatchObject({ active: true });
    expect(await activeOnes(viewer)).toEqual([two.id]);
    expect((await readMailAccount(one)).slot).toBeUndefined();
    expect(await timetable(tenant)).toEqual([two.id]);
  });

  test('POP-7: activated many at once, in any order, exactly one is active and polled', async () => {
    const { tenant, viewer, add } = await world();
    const accounts = [await add(), await add(), await add(), await add()];
    for (let round = 0; round < 5; round++) {
      const tries = await Promise.allSettled(accounts.map(({ id }) => activateAccount(table, viewer, id, NOW)));
      expect(tries.some(({ status }) => status === 'fulfilled')).toBe(true);
      const active = await activeOnes(viewer);
      expect([active, await timetable(tenant)]).toEqual([[(await readMailSettings(table, tenant, viewer.member)).active], active]);
    }
  });

  test('POP-7: an account that a poll moves in the same moment stands at one place', async () => {
    const { tenant, viewer, add } = await world();
    const [one, two] = [await add(), await add()];
    const moved = slotOf(one, { every: 20 });
    const poll = async () => {
      await table.delete({ pk: slotPartition(one.slot ?? ''), sk: `${tenant}#${viewer.member}#${one.id}` });
      await table.put({ pk: slotPartition(moved), sk: `${tenant}#${viewer.member}#${one.id}`, tenant, account: one.id });
      await polled(one, { slot: moved });
    };
    await activateAccount(interrupted(table, poll), viewer, two.id, NOW);
    expect(await timetable(tenant)).toEqual([two.id]);
  });

  test('POP-28, R-44: when the active one is removed, none is read, and its owner is told to choose another', async () => {
    const { tenant, viewer, add } = await world();
    const [one, two] = [await add(), await add()];
    expect(accountsShown(await readMailboxes(table, viewer), NOW).notice).toBeUndefined();
    await removeAccount(table, viewer, one.id, NOW);
    expect(await timetable(tenant)).toEqual([]);
    expect(await readMailSettings(table, tenant, viewer.member)).not.toHaveProperty('active');
    expect(await readMailSettings(table, tenant, viewer.member)).not.toHaveProperty('main');
    expect(accountsShown(await readMailboxes(table, viewer), NOW)).toMatchObject({
      items: [{ id: two.id, active: false }],
      notice: { code: 'mailbox-unavailable' },
    });
    await activateAccount(table, viewer, two.id, NOW);
    expect(accountsShown(await readMailboxes(table, viewer), NOW).notice).toBeUndefined();
    await polled(two, { active: true, lastError: { at: NOW.toISOString(), code: 'mailbox-unavailable' } });
    expect(accountsShown(await readMailboxes(table, viewer), NOW).notice).toMatchObject({ code: 'mailbox-unavailable' });
    await expect(activateAccount(table, viewer, one.id, NOW)).rejects.toMatchObject({ status: 404 });
  });

  test('R-33: a member who is deactivated is not polled any more, and again when they are back', async () => {
    const { tenant, boss, viewer, add } = await world();
    const [one] = [await add(), await add()];
    const patch = (status: 'active' | 'deactivated') => patchMember(table, boss, PROFILES, viewer.member, { status }, NOW);
    await patch('deactivated');
    expect([await timetable(tenant), (await readMailAccount(one)).ownerDeactivatedAt]).toEqual([[], NOW.toISOString()]);
    await patch('active');
    expect([await timetable(tenant), (await readMailAccount(one)).ownerDeactivatedAt]).toEqual([[one.id], undefined]);
  });

  test('R-33: an account made, or activated, while its owner is deactivated is not polled', async () => {
    const { tenant, boss, viewer, store, add } = await world();
    const deactivate = () => patchMember(table, boss, PROFILES, viewer.member, { status: 'deactivated' }, NOW);
    const meanwhile = { ...store, table: interrupted(table, deactivate) };
    await expect(createAccount(meanwhile, viewer, form(), newId(NOW), NOW)).rejects.toMatchObject({ code: 'changed-meanwhile' });
    expect(await timetable(tenant)).toEqual([]);
    await patchMember(table, boss, PROFILES, viewer.member, { status: 'active' }, NOW);
    // The other way round: the account is there a moment before the member is deactivated.
    await patchMember(
      interrupted(table, () => add()),
      boss,
      PROFILES,
      viewer.member,
      { status: 'deactivated' },
      NOW,
    );
    expect(await timetable(tenant)).toEqual([]);
  });

  test('R-38: "poll now" is for the active account, once a minute', async () => {
    const { viewer, add } = await world();
    const [one, two] = [await add(), await add()];
    await expect(askPoll(table, viewer, two.id, NOW)).rejects.toMatchObject({ status: 409, code: 'not-active' });
    await askPoll(table, viewer, one.id, NOW);
    await expect(askPoll(table, viewer, one.id, later(20_000))).rejects.toMatchObject({ status: 429, headers: { 'Retry-After': '40' } });
    await expect(askPoll(table, viewer, one.id, later(POLL_NOW_SECONDS * 1000 - 1))).rejects.toMatchObject({ status: 429 });
    await askPoll(table, viewer, one.id, later(POLL_NOW_SECONDS * 1000));
    await polled(one, { state: 'auth-failed', slot: undefined });
    await expect(askPoll(table, viewer, one.id, later(5 * MINUTE))).rejects.toMatchObject({ status: 409, code: 'password-refused' });
  });
});

describe('changing', () => {
  test('R-37, POP-23, POP-25, C-10: a new incoming password resumes an account whose password was refused; the outgoing one stays', async () => {
    const { tenant, viewer, store, add } = await world();
    const account = await add({ outgoing: { host: 'smtp.example.com', userName: 'out', password: 'outgoing' } });
    await table.delete({ pk: slotPartition(account.slot ?? ''), sk: `${tenant}#${viewer.member}#${account.id}` });
    const lastError = { at: NOW.toISOString(), code: 'wrong-password' as const };
    await polled(account, {
      state: 'auth-failed',
      authFailures: 3,
      slot: undefined,
      lastError,
      sync: { ...account.sync, doneAt: NOW.toISOString() },
    });
    const after = await changeIncomingPassword(store, viewer, account.id, 'new', later(MINUTE));
    expect(after).toMatchObject({ state: 'ok', authFailures: 0, credentials: 2, version: 2 });
    expect(after.lastError).toBeUndefined();
    expect(await timetable(tenant)).toEqual([account.id]);
    expect([await openPassword(store.vault, after, 'incoming'), await openPassword(store.vault, after, 'outgoing')]).toEqual([
      'new',
      'outgoing',
    ]);
  });

  test('R-37: activating an account whose password was refused does not have it refused again', async () => {
    const { tenant, viewer, add } = await world();
    const [, two] = [await add(), await add()];
    await polled(two, { state: 'auth-failed', authFailures: 3 });
    await activateAccount(table, viewer, two.id, NOW);
    expect(await timetable(tenant)).toEqual([]);
  });

  test('POP-26: the outgoing password changes alone, and nothing is polled for it', async () => {
    const { viewer, store, add } = await world();
    const account = await add({ outgoing: { host: 'smtp.example.com' } });
    const after = await changeOutgoingPassword(store, viewer, account.id, { password: 'new' }, NOW);
    expect(after).toMatchObject({ credentials: 1, slot: account.slot, outgoing: { sameCredentials: false, userName: 'mika1' } });
    expect([await openPassword(store.vault, after, 'incoming'), await openPassword(store.vault, after, 'outgoing')]).toEqual([
      'canary',
      'new',
    ]);
    const without = await add();
    await expect(changeOutgoingPassword(store, viewer, without.id, { password: 'x' }, NOW)).rejects.toMatchObject({
      code: 'no-outgoing-server',
    });
  });

  test('another server is tried at once and its maildrop looked at anew; a new name changes nothing of that', async () => {
    const { viewer, store, add } = await world();
    const account = await add();
    const snapshot = { count: 1, octets: 1, first: 'a', last: 'b', digest: 'c' };
    await polled(account, { snapshot, state: 'ok' });
    const renamed = await patchAccount(store, viewer, account.id, { name: 'Other', address: 'x@example.com' }, NOW);
    expect(renamed).toMatchObject({
      name: 'Other',
      address: 'x@example.com',
      credentials: 1,
      state: 'ok',
      snapshot,
      slot: account.slot,
      version: 2,
    });
    const otherPort = await patchAccount(store, viewer, account.id, { incoming: { security: 'starttls' } }, later(3 * MINUTE));
    expect(otherPort).toMatchObject({ credentials: 2, snapshot, incoming: { port: 110, host: 'pop.example.com' } });
    expect(otherPort.slot).toBe(slotOf(account, { at: later(4 * MINUTE).toISOString() }));
    await patchAccount(store, viewer, account.id, { incoming: { userName: 'else' } }, NOW);
    const other = await readPop3Account(table, viewer, account.id);
    expect([other.credentials, other.snapshot]).toEqual([3, undefined]);
  });

  test('a stored password is never sent to a server that is new to the account', async () => {
    const { viewer, store, add } = await world();
    const { id } = await add({ outgoing: { host: 'smtp.example.com', sameCredentials: true } });
    const patch = async (body: Parameters<typeof patchAccount>[3]) => {
      await patchAccount(store, viewer, id, body, NOW);
      return readPop3Account(table, viewer, id);
    };
    const refused = { status: 422, code: 'password-needed' };
    await expect(patch({ incoming: { host: 'thief.example' } })).rejects.toMatchObject(refused);
    await expect(patch({ outgoing: { host: 'thief.example', sameCredentials: true } })).rejects.toMatchObject(refused);
    await changeOutgoingPassword(store, viewer, id, { password: 'own' }, NOW);
    await expect(patch({ outgoing: { host: 'thief.example', userName: 'x' } })).rejects.toMatchObject(refused);
    const moved = await patch({ incoming: { host: 'new.example', password: 'new' }, outgoing: { host: 'out.example', password: 'too' } });
    expect([await openPassword(store.vault, moved, 'incoming'), await openPassword(store.vault, moved, 'outgoing')]).toEqual([
      'new',
      'too',
    ]);
    expect((await patch({ outgoing: { host: 'out.example', sameCredentials: true } })).outgoingPassword).toBeUndefined();
    expect((await patch({ outgoing: null })).outgoing).toBeUndefined();
  });

  test('a stale version is refused, and nothing is changed; an account may not become the twin of another', async () => {
    const { viewer, store, add } = await world();
    const [one, two] = [await add(), await add()];
    await patchAccount(store, viewer, one.id, { name: 'B' }, NOW, 1);
    const stale = { status: 412 };
    await expect(patchAccount(store, viewer, one.id, { name: 'C' }, NOW, 1)).rejects.toMatchObject(stale);
    await expect(changeIncomingPassword(store, viewer, one.id, 'x', NOW, 1)).rejects.toMatchObject(stale);
    await expect(changeOutgoingPassword(store, viewer, one.id, { password: 'x' }, NOW, 1)).rejects.toMatchObject(stale);
    await expect(removeAccount(table, viewer, one.id, NOW, 1)).rejects.toMatchObject(stale);
    expect(await readMailAccount(one)).toMatchObject({ name: 'B', version: 2 });
    const twin = { incoming: { userName: 'MIKA1' } };
    await expect(patchAccount(store, viewer, two.id, twin, NOW)).rejects.toMatchObject({ code: 'duplicate-account' });
  });

  test('a change that meets a poll is done all the same', async () => {
    const { viewer, store, add } = await world();
    const account = await add();
    const poll = () => polled(account, { slot: slotOf(account, { every: 5 }), totals: { filed: 7, deleted: 0 } });
    const after = await changeIncomingPassword({ ...store, table: interrupted(table, poll) }, viewer, account.id, 'new', NOW);
    expect(after).toMatchObject({ totals: { filed: 7 }, credentials: 2 });
  });

  test('every change is in the audit, and no password is in it, nor anywhere else in clear', async () => {
    const { tenant, viewer, store, add } = await world();
    const { id } = await add({ outgoing: { host: 'smtp.example.com', userName: 'o', password: 'canary' } }, { password: 'canary' });
    await patchAccount(store, viewer, id, { incoming: { host: 'pop.example.org', password: 'canary' } }, NOW);
    await changeIncomingPassword(store, viewer, id, 'canary', NOW);
    await changeOutgoingPassword(store, viewer, id, { password: 'canary' }, NOW);
    await activateAccount(table, viewer, (await add()).id, NOW);
    await makeMain(table, viewer, (await add()).id, NOW);
    await removeAccount(table, viewer, id, NOW);
    const audit = await table.all<{ action: string }>({ pk: auditPartition(tenant, NOW.toISOString().slice(0, 7)) });
    const verbs = ['create', 'change', 'change-incoming-password', 'change-outgoing-password', 'activate', 'make-main', 'remove'];
    expect(audit.map(({ action }) => action)).toEqual(expect.arrayContaining(verbs.map((verb) => `mail-account.${verb}`)));
    const mailboxes = await readMailboxes(table, viewer);
    expect(JSON.stringify([audit, mailboxes, accountsShown(mailboxes, NOW)])).not.toContain('canary');
  });
});

describe('FRM-1: the address one sends from', () => {
  test('all of a member’s addresses are listed, each once; one of them is chosen', async () => {
    const { viewer, store, add } = await world();
    const dropboxes = { ...store, mailDomain: 'in.example.com' };
    await ownDropbox(dropboxes, viewer, NOW);
    const { sender, code = '' } = await addSender(dropboxes, viewer, 'home@example.org', NOW);
    await addSender(dropboxes, viewer, 'not-proved@example.org', NOW);
    const listed = async () => (await listFromAddresses(table, viewer)).items;
    expect(await listed()).toEqual([{ address: 'mika@example.com', chosen: true, sources: ['login', 'sender'] }]);
    await verifySender(dropboxes, viewer, sender.id, code, NOW);
    await add({ address: 'sales@example.com' });
    const { id } = await add({ address: 'home@example.org' });
    expect(await listed()).toEqual([
      { address: 'mika@example.com', chosen: false, sources: ['login', 'sender'] },
      { address: 'home@example.org', chosen: false, sources: ['sender', 'account'] },
      { address: 'sales@example.com', chosen: true, sources: ['account'] },
    ]);
    const { version } = await chooseFromAddress(table, viewer, 'Home@Example.org', NOW);
    await removeAccount(table, viewer, id, NOW);
    expect((await listed()).filter(({ chosen }) => chosen)).toEqual([{ address: 'home@example.org', chosen: true, sources: ['sender'] }]);
    await expect(chooseFromAddress(table, viewer, 'mika@example.com', NOW, version)).rejects.toMatchObject({ status: 412 });
    for (const address of ['not-proved@example.org', 'boss@example.com', 'nobody'])
      await expect(chooseFromAddress(table, viewer, address, NOW)).rejects.toMatchObject({ status: 422, code: 'not-your-address' });
  });
});
