import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import type { Archive, ArchivedFile } from './archive.ts';

/** A mailbox in one file (RFC 4155, mboxrd): nothing of a mail is lost, for what was quoted can be told from what was not. */
export class MboxArchive implements Archive {
  readonly output = new PassThrough();

  constructor() {
    // Whoever reads it hears of an error as well; without a listener it would end the process.
    this.output.on('error', () => {});
  }

  async add({ bytes, at }: ArchivedFile): Promise<void> {
    if (this.output.destroyed) throw new Error('the archive was closed');
    if (this.output.write(mboxEntry(bytes, at))) return;
    const stop = new AbortController();
    const { signal } = stop;
    const closed = once(this.output, 'close', { signal }).then(() => {
      throw new Error('the archive was closed');
    });
    const room = once(this.output, 'drain', { signal });
    try {
      await Promise.race([room, closed]);
    } finally {
      for (const waiting of [room, closed]) waiting.catch(() => {});
      stop.abort();
    }
  }

  end(): void {
    this.output.end();
  }
}

/**
 * A mail as it stands in an mbox: a From_ line with the time of receipt in UTC, its bytes with each line `>*From ` quoted once more,
 * and an empty line. Who sent it is not in its bytes, and so not in that line.
 */
export function mboxEntry(bytes: Uint8Array, at: string): Buffer {
  const quoted = quotedFrom(bytes);
  const ending = quoted.at(-1) === LF ? '\n' : '\n\n';
  return Buffer.concat([Buffer.from(`From MAILER-DAEMON ${asctime(at)}\n`), quoted, Buffer.from(ending)]);
}

/** mboxrd: `From ` at the beginning of a line gets a `>`, and so does what has some already. */
export function quotedFrom(bytes: Uint8Array): Buffer {
  const raw = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let lines = 0;
  eachFrom(raw, () => lines++);
  if (lines === 0) return raw;
  // Counted first and copied then: pieces of a mail that is nothing but such lines would need 50 times its memory.
  const quoted = Buffer.allocUnsafe(raw.length + lines);
  let [taken, end] = [0, 0];
  eachFrom(raw, (begin) => {
    end += raw.copy(quoted, end, taken, begin);
    quoted[end++] = QUOTE;
    taken = begin;
  });
  raw.copy(quoted, end, taken);
  return quoted;
}

/** Where each line `>*From ` begins. */
function eachFrom(raw: Buffer, found: (begin: number) => void): void {
  let from = 0;
  for (let at = raw.indexOf(FROM); at !== -1; at = raw.indexOf(FROM, at + FROM.length)) {
    let begin = at;
    // Not before what was looked at for the line before: a line of nothing but signs is walked once.
    while (begin > from && raw[begin - 1] === QUOTE) begin--;
    if (begin !== 0 && raw[begin - 1] !== LF) continue;
    found(begin);
    from = begin;
  }
}

const FROM = Buffer.from('From ');
const [LF, QUOTE] = [10, 62];

/** `Thu Jan  1 00:00:00 1970`. */
function asctime(at: string): string {
  const [, day = '', date = '', month = '', year = '', time = ''] = UTC.exec(new Date(at).toUTCString()) ?? [];
  return `${day} ${month} ${String(Number(date)).padStart(2, ' ')} ${time} ${year}`;
}

const UTC = /^(\w+), (\d+) (\w+) (\d+) ([\d:]+)/;
