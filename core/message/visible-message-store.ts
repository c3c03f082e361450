import { notFound } from '../errors.ts';
import type { Viewer } from '../member/viewer.ts';
import { mayRead } from '../record/access.ts';
import type { StoredRecord } from '../record/record.ts';
import { canSee } from '../sharing/can-see.ts';
import type { Table } from '../table/client.ts';
import { recordKey, timelineKey } from '../table/keys.ts';
import type { Copy, Message, TimelineEntry } from './message.ts';
import { readMessage, readThread } from './message-store.ts';
import { OWN, ownerSettings } from './timeline-store.ts';

/** A message as one viewer may see it: only the copies and the records that are open to them. */
export type VisibleMessage = { message: Message; copies: Copy[]; records: { module: string; id: string }[] };

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

/** The conversation of a message as far as the viewer may see it, in order of receipt. */
export async function listThread(table: Table, viewer: Viewer, thread: string, limit: number): Promise<TimelineEntry[]> {
  const begun = await readThread(table, viewer.tenant, thread);
  const entries: TimelineEntry[] = [];
  for (const { message } of begun.sort((a, b) => (a.receivedAt < b.receivedAt ? -1 : 1))) {
    const found = await readMessage(table, viewer.tenant, message);
    const visible = found && (await seenBy(table, viewer, found));
    const entry = visible && (await entryOf(table, viewer, visible));
    if (entry) entries.push(entry);
    if (entries.length === limit) break;
  }
  return entries;
}

async function seenBy(
  table: Table,
  viewer: Viewer,
  { message, copies }: { message: Message; copies: Copy[] },
): Promise<VisibleMessage | undefined> {
  const readable = await readableRecords(table, viewer, copies);
  const settings = await ownerSettings(
    table,
    viewer,
    copies.map(({ member }) => member),
  );
  const seen = copies.filter(
    (copy) =>
      canSee(viewer, copy.member, copy.channel, settings.get(copy.member) ?? OWN) &&
      (copy.member === viewer.member || copy.records.some(({ id }) => readable.has(id))),
  );
  if (seen.length === 0) return undefined;
  const records = new Map(seen.flatMap((copy) => copy.records.filter(({ id }) => readable.has(id)).map((record) => [record.id, record])));
  return { message, copies: seen, records: [...records.values()] };
}

async function readableRecords(table: Table, viewer: Viewer, copies: Copy[]): Promise<Set<string>> {
  const ids = [...new Set(copies.flatMap((copy) => copy.records.map(({ id }) => id)))];
  const records = ids.length > 0 ? await table.getMany<StoredRecord>(ids.map((id) => recordKey(viewer.tenant, id))) : [];
  return new Set(ids.filter((_, i) => records[i] && mayRead(viewer, records[i])));
}

/** The row of a message in lists: it stands on the timeline of each record it is tied to, also of one that is gone. */
async function entryOf(table: Table, viewer: Viewer, { message, copies }: VisibleMessage): Promise<TimelineEntry | undefined> {
  const [copy] = copies;
  const record = copy?.records[0];
  if (!copy || !record) return undefined;
  return table.get<TimelineEntry>(timelineKey(viewer.tenant, record.id, copy.member, copy.channel, copy.receivedAt, message.id));
}
