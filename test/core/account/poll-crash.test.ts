import { isClean, type Kill, runMailbox, type Schedule } from '../../support/account-crash-harness.ts';
import { randomOf } from '../../support/crash-harness.ts';

/** CRASH_SCHEDULES=100000 runs twenty times as many. */
const SCHEDULES = Number(process.env.CRASH_SCHEDULES ?? 5000);

/** One undisturbed, then each with one to three kills anywhere in the life of a mailbox. */
function scheduleOf(seed: number, steps: number): Schedule {
  const random = randomOf(seed * 7919);
  const kills = Array.from(
    { length: seed % 4 },
    (): Kill => ({ step: 1 + Math.floor(random() * steps), when: random() < 0.5 ? 'before' : 'after' }),
  );
  return { seed, kills };
}

test(
  'R-36, R-32: whatever is killed when, no mail is lost, doubled, or deleted before it is filed',
  async () => {
    let steps = 120;
    for (let seed = 1; seed <= SCHEDULES; seed++) {
      const schedule = scheduleOf(seed, steps);
      const run = await runMailbox(schedule);
      // Kills are spread over as many steps as lives have had lately.
      steps = Math.round(0.95 * steps + 0.05 * run.steps);
      if (!isClean(run)) throw new Error(`schedule ${JSON.stringify(schedule)} ends with ${JSON.stringify(run)}`);
    }
    console.info(`${SCHEDULES} schedules, 0 lost, 0 doubled, 0 deleted too early`);
  },
  60_000 * Math.max(5, SCHEDULES / 1000),
);

test('the harness can fail: with the ledger written first, mail is lost', async () => {
  let losing = 0;
  for (let seed = 1; seed <= 2000 && losing < 10; seed++) {
    const { lost } = await runMailbox(scheduleOf(seed, 120), 'ledger-first');
    if (lost.length > 0) losing++;
  }
  expect(losing).toBe(10);
});
