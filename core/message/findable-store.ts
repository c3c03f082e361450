import type { TenantId } from '../ids.ts';
import type { Table } from '../table/client.ts';
import { type Channel, findableKey, findablePartition } from '../table/keys.ts';
import type { Copy, TimelineEntry } from './message.ts';

/**
 * A mail that a record finds when it comes to have the address: each mail of a mailbox; of the dropbox those that were taken off a
 * record with an address, by that record alone and with the entry that stood there.
 */
export type Findable = { message: string; member: string; channel: Channel; receivedAt: string; record?: string; entry?: TimelineEntry };

/** Lets a mailbox's mail be found by these addresses: one write unit each. Written again it says the same. */
export async function putFindable(
  table: Table,
  tenant: TenantId,
  { message, member, channel, receivedAt }: Pick<Copy, 'message' | 'member' | 'channel' | 'receivedAt'>,
  addresses: string[],
): Promise<void> {
  const found: Findable = { message, member, channel, receivedAt };
  await Promise.all(addresses.map((address) => table.put({ ...findableKey(tenant, address, found), ...found })));
}

/** A page of the mail with an address, newest first, whoever holds it. `after` is the `next` of the page before. */
export async function pageOfFindable(
  table: Table,
  tenant: TenantId,
  address: string,
  { limit, after }: { limit: number; after?: string },
): Promise<{ items: Findable[]; next?: string }> {
  const page = await table.page<Findable & { sk: string }>({ pk: findablePartition(tenant, address), limit, after, descending: true });
  return { items: page.items, next: page.more ? page.items.at(-1)?.sk : undefined };
}
