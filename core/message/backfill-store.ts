import type { TenantId } from '../ids.ts';
import { BACKFILL_PAGE_MAILS, MAX_MATCHED_ADDRESSES } from '../limits.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import { mayRead } from '../record/access.ts';
import { type AddressLink, matchAddress } from '../record/address-store.ts';
import type { StoredRecord } from '../record/record.ts';
import { readRecord } from '../record/record-store.ts';
import { type Table, TransactionRefused, type Write } from '../table/client.ts';
import {
  backfillKey,
  copyKey,
  findableKey,
  memberKey,
  ownMailKey,
  recordKey,
  recordPartition,
  seriesOfTimelineKey,
  timelineKey,
  timelinesPrefix,
} from '../table/keys.ts';
import { isExcluded } from '../tenant/excluded-domain.ts';
import { readSettings, type TenantSettings } from '../tenant/tenant-store.ts';
import { domainOf, isAutomaticSender } from './address.ts';
import { type Backfill, type BackfillJob, NOTHING_DONE, nextTask, type Tally, type Task } from './backfill.ts';
import { namedInEntry, seriesOf } from './counterpart.ts';
import { shownRecords } from './file-mail.ts';
import { type Findable, pageOfFindable } from './findable-store.ts';
import type { Copy, OwnMailEntry, TimelineEntry } from './message.ts';
import { holderMark, noteHolder } from './message-store.ts';

export type BackfillRoom = {
  table: Table;
  mailDomain: string;
  queue: { send: (job: BackfillJob) => Promise<void> };
  /** Mails of a page when not BACKFILL_PAGE_MAILS. */
  pageMails?: number;
};

/** A mail as an index names it. */
type Ref = Pick<Findable, 'message' | 'member' | 'channel' | 'receivedAt' | 'entry'>;
/** All that is known of a mail before it is decided whether it belongs on the record. */
type Found = { ref: Ref; copy: Copy; row?: OwnMailEntry; owner?: Viewer };
type Stage = {
  room: BackfillRoom;
  tenant: TenantId;
  record: StoredRecord;
  settings: TenantSettings;
  owners: Map<string, Viewer | undefined>;
};

/**
 * Does one page of what is to be done for a record, notes how far it has come, and leaves word for the next page. The mail of an
 * address that came is tied as filing would have tied it (ASC-1); that of a detached one is taken off when no other address of the
 * record is its other side. A page done twice, by two at once, or broken off anywhere comes to the same.
 *
 * Nothing is lost or left behind when mail is filed meanwhile: filing lets a mail be found, files it, and then looks at the addresses
 * again; who changes an address changes it first, and then this looks for mail. Whoever comes second sees what the other did.
 */
export async function backfillPage(room: BackfillRoom, tenant: TenantId, id: string): Promise<void> {
  const stage = await stageOf(room, tenant, id);
  if (!stage) return;
  const before = await readBackfill(room.table, tenant, id);
  const task = nextTask(stage.record, before);
  if (!task) return;
  const isBegun = before.at !== undefined && before.at === task;
  const { refs, next } = await (task.kind === 'tie' ? mailToTie(stage, task) : mailToUntie(stage, task));
  const tally = await settleAll(stage, task, refs);
  if (!tally) return again(room, tenant, id);

  const tallies = { ...before.tallies, [task.address]: added(isBegun ? before.tallies[task.address] : undefined, tally) };
  const after: Backfill = next
    ? { ...before, tallies, at: { address: task.address, version: task.version, kind: task.kind, after: next } }
    : { done: ofThese(stage.record, { ...before.done, [task.address]: task.version }), tallies: ofThese(stage.record, tallies) };
  // Refused: another worker is at the same page, and has left word, or will when its message comes again.
  if (!(await closePage(room.table, tenant, id, before, after))) return;
  if (nextTask(stage.record, after)) await again(room, tenant, id);
}

/** Looks again at one mail of a mailbox, whose filing saw addresses change. */
export async function backfillMail(
  room: BackfillRoom,
  tenant: TenantId,
  id: string,
  mail: { message: string; member: string; receivedAt: string },
): Promise<void> {
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const stage = await stageOf(room, tenant, id);
    if (!stage) return;
    const ref: Ref = { ...mail, channel: 'mailbox' };
    const [found] = await findAll(stage, [ref]);
    if (!found) return;
    const { addresses } = stage.record;
    const shared = (found.copy.counterparts ?? []).filter((address) => addresses.includes(address));
    const link = (await linksOf(stage, shared)).find(({ record }) => record === id);
    const writes = shared.length === 0 ? untied(stage, found, undefined, 'mend') : link ? await tied(stage, found, link, 'mend') : [];
    if (await committed(stage, writes)) return;
  }
  throw new Error('the record is being changed all the time');
}

/** How far a record's mail follows its addresses. */
export async function readBackfill(table: Table, tenant: TenantId, record: string): Promise<Backfill & { step?: number }> {
  return (await table.get<Backfill & { step: number }>(backfillKey(tenant, record))) ?? NOTHING_DONE;
}

const again = (room: BackfillRoom, tenant: TenantId, record: string) => room.queue.send({ backfill: { tenant, record } });

/** Two that change the same mail, or the record, are tried again. */
const TRIES = 5;

/** Mails of one transaction: five writes each, and the look at the record. */
const MAILS_AT_ONCE = 19;

async function stageOf(room: BackfillRoom, tenant: TenantId, id: string): Promise<Stage | undefined> {
  const [record, settings] = await Promise.all([readRecord(room.table, tenant, id), readSettings(room.table, tenant)]);
  return record && settings && { room, tenant, record, settings, owners: new Map() };
}

async function mailToTie({ room, tenant, record }: Stage, { address, after }: Task & { after?: string }) {
  const page = await pageOfFindable(room.table, tenant, address, { limit: room.pageMails ?? BACKFILL_PAGE_MAILS, after });
  return { refs: page.items.filter((found): boolean => !found.record || found.record === record.id), next: page.next };
}

/** All mail of the record is looked at: what the dropbox brought, and what was filed before mail could be found by address. */
async function mailToUntie({ room, tenant, record }: Stage, { after }: { after?: string }) {
  const { items, more } = await room.table.page<TimelineEntry & { sk: string }>({
    pk: recordPartition(tenant, record.id),
    begins: timelinesPrefix,
    limit: room.pageMails ?? BACKFILL_PAGE_MAILS,
    after,
  });
  const refs = items.flatMap((item): Ref[] => {
    const { owner, channel } = seriesOfTimelineKey(item.sk);
    // What a backup shows goes with the mailbox's own entry.
    if (channel === 'backup') return [];
    return [{ message: item.message, member: owner, channel, receivedAt: item.receivedAt, entry: shownOf(item) }];
  });
  return { refs, next: more ? items.at(-1)?.sk : undefined };
}

/** Undefined when the record was changed meanwhile: what is to be done must be decided anew. */
async function settleAll(stage: Stage, task: Task, refs: Ref[]): Promise<Record<string, Tally> | undefined> {
  const tally: Record<string, Tally> = {};
  for (let start = 0; start < refs.length; start += MAILS_AT_ONCE) {
    const settled = await settle(stage, task, refs.slice(start, start + MAILS_AT_ONCE));
    if (!settled) return undefined;
    for (const { member, isTied } of settled) tally[member] = counted(tally[member], isTied);
  }
  return tally;
}

async function settle(stage: Stage, task: Task, refs: Ref[]): Promise<{ member: string; isTied: boolean }[] | undefined> {
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const link = task.kind === 'tie' ? (await linksOf(stage, [task.address])).find(({ record }) => record === stage.record.id) : undefined;
    const settled: { member: string; isTied: boolean }[] = [];
    const writes: Write[] = [];
    for (const found of await findAll(stage, refs)) {
      const { copy } = found;
      const concerns = task.kind === 'tie' || copy.counterparts?.includes(task.address);
      if (!concerns) continue;
      const has = isOn(copy, stage.record);
      const itsWrites = task.kind === 'tie' ? (link && !has ? await tied(stage, found, link) : []) : untied(stage, found, task.address);
      writes.push(...itsWrites);
      settled.push({ member: copy.member, isTied: task.kind === 'tie' ? has || itsWrites.length > 0 : itsWrites.length === 0 });
    }
    const outcome = await commit(stage, writes);
    if (outcome === 'done') return settled;
    if (outcome === 'record-changed') return undefined;
  }
  throw new Error('the same mail is being changed all the time');
}

/** What there is of these mails. Of one that is just being filed there is no copy, or no row yet: its filing looks at the addresses then. */
async function findAll(stage: Stage, refs: Ref[]): Promise<Found[]> {
  const { room, tenant } = stage;
  const copies = await room.table.getMany<Copy>(refs.map(({ message, member, channel }) => copyKey(tenant, message, member, channel)));
  const rows = await room.table.getMany<OwnMailEntry>(
    refs.map(({ member, receivedAt, message }) => ownMailKey(tenant, member, receivedAt, message)),
  );
  const found: Found[] = [];
  for (const [i, ref] of refs.entries()) {
    const copy = copies[i];
    const row = ref.channel === 'mailbox' ? rows[i] : undefined;
    if (copy) found.push({ ref, copy, row, owner: await ownerOf(stage, copy.member) });
  }
  return found;
}

/** The records of these addresses, as far as mail is tied by them: never by a colleague's, an excluded one, or a program's. */
async function linksOf({ room, tenant, settings }: Stage, addresses: string[]): Promise<AddressLink[]> {
  const excluded = new Set([room.mailDomain, ...settings.tenant.excludedDomains]);
  const looked = addresses.filter((address) => !isExcluded(domainOf(address), excluded) && !isAutomaticSender(address));
  const matches = await Promise.all(
    looked.slice(0, MAX_MATCHED_ADDRESSES).map((address) => matchAddress(room.table, tenant, address, { consistent: true })),
  );
  return matches.flatMap(({ members, records }) => (members.length === 0 ? records : []));
}

/** The member as filing sees them, whether active or not. */
async function ownerOf({ room, tenant, settings, owners }: Stage, id: string): Promise<Viewer | undefined> {
  if (!owners.has(id)) {
    const member = await room.table.get<Member>(memberKey(tenant, id), { consistent: false });
    const profile = settings.profiles.get(member?.profile ?? '');
    owners.set(
      id,
      member && profile && { tenant, member: id, name: member.name, email: member.email, profile, organisation: settings.tenant },
    );
  }
  return owners.get(id);
}

/**
 * The writes that tie a mail, none where its owner may not read the record or the mail is still being filed: its entry, its copy, and
 * its row in the owner's list. `mend`: also what the copy says already, where an old try of filing wrote over it.
 */
async function tied(stage: Stage, found: Found, link: AddressLink, mend?: 'mend'): Promise<Write[]> {
  const { room, tenant, record } = stage;
  const { ref, copy, row, owner } = found;
  const entry = row ? entryOf(row, copy) : copy.channel === 'dropbox' ? ref.entry : undefined;
  if (!entry || !owner || !mayRead(owner, record)) return [];
  const has = isOn(copy, record);
  if (has && !mend) return [];
  const series = seriesOf(copy);
  const mark = holderMark(series);
  if (!link.holders?.has(mark)) {
    await noteHolder(room.table, tenant, link, series, copy.counterparts ?? []);
    link.holders = new Set([...(link.holders ?? []), mark]);
  }
  const records = has ? copy.records : [...copy.records, { module: record.module, id: record.id }];
  return [
    { put: { ...timelineKey(tenant, record.id, series, copy.receivedAt, copy.message), ...entry } },
    ...rewritten(tenant, copy, records, row),
  ];
}

/** The writes that take a mail off the record, if no address of the record is its other side; by `address` it is found again. */
function untied(stage: Stage, { ref, copy, row }: Found, address: string | undefined, mend?: 'mend'): Write[] {
  const { tenant, record } = stage;
  if (!copy.counterparts || copy.counterparts.some((one) => record.addresses.includes(one))) return [];
  if (!isOn(copy, record) && !mend && !ref.entry) return [];
  const { message, member, channel, receivedAt } = copy;
  const only = channel === 'dropbox' ? { record: record.id, entry: ref.entry } : {};
  const findable: Findable = { message, member, channel, receivedAt, ...only };
  return [
    { delete: timelineKey(tenant, record.id, seriesOf(copy), receivedAt, message) },
    ...(channel === 'mailbox'
      ? [{ delete: timelineKey(tenant, record.id, { owner: member, channel: 'backup' }, receivedAt, message) }]
      : []),
    ...rewritten(
      tenant,
      copy,
      copy.records.filter(({ id }) => id !== record.id),
      row,
    ),
    ...(address ? [{ put: { ...findableKey(tenant, address, findable), ...findable } }] : []),
  ];
}

/** The copy with other records, unless somebody has changed it since, and its owner's row to match. */
function rewritten(tenant: TenantId, copy: Copy, records: Copy['records'], row: OwnMailEntry | undefined): Write[] {
  const { message, member, channel, receivedAt, turn = 0 } = copy;
  const [before, after] = [copy, { records }].map((one) => one.records.map(({ id }) => id)) as [string[], string[]];
  const parted = [...new Set([...(copy.parted ?? []), ...before])].filter((id) => !after.includes(id));
  const change = (update: string, condition: string, values: object) => ({
    update,
    condition,
    names: { '#records': 'records', ...(update.includes('#turn') ? { '#turn': 'turn', '#parted': 'parted' } : {}) },
    values: { ':records': records, ...values },
  });
  return [
    {
      update: copyKey(tenant, message, member, channel),
      with: change(
        'SET #records = :records, #turn = :next, #parted = :parted',
        'attribute_exists(#records) AND (#turn = :turn OR (attribute_not_exists(#turn) AND :turn = :none))',
        { ':turn': turn, ':next': turn + 1, ':none': 0, ':parted': parted },
      ),
    },
    ...(row
      ? [
          {
            update: ownMailKey(tenant, member, receivedAt, message),
            with: change('SET #records = :records', 'attribute_exists(#records)', { ':records': shownRecords(records) }),
          },
        ]
      : []),
  ];
}

/** All of it or nothing, and only while the record is as it was read: so that mail is never tied by an address that has gone. */
async function commit({ room, tenant, record }: Stage, writes: Write[]): Promise<'done' | 'record-changed' | 'mail-changed'> {
  if (writes.length === 0) return 'done';
  const asRead: Write = {
    check: recordKey(tenant, record.id),
    condition: '#version = :version',
    names: { '#version': 'version' },
    values: { ':version': record.version },
  };
  try {
    await room.table.transact([asRead, ...writes]);
    return 'done';
  } catch (error) {
    if (!(error instanceof TransactionRefused)) throw error;
    return error.reasons[0] ? 'record-changed' : 'mail-changed';
  }
}

const committed = async (stage: Stage, writes: Write[]) => (await commit(stage, writes)) === 'done';

/** Notes how far it has come, once: false when another worker was first. */
async function closePage(
  table: Table,
  tenant: TenantId,
  record: string,
  { step = 0 }: { step?: number },
  { done, tallies, at }: Backfill,
): Promise<boolean> {
  const changed = await table.update(backfillKey(tenant, record), {
    update: `SET #step = :next, #done = :done, #tallies = :tallies${at ? ', #at = :at' : ' REMOVE #at'}`,
    condition: step === 0 ? 'attribute_not_exists(#step)' : '#step = :step',
    names: { '#step': 'step', '#done': 'done', '#tallies': 'tallies', '#at': 'at' },
    values: {
      ':next': step + 1,
      ':done': done,
      ':tallies': tallies,
      ...(at ? { ':at': at } : {}),
      ...(step === 0 ? {} : { ':step': step }),
    },
  });
  return changed !== undefined;
}

/** What lists of the record show, of what its owner's list keeps. */
const entryOf = (row: OwnMailEntry, copy: Copy): TimelineEntry => ({ ...shownOf(row), counterparts: namedInEntry(copy) });

/** An entry without its key. */
function shownOf(item: TimelineEntry): TimelineEntry {
  const { message, owner, receivedAt, direction, subject, from, to, date, snippet, attachments, attachmentsOmitted, counterparts } = item;
  return { message, owner, receivedAt, direction, subject, from, to, date, snippet, attachments, attachmentsOmitted, counterparts };
}

const isOn = ({ records }: Copy, { id }: StoredRecord) => records.some((record) => record.id === id);

const counted = (tally: Tally = { found: 0, tied: 0 }, isTied: boolean): Tally => ({
  found: tally.found + 1,
  tied: tally.tied + Number(isTied),
});

function added(before: Record<string, Tally> = {}, page: Record<string, Tally>): Record<string, Tally> {
  const sum = (member: string) => ({
    found: (before[member]?.found ?? 0) + (page[member]?.found ?? 0),
    tied: (before[member]?.tied ?? 0) + (page[member]?.tied ?? 0),
  });
  return Object.fromEntries([...new Set([...Object.keys(before), ...Object.keys(page)])].map((member) => [member, sum(member)]));
}

/** Of addresses the record remembers alone: so it does not grow without end. */
const ofThese = <T>({ history = {} }: StoredRecord, of: Record<string, T>) =>
  Object.fromEntries(Object.entries(of).filter(([address]) => history[address])) as Record<string, T>;
