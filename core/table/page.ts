import * as z from 'zod';
import { invalid } from '../errors.ts';
import { PAGE_DEFAULT, PAGE_MAX } from '../limits.ts';
import type { Query, Table } from './client.ts';

/** The query of every list. The cursor is opaque to callers; the API seals and opens it for tenant, viewer and list. */
export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_DEFAULT).meta({ description: 'Rows of a page' }),
  cursor: z.string().max(2000).optional().meta({ description: '`next` of the page before' }),
});

/** A page: its rows, and where the next one begins. `next` is a position in plain text here, sealed before it leaves. */
export type Page<T> = { items: T[]; next?: string };

/**
 * A page filled with what `keep` lets through, reading on past what it does not. `position` is the part of the sort key
 * behind `begins`.
 */
export async function filledPage<T extends object>(
  table: Table,
  query: Query & { begins: string; limit: number },
  page: { after?: string; keep: (item: T) => boolean },
): Promise<Page<T>> {
  const items: (T & { sk: string })[] = [];
  let after = page.after === undefined ? undefined : query.begins + page.after;
  for (;;) {
    const found = await table.page<T & { sk: string }>({ ...query, limit: query.limit + 1, after });
    for (const item of found.items) {
      if (!page.keep(item)) continue;
      if (items.length === query.limit) return { items, next: items.at(-1)?.sk.slice(query.begins.length) };
      items.push(item);
    }
    if (!found.more) return { items };
    after = found.items.at(-1)?.sk;
  }
}

/** The answer of a list. */
export const pageOf = <T extends z.ZodType>(row: T) =>
  z.object({ items: z.array(row), next: z.string().optional().meta({ description: 'Cursor of the next page; absent on the last one' }) });

export const badCursor = () =>
  invalid('bad-cursor', 'This cursor was not made for this list and caller, or is cut off. Ask for the first page.');
