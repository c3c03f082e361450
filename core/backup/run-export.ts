import { sha256, type TenantId } from '../ids.ts';
import { EXPORT_PULSE_SECONDS, EXPORT_TRIES, EXPORT_VOLUME_BYTES, EXPORT_VOLUME_MAILS } from '../limits.ts';
import type { MailBucket, Stored, Uploads } from '../message/raw-mail.ts';
import type { Archive } from './archive.ts';
import type { Backup } from './backup.ts';
import { LostLease, readBackup } from './backup-store.ts';
import { type Export, type ExportFile, type ExportJob, exportFolder, type Position, sum, type Volume } from './export.ts';
import { ahead, type MailsRoom, mailsFrom, positionFrom, readManifest, type TakenMail, takeMail } from './export-mails-store.ts';
import { volumeName } from './export-names.ts';
import { commitVolume, type ExportQueue, endExport, leaseExport, notePulse, noteUpload, releaseExport } from './export-store.ts';
import type { Manifest } from './manifest.ts';
import { MboxArchive } from './mbox.ts';
import type { Turn } from './run-backup.ts';
import { ZipArchive } from './zip.ts';

export type ExportRoom = MailsRoom & {
  files: Pick<MailBucket, 'read' | 'write'>;
  uploads: Pick<Uploads, 'begin' | 'finish' | 'abort'>;
  queue: ExportQueue;
  clock: () => Date;
  /** Places of mails of a volume when not EXPORT_VOLUME_MAILS, and bytes when not EXPORT_VOLUME_BYTES. */
  volumeMails?: number;
  volumeBytes?: number;
};

/**
 * A worker's turn at an export: one volume, whose last mail is begun before `until`, then word to the next worker; after the last
 * one that it is complete. Killed anywhere and begun again, told twice, or by two at once, it comes to the same: the lease lets one
 * work, a volume counts by its commit alone, and who has lost the lease finds their upload gone and commits nothing. A volume that
 * kills its worker again and again ends the export as failed.
 */
export async function runExport(room: ExportRoom, tenant: TenantId, job: ExportJob, until: Date): Promise<Turn> {
  try {
    const leased = await leaseExport(room.table, tenant, job, room.clock());
    if (!leased) return 'not-mine';
    if (leased.upload) await room.uploads.abort(leased.upload);
    if (leased.tries > EXPORT_TRIES) return await end(room, tenant, leased, 'failed');
    const done = leased.walked ? leased : await makeVolume(room, tenant, leased, until);
    return done.walked ? await end(room, tenant, done, 'completed') : await handOn(room, tenant, done);
  } catch (error) {
    if (error instanceof LostLease) return 'not-mine';
    throw error;
  }
}

async function end({ table, clock }: ExportRoom, tenant: TenantId, one: Export, state: 'completed' | 'failed'): Promise<Turn> {
  if (state === 'completed' && sum(one.volumes, 'mails') !== one.total?.mails) throw new Error('the volumes of the export do not add up');
  await endExport(table, tenant, one, state, clock());
  return 'ended';
}

/** The lease first: word that comes while it is held would be lost. Killed in between, this worker's own word comes again. */
async function handOn({ table, queue }: ExportRoom, tenant: TenantId, one: Export): Promise<Turn> {
  await releaseExport(table, tenant, one);
  await queue.send({ tenant, backup: one.backup, format: one.format });
  return 'handed-on';
}

/** Writes the next volume while its mails are read, commits it, and answers the export as it is then. Throws LostLease. */
async function makeVolume(room: ExportRoom, tenant: TenantId, leased: Export, until: Date): Promise<Export> {
  const { table, uploads, clock } = room;
  const backup = await readBackup(table, tenant, leased.backup);
  if (!backup) throw new Error('the backup of the export is gone');
  const manifest = await readManifest(room, tenant, backup);
  const volume = leased.volumes.length + 1;
  // With the fence in its name: a worker that lost its lease cannot write over what its successor committed.
  const key = `${exportFolder(tenant, leased)}/${volume}-${leased.fence}.${leased.format}`;
  const upload = await uploads.begin(key, CONTENT_TYPE[leased.format]);
  const { mails, bytes } = manifest.result;
  const noted = await noteUpload(table, tenant, leased, { upload, total: { mails, bytes } }, clock());

  const archive = leased.format === 'zip' ? new ZipArchive() : new MboxArchive();
  const filling = fill(room, tenant, { one: noted, backup, manifest, archive, volume, until });
  const [contents, stored] = await together(archive, filling, uploads.finish(upload, archive.output));
  const files = await filesOfVolume(room, backup, noted, { volume, key, stored, contents });
  const done: Volume = { ...counts(contents.mails), files };
  const next = positionFrom(manifest, contents.next);
  const isLast = next.part === manifest.parts.length;
  const volumes = [...noted.volumes, done];
  return commitVolume(table, tenant, noted, { volumes, next, ...(isLast ? { walked: true as const } : {}) }, clock());
}

const CONTENT_TYPE = { zip: 'application/zip', mbox: 'application/mbox' } as const;

/** One fails, both end: the reader when there is no more to come, the writer when nobody reads. The reader knows what came first. */
async function together<T>(archive: Archive, filling: Promise<T>, storing: Promise<Stored>): Promise<[T, Stored]> {
  for (const work of [filling, storing]) work.catch((error) => archive.output.destroy(error));
  const [filled, stored] = await Promise.allSettled([filling, storing]);
  if (stored.status === 'rejected') throw stored.reason;
  if (filled.status === 'rejected') throw filled.reason;
  return [filled.value, stored.value];
}

/** A mail as the manifest of an export names it. `sha256` is of the bytes that are given out, `rawSha256` what the backup noted. */
type ExportedMail = {
  message: string;
  receivedAt: string;
  direction: 'sent' | 'received';
  records: { module: string; id: string }[];
  bytes: number;
  sha256?: string;
  rawSha256?: string;
  files?: string[];
  /** The raw bytes are gone. */
  missing?: true;
  /** In an mbox: its bytes stand under an earlier line. */
  again?: true;
};
type Contents = { mails: (ExportedMail & { rawBytes: number })[]; next: Position; manifest: Buffer };
type Filling = { one: Export; backup: Backup; manifest: Manifest; archive: Archive; volume: number; until: Date };

async function fill(room: ExportRoom, tenant: TenantId, filling: Filling): Promise<Contents> {
  const { one, backup, manifest, archive, volume, until } = filling;
  const { table, clock } = room;
  const contents: Contents = { mails: [], next: positionFrom(manifest, one.next), manifest: Buffer.alloc(0) };
  const sums = new Map<string, string>();
  const mails = ahead(upTo(room, mailsFrom(room, tenant, one, manifest)), (mail) =>
    one.format === 'mbox' && mail.line.again ? Promise.resolve(mail) : takeMail(room, mail),
  );
  let told = clock();
  const pulse = async () => {
    const now = clock();
    if (now.getTime() - told.getTime() < EXPORT_PULSE_SECONDS * 1000) return;
    await notePulse(table, tenant, one, { mails: contents.mails.length, bytes: counts(contents.mails).bytes }, now);
    told = now;
  };
  for await (const mail of mails) {
    contents.mails.push(await add(archive, one, mail, { sums, pulse }));
    contents.next = mail.next;
    await pulse();
    if (clock() >= until) break;
  }
  contents.manifest = manifestBytes(one, backup, volume, contents);
  if (one.format === 'zip') await closeZip(archive, one, volume, contents, sums);
  archive.end();
  return contents;
}

/** As many mails as a volume has: the first one whatever its size. */
async function* upTo<T extends { line: { bytes: number; records: unknown[] } }>(
  room: ExportRoom,
  mails: AsyncIterable<T>,
): AsyncGenerator<T> {
  let places = 0;
  let bytes = 0;
  for await (const mail of mails) {
    const { length } = mail.line.records;
    bytes += mail.line.bytes * length;
    if (places > 0 && (places + length > (room.volumeMails ?? EXPORT_VOLUME_MAILS) || bytes > (room.volumeBytes ?? EXPORT_VOLUME_BYTES)))
      return;
    places += length;
    yield mail;
  }
}

/** `pulse` between two files: a large mail on hundreds of records is minutes' work by itself. */
async function add(
  archive: Archive,
  { format }: Export,
  mail: TakenMail,
  { sums, pulse }: { sums: Map<string, string>; pulse: () => Promise<void> },
): Promise<Contents['mails'][number]> {
  const { message, receivedAt, direction, records, bytes: rawBytes, sha256: rawSha256 } = mail.line;
  const named = { message, receivedAt, direction, records, rawBytes, rawSha256 };
  if (format === 'mbox' && mail.line.again) return { ...named, bytes: 0, again: true };
  if (!mail.source) return { ...named, bytes: 0, missing: true };
  const { bytes, sha256: sum } = mail.source;
  const exported = { ...named, bytes: bytes.length, sha256: sum };
  if (format === 'mbox') {
    await archive.add({ path: '', bytes, at: receivedAt });
    return exported;
  }
  for (const path of mail.paths) {
    // A record that was parted from an address and has it again stands twice in the manifest: the same file.
    if (sums.has(path)) continue;
    await archive.add({ path, bytes, at: receivedAt });
    sums.set(path, sum);
    await pulse();
  }
  return { ...exported, files: mail.paths };
}

/** The manifest, and last the sums of all files: `sha256sum -c SHA256SUMS` after unpacking. */
async function closeZip(archive: Archive, { startedAt: at }: Export, volume: number, { manifest }: Contents, sums: Map<string, string>) {
  const name = volumeName('manifest.json', volume);
  await archive.add({ path: name, bytes: manifest, at });
  sums.set(name, sha256(manifest));
  const lines = [...sums].map(([path, sum]) => `${sum}  ${path}\n`);
  await archive.add({ path: volumeName('SHA256SUMS', volume), bytes: Buffer.from(lines.join('')), at });
}

/** What is in this volume, of whose mail, by whom, when, and in which scope. */
function manifestBytes(one: Export, backup: Backup, volume: number, { mails }: Contents): Buffer {
  const { id, kind, member, mailbox, scope, sharing, startedBy, startedAt, manifest } = backup;
  const { missing } = counts(mails);
  return Buffer.from(
    `${JSON.stringify(
      {
        version: 1,
        export: { format: one.format, volume, by: one.startedBy, at: one.startedAt },
        backup: { id, kind, member, mailbox, scope, sharing, startedBy, startedAt, manifestSha256: manifest },
        counts: {
          mails: mails.length,
          files: mails.reduce((all, { files = [] }) => all + files.length, 0),
          bytes: mails.reduce((all, { bytes }) => all + bytes, 0),
          missing,
        },
        mails: mails.map(asNamed),
      },
      undefined,
      1,
    )}\n`,
  );
}

function asNamed(mail: Contents['mails'][number]): ExportedMail {
  const { rawBytes: _, ...named } = mail;
  return named;
}

function counts(mails: Contents['mails']): { mails: number; missing: number; bytes: number } {
  return {
    mails: mails.length,
    missing: mails.filter(({ missing }) => missing).length,
    bytes: mails.reduce((all, { rawBytes }) => all + rawBytes, 0),
  };
}

/** An mbox has its manifest beside it. */
async function filesOfVolume(
  { files }: ExportRoom,
  { id }: Backup,
  { format }: Export,
  made: { volume: number; key: string; stored: Stored; contents: Contents },
): Promise<ExportFile[]> {
  const { volume, key, stored, contents } = made;
  const archive = { name: volumeName(`backup-${id}.${format}`, volume), key, contentType: CONTENT_TYPE[format], ...stored };
  if (format === 'zip') return [archive];
  const { manifest } = contents;
  const beside = { name: volumeName(`backup-${id}.manifest.json`, volume), key: `${key}.manifest.json`, contentType: 'application/json' };
  await files.write(beside.key, manifest, beside.contentType);
  return [archive, { ...beside, bytes: manifest.length, sha256: sha256(manifest) }];
}
