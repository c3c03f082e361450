import { sha256, type TenantId } from '../ids.ts';
import { EXPORT_AHEAD_BYTES, EXPORT_COPIES_BYTES, EXPORT_READS } from '../limits.ts';
import type { Copy, Message, OwnMailEntry } from '../message/message.ts';
import type { MailBucket } from '../message/raw-mail.ts';
import { blotted, blottedSource, hiddenFields, withoutFields } from '../message/shown-source.ts';
import type { StoredRecord } from '../record/record.ts';
import type { Table } from '../table/client.ts';
import { copyKey, messageKey, ownMailKey, recordKey } from '../table/keys.ts';
import { type BackedUpMail, type Backup, manifestKey } from './backup.ts';
import type { Export, Position } from './export.ts';
import { damagedFile, mailFile, recordFolder } from './export-names.ts';
import type { Manifest } from './manifest.ts';

export type MailsRoom = {
  table: Table;
  files: Pick<MailBucket, 'read'>;
  /** Dropbox addresses in it are secrets. */
  mailDomain: string;
};

/** A mail of the backup, with what is needed to give it out. */
export type WantedMail = {
  line: BackedUpMail;
  /** Fields that are not a colleague's to know. */
  hidden: RegExp | undefined;
  /** Where it lies in a zip: once for each record it is on, but a large one on many only once. */
  paths: string[];
  /** Where the export goes on after it. */
  next: Position;
};

/** Its bytes as they are given out; none when they are gone. Damaged when they come of others than those the backup noted. */
export type TakenMail = WantedMail & { source?: { bytes: Buffer; sha256: string }; isDamaged?: true };

/** The manifest of a completed backup. Throws when it is not the one that was noted: nothing may be built on it. */
export async function readManifest({ files }: MailsRoom, tenant: TenantId, backup: Backup): Promise<Manifest> {
  const bytes = await files.read(manifestKey(tenant, backup.id));
  if (!bytes || sha256(bytes) !== backup.manifest) throw new Error('the manifest of the backup is missing or damaged');
  return JSON.parse(Buffer.from(bytes).toString()) as Manifest;
}

/** Position `at`, or the next one there is; behind the last part when there is none. */
export function positionFrom({ parts }: Pick<Manifest, 'parts'>, at: Position): Position {
  let { part, line } = at;
  while (part < parts.length && line >= (parts[part]?.mails ?? 0)) [part, line] = [part + 1, 0];
  return { part, line };
}

/** The mails of the backup from `one.next`, in the manifest's order. Throws when a part of it is missing or damaged. */
export async function* mailsFrom(room: MailsRoom, tenant: TenantId, one: Export, manifest: Manifest): AsyncGenerator<WantedMail> {
  const names = new Map<string, string | undefined>();
  for (let at = positionFrom(manifest, one.next); at.part < manifest.parts.length; ) {
    const lines = (await readPart(room, manifest, at.part)).slice(at.line);
    const facts = await readFacts(room.table, tenant, one.member, lines);
    await readNames(room.table, tenant, lines, names);
    for (const [i, line] of lines.entries()) {
      const { message, copy, row } = facts[i] ?? {};
      const subject = row && blotted(row.subject, room.mailDomain);
      const nameOf = (id: string) => {
        const name = names.get(id);
        return name && blotted(name, room.mailDomain);
      };
      yield {
        line,
        // As its colleagues see it: they did not send it; and if the bytes are another holder's, how they came is that one's own.
        hidden: hiddenFields({ isSender: false, isTheirs: isOfOwner(message, copy) }),
        paths: placesOf(line).map((record) => `${recordFolder(record, nameOf(record.id))}/${mailFile(line, subject)}`),
        next: positionFrom(manifest, { part: at.part, line: at.line + i + 1 }),
      };
    }
    at = positionFrom(manifest, { part: at.part + 1, line: 0 });
  }
}

/** Its records in whose folders it lies. In all of them one of MAX_MAIL_BYTES could come to a hundred gigabytes: it is in the first. */
function placesOf({ bytes, records }: BackedUpMail): BackedUpMail['records'] {
  return bytes * records.length > EXPORT_COPIES_BYTES ? records.slice(0, 1) : records;
}

/** Are the stored bytes those that came to the owner themselves? Of messages stored before it was noted, nobody can tell. */
function isOfOwner(message: Message | undefined, copy: Copy | undefined): boolean {
  return message !== undefined && (message.delivery === undefined || message.delivery === copy?.delivery);
}

async function readPart({ files }: MailsRoom, { parts }: Manifest, number: number): Promise<BackedUpMail[]> {
  const part = parts[number];
  const bytes = part && (await files.read(part.key));
  if (!part || !bytes || sha256(bytes) !== part.sha256) throw new Error('a part of the manifest is missing or damaged');
  return Buffer.from(bytes)
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as BackedUpMail);
}

async function readFacts(table: Table, tenant: TenantId, member: string, lines: BackedUpMail[]) {
  if (lines.length === 0) return [];
  const [messages, copies, rows] = await Promise.all([
    table.getMany<Message>(
      lines.map(({ message }) => messageKey(tenant, message)),
      { only: ['delivery'] },
    ),
    table.getMany<Copy>(
      lines.map(({ message }) => copyKey(tenant, message, member, 'mailbox')),
      { only: ['delivery'] },
    ),
    table.getMany<OwnMailEntry>(
      lines.map(({ receivedAt, message }) => ownMailKey(tenant, member, receivedAt, message)),
      { only: ['subject'] },
    ),
  ]);
  return lines.map((_, i) => ({ message: messages[i], copy: copies[i], row: rows[i] }));
}

/** What their records are called today, each read once in a turn. */
async function readNames(table: Table, tenant: TenantId, lines: BackedUpMail[], names: Map<string, string | undefined>): Promise<void> {
  const ids = [...new Set(lines.flatMap(({ records }) => records.map(({ id }) => id)))].filter((id) => !names.has(id));
  if (ids.length === 0) return;
  const found = await table.getMany<StoredRecord>(
    ids.map((id) => recordKey(tenant, id)),
    { only: ['name'] },
  );
  for (const [i, id] of ids.entries()) names.set(id, found[i]?.name);
}

/**
 * The bytes of a mail as a colleague is given them, and their SHA-256. Bytes that are not those the backup noted are not lost, but lie
 * apart from the good ones.
 */
export async function takeMail({ files, mailDomain }: MailsRoom, mail: WantedMail): Promise<TakenMail> {
  const { line, hidden, paths } = mail;
  const read = line.rawKey === '' ? undefined : await files.read(line.rawKey);
  if (!read) return mail;
  const raw = Buffer.from(read.buffer, read.byteOffset, read.byteLength);
  const rawSum = sha256(raw);
  const bytes = blottedSource(hidden ? withoutFields(raw, hidden) : raw, mailDomain);
  const taken = { ...mail, source: { bytes, sha256: bytes === raw ? rawSum : sha256(bytes) } };
  if (line.sha256 === undefined || line.sha256 === rawSum) return taken;
  return { ...taken, isDamaged: true, paths: paths.map(damagedFile) };
}

/**
 * Takes mails side by side and answers them in their order: EXPORT_READS at once, and no more of them than EXPORT_AHEAD_BYTES hold,
 * so that memory is the same for small and large ones.
 */
export async function* ahead(mails: AsyncIterable<WantedMail>, take: (mail: WantedMail) => Promise<TakenMail>): AsyncGenerator<TakenMail> {
  const waiting: { bytes: number; taking: Promise<TakenMail> }[] = [];
  let held = 0;
  const first = async () => {
    const { bytes, taking } = waiting.shift() as (typeof waiting)[number];
    held -= bytes;
    return taking;
  };
  for await (const mail of mails) {
    const { bytes } = mail.line;
    while (waiting.length === EXPORT_READS || (waiting.length > 0 && held + bytes > EXPORT_AHEAD_BYTES)) yield await first();
    const taking = take(mail);
    // Looked at when its turn comes, which may be never when one before it fails.
    taking.catch(() => {});
    waiting.push({ bytes, taking });
    held += bytes;
  }
  while (waiting.length > 0) yield await first();
}
