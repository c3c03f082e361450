import { ID } from '../ids.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Table } from '../table/client.ts';
import { childKey, modulePartition, recordPartition, wordPartition } from '../table/keys.ts';
import { badCursor, type Page } from '../table/page.ts';
import { mayRead, requirePermission } from './access.ts';
import { matchAddress } from './address-store.ts';
import type { Module } from './module.ts';
import type { RecordRef, StoredRecord } from './record.ts';
import { readRecord, readRecords } from './record-store.ts';
import { prefixesOf, wordsOf } from './words.ts';

export type PageWanted = { limit: number /** Sort key of the last row of the page before. */; cursor?: string };

/** A row of a list's partition: it points at a record, and says whose it is, so that hidden ones cost no further read. */
type Row = { sk: string; record: string; owner: string };

/** Rows read at once when those before were hidden: far below the 1 MB where DynamoDB ends a page. */
const ROWS_AT_ONCE = 1000;

/** The records of a module that the viewer may read, newest first. Throws 403 `no-permission`. */
export async function listRecords(table: Table, viewer: Viewer, module: Module, wanted: PageWanted): Promise<Page<StoredRecord>> {
  requirePermission(viewer, module, 'view');
  requireCursor(wanted, (cursor) => ID.test(cursor));
  return filledPage(table, viewer, module, wanted, (after, limit) =>
    table.page<Row>({
      pk: modulePartition(viewer.tenant, module),
      descending: true,
      after,
      limit,
    }),
  );
}

/** The records of a module that belong to `parent`, oldest first; none when the viewer may not read `parent`. */
export async function listChildren(
  table: Table,
  viewer: Viewer,
  module: Module,
  parent: RecordRef,
  wanted: PageWanted,
): Promise<Page<StoredRecord>> {
  requirePermission(viewer, module, 'view');
  const found = await readRecord(table, viewer.tenant, parent.id);
  if (found?.module !== parent.module || !mayRead(viewer, found)) return { items: [] };
  const { sk: begins } = childKey(viewer.tenant, parent.id, module, '');
  requireCursor(wanted, (cursor) => cursor.startsWith(begins));
  return filledPage(table, viewer, module, wanted, (after, limit) =>
    table.page<Row>({ pk: recordPartition(viewer.tenant, parent.id), begins, after, limit }),
  );
}

/** The records of a module that have this (normalised) address and the viewer may read, newest first; few, so one page. */
export async function findByAddress(table: Table, viewer: Viewer, module: Module, address: string): Promise<StoredRecord[]> {
  requirePermission(viewer, module, 'view');
  const { records } = await matchAddress(table, viewer.tenant, address, { consistent: true });
  const links = records.filter((link) => link.module === module && mayRead(viewer, link));
  const found = await readRecords(
    table,
    viewer.tenant,
    links.map((link) => link.record),
  );
  return found.filter((record) => record !== undefined && mayRead(viewer, record)) as StoredRecord[];
}

/**
 * The records of a module with a word for each word of `text` that begins with it, by the alphabet of the longest one's
 * matches. A text of one character finds whole words alone. Nothing in `text` to search for finds nothing.
 */
export async function searchRecords(
  table: Table,
  viewer: Viewer,
  module: Module,
  text: string,
  wanted: PageWanted,
): Promise<Page<StoredRecord>> {
  requirePermission(viewer, module, 'view');
  const [longest, ...others] = prefixesOf(text);
  if (longest === undefined) return { items: [] };
  requireCursor(wanted, (cursor) => cursor.startsWith(longest));
  const matches = (record: StoredRecord, row: Row) => {
    const words = wordsOf(record);
    // Several words of a record may begin so: it stands at the first of them, once, on whichever page that is.
    const first = words.filter((word) => word.startsWith(longest)).sort(byKeyOrder)[0];
    return (
      first !== undefined && row.sk === `${first}#${record.id}` && others.every((prefix) => words.some((word) => word.startsWith(prefix)))
    );
  };
  return filledPage(
    table,
    viewer,
    module,
    wanted,
    (after, limit) =>
      table.page<Row>({
        pk: wordPartition(viewer.tenant, module, longest),
        begins: longest,
        after,
        limit,
      }),
    matches,
  );
}

/**
 * Reads on until the page is full: rows the viewer may not see neither shorten a page nor show by an empty next one.
 * `next` is there exactly when a further readable row is.
 */
async function filledPage(
  table: Table,
  viewer: Viewer,
  module: Module,
  { limit, cursor }: PageWanted,
  read: (after: string | undefined, limit: number) => Promise<{ items: Row[]; more: boolean }>,
  matches: (record: StoredRecord, row: Row) => boolean = () => true,
): Promise<Page<StoredRecord>> {
  const found: { at: string; record: StoredRecord }[] = [];
  let after = cursor;
  // One row more than wanted tells whether there is a next page.
  for (let atOnce = limit + 1; ; atOnce = ROWS_AT_ONCE) {
    const { items, more } = await read(after, atOnce);
    const rows = items.filter((row) => mayRead(viewer, { module, owner: row.owner }));
    for (let start = 0; start < rows.length && found.length <= limit; start += limit + 1) {
      const some = rows.slice(start, start + limit + 1);
      const records = await readRecords(
        table,
        viewer.tenant,
        some.map((row) => row.record),
      );
      some.forEach((row, i) => {
        const record = records[i];
        if (record && mayRead(viewer, record) && matches(record, row)) found.push({ at: row.sk, record });
      });
    }
    if (found.length > limit) return { items: found.slice(0, limit).map(({ record }) => record), next: found[limit - 1]?.at };
    if (!more || items.length === 0) return { items: found.map(({ record }) => record) };
    after = items.at(-1)?.sk;
  }
}

/** A cursor of the same route, but of another filter, is no place in this list; DynamoDB would refuse it as a fault. */
function requireCursor({ cursor }: PageWanted, isHere: (cursor: string) => boolean): void {
  if (cursor !== undefined && !isHere(cursor)) throw badCursor();
}

/** DynamoDB orders keys by their UTF-8 bytes, JavaScript by UTF-16 units: they differ beyond the basic plane. */
const byKeyOrder = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
