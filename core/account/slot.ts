import { sha256 } from '../ids.ts';
import type { Write } from '../table/client.ts';
import { slotKey } from '../table/keys.ts';
import type { MailAccount } from './account.ts';

/**
 * The timetable: when an account is polled. An account stands at one place of it, either a recurring one (every so many
 * minutes, at its own minute of them), so that a poll which finds nothing has nothing to write; or at one minute, once.
 * The planner reads a minute's places by Query, shard by shard.
 */
export type Slot = { every: Interval } | { at: string };

/** Minutes between two polls. Each step follows after quiet hours; new mail leads back to the first. */
export const INTERVALS = [5, 10, 20, 40, 60] as const;
export type Interval = (typeof INTERVALS)[number];

/** Places of one minute are spread over so many partitions, so that none is hot. */
export const SLOT_SHARDS = 8;

/** What the planner needs to know of an account. */
export type SlotItem = { tenant: string; member: string; account: string };

type Placed = Pick<MailAccount, 'tenant' | 'member' | 'id' | 'slot'>;

/**
 * The writes that move an account to another place, or off the timetable. The caller sets the account's `slot` to
 * `slotOf(...)` in the same transaction, under the condition that it was the one given here.
 */
export function moveTo(account: Placed, slot: Slot | undefined): Write[] {
  const from = account.slot;
  const to = slot && slotOf(account, slot);
  if (from === to) return [];
  const id = `${account.tenant}#${account.member}#${account.id}`;
  const item: SlotItem = { tenant: account.tenant, member: account.member, account: account.id };
  return [...(from ? [{ delete: slotKey(from, id) }] : []), ...(to ? [{ put: { ...slotKey(to, id), ...item } }] : [])];
}

/** The name of an account's place, as it stands in keys and in the account: `R5#3#1` or `2026-11-22T06:45#1`. */
export function slotOf(account: Pick<MailAccount, 'id'>, slot: Slot): string {
  const lot = Number.parseInt(sha256(account.id).slice(0, 8), 16);
  const shard = lot % SLOT_SHARDS;
  // Its minute among those of the interval: accounts of one interval are spread evenly.
  if ('every' in slot) return `R${slot.every}#${Math.floor(lot / SLOT_SHARDS) % slot.every}#${shard}`;
  return `${slot.at.slice(0, 16)}#${shard}`;
}

/** The names of all places that are due in the minute of `at`. */
export function slotsDue(at: Date): string[] {
  const minute = Math.floor(at.getTime() / 60_000);
  return [...INTERVALS.flatMap((every) => shardsOf(`R${every}#${minute % every}`)), ...slotsOnce(at)];
}

/** The names of the places that are for the minute of `at` alone. */
export const slotsOnce = (at: Date): string[] => shardsOf(at.toISOString().slice(0, 16));

/** A place for once: whoever stands there is looked at closely, and moves on. */
export const isOnce = (slot: string | undefined): boolean => slot !== undefined && !slot.startsWith('R');

const shardsOf = (name: string) => Array.from({ length: SLOT_SHARDS }, (_, shard) => `${name}#${shard}`);

/** When the next poll of a place begins, after `now`; ISO 8601. */
export function nextOf(slot: string, now: Date): string {
  if (!slot.startsWith('R')) return `${slot.split('#')[0]}:00.000Z`;
  const [every = 5, phase = 0] = slot.slice(1).split('#').map(Number);
  const minute = Math.floor(now.getTime() / 60_000) + 1;
  const wait = (((phase - minute) % every) + every) % every;
  return new Date((minute + wait) * 60_000).toISOString();
}
