import { jest } from '@jest/globals';
import { functions } from '../../functions/manifest.ts';
import { Schedules } from '../../lib/local/schedules.ts';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

/** What the timetable of the product fired in so many minutes. */
async function firedIn(minutes: number, mode?: 'by-hand'): Promise<string[]> {
  const fired: string[] = [];
  const invoke = async (name: string) => {
    fired.push(name);
    return { answer: 'null' };
  };
  const schedules = new Schedules(functions, invoke, mode);
  await jest.advanceTimersByTimeAsync(minutes * 60_000);
  schedules.end();
  await jest.advanceTimersByTimeAsync(2 * 24 * 60 * 60_000);
  return fired.sort();
}

test('each function on a schedule runs as often as the manifest says, until the host ends', async () => {
  expect(await firedIn(3)).toEqual([...Array(3).fill('plan-polls'), ...Array(3).fill('sweep-backups')]);
  const inADay = await firedIn(24 * 60);
  const scheduled = Object.entries(functions).flatMap(([name, { trigger }]) => (trigger.kind === 'schedule' ? name : []));
  expect([...new Set(inADay)]).toEqual(scheduled.sort());
  expect(inADay.filter((name) => name === 'plan-polls')).toHaveLength(24 * 60);
  expect(inADay.filter((name) => name === 'sweep-raw-mail')).toHaveLength(1);
});

test('by hand none of them does', async () => {
  expect(await firedIn(24 * 60, 'by-hand')).toEqual([]);
});
