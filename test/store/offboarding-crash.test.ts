import { isOnce, nextOf } from '../../core/account/slot.ts';
import { tellOfLock } from '../../core/addon-user/lock-notice-store.ts';
import { sweepBackups } from '../../core/backup/sweep-store.ts';
import { newId } from '../../core/ids.ts';
import { cancelOffboarding } from '../../core/offboarding/cancel-store.ts';
import { STEPS } from '../../core/offboarding/offboarding.ts';
import { runOffboarding } from '../../core/offboarding/run-offboarding.ts';
import { sweepOffboardings } from '../../core/offboarding/sweep-store.ts';
import { createRecord, readRecord } from '../../core/record/record-store.ts';
import { Table } from '../../core/table/client.ts';
import { runningOffboardingsPartition } from '../../core/table/keys.ts';
import { randomOf } from '../support/crash-harness.ts';
import { MemoryDynamo } from '../support/memory-dynamo.ts';
import { Killed, moment, mortalWorker, slowAtTimes } from '../support/mortal-worker.ts';
import { OffboardingWorld } from '../support/offboarding-world.ts';

/**
 * An off-boarding by workers that are killed at any write, send or mail, with its words lost, doubled and out of order, and two workers
 * at once: each step has happened once, and it ends. OFFBOARDING_SEED replays one, OFFBOARDING_SCHEDULES says how many.
 */
const SCHEDULES = Number(process.env.OFFBOARDING_SCHEDULES ?? 200);
const SEED = Number(process.env.OFFBOARDING_SEED ?? 20_261_122);
const RECORDS = 5;

/** What is left of a schedule when it is over. */
type Left = { world: OffboardingWorld; id: string; records: string[]; kills: number };

/** With `cancelsAt` an administrator cancels it in that turn. */
async function schedule(seed: number, cancelsAt?: number): Promise<Left> {
  const random = randomOf(seed);
  const dynamo = new MemoryDynamo();
  const world = await OffboardingWorld.make(new Table(dynamo.client, 'memory'));
  const { tenant } = world.leaver;
  await world.fetched('before');
  const records = [world.contact, world.lead];
  while (records.length < RECORDS) {
    const how = { id: newId(world.tick()), now: world.now, createdBy: { way: 'api', memberId: world.leaver.member } } as const;
    records.push((await createRecord(world.table, world.leaver, 'contacts', { name: { last: `Number ${records.length}` } }, how)).id);
  }
  const { id } = await world.offboard({ successor: world.successor.member });
  world.server = random() < 0.8 ? 'well' : 'down';
  let kills = 0;
  const risk = random() * 0.1;

  /** One worker, with a table of its own, that may die at whatever it does; when dead it does nothing more. */
  const worker = async (job: (typeof world.words)[number]['job']): Promise<void> => {
    const { table, around } = mortalWorker(dynamo, { dies: () => random() < risk, onKill: () => kills++ });
    const base = world.offboardingRoom();
    const slowly = slowAtTimes(random, 60);
    const room = {
      ...base,
      table,
      queue: { send: slowly(around(base.queue.send)) },
      polls: { send: slowly(around(base.polls.send)) },
      backups: { send: slowly(around(base.backups.send)) },
      tell: around(base.tell),
    };
    try {
      if ('lockNotice' in job) await tellOfLock(room, job.lockNotice, world.now);
      else await runOffboarding(room, tenant, id, new Date(world.now.getTime() + 1 + random() * 20_000));
    } catch (error) {
      // One that finds another at work on its notice is no kill; the queue brings it again all the same.
      if (!(error instanceof Killed) && !('lockNotice' in job)) throw error;
      // What was taken from the queue and not done comes again; sometimes the queue loses it, and who looks after them must help.
      if ('lockNotice' in job || random() < 0.5) world.words.push({ at: world.now.getTime(), job });
    }
  };

  const atWork = new Set<Promise<void>>();
  for (let turns = 0; turns < 1000; turns++) {
    const isOver = (await world.readRun(id)).noticeSentAt !== undefined;
    if (isOver && world.words.length === 0) break;
    if (random() < 0.2) world.words.push(...world.words.slice(0, 1));
    if (random() < 0.3) world.words.reverse();
    // Its word may be lost; the planner comes to it all the same.
    const slot = (await world.readAccount())?.slot;
    const isPlanned = isOnce(slot) && nextOf(slot as string, world.now) <= world.now.toISOString();
    if (world.polls.splice(0).length > 0 || isPlanned) await world.pollMailbox();
    await world.work();
    if (turns === cancelsAt) {
      const asked = cancelOffboarding({ table: world.table, queue: world.wordQueue() }, world.second, id, world.now);
      await asked.catch(({ code }) => expect(code).toBe('not-running'));
    }
    const due = world.words.filter(({ at }) => at <= world.now.getTime()).slice(0, random() < 0.4 ? 2 : 1);
    for (const word of due) world.words.splice(world.words.indexOf(word), 1);
    for (const { job } of due) {
      const work = worker(job);
      atWork.add(work.finally(() => atWork.delete(work)));
    }
    for (let waits = Math.floor(random() * 20); waits > 0; waits--) await moment();
    const seconds = random() < 0.15 ? 400 : 1 + random() * 40;
    // A worker lives no longer than its lease; one that outlived it could do what is no longer to be done.
    if (cancelsAt !== undefined && seconds > 100) await Promise.all(atWork);
    world.tick(seconds);
    await sweepOffboardings({ table: world.table, queue: world.wordQueue() }, world.now);
    await sweepBackups(world.startRoom(), world.now);
  }
  await Promise.all(atWork);
  return { world, id, records, kills };
}

async function checkCompleted(seed: number, { world, id, records }: Left): Promise<boolean> {
  const { tenant } = world.leaver;
  const run = await world.readRun(id);
  expect({ seed, state: run.state, steps: STEPS.map((name) => run.steps[name].state) }).toEqual({
    seed,
    state: 'completed',
    steps: ['done', 'done', 'done', 'done', 'done'],
  });
  expect({ seed, counts: run.steps['hand-over'].counts }).toEqual({ seed, counts: { records: RECORDS, left: 0 } });
  const audited = (await world.audited()).filter((line) => !/^(contact|lead)\./.test(line));
  expect({ seed, audited }).toEqual({
    seed,
    audited: [
      'addon-user.lock',
      'backup.complete',
      'backup.start',
      'member.deactivate',
      'offboarding.complete',
      'offboarding.start',
      ...STEPS.map((name) => `offboarding.step ${name} done`).sort(),
    ],
  });
  const owners = await Promise.all(records.map(async (record) => (await readRecord(world.table, tenant, record))?.owner));
  expect(new Set(owners)).toEqual(new Set([world.successor.member]));
  const changes = (await world.audited()).filter((line) => /\.change$/.test(line));
  expect({ seed, changes: changes.length }).toEqual({ seed, changes: RECORDS });
  const isRead = run.steps['last-poll'].warning === undefined;
  if (isRead) expect(await world.seen()).toEqual(['last', 'before']);
  expect(isRead && world.server === 'down').toBe(false);
  expect(world.told.some(({ to, subject }) => to === 'leaver@example.com' && /were locked/.test(subject))).toBe(true);
  expect(world.told.some(({ to, subject }) => to === 'admin@example.com' && /is complete/.test(subject))).toBe(true);
  expect(await world.table.all({ pk: runningOffboardingsPartition })).toEqual([]);
  expect((await world.standing())?.running).toBeUndefined();
  return isRead;
}

/** Wherever it was cancelled: what each step says is what is so. */
async function checkCancelled(seed: number, { world, id, records }: Left): Promise<boolean> {
  const run = await world.readRun(id);
  const leaver = await world.readLeaver();
  const owners = await Promise.all(records.map(async (record) => (await readRecord(world.table, world.leaver.tenant, record))?.owner));
  const backup = await world.readBackupOf(run);
  expect({ seed, state: run.state }).toEqual({ seed, state: expect.stringMatching(/^(cancelled|completed)$/) });
  expect({ seed, locked: run.steps.lock.state }).toEqual({ seed, locked: leaver.locked ? 'done' : 'cancelled' });
  expect({ seed, status: run.steps.deactivate.state }).toEqual({ seed, status: leaver.status === 'active' ? 'cancelled' : 'done' });
  const given = owners.filter((owner) => owner === world.successor.member).length;
  expect({ seed, given: run.steps['hand-over'].counts?.records ?? 0 }).toEqual({ seed, given });
  expect({ seed, backup: backup?.state === 'completed' }).toEqual({ seed, backup: run.steps['back-up'].state === 'done' });
  expect([(await world.standing())?.running, await world.table.all({ pk: runningOffboardingsPartition })]).toEqual([undefined, []]);
  const audited = (await world.audited()).filter((line) => /^offboarding\.(complete|cancelled)$/.test(line));
  expect({ seed, audited }).toEqual({ seed, audited: [run.state === 'completed' ? 'offboarding.complete' : 'offboarding.cancelled'] });
  expect(world.told.filter(({ to, subject }) => to === 'admin@example.com' && /is complete|was cancelled/.test(subject))).not.toEqual([]);
  return run.state === 'cancelled';
}

test(
  'killed anywhere, doubled, lost, out of order, by two at once: each step of an off-boarding happens once, and it ends',
  async () => {
    let kills = 0;
    let read = 0;
    for (let i = 0; i < SCHEDULES; i++) {
      const left = await schedule((SEED + i) | 0);
      kills += left.kills;
      read += Number(await checkCompleted((SEED + i) | 0, left));
    }
    console.log(`offboarding-crash: OFFBOARDING_SEED=${SEED}: ${SCHEDULES} schedules, ${kills} kills, ${read} mailboxes read in time`);
    expect(kills).toBeGreaterThan(SCHEDULES / 4);
    expect(read).toBeGreaterThan(SCHEDULES / 4);
  },
  10 * 60_000,
);

test(
  'cancelled in any moment, with workers killed anywhere: nothing more is begun, and what is told is so',
  async () => {
    let kills = 0;
    let cancelled = 0;
    for (let i = 0; i < SCHEDULES / 2; i++) {
      const left = await schedule((SEED - i) | 0, 1 + (i % 20));
      kills += left.kills;
      cancelled += Number(await checkCancelled((SEED - i) | 0, left));
    }
    console.log(`offboarding-crash: OFFBOARDING_SEED=${SEED}: ${kills} kills, ${cancelled} cancelled in time`);
    expect(kills).toBeGreaterThan(SCHEDULES / 10);
    expect(cancelled).toBeGreaterThan(SCHEDULES / 5);
  },
  10 * 60_000,
);
