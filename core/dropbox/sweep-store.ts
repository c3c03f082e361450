import type { TenantId } from '../ids.ts';
import { HELD_DAYS } from '../limits.ts';
import type { Parcel } from '../message/delivery.ts';
import { messageIdOf } from '../message/identity.ts';
import { readHeaders } from '../message/mail-headers.ts';
import type { Message } from '../message/message.ts';
import { scanMail } from '../message/mime-scan.ts';
import type { Table } from '../table/client.ts';
import { activityKey, messageKey, sweepKey, sweepPartition } from '../table/keys.ts';
import type { Activity } from './activity-store.ts';

/**
 * Whom a raw mail was for: their activity says what became of it. `message` is what it would be filed as, if it could be
 * read: a colleague's filing of the same mail, or one that was broken off, may point to these bytes.
 */
export type RawOwner = { tenant: TenantId; member: string; activity?: string; message?: string };
type Sweep = { delivery: string; rawKey: string; owners: RawOwner[] };
export type RawMail = { read: (key: string) => Promise<Uint8Array | undefined>; delete: (key: string) => Promise<void> };

const DAY_MS = 86_400_000;
/** Days looked back: a schedule that failed for a week loses nothing. */
const LOOK_BACK_DAYS = 7;

/** Notes that nobody's message needs this raw mail now, to be looked at again when its days are over: thirty for a replay. */
export async function sweepLater(table: Table, delivery: Parcel, owners: RawOwner[], days = HELD_DAYS): Promise<void> {
  const day = sweepDayOf(delivery.receivedAt, days);
  const sweep: Sweep = { delivery: delivery.id, rawKey: delivery.rawKey, owners };
  await table.put({ ...sweepKey(day, delivery.id), ...sweep });
}

/** The day a mail that came then is looked at again: its days are over. */
export const sweepDayOf = (receivedAt: string, days = HELD_DAYS) => dayOf(Date.parse(receivedAt) + (days + 1) * DAY_MS);

/** Deletes the raw mail whose time is over and that no message points to (a replay may have filed it meanwhile). */
export async function sweepRawMail(table: Table, rawMail: RawMail, now: Date): Promise<{ deleted: number; kept: number }> {
  const counts = { deleted: 0, kept: 0 };
  for (let back = LOOK_BACK_DAYS; back >= 0; back--) {
    const day = dayOf(now.getTime() - back * DAY_MS);
    for (const sweep of await table.all<Sweep>({ pk: sweepPartition(day) })) {
      if (await isUsed(table, rawMail, sweep)) counts.kept++;
      else {
        await rawMail.delete(sweep.rawKey);
        counts.deleted++;
      }
      await table.delete(sweepKey(day, sweep.delivery));
    }
  }
  return counts;
}

async function isUsed(table: Table, rawMail: RawMail, { rawKey, owners }: Sweep): Promise<boolean> {
  for (const { tenant, member, activity, message } of owners) {
    const entry = activity && (await table.get<Activity>(activityKey(tenant, member, activity)));
    for (const id of new Set([message ?? filedAs(tenant, await rawMail.read(rawKey)), entry ? entry.message : undefined])) {
      const stored = id && (await table.get<Message>(messageKey(tenant, id)));
      if (stored && stored.rawKey === rawKey) return true;
    }
  }
  return false;
}

/**
 * What a mail that was held without being read would be filed as: a try that was broken off may have written its message, to which
 * a colleague's copy of the same mail was added since.
 */
function filedAs(tenant: TenantId, raw: Uint8Array | undefined): string | undefined {
  const scan = raw && scanMail(raw);
  if (!scan || 'tooBig' in scan) return undefined;
  return messageIdOf(tenant, readHeaders(scan.parts[0]?.fields ?? []), raw);
}

const dayOf = (time: number) => new Date(time).toISOString().slice(0, 10);
