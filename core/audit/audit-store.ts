import * as z from 'zod';
import { stableId, type TenantId } from '../ids.ts';
import type { Item, Table, Write } from '../table/client.ts';
import { auditKey, auditPartition } from '../table/keys.ts';
import type { Page } from '../table/page.ts';

/** One line of the audit: who did what to what, when, and what it was before and after. Never changed, never deleted. */
export type AuditEntry = {
  at: string;
  /** A member's id, or `mail:<message>` for what a mail made, `operator`, or `retention` for what is done when its time is over. */
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

/** What a patch changes, as an entry tells it: the same fields before and after. */
export function changeOf<T extends object>(before: T, patch: Partial<T>) {
  const fields = Object.keys(patch) as (keyof T)[];
  return { before: Object.fromEntries(fields.map((field) => [field, before[field]])), after: patch };
}

/** A page of the audit, newest first, going back through the months from `after` (or now) to the tenant's first. */
export async function listAudit(
  table: Table,
  tenant: TenantId,
  page: { limit: number; after?: string; now: Date; since: string },
): Promise<Page<AuditEntry & { id: string }>> {
  const items: (AuditEntry & { id: string })[] = [];
  let [month = '', id] = page.after?.split('/') ?? [page.now.toISOString().slice(0, 7)];
  while (month >= page.since.slice(0, 7)) {
    const limit = page.limit - items.length;
    const found = await table.page<AuditEntry & { sk: string }>({ pk: auditPartition(tenant, month), after: id, limit, descending: true });
    items.push(...found.items.map((item) => ({ ...item, id: item.sk })));
    if (items.length === page.limit) return { items, next: `${month}/${items.at(-1)?.id}` };
    if (!found.more) month = monthBefore(month);
    id = found.more ? found.items.at(-1)?.sk : undefined;
  }
  return { items };
}

function monthBefore(month: string): string {
  const [year = 0, number = 1] = month.split('-').map(Number);
  return new Date(Date.UTC(year, number - 2, 1)).toISOString().slice(0, 7);
}
