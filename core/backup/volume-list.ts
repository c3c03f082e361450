import type { Backup } from './backup.ts';
import type { Export } from './export.ts';
import type { TakenMail } from './export-mails-store.ts';

/** A mail as the manifest of an export names it. */
type ExportedMail = {
  message: string;
  receivedAt: string;
  direction: 'sent' | 'received';
  records: { module: string; id: string }[];
  /** What the backup noted of the raw mail. */
  rawSha256?: string;
  /** Of what is given out. */
  bytes: number;
  sha256?: string;
  files?: string[];
  /** The raw bytes are gone. */
  missing?: true;
  /** The raw bytes are others than those the backup noted: what is given out is not what came. */
  damaged?: true;
  /** In an mbox: its bytes stand under an earlier line. */
  again?: true;
};

/**
 * What is in a volume: its manifest, and the sums of its files, as they will be written. Of a mail it keeps its line and its places,
 * about a kilobyte, for at most EXPORT_VOLUME_MAILS places.
 */
export class VolumeList {
  readonly counts = { mails: 0, missing: 0, damaged: 0, bytes: 0, files: 0, givenBytes: 0 };
  private readonly lines: string[] = [];
  private readonly sums: string[] = [];
  private readonly paths = new Set<string>();

  /** Notes a mail, and whether its bytes are given out, or were with another line; `files` are its places in a zip. */
  add(
    { line, source, isDamaged }: TakenMail,
    { isGiven, isAgain, files }: { isGiven: boolean; isAgain?: boolean; files?: string[] },
  ): void {
    const { message, receivedAt, direction, records, sha256: rawSha256 } = line;
    const isMissing = !isAgain && !source;
    const given = isGiven && source ? { bytes: source.bytes.length, sha256: source.sha256 } : { bytes: 0 };
    const mail: ExportedMail = {
      ...{ message, receivedAt, direction, records, rawSha256, ...given, files },
      ...(isMissing ? { missing: true } : {}),
      ...(isDamaged ? { damaged: true } : {}),
      ...(isAgain ? { again: true } : {}),
    };
    const { counts } = this;
    this.lines.push(JSON.stringify(mail));
    counts.mails += 1;
    counts.bytes += line.bytes;
    counts.givenBytes += given.bytes;
    counts.files += files?.length ?? 0;
    if (isMissing) counts.missing += 1;
    if (isDamaged) counts.damaged += 1;
  }

  /** Has the zip this file already? */
  hasFile(path: string): boolean {
    return this.paths.has(path);
  }

  addFile(path: string, sum: string): void {
    this.paths.add(path);
    this.sums.push(`${sum}  ${path}\n`);
  }

  /** What is in this volume, of whose mail, by whom, when, and in which scope; then its mails, a line each. */
  manifest(one: Export, backup: Backup, volume: number): Buffer {
    const { id, kind, member, mailbox, scope, sharing, startedBy, startedAt, manifest } = backup;
    const { mails, missing, damaged, files, givenBytes: bytes } = this.counts;
    const head = JSON.stringify(
      {
        version: 1,
        export: { format: one.format, volume, by: one.startedBy, at: one.startedAt },
        backup: { id, kind, member, mailbox, scope, sharing, startedBy, startedAt, manifestSha256: manifest },
        counts: { mails, files, bytes, missing, damaged },
      },
      undefined,
      1,
    );
    return Buffer.from(`${head.slice(0, -2)},\n "mails": [\n${this.lines.join(',\n')}\n ]\n}\n`);
  }

  /** Of all files that were added, in the form of `sha256sum`. */
  sumsFile(): Buffer {
    return Buffer.from(this.sums.join(''));
  }
}
