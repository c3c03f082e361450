import type { BackupPage } from '../../core/backup/backup.ts';
import { runBackup } from '../../core/backup/run-backup.ts';
import { sweepBackups } from '../../core/backup/sweep-store.ts';
import { Table } from '../../core/table/client.ts';
import { backupPagesPartition } from '../../core/table/keys.ts';
import { BackupWorld } from '../support/backup-world.ts';
import { randomOf } from '../support/crash-harness.ts';
import { MemoryDynamo } from '../support/memory-dynamo.ts';
import { Killed, moment, mortalWorker, slowAtTimes } from '../support/mortal-worker.ts';

/**
 * A backup by workers that are killed at any write, send or put, with its words lost, doubled and out of order, and two workers at
 * once: every mail in scope is shown and in the manifest exactly once, and it ends. BACKUP_SEED replays one, BACKUP_SCHEDULES says
 * how many.
 */
const SCHEDULES = Number(process.env.BACKUP_SCHEDULES ?? 1000);
const SEED = Number(process.env.BACKUP_SEED ?? 20_261_122);
const MAILS = 7;

async function schedule(seed: number): Promise<{ kills: number; turns: number }> {
  const random = randomOf(seed);
  const dynamo = new MemoryDynamo();
  const world = await new BackupWorld(new Table(dynamo.client, 'memory')).begin();
  const subjects = Array.from({ length: MAILS }, (_, i) => `mail ${i}`);
  for (const subject of subjects) await world.fetched(subject);
  await world.setStatus('deactivated');
  const { id } = await world.start();
  let kills = 0;
  const risk = random() * 0.12;

  /** One worker, with a table and files of its own, that may die at whatever it does; when dead it does nothing more. */
  const worker = async (): Promise<void> => {
    const { table, around } = mortalWorker(dynamo, { dies: () => random() < risk, onKill: () => kills++ });
    const base = world.room();
    const slowly = slowAtTimes(random, 8);
    const room = {
      ...base,
      table,
      files: { digest: slowly(base.files.digest), write: slowly(around(base.files.write)) },
      queue: { send: around(base.queue.send) },
      tell: around(base.tell),
      pageMails: 1 + Math.floor(random() * 3),
    };
    try {
      await runBackup(room, world.leaver.tenant, id, new Date(world.now.getTime() + 1 + random() * 3000));
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      // What was taken from the queue and not done comes again; sometimes the queue loses it all the same, and the sweep must help.
      if (random() < 0.5) world.jobs.push({ tenant: world.leaver.tenant, backup: id });
    }
  };

  const atWork = new Set<Promise<void>>();
  let turns = 0;
  for (; turns < 400; turns++) {
    const isOver = (await world.read(id)).noticeSentAt !== undefined;
    if (isOver && world.jobs.length === 0) break;
    if (random() < 0.2) world.jobs.push(...world.jobs.slice(0, 1));
    if (random() < 0.3) world.jobs.reverse();
    const taken = world.jobs.splice(0, random() < 0.4 ? 2 : 1);
    for (const work of taken.map(worker)) atWork.add(work.finally(() => atWork.delete(work)));
    await moment();
    world.tick(random() < 0.2 ? 400 : 1 + random() * 60);
    await sweepBackups(world.startRoom(), world.now);
  }
  await Promise.all(atWork);
  const backup = await world.read(id);
  expect({ seed, state: backup.state, mails: backup.tally.mails, looked: backup.tally.looked }).toEqual({
    seed,
    state: 'completed',
    mails: MAILS,
    looked: MAILS,
  });
  expect(await world.seen()).toEqual(subjects.toReversed());
  const manifests = [...world.files.keys()].filter((key) => key.endsWith('manifest.json'));
  expect(manifests).toHaveLength(1);
  const manifest = (await world.manifest(id)) as { parts: BackupPage[] };
  const lines = manifest.parts.flatMap(({ key }) => Buffer.from(world.files.get(key)!).toString().split('\n').filter(Boolean));
  expect(new Set(lines.map((line) => JSON.parse(line).message)).size).toBe(MAILS);
  expect(lines).toHaveLength(MAILS);
  expect(await world.table.all({ pk: backupPagesPartition(world.leaver.tenant, id) })).toHaveLength(backup.pages);
  expect(world.told.length).toBeGreaterThan(0);
  expect((await world.standing())?.running).toBeUndefined();
  return { kills, turns };
}

test(
  'scorecard 3, reliability 40: killed anywhere, doubled, lost, out of order, by two at once: every mail once, one manifest, an end',
  async () => {
    let kills = 0;
    for (let i = 0; i < SCHEDULES; i++) kills += (await schedule((SEED + i) | 0)).kills;
    console.log(`backup-crash: BACKUP_SEED=${SEED}: ${SCHEDULES} schedules, ${kills} kills`);
    expect(kills).toBeGreaterThan(SCHEDULES / 4);
  },
  10 * 60_000,
);
