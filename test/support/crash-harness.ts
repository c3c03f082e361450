import { listActivity } from '../../core/dropbox/activity-store.ts';
import { ingest } from '../../core/dropbox/ingest.ts';
import { sweepRawMail } from '../../core/dropbox/sweep-store.ts';
import { asTenantId } from '../../core/ids.ts';
import type { Delivery } from '../../core/message/delivery.ts';
import type { Mailroom } from '../../core/message/mailroom.ts';
import { readMessage } from '../../core/message/message-store.ts';
import type { ParsedMail } from '../../core/message/parsed-mail.ts';
import { listTimeline } from '../../core/message/timeline-store.ts';
import { matchAddress } from '../../core/record/address-store.ts';
import { Table } from '../../core/table/client.ts';
import { copyKey } from '../../core/table/keys.ts';
import { delivery, dropboxWorld, existing, MAIL_DOMAIN, mail, START, type World } from './dropbox-world.ts';
import { MemoryDynamo } from './memory-dynamo.ts';

/** What a kill looks like from inside: nobody catches it, nothing after it runs. */
class Killed extends Error {}

/** Kill before or after the n-th write of the run. */
export type CrashPoint = { write: number; when: 'before' | 'after' };
export type Schedule = { seed: number; crashes: CrashPoint[] };
export type Verdict = { lost: string[]; doubled: string[]; wrong: string[] };

export type Store = { table: Table; onWrite: (hook: (when: 'before' | 'after', command: string) => void) => void };

/**
 * One life of a small mailbox under a schedule of kills: two mails to the same known contact and the same unknown
 * person, one of them delivered twice by its sender, deliveries duplicated and shuffled by the queue, one or two workers
 * killed at the schedule's points and the message redelivered. Answers what went wrong; nothing, if all is well.
 */
export async function runSchedule(store: Store, { seed, crashes }: Schedule): Promise<Verdict> {
  const { table } = store;
  store.onWrite(() => {});
  const random = randomOf(seed);
  const world = await dropboxWorld(table, { dropbox: { createIn: random() < 0.5 ? 'leads' : 'contacts' } });
  const contact = await existing(table, world, 'contacts', 'taro@customer.example');
  const mails = new Map<string, ParsedMail>();
  const accept = (parsed: ParsedMail, at: string): Delivery => {
    const accepted = delivery([world.address], { receivedAt: at });
    mails.set(accepted.rawKey, parsed);
    return accepted;
  };
  const to = [
    { address: 'taro@customer.example', name: 'Taro' },
    { address: 'new@prospect.example', name: 'New Person' },
  ];
  const first = mail({ to });
  const second = mail({ to, subject: 'Second' });
  const accepted = [
    accept(first, '2026-03-01T09:00:00.000Z'),
    accept(second, '2026-03-01T09:00:01.000Z'),
    accept(first, '2026-03-01T09:00:02.000Z'),
  ];
  await takeIn(store, mails, accepted, { random, crashes });
  return judge(table, world, contact, mails, accepted);
}

/**
 * Deliveries taken in under a schedule of kills, some of them twice, in any order, by one worker or two. `mails` are what SES stored,
 * by key. Answers how many writes there were.
 */
export async function takeIn(
  store: Store,
  mails: ReadonlyMap<string, ParsedMail>,
  accepted: readonly Delivery[],
  { random, crashes }: { random: () => number; crashes: readonly CrashPoint[] },
): Promise<number> {
  const queue = shuffle([...accepted, ...accepted.filter(() => random() < 0.5)], random);
  const room: Mailroom = {
    table: store.table,
    mailDomain: MAIL_DOMAIN,
    readRaw: async (key) => (mails.has(key) ? Buffer.from(key) : undefined),
    readMail: async (raw) => mails.get(Buffer.from(raw).toString()),
    backfills: { send: async () => {} },
  };
  let writes = 0;
  let left = crashes;
  store.onWrite((when) => {
    if (when === 'before') writes++;
    const at = left.findIndex((crash) => crash.write === writes && crash.when === when);
    if (at < 0) return;
    left = left.toSpliced(at, 1);
    throw new Killed();
  });
  const worker = async () => {
    for (;;) {
      const next = queue.shift();
      if (!next) return;
      try {
        await ingest(room, next);
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
        queue.splice(Math.floor(random() * (queue.length + 1)), 0, next);
      }
    }
  };
  // One or two workers at once: their steps interleave at every call.
  await Promise.all(random() < 0.5 ? [worker()] : [worker(), pause(random).then(worker)]);
  store.onWrite(() => {});
  return writes;
}

async function judge(table: Table, world: World, contact: string, raws: Map<string, ParsedMail>, accepted: Delivery[]): Promise<Verdict> {
  const verdict: Verdict = { lost: [], doubled: [], wrong: [] };
  const { records } = await matchAddress(table, world.tenant, 'new@prospect.example');
  if (records.length !== 1) verdict.doubled.push(`${records.length} records for one address`);
  for (const record of [contact, ...records.map((link) => link.record)]) {
    const { items } = await listTimeline(table, world.viewer, record, { limit: 50 });
    for (const subject of ['Our offer', 'Second']) {
      const found = items.filter((item) => item.subject === subject).length;
      if (found === 0) verdict.lost.push(`${subject} on ${record}`);
      if (found > 1) verdict.doubled.push(`${subject} on ${record}`);
    }
  }
  const activity = await listActivity(table, world.viewer, { limit: 50 }, new Date(START));
  if (activity.items.length !== accepted.length)
    verdict.wrong.push(`${activity.items.length} activity entries for ${accepted.length} deliveries`);
  const duplicates = activity.items.filter(({ outcome }) => outcome === 'duplicate').length;
  if (duplicates !== 1) verdict.wrong.push(`${duplicates} duplicates told instead of 1`);
  if (activity.items.filter(({ outcome }) => outcome === 'created').length !== 1)
    verdict.wrong.push('not exactly one mail says it created the record');
  await sweepRawMail(
    table,
    { read: async () => undefined, delete: async (key) => void raws.delete(key) },
    new Date('2026-04-02T12:00:00.000Z'),
  );
  for (const { message } of activity.items) {
    const found = message && (await readMessage(table, world.tenant, message));
    if (found && !raws.has(found.message.rawKey)) verdict.lost.push(`raw mail of ${message}`);
  }
  return verdict;
}

export function memoryStore(): Store {
  const dynamo = new MemoryDynamo();
  return {
    table: new Table(dynamo.client, 'memory'),
    onWrite: (hook) => {
      dynamo.onWrite = hook;
    },
  };
}

/** The wrong order: as soon as a message is there, mika's copy is written, which says that it is filed; everything else after. */
export function markerFirst(store: Store, channel: 'dropbox' | 'mailbox'): Store {
  const { table } = store;
  const putNew = table.putNew.bind(table);
  table.putNew = (async (item: Record<string, unknown>) => {
    const answer = await putNew(item);
    if (item.sk === 'META' && !answer) {
      const { pk, id: message, receivedAt } = item;
      const { sk } = copyKey(asTenantId(String(pk).split('#')[1] as string), String(message), 'mika', channel);
      await putNew({ pk, sk, message, member: 'mika', channel, receivedAt, delivery: 'first', records: [] });
    }
    return answer;
  }) as typeof table.putNew;
  return store;
}

export const isClean = ({ lost, doubled, wrong }: Verdict) => lost.length + doubled.length + wrong.length === 0;

/** A small seeded generator (mulberry32): the same schedule again from the seed that is printed. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Lets the other worker go some steps ahead. */
async function pause(random: () => number): Promise<void> {
  for (let steps = Math.floor(random() * 60); steps > 0; steps--) await Promise.resolve();
}

function shuffle<T>(list: T[], random: () => number): T[] {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j] as T, list[i] as T];
  }
  return list;
}
