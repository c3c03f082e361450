import { Problem } from '../errors.ts';
import { stableId, type TenantId } from '../ids.ts';
import { IMPORT_PAGE_LINES } from '../limits.ts';
import type { Viewer } from '../member/viewer.ts';
import { readViewer } from '../tenant/tenant-store.ts';
import { CSV, type Import, type ImportedLine, type ImportJob, sourceKey } from './import.ts';
import { type Body, csvReader, decodeSource, jsonBody, rowsOf, type SourceRow } from './import-rows.ts';
import { closePage, endImport, type ImportRoom, readImport, writeReport } from './import-store.ts';
import { hasAddresses, moduleRow, parentField } from './module.ts';
import { type RecordInput, recordInput } from './record.ts';
import { createRecord } from './record-store.ts';

/** Lines written at the same time: enough to hide the wait for DynamoDB, few enough not to crowd others out. */
const LINES_AT_ONCE = 10;

/**
 * Does one page of an import: records, then the page's report, then word that their earlier mail is to be pulled in, then the marker
 * that opens the next page, then word to the next worker. Ids come from the import and the line, so that a page done twice, or by two at once, is done once.
 */
export async function importPage(room: ImportRoom, tenant: TenantId, id: string, page: number, now: Date): Promise<void> {
  const job = await readImport(room.table, tenant, id);
  if (job?.state !== 'running' || job.page < page) return;
  if (job.page > page) {
    // Done before, but perhaps killed before it told the next worker. Later pages have workers of their own.
    if (job.page === page + 1) await tellNext(room, tenant, job);
    return;
  }
  const viewer = await readViewer(room.table, tenant, job.member);
  if (!viewer) return endImport(room.table, tenant, id, now.toISOString(), 'member-gone');
  const bytes = await room.bucket.read(sourceKey(tenant, id));
  const source = bytes && decodeSource(bytes);
  if (source === undefined) return endImport(room.table, tenant, id, now.toISOString(), 'source-gone');

  const { rows, hasMore } = take(rowsOf(job.type, source, job.at), room.pageLines ?? IMPORT_PAGE_LINES);
  const lines = await importRows(room, viewer, job, rows, bodyReader(job, source));
  await writeReport(room.bucket, tenant, id, page, lines);
  if (hasAddresses(job.module)) {
    const made = lines.flatMap(({ outcome, id: record }) => (outcome === 'created' && record ? record : []));
    await room.backfills.sendAll(made.map((record) => ({ backfill: { tenant, record } })));
  }
  const after = afterPage(job, lines, rows, hasMore, now);
  await closePage(room.table, tenant, job, after);
  if (after.state === 'running') await tellNext(room, tenant, after);
}

async function tellNext({ queue }: ImportRoom, tenant: TenantId, job: Import): Promise<void> {
  await queue.send({ tenant, import: job.id, page: job.page } satisfies ImportJob);
}

function bodyReader(job: Import, source: string): (text: string) => Body {
  if (job.type !== CSV) return jsonBody;
  return csvReader(job.module, source)?.body ?? (() => ({ error: 'the header cannot be read' }));
}

function take(rows: Iterable<SourceRow>, most: number): { rows: SourceRow[]; hasMore: boolean } {
  const taken: SourceRow[] = [];
  for (const row of rows) {
    if (taken.length === most) return { rows: taken, hasMore: true };
    taken.push(row);
  }
  return { rows: taken, hasMore: false };
}

type Checked = { row: SourceRow; input: RecordInput; claims: string[] };

/** Lines that want the same address wait for each other, so that the first in the file is the one that is created. */
async function importRows(
  room: ImportRoom,
  viewer: Viewer,
  job: Import,
  rows: SourceRow[],
  read: (text: string) => Body,
): Promise<ImportedLine[]> {
  const lines: ImportedLine[] = [];
  let together: Checked[] = [];
  const finish = async () => {
    lines.push(...(await Promise.all(together.map((checked) => importRow(room, viewer, job, checked)))));
    together = [];
  };
  for (const row of rows) {
    const checked = check(job, row, read);
    if ('outcome' in checked) {
      lines.push(checked);
      continue;
    }
    const waits = together.some((other) => other.claims.some((claim) => checked.claims.includes(claim)));
    if (waits || together.length === LINES_AT_ONCE) await finish();
    together.push(checked);
  }
  await finish();
  return lines.sort((a, b) => a.line - b.line);
}

function check(job: Import, row: SourceRow, read: (text: string) => Body): Checked | ImportedLine {
  const bad = (errors: ImportedLine['errors']): ImportedLine => ({ line: row.line, outcome: 'invalid', errors });
  const given = read(row.text);
  if ('error' in given) return bad([{ at: '(whole)', message: given.error }]);
  const result = recordInput[job.module].safeParse(given.body);
  if (!result.success) {
    return bad(result.error.issues.slice(0, 10).map(({ path, message }) => ({ at: path.join('.').slice(0, 200) || '(whole)', message })));
  }
  const input = result.data as RecordInput;
  const parent = parentField(job.module);
  return { row, input, claims: [...(input.addresses ?? []), ...(parent ? [String(input[parent.field])] : [])] };
}

async function importRow({ table }: ImportRoom, viewer: Viewer, job: Import, { row, input }: Checked): Promise<ImportedLine> {
  const id = stableId(job.createdAt, job.id, String(row.line));
  try {
    await createRecord(table, viewer, job.module, input, {
      id,
      now: new Date(job.createdAt),
      createdBy: { way: 'import', memberId: job.member, importId: job.id },
    });
    return { line: row.line, outcome: 'created', id };
  } catch (error) {
    if (!(error instanceof Problem) || error.code === 'busy') throw error;
    if (error.code !== 'duplicate-address')
      return { line: row.line, outcome: 'invalid', errors: [{ at: '(whole)', message: error.message }] };
    const { existing, address } = error.extra as { existing?: { id: string }; address: string };
    const message = `another ${moduleRow(job.module).singular} has the address ${address}`;
    return { line: row.line, outcome: 'duplicate', existing: existing?.id, errors: [{ at: 'addresses', message }] };
  }
}

function afterPage(job: Import, lines: ImportedLine[], rows: SourceRow[], hasMore: boolean, now: Date): Import {
  const count = (outcome: ImportedLine['outcome']) => lines.filter((line) => line.outcome === outcome).length;
  return {
    ...job,
    page: job.page + 1,
    at: rows.at(-1)?.next ?? job.at,
    created: job.created + count('created'),
    duplicates: job.duplicates + count('duplicate'),
    invalid: job.invalid + count('invalid'),
    ...(hasMore ? {} : { state: 'done' as const, finishedAt: now.toISOString() }),
  };
}
