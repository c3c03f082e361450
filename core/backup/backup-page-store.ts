import { sha256, type TenantId } from '../ids.ts';
import { BACKUP_PAGE_BYTES, BACKUP_PAGE_MAILS, BACKUP_READS, MAX_MATCHED_ADDRESSES } from '../limits.ts';
import { MAX_SHOWN_RECORDS } from '../message/file-mail.ts';
import type { Copy, Message, OwnMailEntry, TimelineEntry } from '../message/message.ts';
import type { MailBucket } from '../message/raw-mail.ts';
import type { Table } from '../table/client.ts';
import { copyKey, holderKey, messageKey, ownMailPartition, type Series, tickKey, timelineKey } from '../table/keys.ts';
import { type BackedUpMail, type Backup, type BackupPage, partKey, type Tally } from './backup.ts';
import { goesByTicks, isInScope } from './scope.ts';

export type PageRoom = {
  table: Table;
  files: Pick<MailBucket, 'digest' | 'write'>;
  /** Mails of a page when not BACKUP_PAGE_MAILS, and bytes when not BACKUP_PAGE_BYTES. */
  pageMails?: number;
  pageBytes?: number;
};

type RecordRef = { module: string; id: string };
type OwnRow = OwnMailEntry & { sk: string };
/** A mail in scope, and the records on which this run shows it. */
type Shown = { row: OwnRow; records: RecordRef[]; again: boolean };
type Entry = TimelineEntry & { backup: string };

/** Mails of the member's own list that were there when the backup was started. */
export async function countMails(table: Table, tenant: TenantId, backup: Backup): Promise<number> {
  let total = 0;
  let after: string | undefined;
  for (;;) {
    const { items, more } = await table.page<{ sk: string }>({ ...rowsInScope(tenant, backup), after, only: ['sk'] });
    total += items.length;
    after = items.at(-1)?.sk;
    if (!more || after === undefined) return total;
  }
}

/**
 * Does the page after `backup.cursor`: shows its mails on their records, each by one entry beside the mailbox's own, and writes the
 * page's part of the manifest. Keys come from the mails, so that a page done twice, or by two at once, is done once. Answers the
 * backup as it is after it, and the page, for the caller to commit.
 */
export async function showPage(room: PageRoom, tenant: TenantId, backup: Backup): Promise<{ after: Backup; page: BackupPage }> {
  const { table } = room;
  const limit = room.pageMails ?? BACKUP_PAGE_MAILS;
  const { items, more } = await table.page<OwnRow>({ ...rowsInScope(tenant, backup), after: backup.cursor, limit });
  const inScope = await onRecordsInScope(table, tenant, backup, items);
  const { shown, known } = await withoutKnown(table, tenant, backup, inScope);
  const messages = await readMessages(table, tenant, shown);
  const rows = fittingRows(items, messages, room.pageBytes ?? BACKUP_PAGE_BYTES);
  const taken = new Set(rows);
  const mails = shown.filter(({ row }) => taken.has(row));

  const lines = await sideBySide(mails, (mail) => manifestLine(room, mail, messages.get(mail.row.message)));
  await noteHolders(table, tenant, backup.member, mails);
  await table.putMany(mails.flatMap((mail) => entriesOf(tenant, backup, mail)));

  const bytes = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const number = backup.pages + 1;
  const page: BackupPage = {
    page: number,
    key: partKey(tenant, backup.id, number, backup.fence),
    sha256: sha256(bytes),
    mails: mails.length,
    entries: mails.reduce((sum, { records }) => sum + records.length, 0),
    bytes: lines.reduce((sum, line) => sum + line.bytes, 0),
  };
  await room.files.write(page.key, bytes, 'application/x-ndjson');
  const isLast = !more && rows.length === items.length;
  const tally = add(backup.tally, {
    looked: rows.length,
    mails: page.mails,
    entries: page.entries,
    bytes: page.bytes,
    known: known.filter((row) => taken.has(row)).length,
    missing: lines.filter((line) => line.sha256 === undefined).length,
  });
  const cursor = rows.at(-1)?.sk ?? backup.cursor;
  return { after: { ...backup, pages: number, cursor, tally, ...(isLast ? { walked: true as const } : {}) }, page };
}

/** Behind the last character of a position: `receivedAt#message` with the very time of the start is in scope. */
const rowsInScope = (tenant: TenantId, { member, startedAt }: Backup) => ({
  pk: ownMailPartition(tenant, member),
  between: ['0', `${startedAt}#~`] as [string, string],
});

/** The records of each mail that the backup covers it on (BKP-6, R-16); mails of none are left out. */
async function onRecordsInScope(
  table: Table,
  tenant: TenantId,
  backup: Backup,
  rows: OwnRow[],
): Promise<{ row: OwnRow; records: RecordRef[] }[]> {
  const onRecords = await withAllRecords(table, tenant, backup.member, rows);
  const asked = goesByTicks(backup.sharing) ? [...new Set(onRecords.flatMap(({ records }) => records.map(({ id }) => id)))] : [];
  const ticks =
    asked.length > 0
      ? await table.getMany(
          asked.map((id) => tickKey(tenant, id, backup.member)),
          { only: ['owner'] },
        )
      : [];
  const ticked = new Set(asked.filter((_, i) => ticks[i]));
  const covers = (counterparts: string[] | undefined, { id }: RecordRef) =>
    isInScope(backup.sharing, { owner: backup.member, counterparts }, { ticked: ticked.has(id) });
  return onRecords
    .map(({ row, records, counterparts }) => ({ row, records: records.filter((record) => covers(counterparts, record)) }))
    .filter(({ records }) => records.length > 0);
}

/** A row names no more than some records and some of the other side; where there may be more, the copy tells all of them. */
async function withAllRecords(table: Table, tenant: TenantId, member: string, rows: OwnRow[]) {
  const tied = rows.filter(({ records }) => records.length > 0);
  const short = tied.filter(
    ({ records, counterparts }) =>
      records.length >= MAX_SHOWN_RECORDS || counterparts === undefined || counterparts.length >= MAX_MATCHED_ADDRESSES,
  );
  const copies = short.length > 0 ? await table.getMany<Copy>(short.map(({ message }) => copyKey(tenant, message, member, 'mailbox'))) : [];
  const copyOf = new Map(short.map((row, i) => [row, copies[i]]));
  return tied.map((row) => {
    const { records, counterparts } = copyOf.get(row) ?? row;
    return { row, records, counterparts };
  });
}

/** Leaves out what an earlier, completed backup shows. What one that did not complete has shown is this one's now. */
async function withoutKnown(table: Table, tenant: TenantId, backup: Backup, mails: { row: OwnRow; records: RecordRef[] }[]) {
  if (backup.earlier.length === 0) return { shown: mails.map((mail): Shown => ({ ...mail, again: false })), known: [] };
  const keys = mails.flatMap(({ row, records }) => records.map((record) => entryKey(tenant, backup.member, row, record)));
  const entries = await table.getMany<Entry>(keys, { only: ['backup'] });
  const earlier = new Set(keys.filter((_, i) => backup.earlier.includes(entries[i]?.backup ?? '')).map(({ pk, sk }) => `${pk} ${sk}`));
  const isKnown = (row: OwnRow, record: RecordRef) => {
    const { pk, sk } = entryKey(tenant, backup.member, row, record);
    return earlier.has(`${pk} ${sk}`);
  };
  const split = mails.map(({ row, records }) => {
    const open = records.filter((record) => !isKnown(row, record));
    return { row, records: open, again: open.length < records.length };
  });
  return {
    shown: split.filter(({ records }) => records.length > 0),
    known: split.filter(({ records }) => records.length === 0).map(({ row }) => row),
  };
}

async function readMessages(table: Table, tenant: TenantId, shown: Shown[]): Promise<Map<string, Message>> {
  const ids = shown.map(({ row }) => row.message);
  const found =
    ids.length > 0
      ? await table.getMany<Message>(
          ids.map((id) => messageKey(tenant, id)),
          { only: ['id', 'rawKey', 'rawSize'] },
        )
      : [];
  return new Map(found.flatMap((message) => (message ? [[message.id, message] as const] : [])));
}

/** As many rows from the first as have so many bytes of raw mail together; one at least. */
function fittingRows(rows: OwnRow[], messages: Map<string, Message>, most: number): OwnRow[] {
  let bytes = 0;
  const end = rows.findIndex(({ message }, i) => {
    bytes += messages.get(message)?.rawSize ?? 0;
    return bytes > most && i > 0;
  });
  return end === -1 ? rows : rows.slice(0, end);
}

async function manifestLine({ files }: PageRoom, { row, records, again }: Shown, message: Message | undefined): Promise<BackedUpMail> {
  const rawKey = message?.rawKey ?? '';
  const digest = message && (await files.digest(rawKey));
  const { message: id, receivedAt, direction } = row;
  return {
    message: id,
    receivedAt,
    direction,
    rawKey,
    bytes: digest?.bytes ?? 0,
    sha256: digest?.sha256,
    records,
    ...(again ? { again: true as const } : {}),
  };
}

/** Once for each record, so that its readers know there is a series of backed-up mail. */
async function noteHolders(table: Table, tenant: TenantId, owner: string, mails: Shown[]): Promise<void> {
  const series = seriesOf(owner);
  const records = [...new Set(mails.flatMap((mail) => mail.records.map(({ id }) => id)))];
  const keys = records.map((record) => holderKey(tenant, record, series));
  const noted = keys.length > 0 ? await table.getMany(keys, { only: ['owner'] }) : [];
  await table.putMany(keys.filter((_, i) => !noted[i]).map((key) => ({ ...key, ...series })));
}

/** The row as it stands in the mailbox's own series, and which run shows it. */
function entriesOf(tenant: TenantId, backup: Backup, { row, records }: Shown) {
  const { sk: _, pk: __, records: ___, counterparts: ____, ...entry } = row as OwnRow & { pk: string };
  return records.map((record) => ({ ...entryKey(tenant, backup.member, row, record), ...entry, backup: backup.id }));
}

const seriesOf = (owner: string): Series => ({ owner, channel: 'backup' });
const entryKey = (tenant: TenantId, owner: string, { receivedAt, message }: OwnRow, { id }: RecordRef) =>
  timelineKey(tenant, id, seriesOf(owner), receivedAt, message);

function add(one: Tally, other: Tally): Tally {
  return Object.fromEntries(Object.entries(one).map(([name, value]) => [name, value + other[name as keyof Tally]])) as Tally;
}

/** Some at a time, answers in the order of the items. */
async function sideBySide<T, R>(items: T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const lane = async () => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i] as T);
  };
  await Promise.all(Array.from({ length: Math.min(BACKUP_READS, items.length) }, lane));
  return results;
}
