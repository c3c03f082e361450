import { notFound } from '../errors.ts';
import { MAX_SEARCHED_MAILS } from '../limits.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import { mayRead } from '../record/access.ts';
import type { StoredRecord } from '../record/record.ts';
import { readColleagues } from '../sharing/audience-store.ts';
import { canSee, type Verdict } from '../sharing/can-see.ts';
import type { Table } from '../table/client.ts';
import {
  copyKey,
  type Key,
  memberKey,
  ownMailKey,
  ownMailPartition,
  recordKey,
  type Showing,
  tickKey,
  timelineKey,
} from '../table/keys.ts';
import type { Page } from '../table/page.ts';
import { seriesOf } from './counterpart.ts';
import { MAX_SHOWN_RECORDS, shownRecords } from './file-mail.ts';
import type { Copy, Message, OwnMailEntry, TimelineEntry } from './message.ts';
import { readMessage } from './message-store.ts';
import { readThreadCopies } from './thread-store.ts';
import { OWN, ownerSettings, settingsOf } from './timeline-store.ts';

/** A message as one viewer may see it: only the copies and the records that are open to them. */
export type VisibleMessage = { message: Message; copies: Copy[]; records: RecordRef[]; reasons: Reason[] };
type RecordRef = { module: string; id: string };
/** Why a copy may be seen: whose it is, and on which record; none for one's own that concerns no record. */
export type Reason = { owner: string; channel: Showing; because: Verdict['because']; record?: RecordRef };

const MESSAGE_ID = /^[0-9a-f]{40}$/;

/**
 * The message, if at least one copy of it is visible to the viewer: their own, or one on a record they may read whose
 * owner shares it. Hidden copies, their holders and their records are not told. Throws `not-found`.
 */
export async function readVisible(table: Table, viewer: Viewer, id: string): Promise<VisibleMessage> {
  const found = MESSAGE_ID.test(id) ? await readMessage(table, viewer.tenant, id) : undefined;
  const visible = found && (await seenBy(table, viewer, found));
  if (!visible) throw notFound('message');
  return visible;
}

/**
 * The conversation of a message as far as the viewer may see it, in order of receipt; of a longer one the newest `limit` mails. All of it
 * is decided at once, in a few batches, and what is hidden is passed over before that: it tells nothing by time.
 */
export async function listThread(table: Table, viewer: Viewer, thread: string, limit: number): Promise<TimelineEntry[]> {
  const copies = await readThreadCopies(table, viewer, thread);
  const reasons = await reasonsOf(table, viewer, copies);
  const seen = seenFirst(viewer, copies, reasons).map(({ copy }) => copy);
  const shown = [...new Map([...seen].reverse().map((copy) => [copy.message, copy])).values()].sort(byReceipt);
  const keys = shown.slice(-limit).flatMap((copy) => rowKey(viewer, copy) ?? []);
  const rows = keys.length > 0 ? await table.getMany<TimelineEntry>(keys) : [];
  return rows.filter((row) => row !== undefined);
}

/**
 * A page of the mail of the viewer's own mailboxes, newest receipt first, each with its records as far as the viewer may
 * read them now. `after` is the position of the last row before.
 */
export async function listOwnMail(table: Table, viewer: Viewer, page: { limit: number; after?: string }): Promise<Page<OwnMailEntry>> {
  const pk = ownMailPartition(viewer.tenant, viewer.member);
  const { items, more } = await table.page<OwnMailEntry & { sk: string }>({ pk, limit: page.limit, after: page.after, descending: true });
  const readable = await readableRecords(table, viewer, items);
  const shown = items.map((entry) => ({ ...entry, records: entry.records.filter(({ id }) => readable.has(id)) }));
  // A row names three records. When some of three are gone, or no longer theirs to read, its copy knows of others.
  const short = shown.filter(({ records }, i) => records.length < MAX_SHOWN_RECORDS && items[i]?.records.length === MAX_SHOWN_RECORDS);
  const others = await allRecordsOf(table, viewer, short);
  const rows = shown.map((entry) => ({ ...entry, records: shownRecords(others.get(entry.message) ?? entry.records) }));
  return { items: rows, next: more ? items.at(-1)?.sk : undefined };
}

/** Of mails of the viewer's mailboxes, all records they are tied to that the viewer may read, by message. */
async function allRecordsOf(table: Table, viewer: Viewer, rows: OwnMailEntry[]): Promise<Map<string, RecordRef[]>> {
  if (rows.length === 0) return new Map();
  const copies = await table.getMany<Copy>(rows.map(({ message }) => copyKey(viewer.tenant, message, viewer.member, 'mailbox')));
  const found = copies.filter((copy) => copy !== undefined);
  const readable = await readableRecords(table, viewer, found);
  return new Map(found.map(({ message, records }) => [message, records.filter(({ id }) => readable.has(id))]));
}

/**
 * The same, of those rows alone that match. A page looks at no more than MAX_SEARCHED_MAILS rows: it may be short, or empty, and go on.
 */
export async function searchOwnMail(
  table: Table,
  viewer: Viewer,
  page: { limit: number; after?: string; matches: (row: OwnMailEntry) => boolean },
): Promise<Page<OwnMailEntry>> {
  const items: OwnMailEntry[] = [];
  let { after } = page;
  for (let looked = 0; looked < MAX_SEARCHED_MAILS; ) {
    const found = await listOwnMail(table, viewer, { limit: SEARCHED_AT_ONCE, after });
    for (const row of found.items) {
      if (items.length === page.limit) return { items, next: after };
      looked++;
      after = ownMailKey(viewer.tenant, viewer.member, row.receivedAt, row.message).sk;
      if (page.matches(row)) items.push(row);
    }
    if (found.next === undefined) return { items };
  }
  return { items, next: after };
}

/** Rows read at once when many are looked through. */
const SEARCHED_AT_ONCE = 250;

async function seenBy(
  table: Table,
  viewer: Viewer,
  { message, copies }: { message: Message; copies: Copy[] },
): Promise<VisibleMessage | undefined> {
  const seen = seenFirst(viewer, copies, await reasonsOf(table, viewer, copies));
  if (seen.length === 0) return undefined;
  const reasons = seen.flatMap(({ copy, on }): Reason[] =>
    on.length > 0 ? on : [{ owner: copy.member, channel: copy.channel, because: 'own' }],
  );
  const records = new Map(reasons.flatMap(({ record }) => (record ? [[record.id, record] as const] : [])));
  return { message, copies: seen.map(({ copy }) => copy), records: [...records.values()], reasons };
}

/** The copies that are open to the viewer, and on which records. Their own come first: it speaks for the mail when they have one. */
function seenFirst(viewer: Viewer, copies: Copy[], reasons: Map<Copy, Reason[]>): { copy: Copy; on: Reason[] }[] {
  return (
    copies
      .map((copy) => ({ copy, on: reasons.get(copy) ?? [] }))
      // An owner holds their mail whether a record has it or not; others see it on a record or not at all (SHR-22, SHR-27).
      .filter(({ copy, on }) => copy.member === viewer.member || on.length > 0)
      .sort((a, b) => Number(b.copy.member === viewer.member) - Number(a.copy.member === viewer.member))
  );
}

/** Why each of the copies, of one mail or of many, may be seen, on each record that is open to the viewer. */
async function reasonsOf(table: Table, viewer: Viewer, copies: Copy[]): Promise<Map<Copy, Reason[]>> {
  const [readable, settings, ticked] = await Promise.all([
    readableRecords(table, viewer, copies),
    ownerSettings(
      table,
      viewer,
      copies.map(({ member }) => member),
    ),
    // One's own is seen whatever is ticked.
    readTicks(
      table,
      viewer,
      copies.filter(({ member }) => member !== viewer.member),
    ),
  ]);
  const reasonsBy = (channel: Showing, { member, counterparts }: Copy, records: RecordRef[]) => {
    const of = settings.get(member) ?? OWN;
    return records.flatMap((record): Reason[] => {
      if (!readable.has(record.id)) return [];
      const ticks = { ticked: ticked.has(`${record.id} ${member}`) };
      const { visible, because } = canSee(viewer, { owner: member, channel, counterparts }, of, ticks);
      return visible ? [{ owner: member, channel, because, record }] : [];
    });
  };
  const shared = new Map(copies.map((copy) => [copy, reasonsBy(copy.channel, copy, copy.records)]));
  // Looked up only for what would stay hidden: most mail never needs it.
  const hiddenOn = ({ records }: Copy, on: Reason[] = []) =>
    records.filter(({ id }) => readable.has(id) && !on.some(({ record }) => record?.id === id));
  const backedUp = await readBackedUp(
    table,
    viewer,
    copies.map((copy) => ({ copy, records: hiddenOn(copy, shared.get(copy)) })),
  );
  return new Map(copies.map((copy) => [copy, [...(shared.get(copy) ?? []), ...reasonsBy('backup', copy, backedUp.get(copy) ?? [])]]));
}

/** Which owners have ticked "share mail" on which of the records: `record owner` of each (SHR-10). */
async function readTicks(table: Table, viewer: Viewer, copies: Copy[]): Promise<Set<string>> {
  const asked = copies.flatMap(({ member, records }) => records.map(({ id }) => ({ id, member })));
  const ticks = asked.length > 0 ? await table.getMany(asked.map(({ id, member }) => tickKey(viewer.tenant, id, member))) : [];
  return new Set(asked.filter((_, i) => ticks[i]).map(({ id, member }) => `${id} ${member}`));
}

/** On which of these records a backup shows each copy of a mailbox: there the mail has an entry of its owner's backups. */
async function readBackedUp(
  table: Table,
  { tenant }: Viewer,
  copies: { copy: Copy; records: RecordRef[] }[],
): Promise<Map<Copy, RecordRef[]>> {
  const asked = copies.flatMap(({ copy, records }) => (copy.channel === 'mailbox' ? records.map((record) => ({ copy, record })) : []));
  const keys = asked.map(({ copy, record }) =>
    timelineKey(tenant, record.id, { owner: copy.member, channel: 'backup' }, copy.receivedAt, copy.message),
  );
  const entries = keys.length > 0 ? await table.getMany(keys, { only: ['message'] }) : [];
  const shown = new Map<Copy, RecordRef[]>();
  for (const { copy, record } of asked.filter((_, i) => entries[i])) shown.set(copy, [...(shown.get(copy) ?? []), record]);
  return shown;
}

/**
 * Who else sees a mail through the viewer's own copies of it: for its owner to check. What others' copies show to whom is theirs
 * to know (R-31).
 */
export async function audienceOf(table: Table, viewer: Viewer, { copies }: Pick<VisibleMessage, 'copies'>): Promise<Viewer[]> {
  const own = copies.filter(({ member }) => member === viewer.member);
  const [{ colleagues }, member, records, ticks, backedUp] = await Promise.all([
    readColleagues(table, viewer),
    table.get<Member>(memberKey(viewer.tenant, viewer.member)),
    readRecords(table, viewer, own),
    readTicks(table, viewer, own),
    readBackedUp(
      table,
      viewer,
      own.map((copy) => ({ copy, records: copy.records })),
    ),
  ]);
  const settings = settingsOf(member, viewer.organisation);
  const isShown = (colleague: Viewer, channel: Showing, { counterparts }: Copy, id: string) => {
    const record = records.get(id);
    const ticked = ticks.has(`${id} ${viewer.member}`);
    const shared = { owner: viewer.member, channel, counterparts };
    return record && mayRead(colleague, record) && canSee(colleague, shared, settings, { ticked }).visible;
  };
  return colleagues.filter((colleague) =>
    own.some(
      (copy) =>
        copy.records.some(({ id }) => isShown(colleague, copy.channel, copy, id)) ||
        backedUp.get(copy)?.some(({ id }) => isShown(colleague, 'backup', copy, id)),
    ),
  );
}

async function readableRecords(table: Table, viewer: Viewer, copies: Pick<Copy, 'records'>[]): Promise<Set<string>> {
  const records = await readRecords(table, viewer, copies);
  return new Set([...records].flatMap(([id, record]) => (mayRead(viewer, record) ? [id] : [])));
}

async function readRecords(table: Table, { tenant }: Viewer, copies: Pick<Copy, 'records'>[]): Promise<Map<string, StoredRecord>> {
  const ids = [...new Set(copies.flatMap((copy) => copy.records.map(({ id }) => id)))];
  const records = ids.length > 0 ? await table.getMany<StoredRecord>(ids.map((id) => recordKey(tenant, id))) : [];
  return new Map(ids.flatMap((id, i) => (records[i] ? [[id, records[i]] as const] : [])));
}

/**
 * Where the row of a copy's mail in lists lies: it stands on the timeline of each record it is tied to, also of one that is gone, and in
 * the own list of who fetched it from a mailbox.
 */
function rowKey({ tenant, member }: Viewer, copy: Copy): Key | undefined {
  if (copy.channel === 'mailbox' && copy.member === member) return ownMailKey(tenant, member, copy.receivedAt, copy.message);
  const [record] = copy.records;
  return record && timelineKey(tenant, record.id, seriesOf(copy), copy.receivedAt, copy.message);
}

/** At the same moment by their ids, so that one viewer has the same order as another. */
const byReceipt = (a: Copy, b: Copy) => (`${a.receivedAt}#${a.message}` < `${b.receivedAt}#${b.message}` ? -1 : 1);
