import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { accountInput } from '../../core/account/account-input.ts';
import { changeIncomingPassword, createAccount, openPassword, readPop3Account } from '../../core/account/account-store.ts';
import { ownDropbox } from '../../core/dropbox/dropbox-store.ts';
import { newId, newTenantId } from '../../core/ids.ts';
import { IDEMPOTENCY_HOURS, OLD_KEY_HOURS } from '../../core/limits.ts';
import { once } from '../../core/member/idempotency-store.ts';
import type { Table } from '../../core/table/client.ts';
import { auditPartition, mailAccountKey } from '../../core/table/keys.ts';
import { addDataKey, readDataKeys, Vault, versionOf } from '../../core/tenant/data-key-store.ts';
import { rotateDataKey } from '../../core/tenant/key-rotation-store.ts';
import { newOrganisation, startStores } from '../support/organisation.ts';

let stores: Awaited<ReturnType<typeof startStores>>;
let table: Table;
beforeAll(async () => {
  stores = await startStores();
  ({ table } = stores);
});
afterAll(() => stores.end());

const NOW = new Date('2026-03-01T09:00:00.000Z');
const later = (hours: number) => new Date(NOW.getTime() + hours * 3_600_000);
const LAST = later(OLD_KEY_HOURS);

/** A process has a vault of its own, and looks at keys it has read before. */
const aProcess = () => ({ table, vault: new Vault(stores.kms, table) });

async function world() {
  const { tenant, boss: viewer } = await newOrganisation(stores, NOW);
  const old = aProcess();
  const { address } = await ownDropbox({ ...old, mailDomain: 'in.example.com' }, viewer, NOW);
  const form = accountInput.parse({
    name: 'Sales',
    address: 'mika@example.com',
    incoming: { host: 'pop.example.com', password: 'in' },
    outgoing: { host: 'smtp.example.com', userName: 'mika', password: 'out' },
  });
  const { id } = await createAccount(old, viewer, form, newId(NOW), NOW);
  const rotate = (now = NOW, hasTime = () => true) =>
    rotateDataKey(
      { ...aProcess(), addKey: (before) => addDataKey(stores.kms, stores.keyId, table, tenant, before, now), hasTime },
      tenant,
      now,
    );
  /** What a process can read of all that is sealed. */
  const opened = async (room = aProcess()) => {
    const account = await readPop3Account(table, viewer, id);
    const passwords = [await openPassword(room.vault, account, 'incoming'), await openPassword(room.vault, account, 'outgoing')];
    return [(await ownDropbox({ ...room, mailDomain: 'in.example.com' }, viewer, NOW)).address, ...passwords];
  };
  return { tenant, viewer, id, old, rotate, opened, secrets: [address, 'in', 'out'] };
}

test('a rotated key seals everything anew; every process reads on, with the old key in mind or not', async () => {
  const { tenant, viewer, id, old, rotate, opened, secrets } = await world();
  expect(await rotate()).toEqual({
    version: 2,
    resealed: 3,
    unreadable: 0,
    complete: true,
    older: [1],
    olderKeptUntil: LAST.toISOString(),
  });
  expect([await opened(old), await opened()]).toEqual([secrets, secrets]);
  const account = await readPop3Account(table, viewer, id);
  expect([versionOf(account.incomingPassword ?? ''), versionOf(account.outgoingPassword ?? '')]).toEqual([2, 2]);
  expect(versionOf(await aProcess().vault.seal(tenant, 'a', 'text'))).toBe(2);
});

test('what was sealed before versions were written opens as that of the first key', async () => {
  const { tenant, old, rotate } = await world();
  const sealed = await old.vault.seal(tenant, 'a', 'text');
  expect(sealed).toMatch(/^[\w-]+$/);
  await rotate();
  expect([await old.vault.open(tenant, 'a', sealed), await aProcess().vault.open(tenant, 'a', sealed)]).toEqual(['text', 'text']);
});

test(`the old key is kept ${OLD_KEY_HOURS} hours, for cursors, remembered answers and processes that have not noticed; then it goes`, async () => {
  const { tenant, viewer, id, old, rotate, opened, secrets } = await world();
  const cursor = await old.vault.seal(tenant, 'cursor', 'position');
  await rotate();
  // A process that has the old key in mind goes on sealing with it.
  const stale = await changeIncomingPassword(old, viewer, id, 'in', NOW);
  expect(versionOf(stale.incomingPassword ?? '')).toBe(1);
  expect(await rotate(later(OLD_KEY_HOURS - 1))).toMatchObject({ version: 2, resealed: 1, older: [1] });
  expect(await aProcess().vault.open(tenant, 'cursor', cursor)).toBe('position');
  await changeIncomingPassword(old, viewer, id, 'in', NOW);
  expect(await rotate(LAST)).toEqual({ version: 2, resealed: 1, unreadable: 0, complete: true, older: [] });
  expect(await readDataKeys(table, tenant)).toMatchObject({ current: 2, older: [] });
  expect([await opened(), await aProcess().vault.open(tenant, 'cursor', cursor)]).toEqual([secrets, undefined]);
  const audit = await table.all<{ action: string }>({ pk: auditPartition(tenant, '2026-03') });
  expect(audit.map(({ action }) => action)).toEqual(expect.arrayContaining(['data-key.rotate', 'data-key.drop']));
});

test('an answer that is remembered for an Idempotency-Key outlives the rotation', async () => {
  const { viewer, rotate } = await world();
  let done = 0;
  const ask = (at: Date) => once(aProcess(), viewer, 'key', 'request', at, async () => ++done);
  await ask(NOW);
  await rotate();
  await rotate(later(IDEMPOTENCY_HOURS - 1));
  expect([await ask(later(IDEMPOTENCY_HOURS - 0.5)), done]).toEqual([1, 1]);
});

test('rotated again and again, each time to the end, everything opens', async () => {
  const { tenant, rotate, opened, secrets } = await world();
  for (let round = 0; round < 3; round++) {
    await rotate(later(2 * round * OLD_KEY_HOURS));
    expect(await rotate(later((2 * round + 1) * OLD_KEY_HOURS))).toMatchObject({ version: round + 2, older: [] });
    expect(await opened()).toEqual(secrets);
  }
  expect(await readDataKeys(table, tenant)).toMatchObject({ current: 4, older: [] });
});

test('a run that is cut short changes nothing that matters, and the next one goes on with the same key', async () => {
  const { tenant, rotate, opened, secrets } = await world();
  expect(await rotate(NOW, () => false)).toMatchObject({ version: 2, resealed: 0, complete: false });
  expect(await rotate(LAST, () => false)).toMatchObject({ complete: false, older: [1] });
  expect(await opened()).toEqual(secrets);
  const runs = await Promise.all([rotate(), rotate(), rotate()]);
  expect(runs.map((run) => run?.version)).toEqual([2, 2, 2]);
  expect(runs.reduce((sum, run) => sum + (run?.resealed ?? 0), 0)).toBe(3);
  expect((await readDataKeys(table, tenant))?.current).toBe(2);
});

test('two operators at once begin one rotation', async () => {
  const { rotate, opened, secrets } = await world();
  expect((await Promise.all([rotate(), rotate(), rotate()])).map((run) => run?.version)).toEqual([2, 2, 2]);
  expect(await opened()).toEqual(secrets);
});

test('while one process rotates, others read and write without a miss', async () => {
  const { tenant, viewer, id, rotate, opened } = await world();
  let seen = 0;
  // Processes look again every few minutes: those of the second run, two days later, have the new key in mind.
  for (const at of [NOW, LAST]) {
    const others = [aProcess(), aProcess(), aProcess()];
    await Promise.all(others.map((room) => opened(room)));
    let rotating = true;
    const work = others.map(async (room, nth) => {
      for (let round = 0; rotating || round < 10; round++) {
        if (nth === 0) await changeIncomingPassword(room, viewer, id, `in ${round}`, at);
        expect(await openPassword(room.vault, await readPop3Account(table, viewer, id), 'incoming')).toMatch(/^in/);
        const sealed = await room.vault.seal(tenant, 'cursor', `${round}`);
        for (const reader of [...others, aProcess()]) expect(await reader.vault.open(tenant, 'cursor', sealed)).toBe(`${round}`);
        seen++;
      }
    });
    await rotate(at);
    rotating = false;
    await Promise.all(work);
  }
  expect(seen).toBeGreaterThanOrEqual(60);
});

test('while anything opens with no key, no key is dropped', async () => {
  const { tenant, viewer, id, rotate } = await world();
  const account = await readPop3Account(table, viewer, id);
  await table.put({ ...mailAccountKey(tenant, viewer.member, id), ...account, outgoingPassword: account.incomingPassword });
  await rotate();
  expect(await rotate(LAST)).toMatchObject({ unreadable: 1, older: [1] });
});

test('a sealed text that names a key nobody has, or none at all, opens to nothing', async () => {
  const { tenant, rotate } = await world();
  const { vault } = aProcess();
  const sealed = await vault.seal(tenant, 'a', 'text');
  await rotate();
  for (const text of [`3.${sealed}`, `2.${sealed}`, `0.${sealed}`, `x.${sealed}`, `.${sealed}`, `1e9.${sealed}`, '2.', ''])
    expect(await vault.open(tenant, 'a', text)).toBeUndefined();
});

test('an unknown tenant has no key to rotate', async () => {
  const tenant = newTenantId();
  const addKey = () => Promise.reject(new Error('not reached'));
  expect(await rotateDataKey({ ...aProcess(), addKey, hasTime: () => true }, tenant, NOW)).toBeUndefined();
});

test('whatever is sealed and kept is sealed anew: a new place that seals belongs into the rotation', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const files = ['core', 'functions'].flatMap((folder) =>
    readdirSync(`${root}${folder}`, { recursive: true, encoding: 'utf8' }).map((file) => `${folder}/${file}`),
  );
  const sealing = files.filter((file) => file.endsWith('.ts') && /\.seal\(/.test(readFileSync(root + file, 'utf8')));
  expect(sealing.sort()).toEqual([
    'core/account/account-store.ts',
    'core/dropbox/dropbox-store.ts',
    // Remembered for IDEMPOTENCY_HOURS alone.
    'core/member/idempotency-store.ts',
    'core/tenant/key-rotation-store.ts',
    // Cursors, which are not kept.
    'functions/api/serve.ts',
  ]);
});
