import { MAX_TEXT_CHARS } from '../limits.ts';
import { htmlTokens } from './html-tokens.ts';

const BLOCKS =
  /^(?:address|article|blockquote|body|center|dd|div|dl|dt|figure|footer|form|h[1-6]|header|hr|li|main|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul)$/;
const ENTITIES = new Map(
  Object.entries({
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
  }),
);

/**
 * The readable text of an HTML body: one pass, each character looked at a fixed number of times, and an end to it at
 * MAX_TEXT_CHARS. For reading and matching, never for showing as HTML again.
 */
export function htmlToText(html: string): string {
  const out: string[] = [];
  let length = 0;
  let preformatted = 0;
  for (const token of htmlTokens(html)) {
    if (token.kind === 'text') {
      const text = preformatted > 0 ? token.text : token.text.replace(/[ \t\r\n\f]+/g, ' ');
      out.push(text);
      length += text.length;
      if (length >= MAX_TEXT_CHARS) break;
    } else {
      if (token.name === 'pre') preformatted = Math.max(0, preformatted + (token.kind === 'open' ? 1 : -1));
      out.push(spaceFor(token.name, token.kind === 'open'));
    }
  }
  return tidy(decodeEntities(out.join(''))).slice(0, MAX_TEXT_CHARS);
}

function spaceFor(name: string, opens: boolean): string {
  if (name === 'br') return '\n';
  if (name === 'li') return opens ? '\n- ' : '';
  if (name === 'td' || name === 'th') return opens ? '' : '\t';
  if (/^(?:p|h[1-6])$/.test(name)) return '\n\n';
  return BLOCKS.test(name) ? '\n' : '';
}

function decodeEntities(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));?/gi, (whole, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return ENTITIES.get(name) ?? ENTITIES.get(name.toLowerCase()) ?? whole;
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
