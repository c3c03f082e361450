import * as z from 'zod';
import type { TenantId } from '../ids.ts';
import { ACTIVITY_DAYS } from '../limits.ts';
import type { Viewer } from '../member/viewer.ts';
import { type Item, isLive, type Table, ttlAfter } from '../table/client.ts';
import { activityKey, memberPartition } from '../table/keys.ts';
import { filledPage, type Page } from '../table/page.ts';

export const outcomes = ['filed', 'created', 'held', 'duplicate', 'ignored', 'discarded'] as const;

/** What became of one mail sent to a member's dropbox: everything that was sent there has an entry. */
export type Activity = {
  id: string;
  at: string;
  outcome: (typeof outcomes)[number];
  /** Why it was held or ignored. */
  reason?: string;
  subject?: string;
  from?: string;
  message?: string;
  held?: string;
  records?: { module: string; id: string; created: boolean }[];
  /** Addresses that were not tied or created, and why. */
  skipped?: { address: string; reason: string }[];
  attachmentsOmitted?: true;
  replayed?: true;
};

export const activityReturned = z.object({
  id: z.string(),
  at: z.string(),
  outcome: z.enum(outcomes),
  reason: z.string().optional(),
  explanation: z.string().optional().meta({ description: 'The reason in words, and what to do' }),
  subject: z.string().optional(),
  from: z.string().optional(),
  message: z.string().optional(),
  held: z.string().optional().meta({ description: 'Id in the held list, for replay' }),
  records: z.array(z.object({ module: z.string(), id: z.string(), created: z.boolean() })).optional(),
  skipped: z.array(z.object({ address: z.string(), reason: z.string() })).optional(),
  attachmentsOmitted: z.boolean().optional().meta({ description: 'The attachments were over 10 MB together and were left out' }),
  replayed: z.boolean().optional(),
});

function item(tenant: TenantId, member: string, activity: Activity): Item {
  return { ...activityKey(tenant, member, activity.id), ...activity, ttl: ttlAfter(activity.at, { days: ACTIVITY_DAYS }) };
}

/** Writes the entry, over an earlier one of the same delivery. */
export async function putActivity(table: Table, tenant: TenantId, member: string, activity: Activity): Promise<void> {
  await table.put(item(tenant, member, activity));
}

/** Writes the entry unless the delivery has one. */
export async function putFirstActivity(table: Table, tenant: TenantId, member: string, activity: Activity): Promise<void> {
  await table.putNew(item(tenant, member, activity));
}

/** The viewer's own activity, newest first. */
export function listActivity(table: Table, viewer: Viewer, page: { limit: number; after?: string }, now: Date): Promise<Page<Activity>> {
  const query = { pk: memberPartition(viewer.tenant, viewer.member), begins: 'A#', limit: page.limit, descending: true };
  return filledPage<Activity & { ttl?: number }>(table, query, { after: page.after, keep: (entry) => isLive(entry, now) });
}
