import { stableId, type TenantId } from '../ids.ts';
import { MAX_ATTACHMENT_BYTES } from '../limits.ts';
import type { Delivery } from '../message/delivery.ts';
import type { Copy, Message, TimelineEntry } from '../message/message.ts';
import { joinThread, noteHolder, putCopy, putMessage, putTimelineEntry, readCopy } from '../message/message-store.ts';
import type { ParsedMail } from '../message/parsed-mail.ts';
import type { AddressLink } from '../record/address-store.ts';
import { createFromMail } from '../record/record-store.ts';
import type { Table } from '../table/client.ts';
import { type Activity, putActivity } from './activity-store.ts';
import type { Plan } from './plan-ties.ts';

export type Filing = {
  tenant: TenantId;
  owner: string;
  delivery: Delivery;
  mail: ParsedMail;
  rawSize: number;
  message: string;
  thread: string;
  plan: Plan;
  activity: Omit<Activity, 'outcome'>;
};

type Filed = { outcome: 'filed' | 'created' | 'duplicate'; usesRaw: boolean };

const CHANNEL = 'dropbox';

/**
 * Files a mail, each step idempotent, keys from content alone: the message, which fixes the time of receipt, its thread, the
 * records created, activity, the owner's copy, and last what makes it count, its entry on each timeline. So a list need
 * look nowhere else. Five write units for a mail with one match: each item stays below the kilobyte that one unit pays for.
 */
export async function fileMail(table: Table, filing: Filing): Promise<Filed> {
  const { tenant, owner, delivery, mail, message } = filing;
  const attachmentsOmitted = isOverLimit(mail) ? true : undefined;
  const { stored, isNew } = await putMessage(table, tenant, {
    id: message,
    thread: filing.thread,
    rawKey: delivery.rawKey,
    rawSize: filing.rawSize,
    receivedAt: delivery.receivedAt,
    automatic: mail.automatic,
    attachmentsOmitted,
  });
  if (!isNew) {
    const copy = await readCopy(table, tenant, message, owner, CHANNEL);
    if (copy) return settledBefore(table, filing, stored, copy);
  }
  await joinThread(table, tenant, stored);

  const made = await createRecords(table, filing, stored.receivedAt);
  const ties = [...filing.plan.ties, ...made.filter(filing.plan.mayTie)];
  const records = ties.map((tie) => ({ module: tie.module, id: tie.record, created: tie.createdBy === message && tie.owner === owner }));
  for (const tie of ties) {
    if (!tie.holders?.has(owner)) await noteHolder(table, tenant, tie, owner, CHANNEL);
  }

  const outcome = records.some(({ created }) => created) ? 'created' : 'filed';
  await putActivity(table, tenant, owner, { ...filing.activity, outcome, message, records, attachmentsOmitted });
  const copy = await putCopy(table, tenant, {
    message,
    member: owner,
    channel: CHANNEL,
    direction: 'sent',
    receivedAt: stored.receivedAt,
    delivery: delivery.id,
    records: records.map(({ module, id }) => ({ module, id })),
  });
  if (copy.delivery !== delivery.id) return settledBefore(table, filing, stored, copy);
  await showOn(table, filing, copy);
  return { outcome, usesRaw: stored.rawKey === delivery.rawKey };
}

/**
 * The copy is there: by an earlier try of this delivery, or by another delivery of the same mail, a duplicate. Either
 * way the mail is shown where the copy says: whoever wrote the copy may have been killed before.
 */
async function settledBefore(table: Table, filing: Filing, stored: Message, copy: Copy): Promise<Filed> {
  const { tenant, owner, delivery, message, activity } = filing;
  await showOn(table, filing, copy);
  const usesRaw = stored.rawKey === delivery.rawKey;
  if (copy.delivery === delivery.id) return { outcome: 'filed', usesRaw };
  await putActivity(table, tenant, owner, { ...activity, outcome: 'duplicate', message, skipped: undefined });
  return { outcome: 'duplicate', usesRaw };
}

/** Last of all: an entry on each record's timeline. The copy knows which, so that another try shows it on the same ones. */
async function showOn(table: Table, filing: Filing, copy: Copy): Promise<void> {
  const entry = timelineEntry(filing, copy.receivedAt);
  for (const { id } of copy.records) await putTimelineEntry(table, filing.tenant, id, CHANNEL, entry);
}

async function createRecords(table: Table, { tenant, owner, message, plan }: Filing, receivedAt: string): Promise<AddressLink[]> {
  const made: AddressLink[] = [];
  for (const { module, recipient, possibleDuplicateOf } of plan.creations) {
    const { address, name } = recipient;
    const id = stableId(receivedAt, message, module, address);
    made.push(await createFromMail(table, { tenant, module, id, address, name, owner, message, at: receivedAt, possibleDuplicateOf }));
  }
  return made;
}

/** Inline pictures count too: they are attachments by any other name (BCC-22). */
const isOverLimit = (mail: ParsedMail) => mail.attachments.reduce((sum, { size }) => sum + size, 0) > MAX_ATTACHMENT_BYTES;

/** What lists show of the mail. Texts are cut by bytes: a Japanese character has three, and the item must stay below 1 KB. */
function timelineEntry({ mail, message, owner, delivery }: Filing, receivedAt: string): TimelineEntry {
  const omitted = isOverLimit(mail);
  return {
    message,
    owner,
    receivedAt,
    direction: 'sent',
    subject: clipBytes(mail.subject, 240),
    from: mail.from[0]?.address ?? delivery.source,
    to: mail.to.slice(0, 2).map(({ address }) => clipBytes(address, 80)),
    date: mail.date,
    snippet: clipBytes(mail.text.slice(0, 400).replace(/\s+/g, ' ').trim(), 150),
    attachments: omitted ? 0 : mail.attachments.filter((attachment) => !attachment.inline).length,
    attachmentsOmitted: omitted ? true : undefined,
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
