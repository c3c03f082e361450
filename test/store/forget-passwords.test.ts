import type { Pop3Account } from '../../core/account/account.ts';
import { accountInput, accountPatch } from '../../core/account/account-input.ts';
import { pop3AccountShown } from '../../core/account/account-shown.ts';
import {
  changeIncomingPassword,
  changeOutgoingPassword,
  createAccount,
  patchAccount,
  readAccount,
} from '../../core/account/account-store.ts';
import { activateAccount, askPoll } from '../../core/account/active-account-store.ts';
import { placeHold, releaseHold } from '../../core/addon-user/hold-store.ts';
import { lockMember } from '../../core/addon-user/lock-store.ts';
import { newId } from '../../core/ids.ts';
import { patchMember } from '../../core/member/member-store.ts';
import { forgetPasswords } from '../../core/retention/forget-passwords-store.ts';
import type { Table } from '../../core/table/client.ts';
import { auditPartition, hiddenMailKey, mailAccountKey, tenantKey } from '../../core/table/keys.ts';
import { interrupted } from '../support/interrupted.ts';
import { newOrganisation, PROFILES, startStores } from '../support/organisation.ts';
import { DAY, RetentionWorld } from '../support/retention-world.ts';

/** what is kept of who left is mail. The passwords of their mailboxes serve nothing when their days are over. */
let stores: Awaited<ReturnType<typeof startStores>>;
let table: Table;
beforeAll(async () => {
  stores = await startStores();
  ({ table } = stores);
});
afterAll(() => stores.end());

const OUTGOING = { host: 'smtp.example.com', port: 465, security: 'implicit', sameCredentials: false, userName: 'leaver' } as const;

/** Somebody who left: locked, and backed up. */
async function left(): Promise<RetentionWorld> {
  const world = new RetentionWorld(table);
  await world.begin(undefined, { administrators: 2 });
  await world.account({ outgoing: OUTGOING, outgoingPassword: 'sealed, too' });
  await world.fetched('kept');
  await lockMember(table, world.admin, world.leaver.member, { reason: 'Leaves' }, world.tick());
  await world.setStatus('deactivated');
  await world.backUp();
  return world;
}

const accountOf = async ({ leaver }: RetentionWorld) =>
  (await table.get<Pop3Account>(mailAccountKey(leaver.tenant, leaver.member, 'acc'))) as Pop3Account;
const passwordsOf = async (world: RetentionWorld) => {
  const { incomingPassword, outgoingPassword } = await accountOf(world);
  return [incomingPassword, outgoingPassword];
};
const SEALED = ['sealed', 'sealed, too'];
const GONE = [undefined, undefined];
const forget = (world: RetentionWorld) => forgetPasswords(world.table, world.now);
const setDays = ({ leaver }: RetentionWorld, hiddenMailDays: number) =>
  table.update(tenantKey(leaver.tenant), {
    update: 'SET mailPolicy = :policy',
    values: {
      ':policy': { defaultSharing: 'private', allowedSharing: ['public'], excludedDomains: [], excludedAddresses: [], hiddenMailDays },
    },
  });
const auditOf = async (world: RetentionWorld) => {
  const month = world.now.toISOString().slice(0, 7);
  const entries = await world.table.all<{ action: string; actor: string }>({ pk: auditPartition(world.leaver.tenant, month) });
  return entries.filter(({ action }) => action === 'mail-account.forget-passwords').map(({ actor }) => actor);
};

test('locked and backed up: the passwords go when the days are over, once; the account, the mail and the lock stay', async () => {
  const world = await left();
  world.tick(89 * DAY);
  await forget(world);
  expect(await passwordsOf(world)).toEqual(SEALED);
  world.tick(DAY + 60);
  await forget(world);
  expect(await passwordsOf(world)).toEqual(GONE);
  expect(await accountOf(world)).toMatchObject({
    address: 'leaver@example.com',
    state: 'auth-failed',
    lastError: { code: 'no-password', at: world.now.toISOString() },
    version: 2,
    credentials: 2,
  });
  expect(await world.seen()).toEqual(['kept']);
  expect(await auditOf(world)).toEqual(['retention']);
  const before = await accountOf(world);
  world.tick(3600);
  await forget(world);
  expect([await accountOf(world), await auditOf(world)]).toEqual([before, ['retention']]);
});

test('the days are those the organisation has set today', async () => {
  const world = await left();
  world.tick(91 * DAY);
  await setDays(world, 365);
  await forget(world);
  expect(await passwordsOf(world)).toEqual(SEALED);
  await setDays(world, 30);
  await forget(world);
  expect(await passwordsOf(world)).toEqual(GONE);
});

test('a hold keeps everything, the passwords included; when it is released they go', async () => {
  const world = await left();
  await placeHold(table, world.admin, world.leaver.member, { reason: 'Lawsuit' }, world.tick());
  world.tick(100 * DAY);
  await forget(world);
  expect(await passwordsOf(world)).toEqual(SEALED);
  await releaseHold(table, world.admin, world.leaver.member, world.tick());
  await forget(world);
  expect(await passwordsOf(world)).toEqual(GONE);
});

test('who came back keeps them; when they leave again they have all the days again', async () => {
  const world = await left();
  world.tick(80 * DAY);
  await world.setStatus('active');
  world.tick(20 * DAY);
  await forget(world);
  await world.setStatus('deactivated');
  world.tick(89 * DAY);
  await forget(world);
  expect(await passwordsOf(world)).toEqual(SEALED);
  world.tick(2 * DAY);
  await forget(world);
  expect(await passwordsOf(world)).toEqual(GONE);
});

test('R-33: a hosted mailbox has none, and stays as it is', async () => {
  const world = await left();
  await world.hosted('leaver-7k3m9q2x@in.example.com');
  const before = await accountOf(world);
  world.tick(100 * DAY);
  await forget(world);
  expect(await accountOf(world)).toEqual(before);
});

test('whoever comes back, or is put on hold, in the same moment keeps them', async () => {
  for (const change of ['active', 'hold'] as const) {
    const world = await left();
    world.tick(100 * DAY);
    const meanwhile = async () => {
      if (change === 'active') await world.setStatus('active');
      else await placeHold(table, world.admin, world.leaver.member, { reason: 'Lawsuit' }, world.tick());
    };
    await forgetPasswords(interrupted(table, meanwhile), world.now);
    expect({ change, passwords: await passwordsOf(world) }).toEqual({ change, passwords: SEALED });
    const hidden = await world.table.get<{ passwordsGoneAt?: string }>(hiddenMailKey(world.leaver.tenant, world.leaver.member));
    expect(hidden?.passwordsGoneAt).toBeUndefined();
  }
});

describe('who comes back afterwards', () => {
  const NOW = new Date('2026-03-01T09:00:00.000Z');
  const BACK = new Date(NOW.getTime() + 91 * DAY * 1000);

  /** Mika was away for 91 days; her mailbox had passwords of its own for both servers. */
  async function back() {
    const { boss, join } = await newOrganisation(stores, NOW);
    const viewer = await join('Mika', { sharing: { type: 'public', excludedDomains: [] } });
    const store = { table, vault: stores.vault };
    const form = accountInput.parse({
      name: 'Sales',
      address: 'mika@example.com',
      incoming: { host: 'pop.example.com', userName: 'mika', password: 'canary' },
      outgoing: { host: 'smtp.example.com', userName: 'mika', password: 'canary' },
    });
    const { id } = await createAccount(store, viewer, form, newId(NOW), NOW);
    const setStatus = (status: 'active' | 'deactivated', now: Date) => patchMember(table, boss, PROFILES, viewer.member, { status }, now);
    await setStatus('deactivated', NOW);
    await forgetPasswords(table, BACK);
    await setStatus('active', BACK);
    const read = async () => (await readAccount(table, viewer, id)) as Pop3Account;
    return { store, boss, viewer, id, read };
  }
  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => 'done',
      ({ code }: { code?: string }) => code,
    );

  test('R-37, R-44: is told what happened and what to do; nothing is tried without a password', async () => {
    const { store, viewer, id, read } = await back();
    const account = await read();
    expect([account.slot, account.active, account.state]).toEqual([undefined, true, 'auth-failed']);
    const shown = pop3AccountShown(account, {}, BACK);
    expect(shown.lastError).toMatchObject({ code: 'no-password', advice: { what: { en: expect.stringMatching(/password was deleted/) } } });
    expect(shown.warnings.map(({ code }) => code)).toEqual(['no-outgoing-password']);
    expect(await codeOf(askPoll(table, viewer, id, BACK))).toBe('no-password');
    const patch = (change: object) => patchAccount(store, viewer, id, accountPatch.parse(change), BACK);
    expect(await codeOf(patch({ incoming: { security: 'starttls' } }))).toBe('password-needed');
    expect(await codeOf(patch({ incoming: { userName: 'mika2' } }))).toBe('password-needed');
    expect(await codeOf(patch({ name: 'Other', deletion: { policy: 'delete-at-once' } }))).toBe('done');
    expect(await codeOf(activateAccount(table, viewer, id, BACK))).toBe('done');
    expect(await read()).toMatchObject({ name: 'Other', state: 'auth-failed', lastError: { code: 'no-password' } });
    expect((await read()).slot).toBeUndefined();
  });

  test('POP-23, POP-26, R-27: enters each again, locked or not, and the mailbox is read again', async () => {
    const { store, boss, viewer, id, read } = await back();
    await lockMember(table, boss, viewer.member, { reason: 'Leaves again' }, BACK);
    const after = await changeIncomingPassword(store, viewer, id, 'new', BACK);
    expect([after.state, after.lastError, after.slot]).toEqual(['never-synced', undefined, expect.any(String)]);
    expect(pop3AccountShown(after, {}, BACK).warnings.map(({ code }) => code)).toEqual(['no-outgoing-password']);
    await changeOutgoingPassword(store, viewer, id, { password: 'new' }, BACK);
    expect(pop3AccountShown(await read(), {}, BACK).warnings).toEqual([]);
    expect(await codeOf(askPoll(table, viewer, id, BACK))).toBe('done');
  });

  test('another server, with its password, is taken as ever', async () => {
    const { store, viewer, id, read } = await back();
    const incoming = { host: 'pop.other.example', userName: 'mika', password: 'new' };
    await patchAccount(store, viewer, id, accountPatch.parse({ incoming }), BACK);
    expect(await read()).toMatchObject({ state: 'never-synced', incoming: { host: 'pop.other.example' }, slot: expect.any(String) });
  });
});
