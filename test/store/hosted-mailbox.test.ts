import { ScanCommand } from '@aws-sdk/lib-dynamodb';
import { accountInput, hostedMailboxInput } from '../../core/account/account-input.ts';
import { accountsShown } from '../../core/account/account-shown.ts';
import {
  changeIncomingPassword,
  changeOutgoingPassword,
  createAccount,
  patchAccount,
  readAccount,
  readMailboxes,
  readPop3Account,
  removeAccount,
} from '../../core/account/account-store.ts';
import { activateAccount, askPoll, makeMain } from '../../core/account/active-account-store.ts';
import { listFromAddresses } from '../../core/account/from-address-store.ts';
import { createHostedMailbox } from '../../core/account/hosted-mailbox-store.ts';
import { readMailSettings } from '../../core/account/mail-settings-store.ts';
import { listPolls } from '../../core/account/poll-history-store.ts';
import { saveSettings } from '../../core/account/save-settings-store.ts';
import { listAddonUsers } from '../../core/addon-user/addon-user-store.ts';
import { lockMember } from '../../core/addon-user/lock-store.ts';
import { newId, sha256, type TenantId } from '../../core/ids.ts';
import { MAX_HOSTED_NAME_CHARS, MAX_MAIL_ACCOUNTS } from '../../core/limits.ts';
import { patchMember } from '../../core/member/member-store.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import { isAutomaticSender, normaliseAddress } from '../../core/message/address.ts';
import { isNew, type Table } from '../../core/table/client.ts';
import { hostedAddressKey } from '../../core/table/keys.ts';
import { MAIL_DOMAIN } from '../support/dropbox-world.ts';
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

/** An administrator, and a member with this login address who makes hosted mailboxes and POP3 accounts. */
async function world(email = 'mika.sato@example.com') {
  const { tenant, boss, join } = await newOrganisation(stores, NOW);
  const viewer = await join('Mika', { email, mailAddOn: true });
  const store = { table, vault: stores.vault };
  let count = 0;
  const host = (more: object = {}) =>
    createHostedMailbox(
      { table, mailDomain: MAIL_DOMAIN },
      viewer,
      hostedMailboxInput.parse({ name: 'Here', ...more }),
      newId(later(++count)),
      NOW,
    );
  const pop3 = () => {
    const incoming = { host: 'pop.example.com', userName: `mika${++count}`, password: 'secret' };
    const form = accountInput.parse({ name: 'There', address: 'mika@example.com', incoming });
    return createAccount(store, viewer, form, newId(later(count)), NOW);
  };
  return { tenant, boss, viewer, store, host, pop3 };
}

/** Accounts of a tenant that stand in the timetable. */
async function timetable(tenant: TenantId): Promise<string[]> {
  const FilterExpression = 'begins_with(pk, :d) AND tenant = :tenant';
  const values = { ':d': 'D#', ':tenant': tenant };
  const { Items = [] } = await table.client.send(
    new ScanCommand({ TableName: table.name, FilterExpression, ExpressionAttributeValues: values }),
  );
  return Items.map(({ account }) => account as string);
}
const shownOf = async (viewer: Viewer) => accountsShown(await readMailboxes(table, viewer), NOW);
const activeOnes = async (viewer: Viewer) => (await shownOf(viewer)).items.filter(({ active }) => active).map(({ id }) => id);
const owner = (address: string) => table.get<{ retiredAt?: string }>(hostedAddressKey(sha256(address)));
const HOSTED = { status: 409, code: 'hosted-mailbox' };

describe('R-43: a mailbox that is received here', () => {
  test('POP-1, POP-4, POP-5: is made from inside the product, stands in the list, and is picked without any POP account', async () => {
    const { tenant, viewer, host } = await world();
    const made = await host();
    expect(made.address).toMatch(new RegExp(`^mika\\.sato-[0-9a-z]{8}@${MAIL_DOMAIN}$`));
    const { items, notice } = await shownOf(viewer);
    expect(items).toMatchObject([
      { id: made.id, name: 'Here', address: made.address, protocol: 'hosted', state: 'receiving', active: true, main: true, warnings: [] },
    ]);
    expect(notice).toBeUndefined();
    expect(await owner(made.address)).toMatchObject({ tenant, member: viewer.member, account: made.id });
    expect(await timetable(tenant)).toEqual([]);
    expect((await listFromAddresses(table, viewer)).items).toContainEqual({ address: made.address, chosen: true, sources: ['account'] });
  });

  test('REC-1: it is offered and not required: POP3 accounts are read without one, and POP-6: stand beside one', async () => {
    const { tenant, viewer, host, pop3 } = await world();
    const read = await pop3();
    expect([await activeOnes(viewer), await timetable(tenant)]).toEqual([[read.id], [read.id]]);
    const hosted = await host();
    expect([hosted.active, await activeOnes(viewer)]).toEqual([false, [read.id]]);
  });

  test('POP-7: picking it takes the POP3 mailbox off the timetable, in either way of picking; and back', async () => {
    const { tenant, viewer, host, pop3 } = await world();
    const [read, hosted] = [await pop3(), await host()];
    await activateAccount(table, viewer, hosted.id, NOW);
    expect([await activeOnes(viewer), await timetable(tenant)]).toEqual([[hosted.id], []]);
    await activateAccount(table, viewer, read.id, NOW);
    expect([await activeOnes(viewer), await timetable(tenant)]).toEqual([[read.id], [read.id]]);
    const settings = { fromAddress: viewer.email, sharing: { type: 'private' }, dropboxVisibility: 'record', gather: null } as const;
    await saveSettings(table, viewer, { ...settings, activeMailbox: hosted.id }, NOW);
    expect([await activeOnes(viewer), await timetable(tenant)]).toEqual([[hosted.id], []]);
    await makeMain(table, viewer, hosted.id, NOW);
    expect(await readMailSettings(table, tenant, viewer.member)).toMatchObject({ active: hosted.id, main: hosted.id });
  });

  test('R-33: when its owner is deactivated and comes back it is still in no timetable', async () => {
    const { tenant, boss, viewer, host } = await world();
    const { id } = await host();
    await patchMember(table, boss, PROFILES, viewer.member, { status: 'deactivated' }, later(1));
    expect((await readAccount(table, viewer, id)).ownerDeactivatedAt).toBe(later(1).toISOString());
    await patchMember(table, boss, PROFILES, viewer.member, { status: 'active' }, later(2));
    expect([(await readAccount(table, viewer, id)).ownerDeactivatedAt, await timetable(tenant)]).toEqual([undefined, []]);
  });

  test('it says what it cannot do: it has no server to poll, to test or to log in to; its name can be changed', async () => {
    const { viewer, store, host } = await world();
    const { id } = await host();
    await expect(askPoll(table, viewer, id, NOW)).rejects.toMatchObject(HOSTED);
    await expect(readPop3Account(table, viewer, id)).rejects.toMatchObject(HOSTED);
    await expect(changeIncomingPassword(store, viewer, id, 'x', NOW)).rejects.toMatchObject(HOSTED);
    await expect(changeOutgoingPassword(store, viewer, id, { password: 'x' }, NOW)).rejects.toMatchObject(HOSTED);
    for (const patch of [
      { address: 'x@example.com' },
      { incoming: { host: 'pop.example.com' } },
      { outgoing: null },
      { deletion: { policy: 'leave' } },
    ] as const) {
      await expect(patchAccount(store, viewer, id, patch, NOW)).rejects.toMatchObject(HOSTED);
    }
    expect((await listPolls(table, viewer, id, { limit: 10 }, NOW)).items).toEqual([]);
    const renamed = await patchAccount(store, viewer, id, { name: 'Mine' }, NOW, 1);
    expect([renamed.name, renamed.version]).toEqual(['Mine', 2]);
    await expect(patchAccount(store, viewer, id, { name: 'Yours' }, NOW, 1)).rejects.toMatchObject({ status: 412 });
  });

  test("GEN-2: it is its owner's alone: an administrator finds none by its id", async () => {
    const { boss, viewer, host } = await world();
    const { id } = await host();
    await expect(readAccount(table, boss, id)).rejects.toMatchObject({ status: 404 });
    await expect(removeAccount(table, boss, id, NOW)).rejects.toMatchObject({ status: 404 });
    const { items } = await listAddonUsers(table, boss, {}, { limit: 10 }, NOW);
    expect(items.find((user) => user.id === viewer.member)?.mailbox).toMatchObject({ protocol: 'hosted', state: 'receiving' });
  });

  test(`it counts as an account: ${MAX_MAIL_ACCOUNTS} of both kinds, and no more`, async () => {
    const { host, pop3 } = await world();
    await pop3();
    for (let nth = 1; nth < MAX_MAIL_ACCOUNTS; nth++) await host();
    await expect(host()).rejects.toMatchObject({ code: 'too-many-accounts' });
  });

  test('LCK-1: a locked member makes none, renames none, removes none', async () => {
    const { boss, viewer, store, host } = await world();
    const { id, address } = await host({ sharing: { type: 'public' } });
    await lockMember(table, boss, viewer.member, { reason: 'Leaves soon' }, NOW);
    await expect(host()).rejects.toMatchObject({ code: 'locked' });
    await expect(patchAccount(store, viewer, id, { name: 'x' }, NOW)).rejects.toMatchObject({ code: 'locked' });
    await expect(removeAccount(table, viewer, id, NOW)).rejects.toMatchObject({ code: 'locked' });
    expect(await owner(address)).not.toHaveProperty('retiredAt');
  });

  test('R-44, POP-28: removed, another mailbox is to be chosen; its address is dead, and stays so that nobody else gets it', async () => {
    const { viewer, host } = await world();
    const { id, address } = await host();
    await removeAccount(table, viewer, id, later(5));
    expect((await shownOf(viewer)).notice).toMatchObject({ code: 'mailbox-unavailable' });
    expect((await readMailSettings(table, viewer.tenant, viewer.member)).lastMailbox).toEqual({ id, address, protocol: 'hosted' });
    const stone = await owner(address);
    expect(stone).toMatchObject({ account: id, retiredAt: later(5).toISOString() });
    expect(stone).not.toHaveProperty('ttl');
    const again = { put: { ...hostedAddressKey(sha256(address)), account: 'another' }, condition: isNew };
    await expect(table.transact([again])).rejects.toThrow();
  });
});

describe('its address', () => {
  test.each([
    ['mika+crm@example.com', 'mika'],
    ["o'hara_jr@example.com", 'o.hara.jr'],
    ['佐藤@example.com', 'mail'],
    ['postmaster@example.com', 'mail'],
    ['admin@example.com', 'mail'],
    ['.dots..@example.com', 'dots'],
    [`${'a'.repeat(60)}@example.com`, 'a'.repeat(MAX_HOSTED_NAME_CHARS)],
  ])('of the login address %s begins with %s', async (login, localPart) => {
    const { host } = await world(login);
    const { address } = await host();
    expect(address.slice(0, address.lastIndexOf('-'))).toBe(localPart);
    expect([normaliseAddress(address), isAutomaticSender(address)]).toEqual([address, false]);
    expect(address.split('@')[0]?.length).toBeLessThanOrEqual(64);
  });

  test('begins with what its owner chose, in small letters, and is another one each time', async () => {
    const { host } = await world();
    const [one, two] = [await host({ localPart: ' Mika.Sales-EU ' }), await host({ localPart: 'mika.sales-eu' })];
    expect([one, two].map(({ address }) => address.replace(/-[0-9a-z]{8}@.*/, ''))).toEqual(['mika.sales-eu', 'mika.sales-eu']);
    expect(one.address).not.toBe(two.address);
  });

  test.each(['', 'a b', '.a', 'a.', 'a..b', 'a@b', '"a"', 'ä', 'a+b', 'a#b', 'a\r\nb', 'a'.repeat(MAX_HOSTED_NAME_CHARS + 1)])(
    'does not begin with %j',
    async (localPart) => {
      const { host } = await world();
      await expect(host({ localPart })).rejects.toMatchObject({ code: 'invalid-local-part' });
    },
  );

  test.each(['postmaster', 'Abuse', 'no-reply', 'mailer-daemon', 'bounces', 'webmaster', 'root', 'administrator'])(
    'speaks for nobody else: %s',
    async (localPart) => {
      const { host } = await world();
      await expect(host({ localPart })).rejects.toMatchObject({ code: 'reserved-local-part' });
    },
  );

  test('is never one that a dropbox could have, nor part of one', async () => {
    const { host } = await world();
    for (const localPart of ['a'.repeat(17), '0'.repeat(MAX_HOSTED_NAME_CHARS)]) {
      expect((await host({ localPart })).address).not.toMatch(/[0-9a-z]{26}@/);
    }
  });
});
