import { type DropboxStore, findDropbox, ownDropbox, regenerate } from '../../core/dropbox/dropbox-store.ts';
import { patchMember } from '../../core/member/member-store.ts';
import type { Table } from '../../core/table/client.ts';
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

/** An administrator, and mika, whose dropbox and profile change in the same moment. */
async function world() {
  const { boss, join } = await newOrganisation(stores, NOW);
  const store: DropboxStore = { table, vault: stores.vault, mailDomain: 'in.example.com' };
  return { store, boss, mika: await join('Mika') };
}

test('BCC-21: a member changed while their dropbox is regenerated keeps the new address, and it alone', async () => {
  const { store, boss, mika } = await world();
  const old = await ownDropbox(store, mika, NOW);
  const meanwhile = interrupted(table, () => regenerate(store, mika, NOW));
  await expect(patchMember(meanwhile, boss, PROFILES, mika.member, { name: 'M' }, NOW)).rejects.toMatchObject({
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
    const meanwhile = interrupted(table, () => patchMember(table, boss, PROFILES, mika.member, { status: 'deactivated' }, NOW));
    const interruptedStore = { ...store, table: meanwhile };
    const made = hasDropbox ? await regenerate(interruptedStore, mika, NOW) : await ownDropbox(interruptedStore, mika, NOW);
    expect(await findDropbox(table, made.address)).toMatchObject({ deactivatedAt: NOW.toISOString() });
  }
});

test('GEN-7: a dropbox first asked for in the moment its owner gets another profile has that profile', async () => {
  const { store, boss, mika } = await world();
  const meanwhile = interrupted(table, () => patchMember(table, boss, PROFILES, mika.member, { profile: 'administrator' }, NOW));
  const made = await ownDropbox({ ...store, table: meanwhile }, mika, NOW);
  expect(await findDropbox(table, made.address)).toMatchObject({ profile: 'administrator' });
});

test('a dropbox made in the moment its owner is renamed is not lost', async () => {
  const { store, boss, mika } = await world();
  const meanwhile = interrupted(table, () => ownDropbox(store, mika, NOW));
  await expect(patchMember(meanwhile, boss, PROFILES, mika.member, { status: 'deactivated' }, NOW)).rejects.toMatchObject({
    code: 'changed-meanwhile',
  });
  const { address } = await ownDropbox(store, mika, NOW);
  await patchMember(table, boss, PROFILES, mika.member, { status: 'deactivated' }, NOW);
  expect(await findDropbox(table, address)).toMatchObject({ deactivatedAt: NOW.toISOString() });
});
