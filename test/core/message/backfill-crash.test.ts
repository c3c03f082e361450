import { type Kill, runLife } from '../../support/backfill-crash-harness.ts';
import { randomOf } from '../../support/crash-harness.ts';

const SYSTEMATIC = [1, 2, 3];
const RANDOM = 400;

test('R-9, ASC-1: killed before and after every write, each mail ends on exactly the records that have its address', async () => {
  let schedules = 0;
  for (const seed of SYSTEMATIC) {
    const { writes } = await runLife(seed, []);
    for (let write = 1; write <= writes; write++) {
      for (const when of ['before', 'after'] as const) {
        schedules++;
        expect({ seed, write, when, ...(await runLife(seed, [{ write, when }])) }).toMatchObject({ faults: [] });
      }
    }
  }
  expect(schedules).toBeGreaterThan(300);
}, 600_000);

test(`and in ${RANDOM} lives with several kills each`, async () => {
  let kills = 0;
  for (let seed = 100; seed < 100 + RANDOM; seed++) {
    const random = randomOf(seed);
    const schedule = Array.from({ length: Math.floor(random() * 8) }, (): Kill => {
      return { write: 1 + Math.floor(random() * 120), when: random() < 0.5 ? 'before' : 'after' };
    });
    kills += schedule.length;
    expect({ seed, ...(await runLife(seed, schedule)) }).toMatchObject({ faults: [] });
  }
  console.info(`${RANDOM} lives, ${kills} kills, 0 mails astray`);
}, 600_000);
