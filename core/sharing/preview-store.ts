import type { Activity } from '../dropbox/activity-store.ts';
import { MAX_MATCHED_ADDRESSES, MAX_PREVIEW_MAILS } from '../limits.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import { MAX_SHOWN_RECORDS } from '../message/file-mail.ts';
import type { Copy, OwnMailEntry } from '../message/message.ts';
import { settingsOf } from '../message/timeline-store.ts';
import { mayRead } from '../record/access.ts';
import type { StoredRecord } from '../record/record.ts';
import type { Table } from '../table/client.ts';
import { type Channel, copyKey, memberKey, memberPartition, ownMailPartition, recordKey, tickKey } from '../table/keys.ts';
import { readColleagues } from './audience-store.ts';
import { canSee, type OwnerSettings } from './can-see.ts';
import type { Sharing } from './sharing.ts';

type Change = Pick<Member, 'sharing' | 'dropboxVisibility'> & { sharing: Sharing };
/** A mail of the owner's on records, as far as its being shared depends on it. */
type Candidate = { channel: Channel; counterparts?: string[]; records: string[] };
type Side = { mails: number; people: number };
export type Preview = { becomeVisible: Side; becomeHidden: Side; complete: boolean };

/**
 * What a change of the viewer's sharing would come to, before it is saved: how many of their mails become visible or hidden, to
 * how many people. Looks at their newest mails, MAX_PREVIEW_MAILS of the mailbox and as many of the dropbox. Changes nothing.
 */
export async function previewChange(table: Table, viewer: Viewer, change: Change): Promise<Preview> {
  const member = await table.get<Member>(memberKey(viewer.tenant, viewer.member));
  const before = settingsOf(member, viewer.organisation);
  const after = settingsOf({ status: 'active', ...change }, viewer.organisation);
  const [colleagues, mailbox, dropbox] = await Promise.all([
    readColleagues(table, viewer),
    ownMailbox(table, viewer),
    before.dropboxVisibility === 'record' && after.dropboxVisibility === 'record' ? NOTHING : ownDropboxMail(table, viewer),
  ]);
  const readers = await readersOf(table, viewer, colleagues, [...mailbox.mails, ...dropbox.mails]);
  const ticks = await ownTicks(table, viewer, [...readers.keys()]);
  const side = { becomeVisible: new Tally(), becomeHidden: new Tally() };
  for (const mail of [...mailbox.mails, ...dropbox.mails]) {
    const seers = (settings: OwnerSettings) => seersOf(mail, viewer.member, settings, readers, ticks);
    const [then, now] = [seers(before), seers(after)];
    side.becomeVisible.add([...now].filter((who) => !then.has(who)));
    side.becomeHidden.add([...then].filter((who) => !now.has(who)));
  }
  return {
    becomeVisible: side.becomeVisible.sum(),
    becomeHidden: side.becomeHidden.sum(),
    complete: mailbox.complete && dropbox.complete,
  };
}

const NOTHING = { mails: [] as Candidate[], complete: true };

class Tally {
  private mails = 0;
  private readonly people = new Set<string>();

  add(people: string[]): void {
    if (people.length > 0) this.mails++;
    for (const one of people) this.people.add(one);
  }

  sum = (): Side => ({ mails: this.mails, people: this.people.size });
}

function seersOf(mail: Candidate, owner: string, settings: OwnerSettings, readers: Map<string, Viewer[]>, ticks: Set<string>): Set<string> {
  const { channel, counterparts } = mail;
  const seers = mail.records.flatMap((record) =>
    (readers.get(record) ?? []).filter(
      (reader) => canSee(reader, { owner, channel, counterparts }, settings, { ticked: ticks.has(record) }).visible,
    ),
  );
  return new Set(seers.map(({ member }) => member));
}

async function ownMailbox(table: Table, viewer: Viewer) {
  const pk = ownMailPartition(viewer.tenant, viewer.member);
  const entries: OwnMailEntry[] = [];
  let after: string | undefined;
  let more: boolean;
  do {
    const page = await table.page<OwnMailEntry & { sk: string }>({ pk, limit: 500, after, descending: true });
    entries.push(...page.items.filter(({ records }) => records.length > 0));
    after = page.items.at(-1)?.sk;
    more = page.more;
  } while (more && entries.length < MAX_PREVIEW_MAILS);
  return { mails: await inFull(table, viewer, entries), complete: !more };
}

/** A row of the list names the first of its records and of the other side; where there may be more, the copy has all of them. */
async function inFull(table: Table, { tenant, member }: Viewer, entries: OwnMailEntry[]): Promise<Candidate[]> {
  const cut = entries.filter(
    ({ records, counterparts = [] }) => records.length >= MAX_SHOWN_RECORDS || counterparts.length >= MAX_MATCHED_ADDRESSES,
  );
  const copies = await table.getMany<Copy>(cut.map(({ message }) => copyKey(tenant, message, member, 'mailbox')));
  const whole = new Map(copies.map((copy, i) => [cut[i]?.message, copy]));
  return entries.map((entry) => {
    const { counterparts, records } = whole.get(entry.message) ?? entry;
    return { channel: 'mailbox', counterparts, records: records.map(({ id }) => id) };
  });
}

/** The dropbox's mail is listed by what became of it, for as long as that is kept; each copy tells the rest. */
async function ownDropboxMail(table: Table, viewer: Viewer) {
  const pk = memberPartition(viewer.tenant, viewer.member);
  const { items, more } = await table.page<Activity>({ pk, begins: 'A#', limit: MAX_PREVIEW_MAILS, descending: true });
  const filed = items.flatMap(({ outcome, message }) => (message && (outcome === 'filed' || outcome === 'created') ? message : []));
  const copies = await table.getMany<Copy>(filed.map((id) => copyKey(viewer.tenant, id, viewer.member, 'dropbox')));
  const mails = copies.flatMap((copy): Candidate[] =>
    copy ? [{ channel: 'dropbox', counterparts: copy.counterparts, records: copy.records.map(({ id }) => id) }] : [],
  );
  return { mails, complete: !more };
}

async function readersOf(table: Table, viewer: Viewer, colleagues: Viewer[], mails: Candidate[]): Promise<Map<string, Viewer[]>> {
  const ids = [...new Set(mails.flatMap(({ records }) => records))];
  const records = await table.getMany<StoredRecord>(ids.map((id) => recordKey(viewer.tenant, id)));
  return new Map(
    ids.map((id, i) => {
      const record = records[i];
      return [id, record ? colleagues.filter((colleague) => mayRead(colleague, record)) : []];
    }),
  );
}

async function ownTicks(table: Table, { tenant, member }: Viewer, records: string[]): Promise<Set<string>> {
  const ticks = await table.getMany(records.map((record) => tickKey(tenant, record, member)));
  return new Set(records.filter((_, i) => ticks[i]));
}
