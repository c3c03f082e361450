import { MAX_POP3_LINE_BYTES, POP3_UNKNOWN_BYTES } from '../limits.ts';

const LF = 0x0a;
const CR = 0x0d;
const DOT = 0x2e;
const NOTHING = Buffer.alloc(0);
const CR_ALONE = Buffer.from('\r');
const CRLF_DOT = Buffer.from('\r\n.');

/** Status lines, one after the other, wherever the packets end. */
export class StatusLines {
  tooLong = false;
  private line: Buffer = NOTHING;

  /** Takes of `chunk` from `at` on what belongs to the line: where it ends, and its text once it is whole. */
  take(chunk: Buffer, at: number): { next: number; text?: string } {
    const end = chunk.indexOf(LF, at);
    const part = chunk.subarray(at, end === -1 ? chunk.length : end);
    this.line = this.line.length > 0 ? Buffer.concat([this.line, part]) : part;
    this.tooLong = this.line.length > MAX_POP3_LINE_BYTES;
    if (end === -1 || this.tooLong) return { next: chunk.length };
    const text = this.line.toString('latin1').replace(/\r$/, '');
    this.line = NOTHING;
    return { next: end + 1, text };
  }
}

type Place = 'within' | 'after-cr' | 'line-start' | 'after-dot' | 'after-dot-cr';

/**
 * A multi-line answer without its dots (RFC 1939 3), byte by byte, wherever the packets end. A line ends with CRLF and with
 * nothing else: were a bare LF one, too, a mail could end its own answer, and speak for the server from there on.
 */
export class MultiLine {
  complete = false;
  tooLarge = false;
  private readonly max: number;
  private readonly likely: number;
  /** The first part is kept where it came: of most mails there is no other. */
  private kept: Buffer = NOTHING;
  private length = 0;
  /** Bytes of memory that what is kept keeps from being freed. */
  private held = 0;
  private place: Place = 'line-start';

  constructor(max: number, likely = POP3_UNKNOWN_BYTES) {
    this.max = max;
    this.likely = likely;
  }

  /** Takes of `chunk` from `at` on what belongs to the answer, and says where it ends. */
  take(chunk: Buffer, at: number): number {
    let next = at;
    while (next < chunk.length && !this.complete && !this.tooLarge) {
      next = this.place === 'within' ? this.takeLines(chunk, next) : this.takeByte(chunk, next);
    }
    return next;
  }

  bytes(): Buffer {
    const bytes = this.kept.subarray(0, this.length);
    // Neither a packet with much else in it nor what LIST told too much of is held for it.
    return this.length < this.held / 2 ? Buffer.from(bytes) : bytes;
  }

  /** To the next line that begins with a dot, in one step: mail is large. */
  private takeLines(chunk: Buffer, at: number): number {
    const found = chunk.indexOf(CRLF_DOT, at);
    const end = found === -1 ? chunk.length : found + 2;
    this.keep(chunk, at, end);
    if (found !== -1) {
      this.place = 'after-dot';
      return end + 1;
    }
    if (chunk[end - 1] === CR) this.place = 'after-cr';
    else if (end - at > 1 && chunk[end - 2] === CR && chunk[end - 1] === LF) this.place = 'line-start';
    return end;
  }

  private takeByte(chunk: Buffer, at: number): number {
    const byte = chunk[at] as number;
    switch (this.place) {
      case 'line-start':
        this.place = byte === DOT ? 'after-dot' : 'within';
        return byte === DOT ? at + 1 : at;
      case 'after-dot':
        this.place = byte === CR ? 'after-dot-cr' : 'within';
        return byte === CR ? at + 1 : at;
      case 'after-dot-cr':
        this.complete = byte === LF;
        if (this.complete) return at + 1;
        this.keep(CR_ALONE, 0, 1);
        this.place = 'after-cr';
        return at;
      default:
        this.place = byte === LF ? 'line-start' : byte === CR ? 'after-cr' : 'within';
        this.keep(chunk, at, at + 1);
        return at + 1;
    }
  }

  private keep(from: Buffer, start: number, end: number): void {
    const length = this.length + end - start;
    this.tooLarge = length > this.max;
    if (this.tooLarge) return;
    if (this.length > 0) this.append(from, start, end, length);
    else {
      this.kept = from.subarray(start, end);
      this.held = from.length;
    }
    this.length = length;
  }

  private append(from: Buffer, start: number, end: number, length: number): void {
    if (length > this.kept.length) {
      const larger = Buffer.allocUnsafe(Math.min(this.max, length <= this.likely ? this.likely : length * 2));
      this.kept.copy(larger, 0, 0, this.length);
      this.kept = larger;
      this.held = larger.length;
    }
    from.copy(this.kept, this.length, start, end);
  }
}

/** The lines of a multi-line answer. Latin-1 keeps different bytes different: ids are compared, never shown. */
export const linesOf = (body: Buffer): string[] => body.toString('latin1').split('\r\n').slice(0, -1);
