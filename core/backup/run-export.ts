import { sha256, type TenantId } from '../ids.ts';
import { EXPORT_PULSE_SECONDS, EXPORT_TRIES, EXPORT_VOLUME_BYTES, EXPORT_VOLUME_MAILS } from '../limits.ts';
import type { MailBucket, Stored, Uploads } from '../message/raw-mail.ts';
import type { ProductMail } from '../outbound/send.ts';
import type { Archive } from './archive.ts';
import type { Backup } from './backup.ts';
import { LostLease, readBackup } from './backup-store.ts';
import { type Export, type ExportFile, type ExportJob, exportFolder, type Position, sum, type Volume } from './export.ts';
import {
  ahead,
  type MailsRoom,
  mailsFrom,
  positionFrom,
  readManifest,
  type TakenMail,
  takeMail,
  type WantedMail,
} from './export-mails-store.ts';
import { volumeName } from './export-names.ts';
import {
  commitVolume,
  type ExportQueue,
  endExport,
  leaseExport,
  notePulse,
  noteUpload,
  readExport,
  releaseExport,
} from './export-store.ts';
import type { Manifest } from './manifest.ts';
import { MboxArchive } from './mbox.ts';
import { tellExporter } from './notice-store.ts';
import type { Turn } from './run-backup.ts';
import { VolumeList } from './volume-list.ts';
import { ZipArchive } from './zip.ts';

export type ExportRoom = MailsRoom & {
  files: Pick<MailBucket, 'read' | 'write'>;
  uploads: Pick<Uploads, 'begin' | 'finish' | 'abort'>;
  queue: ExportQueue;
  tell: (mail: ProductMail) => Promise<void>;
  /** Where the API is reached from outside. */
  publicUrl: string;
  clock: () => Date;
  /** Places of mails of a volume when not EXPORT_VOLUME_MAILS, and bytes when not EXPORT_VOLUME_BYTES. */
  volumeMails?: number;
  volumeBytes?: number;
};

/**
 * A worker's turn at an export: one volume, whose last mail is begun before `until`, then word to the next worker; after the last
 * one that it is complete, and who started it is told. Killed anywhere and begun again, told twice, or by two at once, it comes to the
 * same: the lease lets one work, a volume counts by its commit alone, and who has lost the lease, or whose export was cancelled, finds
 * their upload gone and commits nothing. A volume that kills its worker again and again ends the export as failed.
 */
export async function runExport(room: ExportRoom, tenant: TenantId, job: ExportJob, until: Date): Promise<Turn> {
  try {
    const leased = await leaseExport(room.table, tenant, job, room.clock());
    if (!leased) return await afterwards(room, tenant, job);
    if (leased.upload) await room.uploads.abort(leased.upload);
    const isHopeless = leased.tries > EXPORT_TRIES;
    const done = leased.walked || isHopeless ? leased : await makeVolume(room, tenant, leased, until);
    if (!done.walked && !isHopeless) return await handOn(room, tenant, done);
    await end(room, tenant, done, isHopeless ? 'failed' : 'completed');
    return await afterwards(room, tenant, job);
  } catch (error) {
    if (error instanceof LostLease) return 'not-mine';
    throw error;
  }
}

async function end({ table, clock }: ExportRoom, tenant: TenantId, one: Export, state: 'completed' | 'failed'): Promise<void> {
  if (state === 'completed' && sum(one.volumes, 'mails') !== one.total?.mails) throw new Error('the volumes of the export do not add up');
  await endExport(table, tenant, one, state, clock());
}

/** Of one that has ended, what was being made is forgotten, and who started it is told; one that another worker has is that one's. */
async function afterwards(room: ExportRoom, tenant: TenantId, { backup, format }: ExportJob): Promise<Turn> {
  const one = await readExport(room.table, tenant, backup, format);
  if (!one || one.state === 'running') return 'not-mine';
  if (one.upload) await room.uploads.abort(one.upload);
  await tellExporter(room, tenant, one, room.clock());
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
  const { mails: done, missing, damaged, bytes: rawBytes } = contents.list.counts;
  const made: Volume = { mails: done, missing, damaged, bytes: rawBytes, files };
  const next = positionFrom(manifest, contents.next);
  const isLast = next.part === manifest.parts.length;
  const volumes = [...noted.volumes, made];
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

type Contents = { list: VolumeList; next: Position; manifest: Buffer };
type Filling = { one: Export; backup: Backup; manifest: Manifest; archive: Archive; volume: number; until: Date };

async function fill(room: ExportRoom, tenant: TenantId, filling: Filling): Promise<Contents> {
  const { one, backup, manifest, archive, volume, until } = filling;
  const { table, clock } = room;
  const list = new VolumeList();
  let next = positionFrom(manifest, one.next);
  const mails = ahead(upTo(room, mailsFrom(room, tenant, one, manifest)), (mail) =>
    one.format === 'mbox' && mail.line.again ? Promise.resolve(mail) : takeMail(room, mail),
  );
  let told = clock();
  const pulse = async () => {
    const now = clock();
    if (now.getTime() - told.getTime() < EXPORT_PULSE_SECONDS * 1000) return;
    await notePulse(table, tenant, one, { mails: list.counts.mails, bytes: list.counts.bytes }, now);
    told = now;
  };
  for await (const mail of mails) {
    await (one.format === 'zip' ? addToZip(archive, mail, { list, pulse }) : addToMbox(archive, mail, list));
    next = mail.next;
    await pulse();
    if (clock() >= until) break;
  }
  const bytes = list.manifest(one, backup, volume);
  if (one.format === 'zip') await closeZip(archive, one, volume, { list, manifest: bytes });
  archive.end();
  return { list, next, manifest: bytes };
}

/** As many mails as a volume has: the first one whatever its size. */
async function* upTo<T extends Pick<WantedMail, 'line' | 'paths'>>(room: ExportRoom, mails: AsyncIterable<T>): AsyncGenerator<T> {
  let places = 0;
  let bytes = 0;
  for await (const mail of mails) {
    const { length } = mail.paths;
    bytes += mail.line.bytes * length;
    if (places > 0 && (places + length > (room.volumeMails ?? EXPORT_VOLUME_MAILS) || bytes > (room.volumeBytes ?? EXPORT_VOLUME_BYTES)))
      return;
    places += length;
    yield mail;
  }
}

/** `pulse` between two files: a mail on thousands of records is some time's work by itself. */
async function addToZip(archive: Archive, mail: TakenMail, { list, pulse }: { list: VolumeList; pulse: () => Promise<void> }) {
  const { source, line } = mail;
  if (!source) return list.add(mail, { isGiven: false });
  for (const path of mail.paths) {
    // A record that was parted from an address and has it again stands twice in the manifest: the same file.
    if (list.hasFile(path)) continue;
    await archive.add({ path, bytes: source.bytes, at: line.receivedAt });
    list.addFile(path, source.sha256);
    await pulse();
  }
  list.add(mail, { isGiven: true, files: mail.paths });
}

/** Each mail once; one that is damaged not among good ones, where nobody would see it: a zip has it, apart from them. */
async function addToMbox(archive: Archive, mail: TakenMail, list: VolumeList) {
  const { source, line, isDamaged } = mail;
  const isGiven = source !== undefined && !isDamaged;
  if (isGiven) await archive.add({ path: '', bytes: source.bytes, at: line.receivedAt });
  list.add(mail, { isGiven, isAgain: line.again });
}

/** The manifest, and last the sums of all files: `sha256sum -c SHA256SUMS` after unpacking. */
async function closeZip(archive: Archive, { startedAt: at }: Export, volume: number, made: Pick<Contents, 'list' | 'manifest'>) {
  const { list, manifest } = made;
  const path = volumeName('manifest.json', volume);
  await archive.add({ path, bytes: manifest, at });
  list.addFile(path, sha256(manifest));
  await archive.add({ path: volumeName('SHA256SUMS', volume), bytes: list.sumsFile(), at });
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
