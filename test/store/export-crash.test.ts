import { createHash } from 'node:crypto';
import { filesOf } from '../../core/backup/export.ts';
import { cancelExport } from '../../core/backup/export-store.ts';
import { runExport } from '../../core/backup/run-export.ts';
import { sweepExports } from '../../core/backup/sweep-store.ts';
import { Table } from '../../core/table/client.ts';
import { runningExportsPartition } from '../../core/table/keys.ts';
import { readMbox, readZip } from '../support/archives.ts';
import { BackupWorld } from '../support/backup-world.ts';
import { randomOf } from '../support/crash-harness.ts';
import { MemoryDynamo } from '../support/memory-dynamo.ts';
import { type Around, Killed, moment, mortalWorker, slowAtTimes } from '../support/mortal-worker.ts';

/**
 * An export by workers that are killed at any write, read, upload or send, with their words lost, doubled and out of order, and two
 * workers at once: it ends; when it is complete every mail is in it exactly once, and what is not complete says so. EXPORT_SEED
 * replays one, EXPORT_SCHEDULES says how many.
 */
const SCHEDULES = Number(process.env.EXPORT_SCHEDULES ?? 200);
const SEED = Number(process.env.EXPORT_SEED ?? 20_261_122);
const MAILS = 7;

async function schedule(seed: number): Promise<{ kills: number; state: string }> {
  const random = randomOf(seed);
  const dynamo = new MemoryDynamo();
  const world = await new BackupWorld(new Table(dynamo.client, 'memory')).begin();
  const subjects = Array.from({ length: MAILS }, (_, i) => `mail ${i}`);
  for (const subject of subjects) await world.fetched(subject);
  await world.setStatus('deactivated');
  const { id: backup } = await world.backUp();
  const format = random() < 0.5 ? 'zip' : 'mbox';
  await world.startExport(backup, format);
  const job = { tenant: world.leaver.tenant, backup, format } as const;
  world.told.length = 0;
  let kills = 0;
  let killedBehindNotice = 0;
  const cancelledAt = random() < 0.15 ? Math.floor(random() * 10) : undefined;
  // Now and then so high that no volume is ever done: then it must fail, and not go on for ever.
  const risk = random() < 0.1 ? 0.2 : random() * 0.03;

  /** One worker, with a table and files of its own, that may die at whatever it does; when dead it does nothing more. */
  const worker = async (): Promise<void> => {
    const { table, around } = mortalWorker(dynamo, { dies: () => random() < risk, onKill: () => kills++, atReads: true });
    const base = world.exportRoom();
    const slowly = slowAtTimes(random, 8);
    const at: Around = (work) => around(slowly(around(work)));
    const { uploads, files, queue } = base;
    let hasTold = false;
    const tell: typeof base.tell = async (mail) => {
      hasTold = true;
      await base.tell(mail);
    };
    const room = {
      ...base,
      table,
      files: { read: at(files.read), write: at(files.write) },
      uploads: { begin: at(uploads.begin), finish: at(uploads.finish), abort: at(uploads.abort) },
      queue: { send: at(queue.send) },
      tell: at(tell),
      volumeMails: 1 + Math.floor(random() * 4),
    };
    try {
      await runExport(room, world.leaver.tenant, job, new Date(world.now.getTime() + 1 + random() * 3000));
    } catch (error) {
      // An upload that a successor has forgotten fails like any other call of S3.
      if (!(error instanceof Killed) && !/NoSuchUpload/.test(String(error))) throw error;
      if (hasTold) killedBehindNotice++;
      // What was taken from the queue and not done comes again; sometimes the queue loses it all the same, and the sweep must help.
      if (random() < 0.5) world.exportJobs.push(job);
    }
  };

  const atWork = new Set<Promise<void>>();
  for (let turns = 0; turns < 400; turns++) {
    const { state, noticeSentAt } = await world.readExport(backup, format);
    if (noticeSentAt !== undefined && world.exportJobs.length === 0) break;
    if (turns === cancelledAt && state === 'running') {
      await cancelExport(world.exportStartRoom(), world.admin, backup, format, world.now).catch((error) => {
        if (error.code !== 'not-running') throw error;
      });
    }
    if (random() < 0.2) world.exportJobs.push(...world.exportJobs.slice(0, 1));
    const taken = world.exportJobs.splice(0, random() < 0.4 ? 2 : 1);
    for (const work of taken.map(worker)) atWork.add(work.finally(() => atWork.delete(work)));
    // Few words at a time, so that a turn of the loop is about a turn of a worker; sometimes one is slower than its lease.
    if (random() < 0.8) await Promise.all(atWork);
    await moment();
    world.tick(random() < 0.2 ? 400 : 1 + random() * 60);
    await sweepExports(world.exportStartRoom(), world.now);
  }
  await Promise.all(atWork);

  const made = await world.readExport(backup, format);
  expect({ seed, state: made.state }).toEqual({ seed, state: expect.stringMatching(/^(completed|failed|cancelled)$/) });
  expect(await world.table.all({ pk: runningExportsPartition })).toEqual([]);
  expect(made.leaseUntil).toBeUndefined();
  // Once; but a worker killed behind it leaves nobody to know that.
  expect(world.told.length).toBeGreaterThan(0);
  if (killedBehindNotice === 0) expect({ seed, told: world.told.length }).toEqual({ seed, told: 1 });
  if (made.state !== 'completed') return { kills, state: made.state };
  expect({ seed, mails: mailsOf(world, filesOf(made)) }).toEqual({ seed, mails: subjects });
  // Each file is what was noted of it, byte for byte.
  for (const { key, bytes, sha256 } of filesOf(made)) {
    const content = world.files.get(key) as Uint8Array;
    expect([content.length, createHash('sha256').update(content).digest('hex')]).toEqual([bytes, sha256]);
  }
  return { kills, state: made.state };
}

/** The mails of all volumes, in their order; each zip and mbox is read as a strict reader does. */
function mailsOf(world: BackupWorld, files: { name: string; key: string }[]): string[] {
  return files.flatMap(({ name, key }) => {
    const content = Buffer.from(world.files.get(key) as Uint8Array);
    if (name.endsWith('.mbox')) return readMbox(content).map(({ bytes }) => bytes.toString().trimEnd());
    if (!name.endsWith('.zip')) return [];
    return [...readZip(content)].filter(([path]) => path.endsWith('.eml')).map(([, bytes]) => bytes.toString());
  });
}

test(
  'scorecard 3, reliability 40: killed anywhere, doubled, lost, by two at once: it ends, and a complete one has every mail once',
  async () => {
    let kills = 0;
    const ends: Record<string, number> = {};
    for (let i = 0; i < SCHEDULES; i++) {
      const { kills: more, state } = await schedule((SEED + i) | 0);
      kills += more;
      ends[state] = (ends[state] ?? 0) + 1;
    }
    console.log(`export-crash: EXPORT_SEED=${SEED}: ${SCHEDULES} schedules, ${kills} kills, ${JSON.stringify(ends)}`);
    expect(kills).toBeGreaterThan(SCHEDULES / 4);
    expect(ends.completed).toBeGreaterThan(SCHEDULES / 2);
    expect(ends.cancelled).toBeGreaterThan(0);
  },
  10 * 60_000,
);
