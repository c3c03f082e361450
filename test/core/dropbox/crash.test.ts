import { Table } from '../../../core/table/client.ts';
import { type CrashPoint, isClean, markerFirst, memoryStore, runSchedule, type Schedule, type Store } from '../../support/crash-harness.ts';
import { startTable } from '../../support/engine.ts';

/** CRASH_SEEDS=100 runs ten times as many. */
const SEEDS = Number(process.env.CRASH_SEEDS ?? 10);
/** Writes of one undisturbed run; later points are reached because redeliveries write too. */
const WRITES = 24;

const points: CrashPoint[] = Array.from({ length: WRITES }, (_, i) => i + 1).flatMap((write) => [
  { write, when: 'before' as const },
  { write, when: 'after' as const },
]);

/** Every pair of crash points, the empty schedule, and each point alone. */
function* schedules(seeds: number): Generator<Schedule> {
  for (let seed = 1; seed <= seeds; seed++) {
    yield { seed, crashes: [] };
    for (const [i, one] of points.entries()) {
      yield { seed, crashes: [one] };
      for (const other of points.slice(i)) yield { seed, crashes: [one, other] };
    }
  }
}

test(
  'a mail that was accepted is filed once and never lost, whatever is killed when (all pairs of crash points)',
  async () => {
    let ran = 0;
    let store = memoryStore();
    for (const schedule of schedules(SEEDS)) {
      if (ran++ % 500 === 0) store = memoryStore();
      const verdict = await runSchedule(store, schedule);
      if (!isClean(verdict)) throw new Error(`schedule ${JSON.stringify(schedule)} ends with ${JSON.stringify(verdict)}`);
    }
    console.info(`${ran} schedules, 0 lost, 0 doubled`);
    expect(ran).toBeGreaterThanOrEqual(SEEDS * 1000);
  },
  60_000 * Math.max(5, SEEDS),
);

test('the harness can fail: with the commit marker written first, mail is lost', async () => {
  let losing = 0;
  for (const schedule of schedules(1)) {
    const store = markerFirst(memoryStore(), 'dropbox');
    if (!isClean(await runSchedule(store, schedule).catch(() => ({ lost: ['crashed'], doubled: [], wrong: [] })))) losing++;
    if (losing > 20) break;
  }
  expect(losing).toBeGreaterThan(20);
});

test('the real engine agrees: every crash point, one kill', async () => {
  const { table, client, end } = await startTable();
  let hook: (when: 'before' | 'after', command: string) => void = () => {};
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const isWrite = !/^(Get|BatchGet|Query)/.test(String((context as { commandName?: string }).commandName));
      if (isWrite) hook('before', '');
      const result = await next(args);
      if (isWrite) hook('after', '');
      return result;
    },
    { step: 'initialize', priority: 'high' },
  );
  const store: Store = { table: new Table(client, table.name), onWrite: (set) => (hook = set) };
  for (const [i, crash] of points.entries()) {
    const schedule = { seed: 1000 + i, crashes: [crash] };
    expect({ schedule, verdict: await runSchedule(store, schedule) }).toEqual({ schedule, verdict: { lost: [], doubled: [], wrong: [] } });
  }
  await end();
});
