import { Table } from '../../../core/table/client.ts';
import { MemoryDynamo } from '../../support/memory-dynamo.ts';
import { mailOf, PollWorld } from '../../support/poll-world.ts';

let dynamo: MemoryDynamo;
let writes: string[];
const newWorld = (more: Parameters<PollWorld['begin']>[0] = {}) => {
  dynamo = new MemoryDynamo();
  writes = [];
  dynamo.onWrite = (when, command) => when === 'after' && writes.push(command);
  return new PollWorld(new Table(dynamo.client, 'memory')).begin(more);
};
const mails = (world: PollWorld, count: number, from = 0) => {
  for (let i = from; i < from + count; i++) world.drop.add(`u${i}`, mailOf(`Mail ${i}`));
};

describe('the first sync', () => {
  test('R-39, INB-14: takes what is there, in the order of the mailbox, and tells its owner once, when all is filed', async () => {
    const world = await newWorld();
    mails(world, 5);
    await world.tick();
    expect(world.inbound.map(({ firstSync }) => firstSync)).toEqual(Array(5).fill(true));
    const inOrder = world.inbound
      .toSorted((a, b) => (a.receivedAt < b.receivedAt ? -1 : 1))
      .map(({ rawKey }) => Buffer.from(world.raw.get(rawKey)!).toString());
    expect(inOrder.map((text) => /Subject: (.*)\r/.exec(text)?.[1])).toEqual(['Mail 0', 'Mail 1', 'Mail 2', 'Mail 3', 'Mail 4']);
    const half = await world.account();
    expect(half).toMatchObject({ state: 'syncing', sync: { found: 5, fetched: 5, filed: 0, fetchedAllAt: expect.any(String) } });
    await world.tick();
    expect(world.told).toEqual([]);
    await world.file();
    await world.tick();
    expect(await world.account()).toMatchObject({
      state: 'ok',
      sync: { found: 5, fetched: 5, filed: 5, skipped: 0, doneAt: expect.any(String) },
      totals: { filed: 5 },
    });
    for (let i = 0; i < 20; i++) await world.tick();
    expect(world.told.map(({ to, subject }) => [to, subject])).toEqual([['mika@example.com', expect.stringContaining('first sync')]]);
    expect(world.inbound).toEqual([]);
  });
});
