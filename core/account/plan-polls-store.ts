import type { JobQueue } from '../job/send.ts';
import type { Table } from '../table/client.ts';
import { plannerKey, slotPartition } from '../table/keys.ts';
import type { PollJob } from './poll-job.ts';
import { type SlotItem, slotsDue, slotsOnce } from './slot.ts';

type Round = { minute: string };

/**
 * Minutes after which a place that was for once is looked at again. A poll leaves such a place when it is over; who still stands
 * there was written down too late, or their job or their poll was lost.
 */
const AGAIN_AFTER_MINUTES = [1, 10, 60, 360, 1440, 2 * 1440, 3 * 1440, 7 * 1440];

/** Minutes planned in one round after the planner was away; beyond so many, nobody is looked at again in that round. */
const CATCH_UP_MINUTES = 1440;
const CATCH_UP_CLOSELY_MINUTES = 120;

const MINUTE_MS = 60_000;
const PLACES_AT_ONCE = 16;

/**
 * Puts a job into the queue for every account that is due in this minute, and in those since the last round. It changes no
 * account and no place of the timetable: cut off anywhere and run again, it does no more than ask for some polls twice.
 */
export async function planPolls(
  { table, polls }: { table: Table; polls: Pick<JobQueue, 'sendAll'> },
  now: Date,
): Promise<{ planned: number; minutes: number }> {
  const minutes = await minutesDue(table, now);
  const isFarBehind = minutes.length > CATCH_UP_CLOSELY_MINUTES;
  const places = new Set(minutes.flatMap((minute) => placesOf(minute, isFarBehind ? [] : AGAIN_AFTER_MINUTES)));
  const jobs = await jobsAt(table, [...places]);
  await polls.sendAll(jobs);
  // Last: a round that was cut off is done again.
  await table.put({ ...plannerKey, minute: (minutes.at(-1) ?? startOf(now)).toISOString() } satisfies Round & Record<string, unknown>);
  return { planned: jobs.length, minutes: minutes.length };
}

/** The minutes not planned yet; this one even when it was: a place may have been taken since. */
async function minutesDue(table: Table, now: Date): Promise<Date[]> {
  const round = await table.get<Round>(plannerKey);
  const last = startOf(now).getTime();
  const first = Math.min(last, round ? Date.parse(round.minute) + MINUTE_MS : last);
  const count = Math.min(CATCH_UP_MINUTES, (last - first) / MINUTE_MS + 1);
  return Array.from({ length: count }, (_, i) => new Date(first + i * MINUTE_MS));
}

function placesOf(minute: Date, again: number[]): string[] {
  const earlier = again.flatMap((minutes) => slotsOnce(new Date(minute.getTime() - minutes * MINUTE_MS)));
  return [...slotsDue(minute), ...earlier];
}

/** One job for each account, however many minutes were missed. */
async function jobsAt(table: Table, places: string[]): Promise<PollJob[]> {
  const jobs = new Map<string, PollJob>();
  for (let start = 0; start < places.length; start += PLACES_AT_ONCE) {
    const found = await Promise.all(places.slice(start, start + PLACES_AT_ONCE).map((slot) => jobsOf(table, slot)));
    for (const job of found.flat()) jobs.set(job.poll.account, job);
  }
  return [...jobs.values()];
}

async function jobsOf(table: Table, slot: string) {
  // Half the price; who was put here this very second is found by the look back.
  const items = await table.all<SlotItem>({ pk: slotPartition(slot), consistent: false });
  return items.map(({ tenant, member, account }) => ({ poll: { tenant, member, account, slot } }));
}

const startOf = (time: Date) => new Date(Math.floor(time.getTime() / MINUTE_MS) * MINUTE_MS);
