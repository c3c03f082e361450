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

type Multipart = { boundary: Buffer; trimmed: Buffer; alternative?: number };
type Edit = { from: number; to: number; put: Buffer };

const LF = 0x0a;
const TYPE = /^[\w!#$&^.+-]{1,100}\/[\w!#$&^.+-]{1,100}$/;
/** Fields that say for certain that a line belongs to a header. */
const KNOWN_FIELD =
  /^(?:content-|mime-version$|from$|to$|cc$|subject$|date$|message-id$|received$|reply-to$|in-reply-to$|references$|return-path$)/i;
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
      if (header.unended) this.edits.push({ from: header.end, to: header.end, put: Buffer.from('\r\n') });
      if (this.open.length > MAX_MIME_DEPTH) return { tooBig: 'depth' };
      pos = this.findNextPart(header.end, part);
    }
    return { parts: this.parts, repaired: applyEdits(this.raw, this.edits) };
  }

  /**
   * Reads header lines up to the empty one, or up to a boundary line of a part that is all header. A line that is no
   * field ends the header too, unless fields that every mail has come after it: the empty line may hold a space.
   */
  private readHeader(start: number): { fields: RawField[]; end: number; unended: boolean } | undefined {
    const fields: RawField[] = [];
    let strange: { at: number; fields: number } | undefined;
    let pos = start;
    let end = this.raw.length;
    while (pos < this.raw.length) {
      const lineEnd = this.lineEnd(pos);
      if (lineEnd > start + MAX_HEADER_BYTES) {
        if (strange) break;
        return undefined;
      }
      if (isBlank(this.raw, pos, lineEnd)) {
        end = lineEnd;
        break;
      }
      if (this.isDashes(pos) && this.matchBoundary(pos, lineEnd)) {
        end = pos;
        break;
      }
      const kind = this.addLine(fields, pos, lineEnd);
      if (kind === 'known') strange = undefined;
      else if (kind === 'strange' && pos > start) strange ??= { at: pos, fields: fields.length };
      else if (kind === 'strange' && !isMailboxLine(this.raw, pos)) strange ??= { at: pos, fields: 0 };
      pos = lineEnd;
    }
    if (!strange) return { fields: trimmed(fields), end, unended: false };
    return { fields: trimmed(fields.slice(0, strange.fields)), end: strange.at, unended: true };
  }

  private addLine(fields: RawField[], start: number, end: number): 'known' | 'field' | 'strange' {
    const line = this.raw.toString('latin1', start, end).replace(/[\r\n]+$/, '');
    const last = fields.at(-1);
    if ((line[0] === ' ' || line[0] === '\t') && last && line.trim() !== '') {
      last.value += line;
      return 'field';
    }
    const name = /^[!-9;-~]{1,200}(?=[ \t]*:)/.exec(line)?.[0];
    if (name === undefined) return 'strange';
    fields.push({ name, value: line.slice(line.indexOf(':', name.length) + 1) });
    return KNOWN_FIELD.test(name) ? 'known' : 'field';
  }

  private addPart(fields: RawField[], start: number, bodyStart: number): ScannedPart {
    const { value, params } = parseHeaderValue(fieldValue(fields, 'content-type') ?? '');
    const [type = '', ...rest] = value.split(/\s+/);
    // Outlook Express and others forgot the semicolon: multipart/mixed boundary=x.
    for (const [name, text] of parseHeaderValue(`;${rest.join(';')}`).params) params.set(name, text);
    const disposition = parseHeaderValue(fieldValue(fields, 'content-disposition') ?? '');
    const filename = disposition.params.get('filename') || params.get('name') || undefined;
    const multipart = type.startsWith('multipart/');
    const part: ScannedPart = {
      fields,
      type: TYPE.test(type) ? type : this.typeInPlaceOf(type, fields),
      multipart,
      alternative: this.open.at(-1)?.alternative,
      disposition: disposition.value,
      filename,
      bodyStart,
      bodyEnd: this.raw.length,
    };
    this.parts.push(part);
    this.repairHeader(part, start, params, type !== value || part.type !== (type || 'text/plain'));
    // Spaces at its end are against RFC 2046, and significant all the same.
    const spaced = /boundary\s*=\s*"([^"]{0,200}[ \t])"/i.exec(fieldValue(fields, 'content-type') ?? '')?.[1];
    const boundary = spaced ?? params.get('boundary');
    if (multipart && boundary) {
      const alternative = type === 'multipart/alternative' ? this.parts.length : part.alternative;
      this.open.push({ boundary: Buffer.from(boundary), trimmed: Buffer.from(boundary.trimEnd()), alternative });
    }
    return part;
  }

  /** RFC 2045 5.2: text when there is no type. An unreadable one deep in a mail may be anything: kept as it is, to download. */
  private typeInPlaceOf(type: string, fields: readonly RawField[]): string {
    const anything = type !== '' && !type.startsWith('text') && (this.parts.length > 0 || isBase64(fields));
    return anything ? 'application/octet-stream' : 'text/plain';
  }

  /** The parser goes by the first field of a name, so what is put before the part's header stands. */
  private repairHeader(part: ScannedPart, start: number, params: Map<string, string>, typeIsOdd: boolean): void {
    const put: string[] = [];
    const strayBoundary = !part.multipart && params.has('boundary');
    if ((typeIsOdd || strayBoundary) && (part.type !== 'text/plain' || !part.filename)) put.push(spellType(part, params));
    const isText = /^text\/(?:plain|html)$/.test(part.type);
    if (isText && part.filename && part.alternative === undefined && /^(?:inline)?$/.test(part.disposition) && this.hasLeafBefore(part)) {
      put.push('Content-Disposition: attachment');
    } else if (isText && !/^[a-z-]*$/.test(part.disposition)) put.push('Content-Disposition: inline');
    if (isText && this.isFalselyBase64(part)) put.push('Content-Transfer-Encoding: 8bit');
    if (put.length > 0) this.edits.push({ from: start, to: start, put: Buffer.from(`${put.join('\r\n')}\r\n`, 'latin1') });
  }

  private hasLeafBefore(part: ScannedPart): boolean {
    return this.parts.some((other) => !other.multipart && other !== part);
  }

  /** Prose under a base64 label, which decoding would turn to rubble. */
  private isFalselyBase64(part: ScannedPart): boolean {
    if (!isBase64(part.fields)) return false;
    const first = this.raw.toString('latin1', part.bodyStart, part.bodyStart + 500);
    return (first.match(/[a-z] [a-z]/gi)?.length ?? 0) > 10;
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
    for (let level = this.open.length - 1; level >= 0; level--) {
      const { boundary, trimmed } = this.open[level]!;
      const ending = this.endingBehind(boundary, start, end) ?? (boundary === trimmed ? undefined : this.endingBehind(trimmed, start, end));
      if (ending !== undefined) return { level, closes: ending === '--' };
    }
    return undefined;
  }

  /** What a line has behind two dashes and a boundary, if it has them and no more than that and white space. */
  private endingBehind(boundary: Buffer, start: number, end: number): '' | '--' | undefined {
    let pos = start + 2 + boundary.length;
    if (pos > end || this.raw.compare(boundary, 0, boundary.length, start + 2, pos) !== 0) return undefined;
    const closes = this.isDashes(pos);
    if (closes) pos += 2;
    while (pos < end && isSpace(this.raw[pos]!)) pos++;
    return pos < end ? undefined : closes ? '--' : '';
  }

  private closeInner(level: number, at: number): void {
    while (this.open.length > level + 1) {
      const inner = this.open.pop()!;
      this.edits.push({ from: at, to: at, put: Buffer.concat([Buffer.from('--'), inner.boundary, Buffer.from('--\r\n')]) });
    }
  }

  private repairBoundary(start: number, end: number, { level, closes }: { level: number; closes: boolean }): void {
    const { boundary } = this.open[level]!;
    const length = 2 + boundary.length + (closes ? 2 : 0);
    const asWritten = this.raw.compare(boundary, 0, boundary.length, start + 2, start + 2 + boundary.length) === 0;
    if (asWritten && end - start <= length + 2 && /^(?:\r?\n)?$/.test(this.raw.toString('latin1', start + length, end))) return;
    this.edits.push({ from: start, to: end, put: Buffer.concat([Buffer.from('--'), boundary, Buffer.from(closes ? '--\r\n' : '\r\n')]) });
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

function isBase64(fields: readonly RawField[]): boolean {
  return fieldValue(fields, 'content-transfer-encoding')?.toLowerCase() === 'base64';
}

/** A Content-Type every parser reads alike, with the parameters that matter. */
function spellType(part: ScannedPart, params: ReadonlyMap<string, string>): string {
  const kept = ['charset', 'format', 'delsp', 'name', ...(part.multipart ? ['boundary'] : [])];
  const spelled = kept.flatMap((name) => (params.has(name) ? [`; ${name}="${params.get(name)!.replace(/[^ -~]|["\\]/g, '')}"`] : []));
  return `Content-Type: ${part.type}${spelled.join('')}`;
}

function trimmed(fields: RawField[]): RawField[] {
  for (const field of fields) field.value = field.value.trim();
  return fields;
}

/** The "From " line of mbox files, which some servers hand on. */
function isMailboxLine(raw: Buffer, start: number): boolean {
  return /^>?From /.test(raw.toString('latin1', start, start + 6));
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
