import { forgetPage } from '../../core/account/ledger-store.ts';
import { accountPartition } from '../../core/table/keys.ts';
import { startTable } from '../support/engine.ts';
import { mailOf, PollWorld } from '../support/poll-world.ts';

/** What the tests of polling hold against a table in memory, once more against a real DynamoDB engine. */
let engine: Awaited<ReturnType<typeof startTable>>;
beforeAll(async () => {
  engine = await startTable();
});
afterAll(() => engine.end());

const begin = (id: string, more: Parameters<PollWorld['begin']>[0] = {}) => new PollWorld(engine.table, id).begin(more);

test('R-39, R-36, INB-14: a mailbox from its first sync to the deletion of what was filed', async () => {
  const world = await begin('life', { deletion: { policy: 'delete-at-once' } });
  for (let i = 0; i < 60; i++) world.drop.add(`old${i}`, mailOf(`Old ${i}`, new Date(0).toUTCString()));
  for (let i = 0; i < 5; i++) world.drop.add(`new${i}`, mailOf(`New ${i}`));
  await world.poll();
  await world.file();
  await world.poll();
  expect(await world.account()).toMatchObject({ state: 'ok', sync: { found: 65, fetched: 5, filed: 5, skipped: 60 } });
  expect(world.told).toHaveLength(1);
  world.now = new Date(world.now.getTime() + 60_000);
  expect(await world.poll()).toMatchObject({ deleted: 5 });
  world.now = new Date(world.now.getTime() + 60_000);
  expect(await world.poll()).toEqual({ outcome: 'quiet' });
  world.drop.add('later', mailOf('Later'));
  expect(await world.poll()).toMatchObject({ fetched: 1 });
  expect(world.drop.mails).toHaveLength(61);
});

test('R-37: three refusals, one by one, and it leaves the timetable', async () => {
  const world = await begin('refused');
  world.password = 'wrong';
  for (let turn = 0; turn < 3; turn++) await world.nextTurn();
  expect(await world.account()).toMatchObject({ state: 'auth-failed', authFailures: 3 });
  expect((await world.account()).slot).toBeUndefined();
  expect(world.told).toHaveLength(2);
  expect(await world.poll()).toEqual({ outcome: 'void', reason: 'stopped' });
});

test('two polls at once: one does the work', async () => {
  const world = await begin('twice');
  world.drop.add('a', mailOf('A'));
  const results = await Promise.all([world.poll(), world.poll()]);
  expect(results.map(({ outcome }) => outcome).toSorted((a, b) => (a < b ? -1 : 1))).toEqual(['polled', 'void']);
  expect(world.inbound).toHaveLength(1);
});

test('what a removed account leaves is cleared away, page by page', async () => {
  const world = await begin('removed');
  const pk = accountPartition(world.tenant, 'removed');
  await engine.table.putMany(Array.from({ length: 1001 }, (_, i) => ({ pk, sk: `Y#${i}`, outcome: 'skipped' })));
  let pages = 1;
  while (await forgetPage(engine.table, world.tenant, 'removed')) pages++;
  expect(await engine.table.all({ pk })).toEqual([]);
  expect(pages).toBe(3);
});
