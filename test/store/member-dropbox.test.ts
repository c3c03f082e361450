import type { KMSClient } from '@aws-sdk/client-kms';
import { type DropboxStore, findDropbox, ownDropbox, regenerate } from '../../core/dropbox/dropbox-store.ts';
import { newId, newTenantId } from '../../core/ids.ts';
import { patchMember } from '../../core/member/member-store.ts';
import { builtInProfiles } from '../../core/member/profile.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import type { Table, Write } from '../../core/table/client.ts';
import { memberKey } from '../../core/table/keys.ts';
import { newDataKey, Vault } from '../../core/tenant/data-key-store.ts';
import { createTenant, readViewer } from '../../core/tenant/tenant-store.ts';
import { startTable } from '../support/engine.ts';

let table: Table;
let end: () => Promise<void>;
beforeAll(async () => ({ table, end } = await startTable()));
afterAll(() => end());

const NOW = new Date('2026-03-01T09:00:00.000Z');
const profiles = new Map(builtInProfiles().map((profile) => [profile.id, profile]));
const kms = {
  send: async () => ({ CiphertextBlob: Buffer.alloc(1), Plaintext: Buffer.alloc(32) }),
} as unknown as KMSClient;

/** An administrator, and mika, whose dropbox and profile change in the same moment. */
async function world() {
  const tenant = newTenantId();
  const [boss, mika] = [newId(NOW), newId(NOW)];
  const input = { name: 'Example', timeZone: 'UTC', administrator: { name: 'Boss', email: 'boss@example.com' } };
  const member = { id: mika, name: 'Mika', email: 'mika@example.com', profile: 'standard', status: 'active', confirmed: true, version: 1 };
  const mikas = { put: { ...memberKey(tenant, mika), ...member } };
  await createTenant(table, tenant, input, boss, NOW.toISOString(), [await newDataKey(kms, 'key', tenant), mikas]);
  const store: DropboxStore = { table, vault: new Vault(kms, table), mailDomain: 'in.example.com' };
  const viewerOf = async (id: string) => (await readViewer(table, tenant, id)) as Viewer;
  return { store, boss: await viewerOf(boss), mika: await viewerOf(mika) };
}

/** The table, before whose next transaction something else is done first. */
function interrupted(meanwhile: () => Promise<unknown>): Table {
  let done = false;
  const transact = async (writes: Write[]) => {
    if (!done) {
      done = true;
      await meanwhile();
    }
    return table.transact(writes);
  };
  return Object.assign(Object.create(table), { transact });
}

test('BCC-21: a member changed while their dropbox is regenerated keeps the new address, and it alone', async () => {
  const { store, boss, mika } = await world();
  const old = await ownDropbox(store, mika, NOW);
  const meanwhile = interrupted(() => regenerate(store, mika, NOW));
  await expect(patchMember(meanwhile, boss, profiles, mika.member, { name: 'M' }, NOW)).rejects.toMatchObject({
    code: 'changed-meanwhile',
  });
  const now = await ownDropbox(store, mika, NOW);
  expect(now.address).not.toBe(old.address);
  expect((await findDropbox(table, now.address))?.retiredAt).toBeUndefined();
  expect((await findDropbox(table, old.address))?.retiredAt).toBeDefined();
});

test('R-33: a dropbox regenerated or made in the moment its owner is deactivated is deactivated too', async () => {
  for (const hasDropbox of [true, false]) {
    const { store, boss, mika } = await world();
    if (hasDropbox) await ownDropbox(store, mika, NOW);
    const meanwhile = interrupted(() => patchMember(table, boss, profiles, mika.member, { status: 'deactivated' }, NOW));
    const interruptedStore = { ...store, table: meanwhile };
    const made = hasDropbox ? await regenerate(interruptedStore, mika, NOW) : await ownDropbox(interruptedStore, mika, NOW);
    expect(await findDropbox(table, made.address)).toMatchObject({ deactivatedAt: NOW.toISOString() });
  }
});

test('GEN-7: a dropbox first asked for in the moment its owner gets another profile has that profile', async () => {
  const { store, boss, mika } = await world();
  const meanwhile = interrupted(() => patchMember(table, boss, profiles, mika.member, { profile: 'administrator' }, NOW));
  const made = await ownDropbox({ ...store, table: meanwhile }, mika, NOW);
  expect(await findDropbox(table, made.address)).toMatchObject({ profile: 'administrator' });
});

test('a dropbox made in the moment its owner is renamed is not lost', async () => {
  const { store, boss, mika } = await world();
  const meanwhile = interrupted(() => ownDropbox(store, mika, NOW));
  await expect(patchMember(meanwhile, boss, profiles, mika.member, { status: 'deactivated' }, NOW)).rejects.toMatchObject({
    code: 'changed-meanwhile',
  });
  const { address } = await ownDropbox(store, mika, NOW);
  await patchMember(table, boss, profiles, mika.member, { status: 'deactivated' }, NOW);
  expect(await findDropbox(table, address)).toMatchObject({ deactivatedAt: NOW.toISOString() });
});
