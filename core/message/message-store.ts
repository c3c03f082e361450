import type { TenantId } from '../ids.ts';
import { MAX_NOTED_HOLDERS } from '../limits.ts';
import type { Item, Table } from '../table/client.ts';
import {
  type Channel,
  copyKey,
  holderKey,
  messageKey,
  messagePartition,
  ownMailKey,
  recordAddressKey,
  type Series,
  timelineKey,
} from '../table/keys.ts';
import { isOneSide } from './counterpart.ts';
import type { Copy, Message, OwnMailEntry, TimelineEntry } from './message.ts';

/** A record, and the address it was found by. */
type Tie = { record: string; module: string; address: string; holders?: ReadonlySet<string> };

/**
 * Notes on the record that there is such a series of mail, so that readers know which to merge; and beside the address that was
 * looked up, so that the next mail need not.
 */
export async function noteHolder(table: Table, tenant: TenantId, tie: Tie, series: Series, counterparts: string[]): Promise<void> {
  await table.put({ ...holderKey(tenant, tie.record, series), ...series, ...(isOneSide(series) ? { counterparts } : {}) });
  if (tie.holders && tie.holders.size >= MAX_NOTED_HOLDERS) return;
  await table.update(recordAddressKey(tenant, tie.address, tie.module, tie.record), {
    update: 'ADD holders :mark',
    condition: 'attribute_exists(pk)',
    values: { ':mark': new Set([holderMark(series)]) },
  });
}

/** How a series is named beside an address. */
export const holderMark = (series: Series) => (series.channel === 'mailbox' ? `${series.owner}#${series.group}` : series.owner);

/** Lists a mail among those of its owner's mailboxes. */
export async function putOwnMail(table: Table, tenant: TenantId, entry: OwnMailEntry): Promise<void> {
  await table.put({ ...ownMailKey(tenant, entry.owner, entry.receivedAt, entry.message), ...entry });
}

export async function putTimelineEntry(
  table: Table,
  tenant: TenantId,
  record: string,
  series: Series,
  entry: TimelineEntry,
): Promise<void> {
  await table.put({ ...timelineKey(tenant, record, series, entry.receivedAt, entry.message), ...entry });
}

/**
 * Stores what all holders share. The first to write it decides, also when the mail was received, which stands in keys; all
 * later tries get back what stands, and that it was not new. One that was to be deleted, because its last holder's mail was, stays
 * from then on: whoever deletes it, a day after it was marked, finds the mark gone.
 */
export async function putMessage(table: Table, tenant: TenantId, message: Message): Promise<{ stored: Message; isNew: boolean }> {
  for (;;) {
    const existing = await table.putNew<Message>({ ...messageKey(tenant, message.id), ...message });
    if (!existing) return { stored: message, isNew: true };
    if (existing.unheldSince === undefined || (await takeUp(table, tenant, existing))) return { stored: existing, isNew: false };
  }
}

/** A message on its way out is somebody's again: false when it has just gone. */
async function takeUp(table: Table, tenant: TenantId, { id }: Message): Promise<boolean> {
  const taken = await table.update(messageKey(tenant, id), { update: 'REMOVE unheldSince', condition: 'attribute_exists(pk)' });
  return taken !== undefined;
}

/** Settles which delivery filed the mail for its holder. The first one stands; answers it. Only timelines come after it. */
export async function putCopy(table: Table, tenant: TenantId, copy: Copy): Promise<Copy> {
  return (await table.putNew<Copy>({ ...copyKey(tenant, copy.message, copy.member, copy.channel), ...copy })) ?? copy;
}

export function readCopy(table: Table, tenant: TenantId, message: string, member: string, channel: Channel): Promise<Copy | undefined> {
  return table.get<Copy>(copyKey(tenant, message, member, channel));
}

/** A message with all its copies; undefined when there is none. */
export async function readMessage(table: Table, tenant: TenantId, id: string): Promise<{ message: Message; copies: Copy[] } | undefined> {
  const items = await table.all<Item & { sk: string }>({ pk: messagePartition(tenant, id) });
  const message = items.find((item) => item.sk === 'META') as unknown as Message | undefined;
  if (!message) return undefined;
  return { message, copies: items.filter((item) => item.sk.startsWith('B#')) as unknown as Copy[] };
}
