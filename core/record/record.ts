import * as z from 'zod';
import { ID } from '../ids.ts';
import {
  MAX_CUSTOM_BYTES,
  MAX_CUSTOM_FIELDS,
  MAX_FIELD_CHARS,
  MAX_FIRST_NAME_CHARS,
  MAX_NAME_CHARS,
  MAX_RECORD_ADDRESSES,
} from '../limits.ts';
import { normaliseAddress } from '../message/address.ts';
import { type FieldRow, hasAddresses, MODULES, type Module, moduleRow, parentField } from './module.ts';

export type FieldValue = string | number;
export type CustomValue = string | number | boolean;
export type PersonName = { first?: string; last: string };
export type RecordRef = { module: Module; id: string };

/** How a record came to be: by whom through the API, out of which mail, or by which import. */
export type CreatedBy = { way: 'api' | 'import' | 'mail'; memberId?: string; messageId?: string; importId?: string };

/**
 * What became of an address. One that leaves the record's list stays as a former one, whose mail is still listed and tied,
 * until it is detached. `version`: the record's, when the address was last attached or detached; mail follows it.
 */
export type AddressPast = { version: number; since: string; formerSince?: string; detachedAt?: string };

/** A lead, contact or deal as it is stored. */
export type StoredRecord = {
  id: string;
  module: Module;
  /** As lists show it: the name of a person, the title of a deal. */
  name: string;
  person?: PersonName;
  /** Normalised; the first is the primary one, former ones come last. Empty for modules without addresses. */
  addresses: string[];
  /** By address, detached ones too; absent on records from before it was noted. */
  history?: Record<string, AddressPast>;
  owner: string;
  /** The module's own fields. */
  fields: Record<string, FieldValue>;
  custom: Record<string, CustomValue>;
  createdAt: string;
  updatedAt: string;
  version: number;
  createdBy: CreatedBy;
  /** Id of a record of another module with the same address. */
  possibleDuplicateOf?: string;
  /** How many records belong to this one. Not part of `version`: a new deal does not make a contact stale. */
  children?: number;
};

type RecordBody = {
  name?: PersonName;
  title?: string;
  addresses?: string[];
  ownerId?: string;
  allowDuplicate?: boolean;
  /** The module's own fields. */
  [field: string]: unknown;
};

/** A record to be, checked by `recordInput`. */
export type RecordInput = RecordBody & { custom?: Record<string, CustomValue> };

/** Changes to a record, checked by `recordPatch`: what is left out stays, `null` empties a field. */
export type RecordPatch = RecordBody & {
  custom?: Record<string, CustomValue | null>;
  /** What leaves `addresses` is detached, and does not stay as a former address. */
  detach?: boolean;
};

const TIDY = /^[^\p{Cc}\p{Cs}]*$/u;
const line = (max: number) => z.string().trim().min(1).max(max).regex(TIDY, 'must not hold control characters');

/** DynamoDB and JSON agree on these; beyond them digits would be lost without a word. */
const amount = z
  .number()
  .min(-Number.MAX_SAFE_INTEGER)
  .max(Number.MAX_SAFE_INTEGER)
  .refine((value) => value === 0 || Math.abs(value) >= 1e-100, 'too close to zero');

const address = z
  .string()
  .max(1000)
  .transform((text, context) => {
    const normal = normaliseAddress(text);
    if (normal === undefined) context.addIssue({ code: 'custom', message: 'not a mail address' });
    return normal ?? z.NEVER;
  });

const personName = z.strictObject({ first: line(MAX_FIRST_NAME_CHARS).optional(), last: line(MAX_NAME_CHARS) }).meta({
  description: 'Name of a person; a firm without one has its name in `last`',
});
const addresses = z
  .array(address)
  .max(MAX_RECORD_ADDRESSES)
  .transform((all) => [...new Set(all)])
  .meta({ description: `Mail addresses, the primary one first; at most ${MAX_RECORD_ADDRESSES}` });

const customName = line(64);
const customValue = z.union([z.string().max(MAX_FIELD_CHARS), amount, z.boolean()]);
/** True while the custom fields of a record are few and small enough. */
export const customFits = (fields: object) =>
  Object.keys(fields).length <= MAX_CUSTOM_FIELDS && Buffer.byteLength(JSON.stringify(fields)) <= MAX_CUSTOM_BYTES;
export const customLimit = `at most ${MAX_CUSTOM_FIELDS} custom fields, ${MAX_CUSTOM_BYTES} bytes together`;
const custom = z
  .record(customName, customValue)
  .refine(customFits, customLimit)
  .meta({ description: 'Fields of your own: texts, numbers, truths' });
const customPatch = z
  .record(customName, customValue.nullable())
  .refine(customFits, customLimit)
  .meta({ description: 'Only the fields named here change; null removes one' });

const ownerId = z.string().regex(ID, 'not a member id').meta({ description: 'Member who owns the record; the caller when left out' });
const allowDuplicate = z.boolean().meta({ description: 'Share an address that another record of this module has already' });

const detach = z.boolean().meta({
  description: 'Addresses that leave the list are detached at once; else they stay as former ones, whose mail is still listed',
});

const eachModule = <T>(make: (module: Module) => T) =>
  Object.fromEntries(Object.keys(MODULES).map((module) => [module, make(module as Module)])) as Record<Module, T>;

/** Bodies of new records, by module. */
export const recordInput = eachModule((module) =>
  z.strictObject({
    ...(hasAddresses(module) ? { name: personName, addresses: addresses.optional() } : { title: line(MAX_NAME_CHARS) }),
    ...fieldShape(module, (schema, row) => {
      if (row.kind === 'choice') return z.enum(row.choices).default(row.initially);
      return isRequired(row) ? schema : schema.optional();
    }),
    ownerId: ownerId.optional(),
    custom: custom.optional(),
    ...(hasAddresses(module) ? { allowDuplicate: allowDuplicate.optional() } : {}),
  }),
);

/** Bodies of changes, by module. */
export const recordPatch = eachModule((module) =>
  z.strictObject({
    ...(hasAddresses(module)
      ? { name: personName.optional(), addresses: addresses.optional() }
      : { title: line(MAX_NAME_CHARS).optional() }),
    ...fieldShape(module, (schema, row) => (isRequired(row) ? schema.optional() : schema.nullable().optional())),
    ownerId: ownerId.optional(),
    custom: customPatch.optional(),
    ...(hasAddresses(module) ? { allowDuplicate: allowDuplicate.optional(), detach: detach.optional() } : {}),
  }),
);

const addressHistory = z
  .array(
    z.object({
      address: z.string(),
      since: z.string(),
      formerSince: z.string().optional().meta({ description: 'Since when it is a former one; its mail is still listed and tied' }),
      detachedAt: z.string().optional().meta({ description: 'Its mail is no longer listed; add it to `addresses` to bring it back' }),
    }),
  )
  .meta({ description: 'Since when the record has, or had, which address' });

const reference = z.object({ module: z.string(), id: z.string() });

/** Records as the API answers them, by module. */
export const recordReturned = eachModule((module) =>
  z.object({
    id: z.string(),
    module: z.literal(module),
    ...(hasAddresses(module)
      ? {
          name: z.object({ first: z.string().optional(), last: z.string(), display: z.string() }),
          addresses: z.array(z.string()).meta({ description: 'The primary one first, former ones last' }),
          addressHistory,
        }
      : { title: z.string() }),
    ...Object.fromEntries(
      Object.entries(moduleRow(module).fields).map(([name, row]) => {
        const schema = row.kind === 'amount' ? z.number() : z.string();
        return [name, (isRequired(row) ? schema : schema.optional()).meta({ description: row.about })];
      }),
    ),
    ownerId: z.string(),
    custom: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    createdAt: z.string(),
    updatedAt: z.string(),
    version: z.number(),
    createdBy: z.object({
      way: z.enum(['api', 'import', 'mail']),
      memberId: z.string().optional(),
      messageId: z.string().optional(),
      importId: z.string().optional(),
    }),
    possibleDuplicateOf: reference
      .optional()
      .meta({ description: 'A record of another module that has the same address, if you may see it' }),
  }),
);

/** An example of a new record, for the documentation. */
export function recordExample(module: Module): object {
  const own = Object.entries(moduleRow(module).fields).map(([name, row]) => [name, exampleOf(row)]);
  const subject = hasAddresses(module)
    ? { name: { first: 'Hanako', last: 'Yamada' }, addresses: ['hanako@example.com'] }
    : { title: 'Yearly supply' };
  return { ...subject, ...Object.fromEntries(own), custom: { segment: 'retail' } };
}

/** The module's own fields of a body; what is undefined is left out. */
export function fieldsOf(module: Module, body: Record<string, unknown>): Record<string, FieldValue | null> {
  const names = Object.keys(moduleRow(module).fields).filter((name) => body[name] !== undefined);
  return Object.fromEntries(names.map((name) => [name, body[name] as FieldValue | null]));
}

/** The record that `record` belongs to, if any. */
export function parentOf(record: Pick<StoredRecord, 'module' | 'fields'>): RecordRef | undefined {
  const parent = parentField(record.module);
  const id = parent && record.fields[parent.field];
  return parent && typeof id === 'string' ? { module: parent.module, id } : undefined;
}

/** A record as the API answers it. `possibleDuplicateOf` is the record's, if the viewer may see that one. */
export function returned(record: StoredRecord, possibleDuplicateOf?: RecordRef) {
  const { id, module, person, name, addresses, owner, fields, custom, createdAt, updatedAt, version, createdBy } = record;
  return {
    id,
    module,
    ...(hasAddresses(module) ? { name: { ...person, display: name }, addresses, addressHistory: historyOf(record) } : { title: name }),
    ...fields,
    ownerId: owner,
    custom,
    createdAt,
    updatedAt,
    version,
    createdBy,
    possibleDuplicateOf: possibleDuplicateOf && { module: possibleDuplicateOf.module, id: possibleDuplicateOf.id },
  };
}

/** The history in the order of the addresses, detached ones last. */
function historyOf({ addresses, history = {} }: StoredRecord) {
  const detached = Object.keys(history).filter((address) => !addresses.includes(address));
  return [...addresses, ...detached].flatMap((address) => {
    const past = history[address];
    return past ? [{ address, since: past.since, formerSince: past.formerSince, detachedAt: past.detachedAt }] : [];
  });
}

function fieldShape(module: Module, finish: (schema: z.ZodType, row: FieldRow) => z.ZodType) {
  return Object.fromEntries(
    Object.entries(moduleRow(module).fields).map(([name, row]) => [name, finish(schemaOf(row), row).meta({ description: row.about })]),
  );
}

function schemaOf(row: FieldRow): z.ZodType {
  if (row.kind === 'amount') return amount;
  if (row.kind === 'date') return z.iso.date();
  if (row.kind === 'choice') return z.enum(row.choices);
  return row.kind === 'parent' ? z.string().max(40) : line(MAX_NAME_CHARS);
}

function isRequired(row: FieldRow): boolean {
  return row.kind === 'parent' || row.kind === 'choice';
}

function exampleOf(row: FieldRow): FieldValue {
  if (row.kind === 'choice') return row.initially;
  return row.kind === 'parent' ? '01k9zq3v5nexampleofacontact' : row.example;
}
