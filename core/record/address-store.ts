import type { TenantId } from '../ids.ts';
import { isNew, type Table, type Write } from '../table/client.ts';
import { addressPartition, claimKey, recordAddressKey } from '../table/keys.ts';
import type { Module } from './module.ts';
import type { StoredRecord } from './record.ts';

/** What stands at an address for each record that has it: all the mail path reads of a record. */
export type AddressLink = {
  address: string;
  record: string;
  module: Module;
  owner: string;
  name: string;
  createdAt: string;
  /** The message the record was created by, if by one. */
  createdBy?: string;
  /** Whose mail is on the record's timeline already; kept by whoever files mail. */
  holders?: Set<string>;
};

/** `members`: whose login address it is, or who has proved to send from it. */
export type AddressMatch = { address: string; members: string[]; records: AddressLink[] };

/**
 * Who claims an address in a module: the ids of its records, parted by a space. The first is the holder of the claim,
 * the others share the address with leave. Every change of who has the address goes through this one item, guarded by
 * what was read: so a claim stands exactly as long as a record has the address, and passes on when its holder leaves.
 */
export type Claim = string;

/** Whose an address is, by one Query: a member's, or of which records, newest first. Eventually consistent unless said. */
export async function matchAddress(
  table: Table,
  tenant: TenantId,
  address: string,
  options: { consistent?: boolean } = {},
): Promise<AddressMatch> {
  const items = await table.all<AddressLink & { sk: string; member?: string }>({
    pk: addressPartition(tenant, address),
    consistent: options.consistent ?? false,
  });
  return {
    address,
    // A login address (`U`), or one a member has proved to send from (`U#member`).
    members: items.flatMap(({ sk, member }) => (sk === 'U' ? (member ?? '') : sk.startsWith('U#') ? sk.slice(2) : [])),
    records: items
      .filter((item) => item.sk.startsWith('R#'))
      .sort(newestFirst)
      .map((item) => linkOf(address, item)),
  };
}

/** The claims on these addresses, as they are now. */
export async function readClaims(table: Table, tenant: TenantId, module: Module, addresses: string[]): Promise<Map<string, Claim>> {
  if (addresses.length === 0) return new Map();
  const found = await table.getMany<{ records: Claim }>(addresses.map((address) => claimKey(tenant, address, module)));
  return new Map(addresses.flatMap((address, i) => (found[i] ? [[address, found[i].records] as const] : [])));
}

/** The record ids of a claim, its holder first. */
export const claimants = (claim: Claim | undefined): string[] => claim?.split(' ') ?? [];

/** `record` takes its place at the address: as the holder when there is no claim, else behind the others. */
export function join(tenant: TenantId, address: string, record: StoredRecord, claim: Claim | undefined): Write[] {
  const key = claimKey(tenant, address, record.module);
  const records = [...claimants(claim), record.id].join(' ');
  const link: Omit<AddressLink, 'address'> = {
    record: record.id,
    module: record.module,
    owner: record.owner,
    name: record.name,
    createdAt: record.createdAt,
    createdBy: record.createdBy.messageId,
  };
  return [
    { put: { ...key, records }, ...(claim === undefined ? { condition: isNew } : unchanged(claim)) },
    { put: { ...recordAddressKey(tenant, address, record.module, record.id), ...link } },
  ];
}

/** `record` leaves the address; the claim passes on to the next record there, or ends. */
export function leave(tenant: TenantId, address: string, record: StoredRecord, claim: Claim | undefined): Write[] {
  const key = claimKey(tenant, address, record.module);
  const rest = claimants(claim).filter((id) => id !== record.id);
  const link: Write = { delete: recordAddressKey(tenant, address, record.module, record.id) };
  if (claim === undefined) return [link];
  if (rest.length === 0) return [{ delete: key, ...unchanged(claim) }, link];
  return [{ put: { ...key, records: rest.join(' ') }, ...unchanged(claim) }, link];
}

/** `record` stays at the address under another name or owner. Its holders are left as they are. */
export function rename(tenant: TenantId, address: string, record: StoredRecord): Write {
  return {
    update: recordAddressKey(tenant, address, record.module, record.id),
    with: {
      update: 'SET #owner = :owner, #name = :name',
      condition: 'attribute_exists(pk)',
      names: { '#owner': 'owner', '#name': 'name' },
      values: { ':owner': record.owner, ':name': record.name },
    },
  };
}

const unchanged = (claim: Claim) => ({ condition: '#records = :records', names: { '#records': 'records' }, values: { ':records': claim } });

const newestFirst = (a: AddressLink, b: AddressLink) =>
  a.createdAt === b.createdAt ? (a.record < b.record ? 1 : -1) : a.createdAt < b.createdAt ? 1 : -1;

function linkOf(address: string, { record, module, owner, name, createdAt, createdBy, holders }: AddressLink): AddressLink {
  return { address, record, module, owner, name, createdAt, createdBy, holders };
}
