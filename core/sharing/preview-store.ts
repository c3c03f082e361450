import type { Activity } from '../dropbox/activity-store.ts';
import type { TenantId } from '../ids.ts';
import { ACTIVITY_DAYS, MAX_AUDIENCE, MAX_MATCHED_ADDRESSES, MAX_PREVIEW_MAILS } from '../limits.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import { MAX_SHOWN_RECORDS } from '../message/file-mail.ts';
import type { Copy, OwnMailEntry } from '../message/message.ts';
import { settingsOf } from '../message/timeline-store.ts';
import { mayRead } from '../record/access.ts';
import type { StoredRecord } from '../record/record.ts';
import type { Table } from '../table/client.ts';
import {
  type Channel,
  copyKey,
  holderKey,
  memberKey,
  memberPartition,
  ownMailPartition,
  recordKey,
  type Series,
  type Showing,
  tickKey,
  timelineKey,
} from '../table/keys.ts';
import { readColleagues } from './audience-store.ts';
import { canSee, type OwnerSettings } from './can-see.ts';
import type { Sharing } from './sharing.ts';

type Change = Pick<Member, 'sharing' | 'dropboxVisibility'> & { sharing: Sharing };
/** A mail of the owner's, and each way in which it may be shown on records: a mail that came in twice is one mail. */
type Candidate = { message: string; receivedAt: string; ways: Way[] };
type Way = { channel: Showing; counterparts?: string[]; records: string[] };
/** Colleagues of one profile who may read the same records. The gate decides on one of them for all: it knows no more of a colleague. */
type Group = { one: Viewer; members: string[] };
type Side = { mails: number; people: number };
export type Preview = { becomeVisible: Side; becomeHidden: Side; complete: boolean };

/**
 * What a change of the viewer's sharing would come to, before it is saved: how many of their mails become visible or hidden, to how
 * many people. Looks at MAX_AUDIENCE members, and at the newest mails: MAX_PREVIEW_MAILS of the mailbox, and as many of the dropbox, of
 * the last ACTIVITY_DAYS; `complete` is false when there may be others. What is seen another way as well, of the dropbox or by a backup
 * does not change. Changes nothing.
 */
export async function previewChange(table: Table, viewer: Viewer, change: Change, now: Date): Promise<Preview> {
  const member = await table.get<Member>(memberKey(viewer.tenant, viewer.member));
  const before = settingsOf(member, viewer.organisation);
  const after = settingsOf({ status: 'active', ...change }, viewer.organisation);
  const [{ colleagues, more }, mailbox, dropbox] = await Promise.all([
    readColleagues(table, viewer, MAX_AUDIENCE),
    ownMailbox(table, viewer),
    before.dropboxVisibility === 'record' && after.dropboxVisibility === 'record' ? NOTHING : ownDropboxMail(table, viewer, member, now),
  ]);
  const mails = await readWays(table, viewer, mailbox.rows, dropbox.messages);
  const readers = await readersOf(table, viewer, colleagues, mails);
  const ticks = await ownTicks(table, viewer, [...readers.keys()]);
  const side = { becomeVisible: new Tally(), becomeHidden: new Tally() };
  for (const mail of mails) {
    const seers = (settings: OwnerSettings) => seersOf(mail, viewer.member, settings, readers, ticks);
    const [seenBefore, seenAfter] = [seers(before), seers(after)];
    side.becomeVisible.add(peopleIn(seenAfter, seenBefore));
    side.becomeHidden.add(peopleIn(seenBefore, seenAfter));
  }
  return {
    becomeVisible: side.becomeVisible.sum(),
    becomeHidden: side.becomeHidden.sum(),
    complete: mailbox.complete && dropbox.complete && !more,
  };
}

const DAY_MS = 86_400_000;
const NOTHING = { messages: [] as string[], complete: true };

class Tally {
  private mails = 0;
  private readonly people = new Set<string>();

  add(people: string[]): void {
    if (people.length > 0) this.mails++;
    for (const one of people) this.people.add(one);
  }

  sum = (): Side => ({ mails: this.mails, people: this.people.size });
}

function seersOf(mail: Candidate, owner: string, settings: OwnerSettings, readers: Map<string, Group[]>, ticks: Set<string>): Set<Group> {
  const seers = mail.ways.flatMap(({ channel, counterparts, records }) =>
    records.flatMap((record) =>
      (readers.get(record) ?? []).filter(
        ({ one }) => canSee(one, { owner, channel, counterparts }, settings, { ticked: ticks.has(record) }).visible,
      ),
    ),
  );
  return new Set(seers);
}

/** Those of these groups who are in none of the others. */
function peopleIn(groups: Set<Group>, others: Set<Group>): string[] {
  const further = [...groups].filter((group) => !others.has(group));
  if (further.length === 0) return [];
  const known = new Set([...others].flatMap(({ members }) => members));
  return further.flatMap(({ members }) => members.filter((member) => !known.has(member)));
}

async function ownMailbox(table: Table, viewer: Viewer) {
  const pk = ownMailPartition(viewer.tenant, viewer.member);
  const rows: OwnMailEntry[] = [];
  let after: string | undefined;
  let more: boolean;
  do {
    const page = await table.page<OwnMailEntry & { sk: string }>({ pk, limit: 500, after, descending: true });
    rows.push(...page.items.filter(({ records }) => records.length > 0));
    after = page.items.at(-1)?.sk;
    more = page.more;
  } while (more && rows.length < MAX_PREVIEW_MAILS);
  return { rows, complete: !more };
}

/** The dropbox's mail is listed by what became of it, for as long as that is kept: nothing is missing of who has not been here longer. */
async function ownDropboxMail(table: Table, viewer: Viewer, member: Member | undefined, now: Date) {
  const pk = memberPartition(viewer.tenant, viewer.member);
  const { items, more } = await table.page<Activity>({ pk, begins: 'A#', limit: MAX_PREVIEW_MAILS, descending: true });
  const messages = items.flatMap(({ outcome, message }) => (message && (outcome === 'filed' || outcome === 'created') ? message : []));
  const keptSince = new Date(now.getTime() - ACTIVITY_DAYS * DAY_MS).toISOString();
  return { messages, complete: !more && member !== undefined && member.createdAt > keptSince };
}

/** Each mail once, in all the ways it came in: whichever list named it, its copy of the other channel is looked up. */
async function readWays(table: Table, { tenant, member }: Viewer, rows: OwnMailEntry[], filed: string[]): Promise<Candidate[]> {
  const rowOf = new Map(rows.map((row) => [row.message, row]));
  const messages = [...new Set([...rowOf.keys(), ...filed])];
  const read = async (ids: string[], channel: Channel) => {
    const copies = await table.getMany<Copy>(ids.map((id) => copyKey(tenant, id, member, channel)));
    return new Map(copies.map((copy, i) => [ids[i], copy]));
  };
  const [dropbox, mailbox] = await Promise.all([
    read(messages, 'dropbox'),
    read(
      messages.filter((id) => isCut(rowOf.get(id))),
      'mailbox',
    ),
  ]);
  const wayOf = (channel: Channel, { counterparts, records }: Pick<Copy, 'counterparts' | 'records'>): Way => ({
    channel,
    counterparts,
    records: records.map(({ id }) => id),
  });
  const mails = messages.map((message): Candidate => {
    const fetched = mailbox.get(message) ?? rowOf.get(message);
    const bcc = dropbox.get(message);
    const ways = [...(fetched ? [wayOf('mailbox', fetched)] : []), ...(bcc ? [wayOf('dropbox', bcc)] : [])];
    return { message, receivedAt: (fetched ?? bcc)?.receivedAt ?? '', ways };
  });
  return withBackups(table, tenant, member, mails);
}

/** A row of the list names the first of its records and of the other side; where there may be more, the copy has all of them. */
const isCut = (row: OwnMailEntry | undefined) =>
  !row || row.records.length >= MAX_SHOWN_RECORDS || (row.counterparts ?? []).length >= MAX_MATCHED_ADDRESSES;

/** What a backup shows stays visible whatever is set. Looked for on records that have any backed-up mail of the owner's. */
async function withBackups(table: Table, tenant: TenantId, owner: string, mails: Candidate[]): Promise<Candidate[]> {
  const series: Series = { owner, channel: 'backup' };
  const fetched = mails.map(({ ways }) => ways.filter(({ channel }) => channel === 'mailbox').flatMap(({ records }) => records));
  const records = [...new Set(fetched.flat())];
  const notes = await table.getMany(records.map((record) => holderKey(tenant, record, series)));
  const noted = new Set(records.filter((_, i) => notes[i]));
  const asked = mails.flatMap(({ message, receivedAt }, i) =>
    (fetched[i] ?? []).filter((record) => noted.has(record)).map((record) => ({ message, receivedAt, record })),
  );
  const keys = asked.map(({ message, receivedAt, record }) => timelineKey(tenant, record, series, receivedAt, message));
  const entries = await table.getMany(keys);
  const shown = new Map<string, string[]>();
  for (const { message, record } of asked.filter((_, i) => entries[i])) shown.set(message, [...(shown.get(message) ?? []), record]);
  return mails.map((mail) => {
    const on = shown.get(mail.message);
    return on ? { ...mail, ways: [...mail.ways, { channel: 'backup', records: on }] } : mail;
  });
}

async function readersOf(table: Table, viewer: Viewer, colleagues: Viewer[], mails: Candidate[]): Promise<Map<string, Group[]>> {
  const ids = [...new Set(mails.flatMap(({ ways }) => ways.flatMap(({ records }) => records)))];
  const records = await table.getMany<StoredRecord>(ids.map((id) => recordKey(viewer.tenant, id)));
  const known = new Map<string, Group[]>();
  // Access goes by module and owner: there are many records, and few of those.
  const readersOfAll = ({ module, owner }: StoredRecord) => {
    const groups = known.get(`${module} ${owner}`) ?? groupsOf(colleagues.filter((colleague) => mayRead(colleague, { module, owner })));
    known.set(`${module} ${owner}`, groups);
    return groups;
  };
  return new Map(ids.map((id, i) => [id, records[i] ? readersOfAll(records[i]) : []]));
}

function groupsOf(readers: Viewer[]): Group[] {
  const groups = new Map<string, Group>();
  for (const reader of readers) {
    const group = groups.get(reader.profile.id) ?? { one: reader, members: [] };
    group.members.push(reader.member);
    groups.set(reader.profile.id, group);
  }
  return [...groups.values()];
}

async function ownTicks(table: Table, { tenant, member }: Viewer, records: string[]): Promise<Set<string>> {
  const ticks = await table.getMany(records.map((record) => tickKey(tenant, record, member)));
  return new Set(records.filter((_, i) => ticks[i]));
}
