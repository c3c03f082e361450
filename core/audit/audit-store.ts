import * as z from 'zod';
import { stableId, type TenantId } from '../ids.ts';
import { type Item, isNew, type Table, type Write } from '../table/client.ts';
import { auditKey, auditPartition } from '../table/keys.ts';

/** One line of the audit: who did what to what, when, and what it was before and after. Never changed, never deleted. */
export type AuditEntry = {
  at: string;
  /** A member's id, or `mail:<message>` for what a mail made, or `operator`. */
  actor: string;
  /** `noun.verb`, such as `dropbox.regenerate`. */
  action: string;
  /** What it was done to, such as `member:<id>`. */
  subject: string;
  before?: unknown;
  after?: unknown;
};

export const auditReturned = z.object({
  id: z.string(),
  at: z.string(),
  actor: z.string(),
  action: z.string(),
  subject: z.string(),
  before: z.unknown().optional(),
  after: z.unknown().optional(),
});

/**
 * The write that records `entry`, for the same transaction as the change itself: neither can be without the other.
 * The id comes from the content, so that a retried step records once.
 */
export function auditEntry(tenant: TenantId, entry: AuditEntry): Write & { put: Item } {
  const id = stableId(entry.at, entry.actor, entry.action, entry.subject, JSON.stringify([entry.before, entry.after]));
  return { put: { ...auditKey(tenant, entry.at, id), ...entry } };
}

/** As `auditEntry`, refusing to be written over: for changes that are guarded by nothing else. */
export const auditOnce = (tenant: TenantId, entry: AuditEntry): Write => ({ ...auditEntry(tenant, entry), condition: isNew });

/** One page of the audit, newest first, going back through the months from `before` (exclusive id) or from `now`. */
export async function listAudit(
  table: Table,
  tenant: TenantId,
  page: { limit: number; before?: { month: string; id: string }; now: Date; since: string },
) {
  const entries: (AuditEntry & { id: string })[] = [];
  let month = page.before?.month ?? page.now.toISOString().slice(0, 7);
  let below = page.before?.id;
  while (month >= page.since.slice(0, 7)) {
    const between: [string, string] | undefined = below ? ['0', `${below}`] : undefined;
    const { items, more } = await table.page<AuditEntry & { sk: string }>({
      pk: auditPartition(tenant, month),
      between,
      limit: page.limit - entries.length + (below ? 1 : 0),
      descending: true,
    });
    for (const item of items) if (item.sk !== below && entries.length < page.limit) entries.push({ ...item, id: item.sk });
    if (entries.length === page.limit) return { entries, next: { month, id: entries.at(-1)?.id ?? '' } };
    if (!more) {
      month = monthBefore(month);
      below = undefined;
    } else below = items.at(-1)?.sk;
  }
  return { entries };
}

function monthBefore(month: string): string {
  const [year = 0, number = 1] = month.split('-').map(Number);
  return new Date(Date.UTC(year, number - 2, 1)).toISOString().slice(0, 7);
}
