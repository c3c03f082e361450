import { auditEntry } from '../audit/audit-store.ts';
import { invalid, notFound } from '../errors.ts';
import { ID, type TenantId } from '../ids.ts';
import type { JobQueue } from '../job/send.ts';
import { MAX_IMPORT_LINES } from '../limits.ts';
import { isAdministrator, type Viewer } from '../member/viewer.ts';
import type { MailBucket } from '../message/raw-mail.ts';
import { isNew, type Table } from '../table/client.ts';
import { importKey } from '../table/keys.ts';
import type { Page } from '../table/page.ts';
import { requirePermission } from './access.ts';
import { CSV, type Import, type ImportedLine, type ImportJob, type ImportType, reportKey, sourceKey } from './import.ts';
import { csvReader, decodeSource, rowsOf } from './import-rows.ts';
import type { Module } from './module.ts';

/** Where imports are kept and worked on. */
export type ImportRoom = {
  table: Table;
  bucket: MailBucket;
  queue: JobQueue;
  /** Where word is left of records whose earlier mail is to be pulled in. */
  backfills: Pick<JobQueue, 'sendAll'>;
  /** Lines of a page when not IMPORT_PAGE_LINES. */
  pageLines?: number;
};

/**
 * Takes an import in: source first, then the job, then word to the worker. Nothing is made a record yet.
 * Throws 403 `no-permission`, 422 `not-utf-8`, `bad-header`, `empty-import`, `too-many-lines`.
 */
export async function startImport(
  { table, bucket, queue }: Pick<ImportRoom, 'table' | 'bucket' | 'queue'>,
  viewer: Viewer,
  module: Module,
  given: { id: string; type: ImportType; bytes: Uint8Array; now: Date },
): Promise<Import> {
  requirePermission(viewer, module, 'create');
  const { start, total } = survey(module, given.type, given.bytes);
  const at = given.now.toISOString();
  const job: Import = {
    id: given.id,
    module,
    member: viewer.member,
    type: given.type,
    state: 'running',
    createdAt: at,
    total,
    created: 0,
    duplicates: 0,
    invalid: 0,
    page: 0,
    at: start,
  };
  await bucket.write(sourceKey(viewer.tenant, job.id), given.bytes, given.type);
  await table.transact([
    { put: { ...importKey(viewer.tenant, job.id), ...job }, condition: isNew },
    auditEntry(viewer.tenant, { at, actor: viewer.member, action: 'import.start', subject: `import:${job.id}`, after: { module, total } }),
  ]);
  try {
    await queue.send({ tenant: viewer.tenant, import: job.id, page: 0 } satisfies ImportJob);
  } catch (error) {
    await endImport(table, viewer.tenant, job.id, at, 'interrupted');
    throw error;
  }
  return job;
}

/** An import by its id, for its worker. */
export function readImport(table: Table, tenant: TenantId, id: string): Promise<Import | undefined> {
  return table.get<Import>(importKey(tenant, id));
}

/** An import as its importer and administrators may see it. Throws 404. */
export async function findImport(table: Table, viewer: Viewer, id: string): Promise<Import> {
  const job = ID.test(id) ? await readImport(table, viewer.tenant, id) : undefined;
  if (!job || (job.member !== viewer.member && !isAdministrator(viewer))) throw notFound('import');
  return job;
}

/** What became of the lines so far, in their order; of one outcome alone when asked for. The cursor is `page:row`. */
export async function listReport(
  bucket: MailBucket,
  viewer: Viewer,
  job: Import,
  { limit, cursor, outcome }: { limit: number; cursor?: string; outcome?: ImportedLine['outcome'] },
): Promise<Page<ImportedLine>> {
  const [fromPage = 0, fromRow = 0] = (cursor ?? '').split(':').map(Number);
  const found: { at: string; line: ImportedLine }[] = [];
  for (let page = fromPage; page < job.page && found.length <= limit; page++) {
    const lines = await readReport(bucket, viewer.tenant, job.id, page);
    lines.forEach((line, row) => {
      if (page === fromPage && row < fromRow) return;
      if (!outcome || line.outcome === outcome) found.push({ at: `${page}:${row}`, line });
    });
  }
  return { items: found.slice(0, limit).map(({ line }) => line), next: found[limit]?.at };
}

/** Keeps the report of a page. Written again by a retry, it says the same. */
export async function writeReport(bucket: MailBucket, tenant: TenantId, id: string, page: number, lines: ImportedLine[]): Promise<void> {
  await bucket.write(reportKey(tenant, id, page), Buffer.from(JSON.stringify(lines)), 'application/json');
}

/** THE COMMIT MARKER of a page: counts it and opens the next one. Once: a second worker on the same page changes nothing. */
export async function closePage(table: Table, tenant: TenantId, before: Import, after: Import): Promise<void> {
  await table.update(importKey(tenant, before.id), {
    update:
      'SET #page = :next, #at = :at, #state = :state, #created = :created, #duplicates = :duplicates, #invalid = :invalid' +
      (after.finishedAt ? ', #finishedAt = :finishedAt' : ''),
    condition: '#page = :page AND #state = :running',
    names: {
      '#page': 'page',
      '#at': 'at',
      '#state': 'state',
      '#created': 'created',
      '#duplicates': 'duplicates',
      '#invalid': 'invalid',
      ...(after.finishedAt ? { '#finishedAt': 'finishedAt' } : {}),
    },
    values: {
      ':page': before.page,
      ':running': 'running',
      ':next': after.page,
      ':at': after.at,
      ':state': after.state,
      ':created': after.created,
      ':duplicates': after.duplicates,
      ':invalid': after.invalid,
      ...(after.finishedAt ? { ':finishedAt': after.finishedAt } : {}),
    },
  });
}

/** Ends an import that cannot go on. What is done stays done. */
export async function endImport(
  table: Table,
  tenant: TenantId,
  id: string,
  at: string,
  error: NonNullable<Import['error']>,
): Promise<void> {
  await table.update(importKey(tenant, id), {
    update: 'SET #state = :failed, #error = :error, #finishedAt = :at',
    condition: '#state = :running',
    names: { '#state': 'state', '#error': 'error', '#finishedAt': 'finishedAt' },
    values: { ':failed': 'failed', ':running': 'running', ':error': error, ':at': at },
  });
}

async function readReport(bucket: MailBucket, tenant: TenantId, id: string, page: number): Promise<ImportedLine[]> {
  const bytes = await bucket.read(reportKey(tenant, id, page));
  return bytes ? (JSON.parse(Buffer.from(bytes).toString('utf8')) as ImportedLine[]) : [];
}

/** Looks a source through before it is taken: a file nobody can read is refused at once, not in a report later. */
function survey(module: Module, type: ImportType, bytes: Uint8Array) {
  const source = decodeSource(bytes);
  if (source === undefined)
    throw invalid('not-utf-8', 'The file is not UTF-8. Save it as UTF-8 (in a spreadsheet: "CSV UTF-8") and send it again.');
  const start = type === CSV ? csvReader(module, source)?.start : { offset: 0, line: 1 };
  if (!start && source.trim() !== '') throw invalid('bad-header', 'The first line must name the columns; its quotes are wrong.');
  let total = 0;
  for (const _ of start ? rowsOf(type, source, start) : []) {
    if (++total > MAX_IMPORT_LINES)
      throw invalid('too-many-lines', `An import has at most ${MAX_IMPORT_LINES} lines. Send it in several files.`);
  }
  if (!start || total === 0) throw invalid('empty-import', 'There is no line to import: CSV needs a header and lines below it.');
  return { start, total };
}
