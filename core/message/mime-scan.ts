import { MAX_HEADER_BYTES, MAX_MAIL_BYTES, MAX_MIME_DEPTH, MAX_MIME_PARTS } from '../limits.ts';
import { parseHeaderValue } from './encoded-words.ts';

/** One header field as it stands: name as written, value unfolded, each character one byte. */
export type RawField = { name: string; value: string };

/** One part of the mail, the mail itself being the first. */
export type ScannedPart = {
  fields: RawField[];
  /** Lower case, without parameters; text/plain when absent. */
  type: string;
  multipart: boolean;
  /** The multipart/alternative it is in, if any: one of several forms of the same text. */
  alternative?: number;
  disposition: string;
  filename?: string;
  bodyStart: number;
  bodyEnd: number;
};

/** Which limit a mail breaks, so that no parser gets to see it. */
export type TooBig = { tooBig: 'bytes' | 'headers' | 'parts' | 'depth' };

export type Scan = {
  parts: ScannedPart[];
  /** What the parser is given: the raw bytes, with the spellings repaired that it is known to lose parts over. */
  repaired: Buffer;
};

type Multipart = { boundary: Buffer; alternative?: number };
type Edit = { from: number; to: number; put: Buffer };

const LF = 0x0a;
const NEXT_DASHES = Buffer.from('\n--');

/**
 * Walks the structure of a mail once, in time linear in its length, before any parser sees it: refuses what breaks a
 * limit, lists the parts there must be, and repairs what the parser is known to lose parts over:
 * white space behind a boundary (RFC 2046 5.1.1 allows it), an inner multipart that is never closed, and text files
 * sent inline, which it would join to the text without their names.
 */
export function scanMail(raw: Uint8Array): Scan | TooBig {
  if (raw.length > MAX_MAIL_BYTES) return { tooBig: 'bytes' };
  return new MailScan(Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength)).run();
}

class MailScan {
  readonly raw: Buffer;
  readonly parts: ScannedPart[] = [];
  readonly open: Multipart[] = [];
  readonly edits: Edit[] = [];

  constructor(raw: Buffer) {
    this.raw = raw;
  }

  run(): Scan | TooBig {
    let pos = 0;
    while (pos !== -1) {
      if (this.parts.length > MAX_MIME_PARTS) return { tooBig: 'parts' };
      const header = this.readHeader(pos);
      if (header === undefined) return { tooBig: 'headers' };
      const part = this.addPart(header.fields, pos, header.end);
      if (this.open.length > MAX_MIME_DEPTH) return { tooBig: 'depth' };
      pos = this.findNextPart(header.end, part);
    }
    return { parts: this.parts, repaired: applyEdits(this.raw, this.edits) };
  }

  /** Reads header lines up to the empty one, or up to a boundary line of a part that is all header. */
  private readHeader(start: number): { fields: RawField[]; end: number } | undefined {
    const fields: RawField[] = [];
    const limit = start + MAX_HEADER_BYTES;
    let pos = start;
    while (pos < this.raw.length) {
      const lineEnd = this.lineEnd(pos);
      if (lineEnd > limit) return undefined;
      if (isBlank(this.raw, pos, lineEnd)) return { fields: unfold(fields), end: lineEnd };
      if (this.isDashes(pos) && this.matchBoundary(pos, lineEnd)) return { fields: unfold(fields), end: pos };
      this.addLine(fields, pos, lineEnd);
      pos = lineEnd;
    }
    return { fields: unfold(fields), end: pos };
  }

  private addLine(fields: RawField[], start: number, end: number): void {
    const line = this.raw.toString('latin1', start, end).replace(/[\r\n]+$/, '');
    const last = fields.at(-1);
    if ((line[0] === ' ' || line[0] === '\t') && last) {
      last.value += line;
      return;
    }
    const name = /^[!-9;-~]{1,200}(?=[ \t]*:)/.exec(line)?.[0];
    if (name !== undefined) fields.push({ name, value: line.slice(line.indexOf(':', name.length) + 1) });
  }

  private addPart(fields: RawField[], start: number, bodyStart: number): ScannedPart {
    const { value, params } = parseHeaderValue(fieldValue(fields, 'content-type') ?? '');
    const disposition = parseHeaderValue(fieldValue(fields, 'content-disposition') ?? '');
    const type = value || 'text/plain';
    const multipart = type.startsWith('multipart/');
    const filename = disposition.params.get('filename') || params.get('name');
    const part: ScannedPart = {
      fields,
      type,
      multipart,
      alternative: this.open.at(-1)?.alternative,
      disposition: disposition.value,
      filename,
      bodyStart,
      bodyEnd: this.raw.length,
    };
    this.parts.push(part);
    const boundary = params.get('boundary')?.trimEnd();
    if (multipart && boundary) {
      const alternative = type === 'multipart/alternative' ? this.parts.length : part.alternative;
      this.open.push({ boundary: Buffer.from(boundary), alternative });
    } else if (filename && isInlineText(part) && this.parts.some((other) => !other.multipart && other !== part)) {
      // The parser goes by the first Content-Disposition of a part.
      this.edits.push({ from: start, to: start, put: Buffer.from('Content-Disposition: attachment\r\n') });
    }
    return part;
  }

  /** Where the next part's header begins, or -1 when there is none. */
  private findNextPart(from: number, part: ScannedPart): number {
    let line = this.isDashes(from) ? from : this.nextDashes(from);
    while (line !== -1) {
      const lineEnd = this.lineEnd(line);
      const match = this.matchBoundary(line, lineEnd);
      if (match) {
        if (part.bodyEnd === this.raw.length) part.bodyEnd = line;
        this.closeInner(match.level, line);
        this.repairBoundary(line, lineEnd, match);
        if (!match.closes) return lineEnd;
        this.open.length = match.level;
        if (this.open.length === 0) return -1;
      }
      line = this.isDashes(lineEnd) ? lineEnd : this.nextDashes(lineEnd);
    }
    return -1;
  }

  /** Innermost first: a part ends at the boundary of any multipart around it (RFC 2046 5.1.2). */
  private matchBoundary(start: number, end: number): { level: number; closes: boolean } | undefined {
    let length = end - start;
    while (length > 2 && isSpace(this.raw[start + length - 1]!)) length--;
    for (let level = this.open.length - 1; level >= 0; level--) {
      const { boundary } = this.open[level]!;
      const rest = length - 2 - boundary.length;
      if (rest !== 0 && rest !== 2) continue;
      if (this.raw.compare(boundary, 0, boundary.length, start + 2, start + 2 + boundary.length) !== 0) continue;
      if (rest === 0) return { level, closes: false };
      if (this.raw[start + length - 1] === 0x2d && this.raw[start + length - 2] === 0x2d) return { level, closes: true };
    }
    return undefined;
  }

  private closeInner(level: number, at: number): void {
    while (this.open.length > level + 1) {
      const inner = this.open.pop()!;
      this.edits.push({ from: at, to: at, put: Buffer.concat([Buffer.from('--'), inner.boundary, Buffer.from('--\r\n')]) });
    }
  }

  private repairBoundary(start: number, end: number, { level, closes }: { level: number; closes: boolean }): void {
    const { boundary } = this.open[level]!;
    const dashes = start + 2 + boundary.length + (closes ? 2 : 0);
    const clean = end - dashes <= 1 || (end - dashes === 2 && this.raw[dashes] === 0x0d);
    if (!clean) this.edits.push({ from: dashes, to: end, put: Buffer.from('\r\n') });
  }

  private isDashes(pos: number): boolean {
    return this.raw[pos] === 0x2d && this.raw[pos + 1] === 0x2d;
  }

  private nextDashes(from: number): number {
    if (this.open.length === 0) return -1;
    const found = this.raw.indexOf(NEXT_DASHES, Math.max(0, from - 1));
    return found === -1 ? -1 : found + 1;
  }

  private lineEnd(pos: number): number {
    const lf = this.raw.indexOf(LF, pos);
    return lf === -1 ? this.raw.length : lf + 1;
  }
}

/** The first field of that (lower-case) name. */
export function fieldValue(fields: readonly RawField[], name: string): string | undefined {
  return fields.find((field) => field.name.toLowerCase() === name)?.value;
}

function isInlineText({ type, alternative, disposition }: ScannedPart): boolean {
  return /^text\/(?:plain|html)$/.test(type) && alternative === undefined && /^(?:inline)?$/.test(disposition);
}

function unfold(fields: RawField[]): RawField[] {
  for (const field of fields) field.value = field.value.trim();
  return fields;
}

function isBlank(raw: Buffer, start: number, end: number): boolean {
  return end - start <= 2 && (raw[start] === LF || (raw[start] === 0x0d && raw[start + 1] === LF));
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d || byte === LF;
}

function applyEdits(raw: Buffer, edits: Edit[]): Buffer {
  if (edits.length === 0) return raw;
  const pieces: Buffer[] = [];
  let pos = 0;
  for (const { from, to, put } of edits) {
    pieces.push(raw.subarray(pos, from), put);
    pos = to;
  }
  pieces.push(raw.subarray(pos));
  return Buffer.concat(pieces);
}
