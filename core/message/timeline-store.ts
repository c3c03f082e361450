import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import { canSee, type OwnerSettings } from '../sharing/can-see.ts';
import type { Table } from '../table/client.ts';
import { type Channel, holdersPartition, memberKey, recordPartition, timelinePrefix } from '../table/keys.ts';
import type { Page } from '../table/page.ts';
import type { TimelineEntry } from './message.ts';

type Holder = { owner: string; channel: Channel };
type Positioned = TimelineEntry & { position: string };

/**
 * A page of a record's mail that the viewer may see, newest receipt first. The record itself must be readable;
 * the caller looks. Only timelines of owners whose mail the viewer may see are read and merged, so hidden mail costs
 * nothing and shows in no count, no gap and no time. `after` is the position of the last row before.
 */
export async function listTimeline(
  table: Table,
  viewer: Viewer,
  record: string,
  page: { limit: number; after?: string },
): Promise<Page<TimelineEntry>> {
  const holders = await visibleHolders(table, viewer, record);
  const entries = await mergePage(table, viewer, record, holders, page.limit + 1, page.after);
  if (entries.length <= page.limit) return { items: entries };
  return { items: entries.slice(0, page.limit), next: entries[page.limit - 1]?.position };
}

/** What others may see of each owner, as set now. */
export async function ownerSettings(table: Table, viewer: Viewer, owners: string[]): Promise<Map<string, OwnerSettings>> {
  const others = owners.filter((owner) => owner !== viewer.member);
  const members = others.length > 0 ? await table.getMany<Member>(others.map((owner) => memberKey(viewer.tenant, owner))) : [];
  return new Map(others.map((owner, i) => [owner, { dropboxVisibility: members[i]?.dropboxVisibility ?? 'record', sharing: 'private' }]));
}

/** An owner sees their own mail whatever is set: no settings need be read for that. */
export const OWN: OwnerSettings = { dropboxVisibility: 'sharing', sharing: 'private' };

async function visibleHolders(table: Table, viewer: Viewer, record: string): Promise<Holder[]> {
  const holders = await table.all<Holder>({ pk: holdersPartition(viewer.tenant, record) });
  const settings = await ownerSettings(
    table,
    viewer,
    holders.map(({ owner }) => owner),
  );
  return holders.filter(({ owner, channel }) => canSee(viewer, owner, channel, settings.get(owner) ?? OWN));
}

/**
 * The next rows of all the holders' timelines together, `limit` of them unless there are no more. A mail that several hold
 * stands at one position, and shows once.
 */
async function mergePage(table: Table, viewer: Viewer, record: string, holders: Holder[], limit: number, after: string | undefined) {
  const pages = await Promise.all(
    holders.map(async ({ owner, channel }) => {
      const begins = timelinePrefix(owner, channel);
      const pk = recordPartition(viewer.tenant, record);
      const page = await table.page<TimelineEntry & { sk: string }>({
        pk,
        begins,
        limit,
        descending: true,
        after: after === undefined ? undefined : begins + after,
      });
      return { entries: page.items.map((item) => ({ ...item, position: item.sk.slice(begins.length) })), more: page.more };
    }),
  );
  const byPosition = new Map<string, Positioned>();
  for (const entry of pages.flatMap(({ entries }) => entries)) {
    if (!byPosition.has(entry.position) || entry.owner === viewer.member) byPosition.set(entry.position, entry);
  }
  // Beyond the last row of a page that has more, another of its rows may come first: only what is before it is certain.
  const horizon = pages.filter(({ more }) => more).map(({ entries }) => entries.at(-1)?.position ?? '');
  const certainFrom = horizon.reduce((highest, position) => (position > highest ? position : highest), '');
  const sorted = [...byPosition.values()]
    .filter(({ position }) => position >= certainFrom)
    .sort((a, b) => (a.position < b.position ? 1 : -1));
  return sorted.slice(0, limit);
}
