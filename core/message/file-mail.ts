import { stableId, type TenantId } from '../ids.ts';
import { MAX_ATTACHMENT_BYTES, MAX_MATCHED_ADDRESSES } from '../limits.ts';
import type { AddressLink } from '../record/address-store.ts';
import type { Module } from '../record/module.ts';
import { createFromMail } from '../record/record-store.ts';
import type { Table } from '../table/client.ts';
import type { Channel } from '../table/keys.ts';
import { counterpartsOf, namedInEntry, seriesOf } from './counterpart.ts';
import type { Parcel } from './delivery.ts';
import { putFindable } from './findable-store.ts';
import type { Copy, Message, TimelineEntry } from './message.ts';
import { holderMark, noteHolder, putCopy, putMessage, putOwnMail, putTimelineEntry, readCopy } from './message-store.ts';
import type { ParsedMail } from './parsed-mail.ts';
import { joinThread } from './thread-store.ts';

/** A record to be made of an address of the mail. */
export type Creation = { module: Module; recipient: { address: string; name: string }; possibleDuplicateOf?: string };

/** A mail and what it is to be tied to, decided before anything is written; from the dropbox or from a mailbox alike. */
export type Filing = {
  tenant: TenantId;
  owner: string;
  channel: Channel;
  direction: Copy['direction'];
  delivery: Parcel;
  mail: ParsedMail;
  rawSize: number;
  message: string;
  thread: string;
  ties: AddressLink[];
  creations: Creation[];
  /** Whether the owner may read a record that somebody else came first in making. */
  mayTie: (link: AddressLink) => boolean;
  /** Addresses by which a record that comes to have them finds the mail: of a mailbox's mail those it would be tied by. */
  findableBy?: string[];
  /** Leaves word that a record was made, whose earlier mail is to be pulled in, before the copy settles it. */
  onCreated?: (record: string) => Promise<void>;
  /** Tells the owner what became of it, before the copy settles it: once told twice is once, too. */
  tell: (told: Told) => Promise<void>;
};

export type Outcome = 'filed' | 'created' | 'duplicate';
export type Told = { outcome: Outcome; message: string; records?: (RecordRef & { created: boolean })[]; attachmentsOmitted?: true };
type RecordRef = { module: string; id: string };
type Filed = { outcome: Outcome; usesRaw: boolean; copy: Copy };

/**
 * Files a mail, each step idempotent, keys from content alone: the message, which fixes the time of receipt, its thread, the
 * records created, what its owner is told, the owner's copy, and last what makes it count, its entry on each timeline. So a list
 * need look nowhere else. Five write units for a dropbox mail with one match: each item stays below the kilobyte that one unit
 * pays for.
 */
export async function fileMail(table: Table, filing: Filing): Promise<Filed> {
  const { tenant, owner, channel, delivery, mail, message } = filing;
  const attachmentsOmitted = isOverLimit(mail) ? true : undefined;
  const { stored, isNew } = await putMessage(table, tenant, {
    id: message,
    thread: filing.thread,
    rawKey: delivery.rawKey,
    rawSize: filing.rawSize,
    delivery: delivery.id,
    receivedAt: delivery.receivedAt,
    automatic: mail.automatic,
    attachmentsOmitted,
  });
  if (!isNew) {
    const copy = await readCopy(table, tenant, message, owner, channel);
    if (copy) return settledBefore(table, filing, stored, copy);
  }
  const counterparts = counterpartsOf(mail, filing.direction);
  await joinThread(table, tenant, stored.thread, { message, member: owner, channel, counterparts });

  const made = await createRecords(table, filing, stored.receivedAt);
  const ties = [...filing.ties, ...made.filter(filing.mayTie)];
  const records = ties.map((tie) => ({ module: tie.module, id: tie.record, created: tie.createdBy === message && tie.owner === owner }));
  const series = seriesOf({ member: owner, channel, counterparts });
  for (const tie of ties) {
    if (!tie.holders?.has(holderMark(series))) await noteHolder(table, tenant, tie, series, counterparts);
  }

  const outcome = records.some(({ created }) => created) ? 'created' : 'filed';
  await filing.tell({ outcome, message, records, attachmentsOmitted });
  await putFindable(table, tenant, { message, member: owner, channel, receivedAt: stored.receivedAt }, filing.findableBy ?? []);
  const copy = await putCopy(table, tenant, {
    message,
    member: owner,
    channel,
    direction: filing.direction,
    receivedAt: stored.receivedAt,
    delivery: delivery.id,
    records: records.map(({ module, id }) => ({ module, id })),
    counterparts,
  });
  if (copy.delivery !== delivery.id) return settledBefore(table, filing, stored, copy);
  await showOn(table, filing, copy);
  return { outcome, usesRaw: stored.rawKey === delivery.rawKey, copy };
}

/**
 * The copy is there: by an earlier try of this delivery, or by another delivery of the same mail, a duplicate. Either
 * way the mail is shown where the copy says: whoever wrote the copy may have been killed before.
 */
async function settledBefore(table: Table, filing: Filing, stored: Message, copy: Copy): Promise<Filed> {
  const { delivery, message } = filing;
  await showOn(table, filing, copy);
  const usesRaw = stored.rawKey === delivery.rawKey;
  if (copy.delivery === delivery.id) return { outcome: 'filed', usesRaw, copy };
  await filing.tell({ outcome: 'duplicate', message });
  return { outcome: 'duplicate', usesRaw, copy };
}

/**
 * Last of all: an entry on each record's timeline, and for mail of a mailbox in its owner's own list. The copy knows which, so
 * that another try shows it on the same ones.
 */
async function showOn(table: Table, filing: Filing, copy: Copy): Promise<void> {
  const entry = timelineEntry(filing, copy);
  for (const { id } of copy.records) await putTimelineEntry(table, filing.tenant, id, seriesOf(copy), entry);
  if (copy.channel === 'mailbox') await putOwnMail(table, filing.tenant, { ...entry, ...ownRow(copy) });
}

async function createRecords(
  table: Table,
  { tenant, owner, message, creations, onCreated }: Filing,
  receivedAt: string,
): Promise<AddressLink[]> {
  const made: AddressLink[] = [];
  for (const { module, recipient, possibleDuplicateOf } of creations) {
    const { address, name } = recipient;
    const id = stableId(receivedAt, message, module, address);
    const link = await createFromMail(table, { tenant, module, id, address, name, owner, message, at: receivedAt, possibleDuplicateOf });
    if (link.createdBy === message) await onCreated?.(link.record);
    made.push(link);
  }
  return made;
}

/** Records named beside a mail in its owner's list; one that is tied to more of them shows all when it is opened. */
export const MAX_SHOWN_RECORDS = 3;

export const shownRecords = (records: Copy['records']) => records.slice(0, MAX_SHOWN_RECORDS);

const ownRow = ({ records, counterparts }: Copy) => ({
  records: shownRecords(records),
  counterparts: counterparts?.slice(0, MAX_MATCHED_ADDRESSES),
});

/** Inline pictures count too: they are attachments by any other name (BCC-22). */
const isOverLimit = (mail: ParsedMail) => mail.attachments.reduce((sum, { size }) => sum + size, 0) > MAX_ATTACHMENT_BYTES;

/** What lists show of the mail. Texts are cut by bytes: a Japanese character has three, and the item must stay below 1 KB. */
function timelineEntry({ mail, message, owner, direction }: Filing, copy: Copy): TimelineEntry {
  const omitted = isOverLimit(mail);
  return {
    message,
    owner,
    receivedAt: copy.receivedAt,
    direction,
    subject: clipBytes(mail.subject, 240),
    from: mail.from[0]?.address ?? '',
    to: mail.to.slice(0, 2).map(({ address }) => clipBytes(address, 80)),
    date: mail.date,
    snippet: clipBytes(mail.text.slice(0, 400).replace(/\s+/g, ' ').trim(), 150),
    attachments: omitted ? 0 : mail.attachments.filter((attachment) => !attachment.inline).length,
    attachmentsOmitted: omitted ? true : undefined,
    counterparts: namedInEntry(copy),
  };
}

/** The longest beginning of at most so many bytes of UTF-8 that cuts no character. */
function clipBytes(text: string, bytes: number): string {
  const buffer = Buffer.from(text);
  if (buffer.length <= bytes) return text;
  let end = bytes;
  while (end > 0 && ((buffer[end] ?? 0) & 0xc0) === 0x80) end--;
  return buffer.toString('utf8', 0, end);
}
