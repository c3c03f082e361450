import { MAX_TEXT_CHARS } from '../limits.ts';

const BLOCKS =
  /^(?:address|article|blockquote|body|center|dd|div|dl|dt|figure|footer|form|h[1-6]|header|hr|li|main|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul)$/;
/** Elements whose content is never shown as text. */
const HIDDEN = /^(?:head|script|style|title|template|noframes)$/;
const ENTITIES: Record<string, string> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
  copy: '©',
  reg: '®',
  trade: '™',
  yen: '¥',
  euro: '€',
  pound: '£',
  sect: '§',
  hellip: '…',
  mdash: '—',
  ndash: '–',
  lsquo: '‘',
  rsquo: '’',
  ldquo: '“',
  rdquo: '”',
  laquo: '«',
  raquo: '»',
  bull: '•',
  middot: '·',
  times: '×',
  auml: 'ä',
  ouml: 'ö',
  uuml: 'ü',
  Auml: 'Ä',
  Ouml: 'Ö',
  Uuml: 'Ü',
  szlig: 'ß',
  eacute: 'é',
  egrave: 'è',
  agrave: 'à',
  ccedil: 'ç',
  ecirc: 'ê',
  zwnj: '',
  zwj: '',
  shy: '',
  ensp: ' ',
  emsp: ' ',
  thinsp: ' ',
};

/**
 * The readable text of an HTML body: one pass, each character looked at a fixed number of times, and an end to it at
 * MAX_TEXT_CHARS. For reading and matching, never for showing as HTML again.
 */
export function htmlToText(html: string): string {
  const out: string[] = [];
  let length = 0;
  let pos = 0;
  let pre = 0;
  while (pos < html.length && length < MAX_TEXT_CHARS) {
    const open = html.indexOf('<', pos);
    const end = open === -1 ? html.length : open;
    if (end > pos) {
      const text = pre > 0 ? html.slice(pos, end) : html.slice(pos, end).replace(/[ \t\r\n\f]+/g, ' ');
      out.push(text);
      length += text.length;
    }
    if (open === -1) break;
    const tag = readTag(html, open);
    pos = tag.end;
    if (HIDDEN.test(tag.name) && !tag.closing) pos = behindElement(html, pos, tag.name);
    else if (tag.name === 'pre') pre = Math.max(0, pre + (tag.closing ? -1 : 1));
    if (tag.name === 'br') out.push('\n');
    else if (tag.name === 'li' && !tag.closing) out.push('\n- ');
    else if ((tag.name === 'td' || tag.name === 'th') && tag.closing) out.push('\t');
    else if (tag.name === 'p' || /^h[1-6]$/.test(tag.name)) out.push('\n\n');
    else if (tag.name !== 'td' && tag.name !== 'th' && BLOCKS.test(tag.name)) out.push('\n');
    else if (tag.name === '') out.push(html.slice(open, tag.end));
  }
  return tidy(decodeEntities(out.join('')));
}

type Tag = { name: string; closing: boolean; end: number };

/** Reads a tag or comment; a name of '' is a "<" that begins neither. */
function readTag(html: string, open: number): Tag {
  if (html.startsWith('<!--', open)) return { name: '!', closing: false, end: after(html, '-->', open + 4) };
  const next = html[open + 1] ?? '';
  if (next === '!' || next === '?') return { name: '!', closing: false, end: after(html, '>', open + 2) };
  const closing = next === '/';
  let pos = open + (closing ? 2 : 1);
  const start = pos;
  while (/[a-z0-9:-]/i.test(html[pos] ?? '') && pos - start < 30) pos++;
  const name = html.slice(start, pos).toLowerCase();
  if (!/^[a-z]/.test(name)) return { name: '', closing, end: open + 1 };
  return { name, closing, end: behindAttributes(html, pos) };
}

function behindAttributes(html: string, from: number): number {
  let quote = '';
  for (let i = from; i < html.length; i++) {
    const char = html[i]!;
    if (quote !== '') {
      if (char === quote) quote = '';
    } else if ((char === '"' || char === "'") && html[i - 1] === '=') quote = char;
    else if (char === '>') return i + 1;
  }
  return html.length;
}

/** Behind `</name>`; when there is none the rest of the document is the element's. */
function behindElement(html: string, from: number, name: string): number {
  for (let pos = html.indexOf('</', from); pos !== -1; pos = html.indexOf('</', pos + 2)) {
    if (html.slice(pos + 2, pos + 2 + name.length).toLowerCase() === name) return after(html, '>', pos);
    // A head that is never closed ends where the body begins.
  }
  if (name !== 'head') return html.length;
  const body = /<body/gi;
  body.lastIndex = from;
  return body.exec(html)?.index ?? from;
}

function after(html: string, what: string, from: number): number {
  const found = html.indexOf(what, from);
  return found === -1 ? html.length : found + what.length;
}

function decodeEntities(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));?/gi, (whole, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name] ?? ENTITIES[name.toLowerCase()] ?? whole;
    const code = decimal !== undefined ? Number(decimal) : Number.parseInt(hex!, 16);
    return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff) ? String.fromCodePoint(code) : '';
  });
}

/** No white space at the ends of lines, no more than one empty line in a row. Line by line, so that no run is scanned twice. */
function tidy(text: string): string {
  const lines: string[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (line !== '' || lines.at(-1) !== '') lines.push(line);
  }
  return lines.join('\n').trim();
}

/** Plain text as a piece of HTML, for mails that mix the two. */
export function textToHtml(text: string): string {
  const escaped = text.replace(/[&<>"]/g, (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[char]!);
  return `<div style="white-space: pre-wrap">${escaped}</div>`;
}
