import { isClean, markerFirst, memoryStore, randomOf, type Schedule } from '../../support/crash-harness.ts';
import { runMixedSchedule } from '../../support/hosted-crash-harness.ts';

/** CRASH_SEEDS=100 runs ten times as many. */
const SCHEDULES = 150 * Number(process.env.CRASH_SEEDS ?? 10);
/** Writes of a life at least: later points are there in some of them. */
const WRITES = 100;

/** One undisturbed, one with a kill at each point in turn, then with two and three anywhere. */
function scheduleOf(seed: number): Schedule {
  const random = randomOf(seed * 7919);
  const pointAt = (write: number) => ({ write, when: random() < 0.5 ? ('before' as const) : ('after' as const) });
  const crashes = Array.from({ length: seed % 4 }, (_, i) => pointAt(i === 0 ? 1 + (seed % WRITES) : 1 + Math.floor(random() * WRITES)));
  return { seed, crashes };
}

test(
  'R-43, R-31: of mails to a dropbox and hosted mailboxes in one envelope, none is lost or doubled for any of them, whatever is killed',
  async () => {
    let store = memoryStore();
    let writes = 0;
    for (let seed = 1; seed <= SCHEDULES; seed++) {
      if (seed % 200 === 0) store = memoryStore();
      const schedule = scheduleOf(seed);
      const verdict = await runMixedSchedule(store, schedule);
      writes = Math.max(writes, verdict.writes);
      if (!isClean(verdict)) throw new Error(`schedule ${JSON.stringify(schedule)} ends with ${JSON.stringify(verdict)}`);
    }
    console.info(`${SCHEDULES} schedules of up to ${writes} writes, 0 lost, 0 doubled`);
    expect(writes).toBeGreaterThan(WRITES);
  },
  60_000 * Math.max(5, SCHEDULES / 1000),
);

test('the harness can fail: with the copy of a mailbox, its commit marker, written first, mail is lost', async () => {
  let losing = 0;
  for (let seed = 1; seed <= 400 && losing < 10; seed++) {
    const { lost } = await runMixedSchedule(markerFirst(memoryStore(), 'mailbox'), scheduleOf(seed));
    if (lost.length > 0) losing++;
  }
  expect(losing).toBe(10);
});
