import { TextDecoder } from 'node:util';

/**
 * Bytes of unknown or wrongly named character sets made into text. Never throws: a mail whose charset nobody knows is
 * still a mail. Built on the platform's TextDecoder, whose tables (WHATWG) are the vendors' own for Japanese: Shift_JIS
 * is CP932, EUC-JP is CP51932, ISO-2022-JP has half-width kana and NEC's and IBM's rows.
 */

// Labels seen in mail that the WHATWG table lacks.
const ALIASES: Record<string, string> = {
  cp932: 'shift_jis',
  ms932: 'shift_jis',
  'shift-jis': 'shift_jis',
  'windows-932': 'shift_jis',
  cp943: 'shift_jis',
  jis: 'iso-2022-jp',
  cp50220: 'iso-2022-jp',
  cp50221: 'iso-2022-jp',
  cp50222: 'iso-2022-jp',
  'iso-2022-jp-1': 'iso-2022-jp',
  'iso-2022-jp-2': 'iso-2022-jp',
  'iso-2022-jp-3': 'iso-2022-jp',
  'iso-2022-jp-2004': 'iso-2022-jp',
  'iso-2022-jp-ms': 'iso-2022-jp',
  'iso-2022-jp-ext': 'iso-2022-jp',
  eucjp: 'euc-jp',
  'eucjp-ms': 'euc-jp',
  'eucjp-win': 'euc-jp',
  cp51932: 'euc-jp',
  utf8mb4: 'utf-8',
  'utf-8-mac': 'utf-8',
  utf_8: 'utf-8',
  cp65001: 'utf-8',
  cp936: 'gbk',
  ms936: 'gbk',
  'gb2312-80': 'gbk',
  cp949: 'euc-kr',
  ms949: 'euc-kr',
  uhc: 'euc-kr',
  cp950: 'big5',
  'latin-1': 'windows-1252',
  '8859-1': 'windows-1252',
  'iso-8859-1-windows-3.1-latin-1': 'windows-1252',
  'iso-8859-15-windows': 'iso-8859-15',
  macintosh: 'macintosh',
  macroman: 'macintosh',
};

// Names that say nothing: us-ascii with 8-bit bytes in it is as wrong as "unknown-8bit" is honest.
const NO_CHARSET =
  /^(?:|us-?ascii|ascii|ansi_x3\.4-19\d\d|646|x?-?unknown(?:-8bit)?|unknown-?8bit|none|default|default_charset|binary|8-?bit|7-?bit)$/;

const REPLACEMENT = '\uFFFD';
const strictUtf8 = new TextDecoder('utf-8', { fatal: true });
const decoders = new Map<string, TextDecoder | undefined>();

/** Text of bytes in the charset a header names. Without a name, or with one that cannot be true, the bytes decide. */
export function decodeText(bytes: Uint8Array, label = ''): string {
  const charset = canonicalLabel(label);
  if (NO_CHARSET.test(charset)) return decodeUnlabelled(bytes);
  if (/^(?:unicode-1-1-|x-)?utf-?7$/.test(charset)) return decodeUtf7(bytes);
  const decoder = decoderFor(charset);
  if (!decoder) return decodeUnlabelled(bytes);
  const text = charset === 'iso-2022-jp' && !hasEscape(bytes) ? decodeUnlabelled(bytes) : decoder.decode(bytes);
  return text.includes(REPLACEMENT) ? secondReading(bytes, charset, text) : text;
}

/** Text of bytes whose charset nobody named: ISO-2022-JP by its escapes, UTF-8 if valid, Japanese if plausible, else Western. */
export function decodeUnlabelled(bytes: Uint8Array): string {
  if (isAscii(bytes)) return hasEscape(bytes) ? decodeIso2022Jp(bytes) : latin1(bytes);
  const utf8 = tryUtf8(bytes);
  if (utf8 !== undefined) return utf8;
  if (hasEscape(bytes)) return decodeIso2022Jp(bytes);
  const lenient = decoderFor('utf-8')!.decode(bytes);
  if (mostlyRight(lenient)) return lenient;
  return decodeJapanese(bytes) ?? decoderFor('windows-1252')!.decode(bytes);
}

/** True when no byte has its high bit set. */
export function isAscii(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! > 0x7f) return false;
  return true;
}

/** Bytes as characters U+0000 to U+00FF, one each: how raw headers are taken apart before their charset is known. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function canonicalLabel(label: string): string {
  // RFC 2231 5: an encoded word's charset may carry a language, as in us-ascii*en.
  const bare = label
    .slice(0, 60)
    .toLowerCase()
    .replace(/\*.*$/, '')
    .replace(/^["'\s]+|["'\s;]+$/g, '');
  return (
    ALIASES[bare] ??
    bare
      .replace(/^cp-?(125\d|874)$/, 'windows-$1')
      .replace(/^win-?(\d+)$/, 'windows-$1')
      .replace(/^iso(?=8859)/, 'iso-')
      .replace(/^iso_(?=8859)/, 'iso-')
  );
}

function decoderFor(charset: string): TextDecoder | undefined {
  if (!decoders.has(charset)) {
    if (decoders.size > 200) decoders.clear();
    decoders.set(charset, makeDecoder(charset));
  }
  return decoders.get(charset);
}

function makeDecoder(charset: string): TextDecoder | undefined {
  try {
    return new TextDecoder(charset);
  } catch {
    return undefined;
  }
}

/** What else bytes may be that do not fit the charset they were said to be in. */
function secondReading(bytes: Uint8Array, charset: string, text: string): string {
  if (charset === 'iso-2022-jp') return decodeIso2022Jp(bytes);
  const utf8 = charset === 'utf-8' ? undefined : tryUtf8(bytes);
  if (utf8 !== undefined && !isAscii(bytes)) return utf8;
  if (charset === 'utf-8' && !mostlyRight(text)) return decodeUnlabelled(bytes);
  return text;
}

/** One broken character in a long text is damage, not another charset. */
function mostlyRight(text: string): boolean {
  let wrong = 0;
  let beyondAscii = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0xfffd) wrong++;
    else if (code > 0x7f) beyondAscii++;
  }
  return wrong * 5 <= beyondAscii;
}

function tryUtf8(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}

const ESC = 0x1b;

/** True when ISO-2022-JP's escapes occur: ESC $ or ESC ( I/J. */
function hasEscape(bytes: Uint8Array): boolean {
  for (let i = bytes.indexOf(ESC); i !== -1; i = bytes.indexOf(ESC, i + 1)) {
    const next = bytes[i + 1];
    if (next === 0x24 || (next === 0x28 && (bytes[i + 2] === 0x49 || bytes[i + 2] === 0x4a))) return true;
  }
  return false;
}

/**
 * ISO-2022-JP as it is sent rather than as it is specified: a line may end without returning to ASCII, kana may come
 * with the high bit set, and JIS X 0212 occurs. Each set maps onto EUC-JP by its high bits, whose decoder does the rest.
 */
function decodeIso2022Jp(bytes: Uint8Array): string {
  const strict = decoderFor('iso-2022-jp')!.decode(bytes);
  if (!strict.includes(REPLACEMENT)) return strict;
  const euc = new Uint8Array(bytes.length * 2);
  let length = 0;
  let set: 'ascii' | 'kana' | 'kanji' | 'kanji-supplement' = 'ascii';
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (byte === ESC) {
      const change = readEscape(bytes, i);
      if (change) {
        set = change.set;
        i += change.length - 1;
        continue;
      }
    }
    if (byte === 0x0a || byte === 0x0d) set = 'ascii';
    const low = byte & 0x7f;
    if (set === 'ascii' || low < 0x21 || low === 0x7f) {
      euc[length++] = byte;
    } else if (set === 'kana') {
      euc[length++] = 0x8e;
      euc[length++] = low | 0x80;
    } else if (i + 1 < bytes.length && (bytes[i + 1]! & 0x7f) >= 0x21) {
      if (set === 'kanji-supplement') euc[length++] = 0x8f;
      euc[length++] = low | 0x80;
      euc[length++] = bytes[++i]! | 0x80;
    }
  }
  return decoderFor('euc-jp')!.decode(euc.subarray(0, length));
}

function readEscape(bytes: Uint8Array, at: number): { set: 'ascii' | 'kana' | 'kanji' | 'kanji-supplement'; length: number } | undefined {
  const [a, b, c] = [bytes[at + 1], bytes[at + 2], bytes[at + 3]];
  if (a === 0x24 && (b === 0x40 || b === 0x42)) return { set: 'kanji', length: 3 };
  if (a === 0x24 && b === 0x28 && (c === 0x44 || c === 0x42 || c === 0x40))
    return { set: c === 0x44 ? 'kanji-supplement' : 'kanji', length: 4 };
  if (a === 0x28 && b === 0x49) return { set: 'kana', length: 3 };
  if (a === 0x28 && (b === 0x42 || b === 0x4a || b === 0x48)) return { set: 'ascii', length: 3 };
  return undefined;
}

const KANA = /[\u3041-\u30FE]/g;
const KANJI = /[\u4E00-\u9FFF\u3005]/g;
const HALF_WIDTH = /[\uFF61-\uFF9F]/g;
const NEVER = /[\uFFFD\uE000-\uF8FF]/;
const RUN_OF_JAPANESE = /[\u3000-\u30FF\u4E00-\u9FFF\uFF01-\uFF9F]{2}/;

/** Shift_JIS or EUC-JP, whichever reads better; undefined when neither reads as Japanese (a single "är" does in Shift_JIS). */
function decodeJapanese(bytes: Uint8Array): string | undefined {
  let best: string | undefined;
  let bestScore = 0;
  for (const charset of ['shift_jis', 'euc-jp']) {
    const text = decoderFor(charset)!.decode(bytes);
    if (NEVER.test(text) || !RUN_OF_JAPANESE.test(text)) continue;
    const score = 3 * count(text, KANA) + 2 * count(text, KANJI) - count(text, HALF_WIDTH);
    if (score > bestScore || (best === undefined && count(text, HALF_WIDTH) > 2)) [best, bestScore] = [text, score];
  }
  return best;
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

/** RFC 2152. Still written by old Outlooks; browsers dropped it because pages could smuggle tags, which mail text cannot. */
function decodeUtf7(bytes: Uint8Array): string {
  return latin1(bytes).replace(/\+([A-Za-z0-9+/]*)-?/g, (whole, base64: string) => {
    if (base64 === '') return whole === '+-' ? '+' : whole;
    const units = Buffer.from(base64, 'base64');
    return units
      .subarray(0, units.length & ~1)
      .swap16()
      .toString('utf16le');
  });
}
