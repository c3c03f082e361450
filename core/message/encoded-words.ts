import { decodeText, decodeUnlabelled } from './charset.ts';

// Every quantifier ends at a `?`, which starts the next attempt: linear on whatever is sent.
const ENCODED_WORD = /=\?([^?\s]{1,60})\?([bq])\?([^?]*)\?=/gi;

/** Text of a raw header value (characters are bytes), before its encoded words: undeclared 8-bit and ISO-2022-JP are read. */
export function rawText(latin1: string): string {
  // ISO-2022-JP is seven bits wide and known by its escapes.
  if (!latin1.includes('\x1b') && !/[\x80-\xff]/.test(latin1)) return latin1;
  return decodeUnlabelled(Buffer.from(latin1, 'latin1'));
}

/**
 * Decodes the encoded words of a header value (RFC 2047). Neighbours in one charset are joined as bytes first: many
 * mailers split a word inside a character, against section 5.
 */
export function decodeWords(text: string): string {
  if (!text.includes('=?')) return text;
  let result = '';
  let end = 0;
  let pending: { charset: string; bytes: Buffer[] } | undefined;
  const flush = () => {
    if (pending) result += decodeText(Buffer.concat(pending.bytes), pending.charset);
    pending = undefined;
  };
  for (const match of text.matchAll(ENCODED_WORD)) {
    const between = text.slice(end, match.index);
    const charset = match[1]!.toLowerCase().replace(/\*.*/, '');
    // RFC 2047 6.2: white space between two encoded words is not shown.
    const adjacent = pending !== undefined && between.trim() === '';
    if (!adjacent || pending?.charset !== charset) flush();
    if (!adjacent) result += between;
    pending ??= { charset, bytes: [] };
    pending.bytes.push(wordBytes(match[2]!, match[3]!));
    end = match.index + match[0].length;
  }
  flush();
  return result + text.slice(end);
}

function wordBytes(encoding: string, content: string): Buffer {
  if (encoding.toLowerCase() === 'b') return base64Bytes(content);
  const unescaped = content
    .replace(/_/g, ' ')
    .replace(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(unescaped, 'latin1');
}

/** Some mailers pad each piece of a word: Buffer.from would stop at the first "=". */
function base64Bytes(content: string): Buffer {
  const pieces = content.match(/[^=]+=*/g) ?? [];
  return pieces.length === 1 ? Buffer.from(content, 'base64') : Buffer.concat(pieces.map((piece) => Buffer.from(piece, 'base64')));
}

/** The value of a structured header such as Content-Type, lower case, and its parameters with lower-case names. */
export type HeaderValue = { value: string; params: Map<string, string> };

/**
 * Takes a structured header value apart: quoted strings, comments, RFC 2231 continuations and charsets, and the forms
 * that are sent although wrong: encoded words in quotes, raw 8-bit text, unquoted values with spaces.
 */
export function parseHeaderValue(latin1: string): HeaderValue {
  const pieces = splitAtSemicolons(rawText(latin1));
  const params = new Map<string, string>();
  const continued = new Map<string, { nr: number; encoded: boolean; text: string }[]>();
  for (const piece of pieces.slice(1, 200)) {
    const equals = piece.indexOf('=');
    if (equals < 1) continue;
    const name = piece.slice(0, equals).trim().toLowerCase();
    const text = piece.slice(equals + 1);
    const star = /^([^*]+)\*(?:(\d{1,3})(\*)?)?$/.exec(name);
    if (!star) {
      if (!params.has(name)) params.set(name, decodeWords(text));
      continue;
    }
    const segments = continued.get(star[1]!) ?? [];
    segments.push({ nr: Number(star[2] ?? 0), encoded: star[2] === undefined || star[3] === '*', text });
    continued.set(star[1]!, segments);
  }
  for (const [name, segments] of continued) params.set(name, joinSegments(segments));
  return { value: pieces[0]?.trim().toLowerCase() ?? '', params };
}

/** RFC 2231 3 and 4: segments in the order of their numbers, those with a star percent-encoded, the charset in the first. */
function joinSegments(segments: { nr: number; encoded: boolean; text: string }[]): string {
  segments.sort((a, b) => a.nr - b.nr);
  const first = segments[0]!;
  const quotes = first.encoded ? /^([^']*)'[^']*'/.exec(first.text) : null;
  if (!segments.some((segment) => segment.encoded)) return decodeWords(segments.map((segment) => segment.text).join(''));
  const bytes = segments.map(({ encoded, text }, i) => {
    const content = i === 0 && quotes ? text.slice(quotes[0].length) : text;
    return encoded ? percentBytes(content) : Buffer.from(content);
  });
  return decodeText(Buffer.concat(bytes), quotes?.[1] ?? '');
}

function percentBytes(text: string): Buffer {
  const bytes = Buffer.from(text);
  let length = 0;
  for (let i = 0; i < bytes.length; i++) {
    const hex = bytes[i] === 0x25 ? bytes.toString('latin1', i + 1, i + 3) : '';
    if (/^[0-9a-f]{2}$/i.test(hex)) {
      bytes[length++] = Number.parseInt(hex, 16);
      i += 2;
    } else bytes[length++] = bytes[i]!;
  }
  return bytes.subarray(0, length);
}

/** Splits at semicolons outside quoted strings and comments; quotes and comments are taken out, and white space that is not quoted. */
function splitAtSemicolons(text: string): string[] {
  const pieces: string[] = [];
  let piece = '';
  let wasQuoted = false;
  let quoted = false;
  let comment = 0;
  const push = () => {
    pieces.push(wasQuoted ? piece : tidy(piece));
    piece = '';
    wasQuoted = false;
  };
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (char === '\\' && (quoted || comment > 0)) {
      i++;
      // Windows paths are sent unescaped; a backslash stays unless it escapes what it may.
      if (comment === 0) piece += text[i] === '"' || text[i] === '\\' ? text[i] : char + (text[i] ?? '');
    } else if (comment > 0) {
      if (char === '(') comment++;
      else if (char === ')') comment--;
    } else if (char === '"') {
      quoted = !quoted;
      if (!wasQuoted) piece = tidy(piece);
      wasQuoted = true;
    } else if (quoted) piece += char;
    else if (char === ';') push();
    else if (char === '(' && (wasQuoted || (/^\s?$/.test(piece.slice(-1)) && !piece.includes('=')))) comment++;
    else if (!wasQuoted || !/\s/.test(char)) piece += char;
  }
  push();
  return pieces;
}

/** Without white space at its ends and around its equals sign. */
function tidy(piece: string): string {
  const equals = piece.indexOf('=');
  return equals === -1 ? piece.trim() : `${piece.slice(0, equals).trim()}=${piece.slice(equals + 1).trim()}`;
}
