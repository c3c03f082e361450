import { placeHold, releaseHold } from '../../core/addon-user/hold-store.ts';
import { listAudit } from '../../core/audit/audit-store.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import type { Copy, Message, OwnMailEntry } from '../../core/message/message.ts';
import { Table } from '../../core/table/client.ts';
import { copyKey, mailAccountKey, messageKey, ownMailPartition, recordPartition, remainsPartition } from '../../core/table/keys.ts';
import { NINE } from '../support/backup-world.ts';
import { randomOf } from '../support/crash-harness.ts';
import { MemoryDynamo } from '../support/memory-dynamo.ts';
import { type Around, Killed, mortalWorker } from '../support/mortal-worker.ts';
import { DAY, RetentionWorld } from '../support/retention-world.ts';

/**
 * Hidden mail deleted by workers that are killed at any write, word or object, by two at once, while colleagues file the same mails and
 * are killed too, and administrators put the mail on hold or bring its member back: whoever looks sees all of a mail or nothing, what
 * colleagues hold stays with its bytes, and what nobody holds goes. RETENTION_SEED replays one, RETENTION_SCHEDULES says how many.
 */
const SCHEDULES = Number(process.env.RETENTION_SCHEDULES ?? 150);
const SEED = Number(process.env.RETENTION_SEED ?? 20_261_122);
const MAILS = 6;

type Process = { table: Table; around: Around };

/** A process with a table of its own, that takes its time for each call, and may die at any of them; dead it does nothing more. */
function processOf(dynamo: MemoryDynamo, random: () => number, risk: number, onKill: () => void): Process {
  const { table, around } = mortalWorker(dynamo, { dies: () => random() < risk, onKill });
  const slowly = async () => {
    for (let waits = Math.floor(random() * 12); waits > 0; waits--) await Promise.resolve();
  };
  const { client } = table;
  const send = client.send.bind(client) as (...args: unknown[]) => Promise<unknown>;
  Object.assign(client, {
    send: async (...args: unknown[]) => {
      await slowly();
      return send(...args);
    },
  });
  const slow: Around =
    (work) =>
    async (...args) => {
      await slowly();
      return work(...args);
    };
  return { table, around: (work) => slow(around(work)) };
}

async function schedule(seed: number): Promise<{ kills: number }> {
  const random = randomOf(seed);
  const dynamo = new MemoryDynamo();
  const world = await new RetentionWorld(new Table(dynamo.client, 'memory')).begin();
  const { leaver, colleague, admin } = world;
  const subjects = Array.from({ length: MAILS }, (_, i) => `mail ${i}`);
  for (const subject of subjects) await world.fetched(subject);
  for (const subject of subjects.filter(() => random() < 0.2)) await world.fetched(subject, {}, colleague);
  const colleagues = new Set((await rowsOf(world, colleague)).map(({ subject }) => subject));
  await world.leave();
  let kills = 0;
  const risk = random() * 0.1;
  const born = () => processOf(dynamo, random, risk, () => kills++);

  const worker = async (): Promise<void> => {
    const { table, around } = born();
    const base = world.deletionRoom();
    const files = { delete: around(base.files.delete), list: around(base.files.list), readBeginning: base.files.readBeginning };
    const room = {
      table,
      files,
      queue: { send: around(base.queue.send) },
      polls: { send: around(base.polls.send) },
      tell: around(base.tell),
    };
    try {
      await world.turn({ ...room, pageMails: 1 + Math.floor(random() * 3) }, new Date(world.now.getTime() + (random() < 0.5 ? 1 : 0)));
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      // What was not done comes again, unless the queue loses it: then the daily round says it.
      if (random() < 0.5) world.words.push({ tenant: leaver.tenant, member: leaver.member });
    }
  };
  /** A colleague's filing of one of the mails; killed, it is tried again. */
  type Filing = { subject: string; file: (table: Table) => Promise<unknown> };
  const unfiled: Filing[] = [];
  const filing = async (tried: Filing): Promise<void> => {
    try {
      await tried.file(born().table);
      colleagues.add(tried.subject);
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      unfiled.push(tried);
    }
  };
  const newFiling = (): Filing => {
    const subject = subjects[Math.floor(random() * MAILS)]!;
    return { subject, ...world.fetching(subject, colleague) };
  };

  const reactivates = random() < 0.2 ? Math.floor(random() * 6) : -1;
  let heldFor = random() < 0.3 ? Math.floor(random() * 6) : -1;
  let whole: string[] | undefined;
  for (let round = 0; round < 300; round++) {
    await world.daily();
    const atWork: Promise<void>[] = [];
    if (random() < 0.2) world.words.push(...world.words.slice(0, 1));
    for (const _ of world.words.splice(0, random() < 0.3 ? 2 : 1)) atWork.push(worker());
    if (round < 12 && random() < 0.5) atWork.push(filing(newFiling()));
    else if (unfiled.length > 0) atWork.push(filing(unfiled.shift()!));
    await Promise.all(atWork);
    await expectWhole(seed, world, leaver);
    await expectWhole(seed, world, colleague);
    // In the middle, between two turns; what is left from then on is theirs.
    if (round === reactivates) {
      await world.setStatus('active');
      whole = (await rowsOf(world, leaver)).map(({ subject }) => subject);
    }
    if (round === heldFor) await placeHold(world.table, admin, leaver.member, { reason: 'x' }, world.now);
    if (heldFor >= 0 && round === heldFor + 3) {
      await releaseHold(world.table, admin, leaver.member, world.now);
      heldFor = -1;
    }
    world.tick(random() < 0.3 ? DAY : 1 + random() * 60);
    if (world.words.length > 0 && random() < 0.7) continue;
    world.tick(DAY);
    if (round % 9 === 8 && (await isWarnable(world))) {
      await world.warned();
      world.tick(7 * DAY);
    }
    if (round > 14 && unfiled.length === 0 && world.words.length === 0 && (await isDone(world, whole))) break;
  }

  expect({ seed, left: (await rowsOf(world, leaver)).map(({ subject }) => subject) }).toEqual({ seed, left: whole ?? [] });
  expect({ seed, theirs: new Set((await rowsOf(world, colleague)).map(({ subject }) => subject)) }).toEqual({ seed, theirs: colleagues });
  expect({ seed, remains: await world.table.all({ pk: remainsPartition(leaver.tenant, leaver.member) }) }).toEqual({ seed, remains: [] });
  expect({ seed, list: await world.table.all({ pk: 'D#DELETIONS' }) }).toEqual({ seed, list: [] });
  if (!whole) expect(await world.table.get(mailAccountKey(leaver.tenant, leaver.member, 'acc'))).toBeUndefined();
  // Of the bytes those that a message needs, and those a second filing brought, which are swept when a month old.
  const needed = new Set<string>();
  for (const viewer of [leaver, colleague])
    for (const { message } of await rowsOf(world, viewer))
      needed.add((await world.table.get<Message>(messageKey(leaver.tenant, message)))!.rawKey);
  const left = [...world.files.keys()].filter((key) => key.includes('/mail/acc/') && !needed.has(key));
  expect({ seed, left }).toEqual({ seed, left: [] });
  const audit = await listAudit(world.table, leaver.tenant, { limit: 100, now: world.now, since: NINE.toISOString() });
  const counted = audit.items.filter(({ action }) => ['hidden-mail.deleted', 'hidden-mail.delete-stopped'].includes(action));
  const mails = counted.reduce((sum, { after }) => sum + (after as { mails: number }).mails, 0);
  expect({ seed, mails }).toEqual({ seed, mails: MAILS - (whole?.length ?? 0) });
  return { kills };
}

const rowsOf = ({ table }: RetentionWorld, { tenant, member }: Viewer) => table.all<OwnMailEntry>({ pk: ownMailPartition(tenant, member) });

/** Each row has its copy, its message and the bytes; each entry of the owner's on a record its row. */
async function expectWhole(seed: number, world: RetentionWorld, { tenant, member }: Viewer): Promise<void> {
  const rows = await rowsOf(world, { tenant, member } as Viewer);
  for (const { message, records } of rows) {
    const copy = await world.table.get<Copy>(copyKey(tenant, message, member, 'mailbox'));
    const meta = await world.table.get<Message>(messageKey(tenant, message));
    expect({ seed, copy: copy?.records, bytes: world.files.has(meta?.rawKey ?? '') }).toEqual({ seed, copy: records, bytes: true });
  }
  const entries = await world.table.all<{ message: string }>({ pk: recordPartition(tenant, world.contact), begins: `O#${member}#m` });
  // A filing that was killed before its last write, the row, comes again.
  const known = new Set(rows.map(({ message }) => message));
  const orphans: string[] = [];
  for (const { message } of entries) {
    if (!known.has(message) && !(await world.table.get(copyKey(tenant, message, member, 'mailbox')))) orphans.push(message);
  }
  expect({ seed, orphans }).toEqual({ seed, orphans: [] });
}

async function isWarnable(world: RetentionWorld): Promise<boolean> {
  return (await world.table.all({ pk: 'D#HIDDEN' })).length > 0;
}

async function isDone(world: RetentionWorld, whole: string[] | undefined): Promise<boolean> {
  const { tenant, member } = world.leaver;
  const rows = await rowsOf(world, world.leaver);
  // Stopped by a hold before the mailbox went: it goes when administrators were told anew.
  const isMailboxGone = whole !== undefined || (await world.table.get(mailAccountKey(tenant, member, 'acc'))) === undefined;
  return isMailboxGone && rows.length === (whole?.length ?? 0) && (await world.table.all({ pk: 'D#DELETIONS' })).length === 0;
}

test(
  'R-29, R-31: killed anywhere, by two at once, among filings of the same mail, holds and reactivations: all of a mail or nothing, and an end',
  async () => {
    let kills = 0;
    for (let i = 0; i < SCHEDULES; i++) kills += (await schedule((SEED + i) | 0)).kills;
    console.log(`retention-crash: RETENTION_SEED=${SEED}: ${SCHEDULES} schedules, ${kills} kills`);
    expect(kills).toBeGreaterThan(SCHEDULES);
  },
  10 * 60_000,
);
