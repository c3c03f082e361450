import { invalid } from '../../../core/errors.ts';
import { newId } from '../../../core/ids.ts';
import type { Viewer } from '../../../core/member/viewer.ts';
import { normaliseAddress } from '../../../core/message/address.ts';
import { mayRead } from '../../../core/record/access.ts';
import { type ImportedLine, type ImportType, importView } from '../../../core/record/import.ts';
import { findImport, listReport, startImport } from '../../../core/record/import-store.ts';
import { findByAddress, listChildren, listRecords, searchRecords } from '../../../core/record/list-store.ts';
import { hasAddresses, MODULES, type Module, parentField } from '../../../core/record/module.ts';
import { type RecordInput, type RecordPatch, returned, type StoredRecord } from '../../../core/record/record.ts';
import { createRecord, deleteRecord, detachAddress, findRecord, readRecords, updateRecord } from '../../../core/record/record-store.ts';
import type { Page } from '../../../core/table/page.ts';
import { backfillsQueue, importsQueue, mailBucket, tableOf } from '../../connect.ts';
import type { Call, Operation, Reply } from '../call.ts';
import { operationNames } from '../routes/records.ts';

type ListQuery = { limit: number; cursor?: string; q?: string; address?: string } & Record<string, unknown>;

/** What the routes of every module do, and those of imports. */
export const recordOperations: Record<string, Operation> = {
  ...Object.assign({}, ...Object.keys(MODULES).map((module) => moduleOperations(module as Module))),
  readImport: async ({ viewer, params }: Call) => ({
    body: importView(await findImport(tableOf(viewer.tenant), viewer, params.importId ?? '')),
  }),
  listImportReport: async ({ viewer, params, query }: Call<{ limit: number; cursor?: string; outcome?: ImportedLine['outcome'] }>) => {
    const job = await findImport(tableOf(viewer.tenant), viewer, params.importId ?? '');
    return { body: await listReport(mailBucket(), viewer, job, query) };
  },
};

function moduleOperations(module: Module): Record<string, Operation> {
  const names = operationNames(module);
  return {
    [names.list]: async ({ viewer, query }: Call<ListQuery>) => {
      const { items, next } = await list(module, viewer, query);
      return { body: { items: await shown(viewer, items), next } };
    },
    [names.create]: async ({ viewer, body, now }: Call<never, RecordInput>) => {
      const how = { id: newId(now), now, createdBy: { way: 'api', memberId: viewer.member } } as const;
      const record = await createRecord(tableOf(viewer.tenant), viewer, module, body, how);
      if (record.addresses.length > 0) await followAddresses(viewer, record);
      const reply = await one(viewer, record);
      return { ...reply, headers: { location: `/v1/${module}/${record.id}` } };
    },
    [names.read]: async ({ viewer, params }: Call) =>
      one(viewer, await findRecord(tableOf(viewer.tenant), viewer, module, params.recordId ?? '')),
    [names.patch]: async ({ viewer, params, body, now, ifMatch }: Call<never, RecordPatch>) => {
      const record = await updateRecord(tableOf(viewer.tenant), viewer, module, params.recordId ?? '', body, { now, ifMatch });
      if (body.addresses) await followAddresses(viewer, record);
      return one(viewer, record);
    },
    ...(hasAddresses(module) ? { [names.detach]: (call: Call) => detach(module, call) } : {}),
    [names.remove]: async ({ viewer, params, now, ifMatch }: Call) => {
      await deleteRecord(tableOf(viewer.tenant), viewer, module, params.recordId ?? '', { now, ifMatch });
      return {};
    },
    [names.import]: async ({ viewer, body, mediaType, now }: Call<never, Uint8Array>) => {
      const room = { table: tableOf(viewer.tenant), bucket: mailBucket(), queue: importsQueue() };
      const job = await startImport(room, viewer, module, { id: newId(now), type: mediaType as ImportType, bytes: body, now });
      return { body: importView(job), headers: { location: `/v1/imports/${job.id}` } };
    },
  };
}

async function detach(module: Module, { viewer, params, now, ifMatch }: Call): Promise<Reply> {
  const address = normaliseAddress(params.address ?? '');
  if (!address) throw invalid('invalid-address', 'Give a whole mail address, such as hanako@example.com.');
  const record = await detachAddress(tableOf(viewer.tenant), viewer, module, params.recordId ?? '', address, { now, ifMatch });
  await followAddresses(viewer, record);
  return one(viewer, record);
}

/** Leaves word that the record's mail is to follow its addresses; should it be lost, whoever asks how far it is leaves it again. */
const followAddresses = ({ tenant }: Viewer, { id }: StoredRecord) => backfillsQueue().send({ backfill: { tenant, record: id } });

async function list(module: Module, viewer: Viewer, query: ListQuery): Promise<Page<StoredRecord>> {
  const parent = parentField(module);
  const parentId = parent && query[parent.field];
  if ([query.q, query.address, parentId].filter((filter) => filter !== undefined).length > 1) {
    throw invalid('one-filter', 'Send one filter at a time: these cannot be combined.');
  }
  if (query.q !== undefined) return searchRecords(tableOf(viewer.tenant), viewer, module, query.q, query);
  if (parent && typeof parentId === 'string')
    return listChildren(tableOf(viewer.tenant), viewer, module, { module: parent.module, id: parentId }, query);
  if (query.address === undefined) return listRecords(tableOf(viewer.tenant), viewer, module, query);
  const address = normaliseAddress(query.address);
  if (!address) throw invalid('invalid-address', 'Give a whole mail address, such as hanako@example.com.');
  return { items: await findByAddress(tableOf(viewer.tenant), viewer, module, address) };
}

async function one(viewer: Viewer, record: StoredRecord): Promise<Reply> {
  const [body] = await shown(viewer, [record]);
  return { body, version: record.version };
}

/** Records as answers. A possible duplicate is named only to who may see it. */
async function shown(viewer: Viewer, records: StoredRecord[]) {
  const ids = [...new Set(records.flatMap((record) => record.possibleDuplicateOf ?? []))];
  const others = (await readRecords(tableOf(viewer.tenant), viewer.tenant, ids)).filter(
    (other) => other !== undefined && mayRead(viewer, other),
  );
  return records.map((record) =>
    returned(
      record,
      others.find((other) => other?.id === record.possibleDuplicateOf),
    ),
  );
}
