import type { TenantId } from '../ids.ts';
import { DELETION_PAGE_MAILS, DELETION_PAGE_RECORDS } from '../limits.ts';
import type { Member } from '../member/member.ts';
import type { TimelineEntry } from '../message/message.ts';
import type { Module } from '../record/module.ts';
import type { Table } from '../table/client.ts';
import { holderKey, memberKey, modulePartition, recordPartition, timelinePrefix } from '../table/keys.ts';
import { deleteMails } from './delete-mail-store.ts';
import type { Deletion, Walk } from './deletion.ts';
import { noteWalk } from './deletion-store.ts';

type Room = { table: Table; clock: () => Date };

/** The modules whose records have mail of their own, in the order they are gone through (BCC-8). */
const NEXT: Partial<Record<Module, Module>> = { leads: 'contacts' };

/**
 * Deletes the member's dropbox mail when it follows the sharing type, for then it is hidden too; what goes with its record stays.
 * No list tells where it is: all records are gone through, a hundred with one read. False when time is over first. Throws `Held`, `Over`.
 */
export async function deleteDropboxMail(
  { table, clock }: Room,
  tenant: TenantId,
  deletion: Deletion,
  hasTime: () => boolean,
): Promise<boolean> {
  const member = await table.get<Member>(memberKey(tenant, deletion.member));
  if (member?.dropboxVisibility !== 'sharing') return true;
  let at: Walk = deletion.dropbox ?? { module: 'leads' };
  while (at !== 'done') {
    if (!hasTime()) return false;
    const { module, after }: { module: Module; after?: string } = at;
    const { items, more } = await table.page<{ sk: string }>({
      pk: modulePartition(tenant, module),
      after,
      limit: DELETION_PAGE_RECORDS,
      only: ['sk'],
    });
    for (const record of await holding(table, tenant, deletion.member, items)) {
      if (!(await deleteSeries({ table, clock }, tenant, deletion, record, hasTime))) return false;
    }
    const next = NEXT[module];
    at = more ? { module, after: items.at(-1)?.sk } : next ? { module: next } : 'done';
    await noteWalk(table, tenant, deletion, at);
  }
  return true;
}

async function holding(table: Table, tenant: TenantId, owner: string, records: { sk: string }[]): Promise<string[]> {
  const keys = records.map(({ sk }) => holderKey(tenant, sk, { owner, channel: 'dropbox' }));
  const noted = keys.length > 0 ? await table.getMany(keys, { only: ['owner'] }) : [];
  return records.filter((_, i) => noted[i]).map(({ sk }) => sk);
}

async function deleteSeries(
  { table, clock }: Room,
  tenant: TenantId,
  deletion: Deletion,
  record: string,
  hasTime: () => boolean,
): Promise<boolean> {
  const begins = timelinePrefix({ owner: deletion.member, channel: 'dropbox' });
  let after: string | undefined;
  for (;;) {
    const page = await table.page<TimelineEntry & { sk: string }>({
      pk: recordPartition(tenant, record),
      begins,
      after,
      limit: DELETION_PAGE_MAILS,
      only: ['sk', 'message', 'receivedAt'],
    });
    const refs = page.items.map(({ message, receivedAt }) => ({ message, receivedAt, channel: 'dropbox' as const }));
    await deleteMails(table, tenant, deletion, refs, clock());
    if (!page.more) return true;
    if (!hasTime()) return false;
    after = page.items.at(-1)?.sk;
  }
}
