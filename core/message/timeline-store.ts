import type { TenantId } from '../ids.ts';
import { MAX_SEARCHED_MAILS } from '../limits.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import { canSee, type OwnerSettings } from '../sharing/can-see.ts';
import { PRIVATE, underPolicy } from '../sharing/sharing.ts';
import type { Table } from '../table/client.ts';
import { copyKey, holdersPartition, memberKey, membersPartition, recordPartition, type Series, timelinePrefix } from '../table/keys.ts';
import type { Page } from '../table/page.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { Copy, TimelineEntry } from './message.ts';

/** A series of a record's mail that the viewer may see: all of it, or mail by mail, as its other side is. */
type OpenSeries = { series: Series; sees?: (counterparts: string[] | undefined) => boolean };
type Held = Series & { sk: string; counterparts?: string[] };
type Positioned = TimelineEntry & { position: string };

/**
 * A page of a record's mail that the viewer may see, newest receipt first. The record itself must be readable;
 * the caller looks. Only the series that the viewer may see are read and merged, so hidden mail costs nothing and shows in no
 * count, no gap and no time. `after` is the position of the last row before. With `matches` a page looks at no more than
 * MAX_SEARCHED_MAILS visible rows: it may be short, or empty, and go on.
 */
export async function listTimeline(
  table: Table,
  viewer: Viewer,
  record: string,
  page: { limit: number; after?: string; matches?: Matches },
): Promise<Page<TimelineEntry>> {
  const { limit, after, matches = () => true } = page;
  const open = await openSeries(table, viewer, record);
  const sources = open.map((one) => new Source(table, viewer, record, one, after));
  const items: Positioned[] = [];
  let looked = 0;
  let last: string | undefined;
  for await (const row of merged(sources, viewer.member, page.matches ? SEARCHED_AT_ONCE : limit + 1)) {
    if (looked++ === MAX_SEARCHED_MAILS) return { items, next: last };
    last = row.position;
    if (!matches(row)) continue;
    if (items.length === limit) return { items, next: items.at(-1)?.position };
    items.push(row);
  }
  return { items };
}

/** How many of a record's mails that the viewer may see match, of the newest MAX_SEARCHED_MAILS of them. */
export async function countTimeline(
  table: Table,
  viewer: Viewer,
  record: string,
  matches: Matches,
): Promise<{ count: number; atLeast: boolean }> {
  const sources = (await openSeries(table, viewer, record)).map((one) => new Source(table, viewer, record, one, undefined));
  let [looked, count] = [0, 0];
  for await (const row of merged(sources, viewer.member, SEARCHED_AT_ONCE)) {
    if (looked++ === MAX_SEARCHED_MAILS) return { count, atLeast: true };
    if (matches(row)) count++;
  }
  return { count, atLeast: false };
}

type Matches = (entry: TimelineEntry) => boolean;

/** Rows of one series read at once when many are looked through. */
const SEARCHED_AT_ONCE = 250;

/** What others may see of each owner, as set now. */
export async function ownerSettings(table: Table, viewer: Viewer, owners: string[]): Promise<Map<string, OwnerSettings>> {
  const others = [...new Set(owners)].filter((owner) => owner !== viewer.member);
  const members = await readMany(table, viewer.tenant, others);
  return new Map(others.map((owner) => [owner, settingsOf(members.get(owner), viewer.organisation)]));
}

/** From so many on they are read as neighbours: a read unit holds some eight members, and costs as much for one alone. */
const NEIGHBOURS = 8;

/**
 * The members of these ids. Of many, those between the first and the last id, twice as many as wanted at most; the rest, in an
 * organisation of many more, one by one.
 */
async function readMany(table: Table, tenant: TenantId, ids: string[]): Promise<Map<string, Member>> {
  const found = new Map<string, Member>();
  let missing = ids;
  if (ids.length >= NEIGHBOURS) {
    const sorted = [...ids].sort((a, b) => (a < b ? -1 : 1));
    const range: [string, string] = [sorted[0] as string, sorted.at(-1) as string];
    const { items, more } = await table.page<Member>({ pk: membersPartition(tenant), between: range, limit: 2 * ids.length });
    for (const member of items) found.set(member.id, member);
    missing = more ? ids.filter((id) => !found.has(id)) : [];
  }
  const others = missing.length > 0 ? await table.getMany<Member>(missing.map((id) => memberKey(tenant, id))) : [];
  for (const member of others) if (member) found.set(member.id, member);
  return found;
}

/** A member's settings under their organisation's policy. */
export function settingsOf(
  member: Pick<Member, 'dropboxVisibility' | 'sharing' | 'status'> | undefined,
  organisation: Tenant,
): OwnerSettings {
  return {
    dropboxVisibility: member?.dropboxVisibility ?? 'record',
    sharing: underPolicy(member?.sharing, organisation.mailPolicy),
    deactivated: member?.status !== 'active',
  };
}

/** An owner sees their own mail whatever is set: no settings need be read for that. */
export const OWN: OwnerSettings = { dropboxVisibility: 'sharing', sharing: PRIVATE, deactivated: false };

/** Decides for whole series where that can be done: one Query of who holds mail there, and their settings. */
async function openSeries(table: Table, viewer: Viewer, record: string): Promise<OpenSeries[]> {
  const noted = await table.all<Held>({ pk: holdersPartition(viewer.tenant, record) });
  const ticks = new Set(noted.filter(({ sk }) => sk.endsWith('#tick')).map(({ owner }) => owner));
  const held = noted.filter(({ sk }) => !sk.endsWith('#tick'));
  const settings = await ownerSettings(
    table,
    viewer,
    held.map(({ owner }) => owner),
  );
  return held.flatMap((one): OpenSeries[] => {
    const { owner, channel, counterparts } = one;
    const series: Series = channel === 'mailbox' ? { owner, channel, group: one.group } : { owner, channel };
    const of = settings.get(owner) ?? OWN;
    const sees: OpenSeries['sees'] = (its) =>
      canSee(viewer, { owner, channel, counterparts: its }, of, { ticked: ticks.has(owner) }).visible;
    if (counterparts) return sees(counterparts) ? [{ series }] : [];
    // Its mails have different other sides: all are open, none is, or each is looked at.
    if (sees(undefined)) return [{ series }];
    return sees([]) ? [{ series, sees }] : [];
  });
}

/** One series, read forward in growing bites: of fifty owners' series most give no more than a row or two to a page. */
class Source {
  readonly ready: Positioned[] = [];
  more = true;
  private after: string | undefined;
  private readonly table: Table;
  private readonly tenant: TenantId;
  private readonly pk: string;
  private readonly begins: string;
  private readonly open: OpenSeries;

  constructor(table: Table, viewer: Viewer, record: string, open: OpenSeries, after: string | undefined) {
    this.table = table;
    this.tenant = viewer.tenant;
    this.pk = recordPartition(viewer.tenant, record);
    this.begins = timelinePrefix(open.series);
    this.open = open;
    this.after = after;
  }

  async read(limit: number): Promise<void> {
    const after = this.after === undefined ? undefined : this.begins + this.after;
    const page = await this.table.page<TimelineEntry & { sk: string }>({
      pk: this.pk,
      begins: this.begins,
      limit,
      descending: true,
      after,
    });
    const entries = page.items.map((item) => ({ ...item, position: item.sk.slice(this.begins.length) }));
    this.ready.push(...(await this.seen(entries)));
    this.after = entries.at(-1)?.position ?? this.after;
    this.more = page.more;
  }

  /** Who is on the other side stands in the entry; of a mail to very many in its copy alone. */
  private async seen(entries: Positioned[]): Promise<Positioned[]> {
    const { series, sees } = this.open;
    // A backup shows nothing that must be looked at mail by mail.
    if (!sees || series.channel === 'backup') return entries;
    const unnamed = entries.filter(({ counterparts }) => counterparts === undefined).map(({ message }) => message);
    const { owner, channel } = series;
    const keys = unnamed.map((message) => copyKey(this.tenant, message, owner, channel));
    const copies = keys.length > 0 ? await this.table.getMany<Copy>(keys, { only: ['counterparts'] }) : [];
    const named = new Map(unnamed.map((message, i) => [message, copies[i]?.counterparts]));
    return entries.filter(({ message, counterparts }) => sees(counterparts ?? named.get(message)));
  }
}

/**
 * The rows of all series together, newest first; so many of one series at most are read at once. A mail that several hold, or that
 * came in two ways, stands at one position and shows once, as the viewer's own if it is.
 */
async function* merged(sources: Source[], self: string, most: number): AsyncGenerator<Positioned> {
  let bite = Math.min(most, Math.ceil(most / Math.max(1, sources.length)) + SPARE_ROWS);
  for (;;) {
    // The next row is certain only when each series that goes on has shown where.
    const unread = sources.filter(({ ready, more }) => more && ready.length === 0);
    if (unread.length > 0) {
      await Promise.all(unread.map((source) => source.read(bite)));
      bite = Math.min(most, bite * 2);
      continue;
    }
    const heads = sources.flatMap(({ ready }) => ready[0] ?? []);
    const next = heads.reduce<Positioned | undefined>((best, head) => (best && best.position >= head.position ? best : head), undefined);
    if (!next) return;
    const same = sources.filter(({ ready }) => ready[0]?.position === next.position).map(({ ready }) => ready.shift() as Positioned);
    yield same.find(({ owner }) => owner === self) ?? next;
  }
}

/** Read of each series beyond its even share of a page, so that small differences need no second round. */
const SPARE_ROWS = 4;
