import { isDeepStrictEqual } from 'node:util';
import { auditEntry } from '../audit/audit-store.ts';
import { conflict, forbidden, invalid, type Problem, stale } from '../errors.ts';
import { ID, type TenantId } from '../ids.ts';
import { MAX_DETACHED_ADDRESSES, MAX_RECORD_ADDRESSES, MAX_RECORDS_PER_ADDRESS } from '../limits.ts';
import type { Viewer } from '../member/viewer.ts';
import { type Item, isNew, type Table, TransactionRefused, type Write } from '../table/client.ts';
import { childKey, memberKey, moduleKey, recordKey, wordKey } from '../table/keys.ts';
import { mayEdit, mayRead, readable, requirePermission } from './access.ts';
import { type AddressLink, type Claim, claimants, join, leave, matchAddress, readClaims, rename } from './address-store.ts';
import { displayName, parseDisplayName } from './display-name.ts';
import { type Module, moduleRow } from './module.ts';
import {
  type AddressPast,
  type CreatedBy,
  type CustomValue,
  customFits,
  customLimit,
  type FieldValue,
  fieldsOf,
  parentOf,
  type RecordInput,
  type RecordPatch,
  type StoredRecord,
} from './record.ts';
import { wordsOf } from './words.ts';

/** One write of a change, and what it means when its condition does not hold. */
type Step = { write: Write; refused: Refusal };
type Refusal = 'exists' | 'unknown-owner' | 'unknown-parent' | 'changed';

/** Two changes that meet are tried again: fifty first mails at once need two tries each, for all but the first lose. */
const TRIES = 5;

/** A record by its id, whoever may read it. */
export async function readRecord(table: Table, tenant: TenantId, id: string): Promise<StoredRecord | undefined> {
  return ID.test(id) ? stripped(await table.get<StoredRecord & Item>(recordKey(tenant, id))) : undefined;
}

/** Records by their ids, in that order, `undefined` where there is none; whoever may read them. */
export async function readRecords(table: Table, tenant: TenantId, ids: string[]): Promise<(StoredRecord | undefined)[]> {
  return (await table.getMany<StoredRecord & Item>(ids.map((id) => recordKey(tenant, id)))).map(stripped);
}

function stripped(item: (StoredRecord & Item) | undefined): StoredRecord | undefined {
  if (!item) return undefined;
  const { pk: _, sk: __, ...record } = item;
  return record;
}

/** The record as the viewer may read it; 404 for what is not there and for what is another's alike. */
export async function findRecord(table: Table, viewer: Viewer, module: Module, id: string): Promise<StoredRecord> {
  return readable(viewer, module, await readRecord(table, viewer.tenant, id));
}

/**
 * Creates a record with all that finds it, and its line in the audit unless an import has one for all of its records.
 * The same `id` again changes nothing and answers what is there.
 * Throws 403 `no-permission`, 409 `duplicate-address` (with `existing` if the viewer may see it), 422 `unknown-owner`,
 * 422 `unknown-contact`, 422 `too-many-duplicates`.
 */
export async function createRecord(
  table: Table,
  viewer: Viewer,
  module: Module,
  input: RecordInput,
  how: { id: string; now: Date; createdBy: CreatedBy },
): Promise<StoredRecord> {
  requirePermission(viewer, module, 'create');
  const record = newRecord(module, input, viewer.member, how);
  await requireReadableParent(table, viewer, record);
  const extra = [
    ...(record.owner === viewer.member ? [] : [ownerIsActive(viewer.tenant, record.owner)]),
    ...(how.createdBy.way === 'import'
      ? []
      : [audit(viewer.tenant, viewer.member, `${moduleRow(module).singular}.create`, undefined, record)]),
  ];

  let claims = new Map<string, Claim>();
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const refusal = await commit(table, [...creation(viewer.tenant, record, claims), ...extra]);
    if (refusal === undefined) return record;
    const existing = refusal === 'exists' && (await readRecord(table, viewer.tenant, record.id));
    if (existing) return existing;
    if (refusal !== 'changed') throw problemOf(refusal, record);
    claims = await readClaims(table, viewer.tenant, module, record.addresses);
    for (const address of record.addresses) await requireFree(table, viewer, record, address, claims.get(address), input.allowDuplicate);
  }
  throw busy();
}

/**
 * Changes a record: `patch` names what changes. Addresses, words, links and the audit follow in the same transaction.
 * Throws 404, 403 `no-permission`, 412 `stale` when `ifMatch` is not its version, and all that `createRecord` throws.
 */
export function updateRecord(
  table: Table,
  viewer: Viewer,
  module: Module,
  id: string,
  patch: RecordPatch,
  how: { now: Date; ifMatch?: number },
): Promise<StoredRecord> {
  return updateBy(table, viewer, module, id, patch, () => patch.addresses && { listed: patch.addresses, detach: patch.detach }, how);
}

/**
 * Detaches one address: the record does not have it any longer, nor the mail that was tied to it through that address alone.
 * Of an address the record does not have it changes nothing. Throws 404, 403 `no-permission`, 412 `stale`.
 */
export function detachAddress(
  table: Table,
  viewer: Viewer,
  module: Module,
  id: string,
  address: string,
  how: { now: Date; ifMatch?: number },
): Promise<StoredRecord> {
  const without = ({ addresses, history }: StoredRecord): Addressing => ({
    listed: addresses.filter((other) => other !== address && !history?.[other]?.formerSince),
    detachOne: address,
  });
  return updateBy(table, viewer, module, id, {}, without, how);
}

/** The addresses a record is to list; the others it had stay as former ones, but for what is detached. */
type Addressing = { listed: string[]; detach?: boolean; detachOne?: string };

async function updateBy(
  table: Table,
  viewer: Viewer,
  module: Module,
  id: string,
  patch: RecordPatch,
  addressing: (before: StoredRecord) => Addressing | undefined,
  how: { now: Date; ifMatch?: number },
): Promise<StoredRecord> {
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const before = await findEditable(table, viewer, module, id, how.ifMatch);
    const after = patched(before, patch, addressing(before), how.now);
    if (after === before) return before;
    if (!isDeepStrictEqual(parentOf(before), parentOf(after))) await requireReadableParent(table, viewer, after);

    const moved = [...without(before.addresses, after.addresses), ...without(after.addresses, before.addresses)];
    const claims = await readClaims(table, viewer.tenant, module, moved);
    for (const address of without(after.addresses, before.addresses)) {
      await requireFree(table, viewer, after, address, claims.get(address), patch.allowDuplicate);
    }
    const refusal = await commit(table, [
      ...change(viewer.tenant, before, after, claims),
      ...(after.owner === before.owner ? [] : [ownerIsActive(viewer.tenant, after.owner)]),
      audit(viewer.tenant, viewer.member, `${moduleRow(module).singular}.change`, before, after),
    ]);
    if (refusal === undefined) return after;
    if (refusal !== 'changed') throw problemOf(refusal, after);
  }
  throw busy();
}

/**
 * Deletes a record and all that finds it; an address it shared stays claimed by the next record that has it.
 * Mail on its timeline is not touched: it stays its holders' mail.
 * Throws 404, 403 `no-permission`, 412 `stale`, 409 `has-deals`.
 */
export async function deleteRecord(
  table: Table,
  viewer: Viewer,
  module: Module,
  id: string,
  how: { now: Date; ifMatch?: number },
): Promise<void> {
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const record = await findEditable(table, viewer, module, id, how.ifMatch);
    if (record.children)
      throw conflict('has-deals', `Deals belong to this ${moduleRow(module).singular}. Delete them, or give them to another, first.`);
    const claims = await readClaims(table, viewer.tenant, module, record.addresses);
    const refusal = await commit(table, [
      ...removal(viewer.tenant, record, claims),
      audit(viewer.tenant, viewer.member, `${moduleRow(module).singular}.delete`, record, undefined, how.now),
    ]);
    if (refusal === undefined) return;
  }
  throw busy();
}

export type FromMail = {
  tenant: TenantId;
  module: Module;
  /** Normalised. */
  address: string;
  /** The display name that stood beside the address, decoded; may be empty. */
  name: string;
  owner: string;
  /** The message that makes the record. */
  message: string;
  /** The same for the same message and address: `stableId`. */
  id: string;
  /** Time of receipt, the same on every try. */
  at: string;
  /** Record of another module that has the address. */
  possibleDuplicateOf?: string;
};

/**
 * The record of an address that a mail was sent to (BCC-10, BCC-12, BCC-15): created, unless another has claimed the
 * address meanwhile; then that one. Fifty first mails at once make one record, and the same mail again makes none.
 * `createdBy` of the answer is the message that made it: on every try the same.
 */
export async function createFromMail(table: Table, mail: FromMail): Promise<AddressLink> {
  const { tenant, module, address, owner, message } = mail;
  const record: StoredRecord = {
    ...newRecord(module, { name: parseDisplayName(mail.name, address), addresses: [address] }, owner, {
      id: mail.id,
      now: new Date(mail.at),
      createdBy: { way: 'mail', messageId: message, memberId: owner },
    }),
    possibleDuplicateOf: mail.possibleDuplicateOf,
  };
  const link: AddressLink = {
    address,
    record: record.id,
    module,
    owner,
    name: record.name,
    createdAt: record.createdAt,
    createdBy: message,
  };
  const steps = [
    ...creation(tenant, record, new Map()),
    audit(tenant, `mail:${message}`, `${moduleRow(module).singular}.create`, undefined, record),
  ];
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const refusal = await commit(table, steps);
    if (refusal === undefined) return link;
    const ofModule = (await matchAddress(table, tenant, address, { consistent: true })).records.filter((other) => other.module === module);
    const found = ofModule.find((other) => other.record === record.id) ?? ofModule.at(-1);
    if (found) return found;
    // Its own id is there without the address: somebody has changed the record since. It stays as they made it.
    const existing = refusal === 'exists' && (await readRecord(table, tenant, record.id));
    if (existing) return { ...link, owner: existing.owner, name: existing.name };
  }
  throw busy();
}

function newRecord(
  module: Module,
  input: RecordInput,
  creator: string,
  { id, now, createdBy }: { id: string; now: Date; createdBy: CreatedBy },
): StoredRecord {
  const at = now.toISOString();
  return {
    id,
    module,
    ...named(input),
    addresses: input.addresses ?? [],
    owner: input.ownerId ?? creator,
    ...(input.addresses?.length ? { history: Object.fromEntries(input.addresses.map((one) => [one, { version: 1, since: at }])) } : {}),
    fields: present(fieldsOf(module, input)),
    custom: input.custom ?? {},
    createdAt: at,
    updatedAt: at,
    version: 1,
    createdBy,
  };
}

/** The record after the patch; the very same object when nothing is changed by it. */
function patched(before: StoredRecord, patch: RecordPatch, addressing: Addressing | undefined, now: Date): StoredRecord {
  const changed: StoredRecord = {
    ...before,
    ...(patch.name || patch.title ? named(patch) : {}),
    ...(addressing ? readdressed(before, addressing, now.toISOString()) : {}),
    owner: patch.ownerId ?? before.owner,
    fields: present({ ...before.fields, ...fieldsOf(before.module, patch) }),
    custom: present({ ...before.custom, ...patch.custom }) as Record<string, CustomValue>,
  };
  if (isDeepStrictEqual(changed, before)) return before;
  if (!customFits(changed.custom)) {
    throw invalid('too-many-custom-fields', `A record has ${customLimit}. Set some to null to remove them.`);
  }
  return { ...changed, updatedAt: now.toISOString(), version: before.version + 1 };
}

/** an address that leaves the list stays behind it as a former one, with its mail, unless it is detached. */
function readdressed(
  before: StoredRecord,
  { listed, detach, detachOne }: Addressing,
  at: string,
): Pick<StoredRecord, 'addresses' | 'history'> {
  const left = without(before.addresses, listed);
  const former = detach ? [] : left.filter((address) => address !== detachOne);
  const addresses = [...listed, ...former];
  if (addresses.length > MAX_RECORD_ADDRESSES) {
    throw invalid(
      'too-many-addresses',
      `A record has at most ${MAX_RECORD_ADDRESSES} addresses, former ones included. Detach some: DELETE .../addresses/{address}.`,
      { addresses },
    );
  }
  const history: Record<string, AddressPast> = { ...before.history };
  const version = before.version + 1;
  for (const address of without(listed, before.addresses)) history[address] = { version, since: at };
  for (const address of listed) {
    if (history[address]?.formerSince) history[address] = { version: history[address].version, since: history[address].since };
  }
  for (const address of former) {
    const past = history[address] ?? { version: 0, since: before.createdAt };
    history[address] = { ...past, formerSince: past.formerSince ?? at };
  }
  for (const address of without(left, former)) history[address] = { since: before.createdAt, ...history[address], version, detachedAt: at };
  return { addresses, ...(Object.keys(history).length > 0 ? { history: remembered(history, addresses) } : {}) };
}

/** Without those that were detached longest ago. */
function remembered(history: Record<string, AddressPast>, addresses: string[]): Record<string, AddressPast> {
  const detached = without(Object.keys(history), addresses).sort((a, b) => (history[b]?.version ?? 0) - (history[a]?.version ?? 0));
  const forgotten = detached.slice(MAX_DETACHED_ADDRESSES);
  return Object.fromEntries(Object.entries(history).filter(([address]) => !forgotten.includes(address)));
}

const named = ({ name, title }: Pick<RecordInput, 'name' | 'title'>): Pick<StoredRecord, 'name' | 'person'> =>
  name ? { person: name, name: displayName(name) } : { name: title ?? '' };

function present(fields: Record<string, unknown>): Record<string, FieldValue> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined)) as Record<
    string,
    FieldValue
  >;
}

/** All writes of a new record. At most 3 + 20 words + 10 x 2 for addresses + 2 for its parent. */
function creation(tenant: TenantId, record: StoredRecord, claims: Map<string, Claim>): Step[] {
  return [
    { write: { put: { ...recordKey(tenant, record.id), ...record }, condition: isNew }, refused: 'exists' },
    ...changing([
      listed(tenant, record),
      ...wordsOf(record).map((word) => worded(tenant, word, record)),
      ...record.addresses.flatMap((address) => join(tenant, address, record, claims.get(address))),
    ]),
    ...belonging(tenant, record),
  ];
}

/** All writes of a change: at most 40 for addresses, 40 for words, 4 for parents, and the record with its list item. */
function change(tenant: TenantId, before: StoredRecord, after: StoredRecord, claims: Map<string, Claim>): Step[] {
  const handedOver = after.owner !== before.owner;
  const renamed = handedOver || after.name !== before.name;
  const [wordsBefore, wordsAfter] = [wordsOf(before), wordsOf(after)];
  const moved = !isDeepStrictEqual(parentOf(before), parentOf(after));
  return [
    ...changing([
      { put: { ...recordKey(tenant, after.id), ...after }, ...asRead(before) },
      ...(handedOver ? [listed(tenant, after)] : []),
      ...without(wordsBefore, wordsAfter).map((word) => ({ delete: wordKey(tenant, before.module, word, before.id) })),
      ...(handedOver ? wordsAfter : without(wordsAfter, wordsBefore)).map((word) => worded(tenant, word, after)),
      ...without(before.addresses, after.addresses).flatMap((address) => leave(tenant, address, before, claims.get(address))),
      ...without(after.addresses, before.addresses).flatMap((address) => join(tenant, address, after, claims.get(address))),
      ...(renamed ? after.addresses.filter((address) => before.addresses.includes(address)) : []).map((address) =>
        rename(tenant, address, after),
      ),
    ]),
    ...(moved ? [...leaving(tenant, before), ...belonging(tenant, after)] : changing(handedOver ? child(tenant, after) : [])),
  ];
}

function removal(tenant: TenantId, record: StoredRecord, claims: Map<string, Claim>): Step[] {
  return [
    ...changing([
      { delete: recordKey(tenant, record.id), ...asRead(record) },
      { delete: moduleKey(tenant, record.module, record.id) },
      ...wordsOf(record).map((word) => ({ delete: wordKey(tenant, record.module, word, record.id) })),
      ...record.addresses.flatMap((address) => leave(tenant, address, record, claims.get(address))),
    ]),
    ...leaving(tenant, record),
  ];
}

const changing = (writes: Write[]): Step[] => writes.map((write) => ({ write, refused: 'changed' }));

const listed = (tenant: TenantId, { module, id, owner }: StoredRecord): Write => ({
  put: { ...moduleKey(tenant, module, id), record: id, owner },
});

const worded = (tenant: TenantId, word: string, { module, id, owner }: StoredRecord): Write => ({
  put: { ...wordKey(tenant, module, word, id), record: id, owner },
});

/** Nobody has changed the record since it was read; nor has another come to belong to it, which its version does not tell. */
function asRead({ version, children = 0 }: StoredRecord) {
  return {
    condition: '#version = :version AND (#children = :children OR (attribute_not_exists(#children) AND :children = :none))',
    names: { '#version': 'version', '#children': 'children' },
    values: { ':version': version, ':children': children, ':none': 0 },
  };
}

/** The record comes to belong to its parent, which counts it: so that a parent cannot be deleted under its child. */
function belonging(tenant: TenantId, record: StoredRecord): Step[] {
  const parent = parentOf(record);
  if (!parent) return [];
  return [
    {
      write: {
        update: recordKey(tenant, parent.id),
        with: {
          update: 'ADD #children :one',
          condition: '#module = :module',
          names: { '#children': 'children', '#module': 'module' },
          values: { ':one': 1, ':module': parent.module },
        },
      },
      refused: 'unknown-parent',
    },
    ...changing(child(tenant, record)),
  ];
}

function child(tenant: TenantId, record: StoredRecord): Write[] {
  const parent = parentOf(record);
  return parent ? [{ put: { ...childKey(tenant, parent.id, record.module, record.id), record: record.id, owner: record.owner } }] : [];
}

function leaving(tenant: TenantId, record: StoredRecord): Step[] {
  const parent = parentOf(record);
  if (!parent) return [];
  return changing([
    {
      update: recordKey(tenant, parent.id),
      with: {
        update: 'ADD #children :less',
        condition: 'attribute_exists(pk)',
        names: { '#children': 'children' },
        values: { ':less': -1 },
      },
    },
    { delete: childKey(tenant, parent.id, record.module, record.id) },
  ]);
}

function ownerIsActive(tenant: TenantId, owner: string): Step {
  return {
    write: {
      check: memberKey(tenant, owner),
      condition: '#status = :active',
      names: { '#status': 'status' },
      values: { ':active': 'active' },
    },
    refused: 'unknown-owner',
  };
}

/** Custom fields are named only: their values, twice, would not fit one item. */
function audit(
  tenant: TenantId,
  actor: string,
  action: string,
  before: StoredRecord | undefined,
  after: StoredRecord | undefined,
  at: Date | string = after?.updatedAt ?? '',
): Step {
  const subject = `${(after ?? before)?.module}:${(after ?? before)?.id}`;
  const differs = (name: keyof StoredRecord) => !isDeepStrictEqual(before?.[name], after?.[name]);
  const told = (record: StoredRecord | undefined) =>
    record && {
      version: record.version,
      ...Object.fromEntries((['name', 'addresses', 'owner', 'fields'] as const).filter(differs).map((name) => [name, record[name]])),
      ...(differs('custom') ? { custom: Object.keys(record.custom) } : {}),
    };
  const entry = { actor, at: new Date(at).toISOString(), action, subject, before: told(before), after: told(after) };
  return { write: auditEntry(tenant, entry), refused: 'changed' };
}

/** Writes all or nothing; answers undefined, or why not. */
async function commit(table: Table, steps: Step[]): Promise<Refusal | undefined> {
  try {
    await table.transact(steps.map((step) => step.write));
    return undefined;
  } catch (error) {
    if (!(error instanceof TransactionRefused)) throw error;
    const refusals = new Set(steps.filter((_, i) => error.reasons[i]).map((step) => step.refused));
    return (['exists', 'unknown-owner', 'unknown-parent'] as const).find((refusal) => refusals.has(refusal)) ?? 'changed';
  }
}

async function findEditable(table: Table, viewer: Viewer, module: Module, id: string, ifMatch: number | undefined): Promise<StoredRecord> {
  const record = await findRecord(table, viewer, module, id);
  if (!mayEdit(viewer, record))
    throw forbidden('no-permission', `Your profile does not let you edit ${module}. Ask an administrator to change it.`);
  if (ifMatch !== undefined && ifMatch !== record.version) throw stale();
  return record;
}

async function requireReadableParent(table: Table, viewer: Viewer, record: StoredRecord): Promise<void> {
  const parent = parentOf(record);
  if (!parent) return;
  const found = await readRecord(table, viewer.tenant, parent.id);
  if (found?.module !== parent.module || !mayRead(viewer, found)) throw problemOf('unknown-parent', record);
}

/** An address has one record per module unless the caller allows a duplicate. */
async function requireFree(
  table: Table,
  viewer: Viewer,
  record: StoredRecord,
  address: string,
  claim: Claim | undefined,
  allowDuplicate: boolean | undefined,
): Promise<void> {
  if (claim === undefined) return;
  const { singular } = moduleRow(record.module);
  if (!allowDuplicate) {
    const { records } = await matchAddress(table, viewer.tenant, address, { consistent: true });
    const seen = records.findLast((link) => link.module === record.module && mayRead(viewer, link));
    throw conflict(
      'duplicate-address',
      `Another ${singular} has the address ${address} already. Change that one, or send allowDuplicate: true to let both have it.`,
      { address, ...(seen ? { existing: { module: seen.module, id: seen.record } } : {}) },
    );
  }
  if (claimants(claim).length >= MAX_RECORDS_PER_ADDRESS) {
    throw invalid(
      'too-many-duplicates',
      `${MAX_RECORDS_PER_ADDRESS} ${record.module} have the address ${address} already; that is the most.`,
    );
  }
}

function problemOf(refusal: Refusal, record: StoredRecord): Problem {
  if (refusal === 'unknown-owner') return invalid('unknown-owner', `There is no active member ${record.owner} to own this record.`);
  const parent = parentOf(record);
  return invalid('unknown-contact', `There is no record ${parent?.id} in ${parent?.module} that you may see.`);
}

const busy = () => conflict('busy', 'Others are changing the same record at this moment. Try again.');

const without = <T>(all: T[], others: T[]) => all.filter((one) => !others.includes(one));
