import type { HostedAddress } from '../account/hosted-address.ts';
import { hostedDeliveryOf } from '../account/hosted-delivery.ts';
import type { SeenMail } from '../account/seen-mail-store.ts';
import { stableId } from '../ids.ts';
import type { Delivery } from '../message/delivery.ts';
import { readCopy } from '../message/message-store.ts';
import type { Listed } from '../message/raw-mail.ts';
import type { Table } from '../table/client.ts';
import { memberPartition, reconcileKey, seenMailKey, sweepKey, timelineKey } from '../table/keys.ts';
import type { Activity } from './activity-store.ts';
import type { Dropbox } from './dropbox.ts';
import { deliveryOf } from './received.ts';
import { findReceiver, isHosted } from './receiver-store.ts';
import { sweepDayOf } from './sweep-store.ts';

/** What reconciling works with. `again` hands a delivery to whoever takes mail in. */
export type Reconciliation = {
  table: Table;
  mailDomain: string;
  list: (after: string | undefined) => Promise<{ objects: Listed[]; more: boolean }>;
  readBeginning: (key: string, bytes: number) => Promise<Uint8Array | undefined>;
  again: (delivery: Delivery) => Promise<void>;
};

export type Reconciled = {
  /** Objects looked at: those that came since the round before. */
  looked: number;
  /** Without an outcome, and handed in again. */
  healed: number;
  /** Keys of mail for several recipients at once that has no outcome: whose it is, only the lost notification knew. */
  unknown: string[];
  /** False when time was over first: the next run goes on from there. */
  complete: boolean;
};

type Owner = Pick<Dropbox, 'tenant' | 'member' | 'hash'>;

/** Where the round stands, and which objects it looks at: those stored after `since`, up to `until`. */
type Round = { since: string; until: string; after?: string };

const MINUTE_MS = 60_000;
/** SES's header says the second, its notification the millisecond; and the object is stored somewhat later. */
const SLACK_MS = 10 * MINUTE_MS;
/** SES's own header lines have about 3 KB, a mail's own up to 256; the first of each name are SES's. */
const HEAD_BYTES = 16 * 1024;
const AT_ONCE = 20;

/**
 * Finds raw mail older than `minutes` that has no outcome, because its notification was lost or nobody could work on it, and
 * hands it in again. Each object is looked at once in its life: rounds over the bucket look at what came since the round
 * before. That costs a mail one GET of some KB and some reads, and no write.
 */
export async function reconcileRawMail(
  room: Reconciliation,
  now: Date,
  { minutes, hasTime }: { minutes: number; hasTime: () => boolean },
): Promise<Reconciled> {
  const stored = await room.table.get<Round>(reconcileKey);
  const until = new Date(now.getTime() - minutes * MINUTE_MS).toISOString();
  // A finished round has no place where it stands: the next one begins where that one ended.
  const round: Round = stored?.after ? stored : { since: stored?.until ?? '', until };
  const result: Reconciled = { looked: 0, healed: 0, unknown: [], complete: false };
  let { after } = round;
  do {
    const { objects, more } = await room.list(after);
    const ours = objects.filter(({ modified }) => modified > round.since && modified <= round.until);
    for (let i = 0; i < ours.length; i += AT_ONCE) {
      const found = await Promise.all(ours.slice(i, i + AT_ONCE).map((object) => lookAt(room, object)));
      result.looked += found.length;
      result.healed += found.filter((each) => each === 'healed').length;
      result.unknown.push(...found.filter((each) => each.startsWith('raw/')));
    }
    after = more ? objects.at(-1)?.key : undefined;
    result.complete = after === undefined;
    // After its page was looked at: a run that is cut off looks at that page again.
    await room.table.put({ ...reconcileKey, ...round, after });
  } while (!result.complete && hasTime());
  return result;
}

/** `settled` has an outcome, `foreign` is no mail SES stored; a key is one whose recipients nobody knows. */
async function lookAt(room: Reconciliation, { key, modified }: Listed): Promise<string> {
  const id = key.slice(key.lastIndexOf('/') + 1);
  if (await isNoted(room.table, id, modified)) return 'settled';
  const head = await room.readBeginning(key, HEAD_BYTES);
  const delivery = head && deliveryOf(id, key, head);
  if (!delivery) return 'foreign';
  const [recipient] = delivery.recipients;
  if (!recipient?.endsWith(`@${room.mailDomain}`)) return key;
  const receiver = await findReceiver(room.table, recipient);
  // Nobody's address is an outcome too, and is noted as such when the mail is taken in.
  if (!receiver) return heal(room, delivery);
  return isHosted(receiver) ? lookIntoLedger(room, delivery, receiver) : lookIntoActivity(room, delivery, receiver, modified);
}

/** What came to a hosted mailbox has a line in its ledger, and an outcome there when all was done. */
async function lookIntoLedger(room: Reconciliation, delivery: Delivery, mailbox: HostedAddress): Promise<string> {
  const { tenant, account, seen } = hostedDeliveryOf(delivery, mailbox);
  const line = await room.table.get<SeenMail>(seenMailKey(tenant, account, seen), { consistent: false });
  return line?.outcome ? 'settled' : heal(room, { ...delivery, receivedAt: line?.receivedAt ?? delivery.receivedAt });
}

async function lookIntoActivity(room: Reconciliation, delivery: Delivery, dropbox: Owner, modified: string): Promise<string> {
  const entry = await entryOf(room.table, delivery, dropbox, modified);
  if (entry?.message && (await isFiled(room.table, delivery, dropbox, entry.message))) return 'settled';
  // With the time of the first try, if there was one, this is a redelivery: what it wrote is found again.
  return heal(room, { ...delivery, receivedAt: entry?.at ?? delivery.receivedAt });
}

/** The copy is this delivery's, and the mail is shown on the last of its records: that was the last thing to be written. */
async function isFiled(table: Table, { id }: Delivery, { tenant, member }: Owner, message: string): Promise<boolean> {
  const copy = await readCopy(table, tenant, message, member, 'dropbox');
  if (copy?.delivery !== id) return false;
  const last = copy.records.at(-1);
  if (!last) return true;
  const shown = timelineKey(tenant, last.id, { owner: member, channel: 'dropbox' }, copy.receivedAt, message);
  return (await table.get(shown, { consistent: false })) !== undefined;
}

async function heal(room: Reconciliation, delivery: Delivery): Promise<string> {
  await room.again(delivery);
  return 'healed';
}

/** Whatever became of it but a filing for one recipient is noted for the sweep, under the day its thirty days end. */
async function isNoted(table: Table, id: string, modified: string): Promise<boolean> {
  const days = new Set([modified, new Date(Date.parse(modified) - SLACK_MS).toISOString()].map((at) => sweepDayOf(at)));
  for (const day of days) if (await table.get(sweepKey(day, id), { consistent: false })) return true;
  return false;
}

/** The delivery's entry in its owner's activity: its id is of time and delivery, and only the time is known but roughly. */
async function entryOf(
  table: Table,
  delivery: Delivery,
  { tenant, member, hash }: Owner,
  modified: string,
): Promise<Pick<Activity, 'at' | 'message'> | undefined> {
  const idAt = (time: number) => stableId(new Date(time), delivery.id, hash);
  const from = idAt(Date.parse(delivery.receivedAt) - SLACK_MS);
  const to = idAt(Math.max(Date.parse(modified), Date.parse(delivery.receivedAt)) + SLACK_MS);
  const entries = await table.all<Pick<Activity, 'id' | 'at' | 'message'>>({
    pk: memberPartition(tenant, member),
    between: [`A#${from}`, `A#${to}`],
    consistent: false,
    only: ['id', 'at', 'message'],
  });
  return entries.find(({ id }) => id.slice(10) === from.slice(10));
}
