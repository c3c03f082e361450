import { planPolls } from '../../../core/account/plan-polls-store.ts';
import type { Planned, PollJob } from '../../../core/account/poll-job.ts';
import { INTERVALS, moveTo, nextOf, type Slot, slotOf } from '../../../core/account/slot.ts';
import { newTenantId } from '../../../core/ids.ts';
import { Table } from '../../../core/table/client.ts';
import { MemoryDynamo } from '../../support/memory-dynamo.ts';

const NOON = new Date('2026-03-02T12:00:00.000Z');
const tenant = newTenantId();
const later = (minutes: number) => new Date(NOON.getTime() + minutes * 60_000);

/** A timetable, and the planner that reads it. */
class Timetable {
  private readonly dynamo = new MemoryDynamo();
  readonly writes: string[] = [];
  readonly table = new Table(
    this.dynamo.newClient((when, command) => {
      if (when === 'before' && !/^(Get|Query)/.test(command)) this.writes.push(command);
    }),
    'memory',
  );
  queue: Planned[] = [];

  async place(id: string, slot: Slot): Promise<string> {
    const account = { tenant, member: 'mika', id };
    await this.table.transact(moveTo(account, slot));
    return slotOf(account, slot);
  }

  async remove(id: string, slot: string): Promise<void> {
    await this.table.transact(moveTo({ tenant, member: 'mika', id, slot }, undefined));
  }

  /** The ids that are planned in a round. */
  async round(at: Date, sendAll?: () => Promise<void>): Promise<string[]> {
    this.queue = [];
    const polls = {
      sendAll:
        sendAll ??
        (async (jobs: readonly object[]) =>
          void this.queue.push(...(jobs as Extract<PollJob, { poll: Planned }>[]).map(({ poll }) => poll))),
    };
    await planPolls({ table: this.table, polls }, at);
    return this.queue.map(({ account }) => account);
  }
}

test.each(INTERVALS)('R-38: who is polled every %d minutes is planned just as often, and evenly with others', async (every) => {
  const timetable = new Timetable();
  const ids = Array.from({ length: 30 }, (_, i) => `account${i}`);
  for (const id of ids) await timetable.place(id, { every });
  const counts = new Map<string, number>();
  const loads: number[] = [];
  for (let minute = 0; minute < 120; minute++) {
    const planned = await timetable.round(later(minute));
    loads.push(planned.length);
    for (const id of planned) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  expect([...counts.values()]).toEqual(ids.map(() => 120 / every));
  expect(Math.max(...loads)).toBeLessThanOrEqual(Math.ceil(30 / every) + 10);
});

test('a round writes how far it has come, and nothing else', async () => {
  const timetable = new Timetable();
  await timetable.place('a', { every: 5 });
  timetable.writes.length = 0;
  for (let minute = 0; minute < 5; minute++) await timetable.round(later(minute));
  expect(timetable.writes).toEqual(Array(5).fill('PutItemCommand'));
});

test('the place of a job is what the account has to stand at still', async () => {
  const timetable = new Timetable();
  const slot = await timetable.place('a', { at: later(3).toISOString() });
  await timetable.round(later(2));
  await timetable.round(later(3));
  expect(timetable.queue).toEqual([{ tenant, member: 'mika', account: 'a', slot }]);
});

test('a job that was lost: who still stands at a place for once is planned again, after a minute, ten, an hour, six, and days', async () => {
  const timetable = new Timetable();
  const slot = await timetable.place('a', { at: NOON.toISOString() });
  const planned: number[] = [];
  for (let minute = 0; minute <= 400; minute++) if ((await timetable.round(later(minute))).length > 0) planned.push(minute);
  expect(planned).toEqual([0, 1, 10, 60, 360]);
  const onDays: number[] = [];
  for (let day = 1; day <= 8; day++) {
    await timetable.round(later(day * 1440 - 1));
    if ((await timetable.round(later(day * 1440))).length > 0) onDays.push(day);
  }
  expect(onDays).toEqual([1, 2, 3, 7]);
  await timetable.remove('a', slot);
  expect(await timetable.round(later(8 * 1440 + 1))).toEqual([]);
});

test('a planner that was away makes up for all minutes it missed, each account once', async () => {
  const timetable = new Timetable();
  await timetable.round(NOON);
  await timetable.place('a', { every: 5 });
  await timetable.place('b', { at: later(20).toISOString() });
  await timetable.place('c', { at: later(80).toISOString() });
  expect((await timetable.round(later(40))).toSorted((a, b) => (a < b ? -1 : 1))).toEqual(['a', 'b']);
});

test('who stood at a minute of a planner that was away for days is found all the same', async () => {
  const timetable = new Timetable();
  await timetable.round(NOON);
  await timetable.place('a', { at: later(3 * 1440 + 700).toISOString() });
  const found: string[] = [];
  for (let round = 0; round < 6; round++) found.push(...(await timetable.round(later(5 * 1440 + round))));
  expect(found).toContain('a');
});

test('a round that could not send is done again', async () => {
  const timetable = new Timetable();
  await timetable.round(later(-1));
  await timetable.place('a', { at: NOON.toISOString() });
  await expect(timetable.round(NOON, () => Promise.reject(new Error('no queue')))).rejects.toThrow('no queue');
  expect(await timetable.round(later(5))).toEqual(['a']);
});

test('the next poll of a place is when the planner comes to it', async () => {
  const timetable = new Timetable();
  for (const slot of [{ every: 20 }, { at: later(7).toISOString() }] satisfies Slot[]) {
    const place = await timetable.place('a', slot);
    const next = nextOf(place, NOON);
    await timetable.round(new Date(Date.parse(next) - 60_000));
    expect(await timetable.round(new Date(next))).toEqual(['a']);
    await timetable.remove('a', place);
  }
});
