/** A piece of HTML: raw text (entities undecoded), or a tag with its attributes (values undecoded, first of each name). */
export type HtmlToken =
  | { kind: 'text'; text: string }
  | { kind: 'open'; name: string; attributes: Map<string, string> }
  | { kind: 'close'; name: string };

/** Elements whose content no reader sees. Without their end tag they hide the rest, as in a browser. */
const UNSEEN = /^(?:script|style|title|textarea|xmp|iframe|noembed|noframes|plaintext)$/;

const MAX_NAME = 40;
const MAX_ATTRIBUTES = 50;

/**
 * Takes HTML apart in one pass that never goes back: every search begins where the last one ended. Comments, doctypes
 * and unseen elements are left out. Never throws.
 */
export function* htmlTokens(html: string): Generator<HtmlToken> {
  let pos = 0;
  while (pos < html.length) {
    const open = html.indexOf('<', pos);
    if (open === -1) return yield { kind: 'text', text: html.slice(pos) };
    if (open > pos) yield { kind: 'text', text: html.slice(pos, open) };
    const next = html.charCodeAt(open + 1);
    if (next === 0x21 || next === 0x3f) {
      pos = html.startsWith('!--', open + 1) ? behind(html, '-->', open + 2) : behind(html, '>', open + 2);
    } else if (isLetter(next)) {
      const tag = readOpenTag(html, open + 1);
      pos = tag.end;
      if (UNSEEN.test(tag.name)) pos = behindElement(html, pos, tag.name);
      else if (tag.complete) yield { kind: 'open', name: tag.name, attributes: tag.attributes };
    } else if (next === 0x2f && isLetter(html.charCodeAt(open + 2))) {
      const end = nameEnd(html, open + 2);
      yield { kind: 'close', name: html.slice(open + 2, end).toLowerCase() };
      pos = behind(html, '>', end);
    } else if (next === 0x2f) {
      pos = behind(html, '>', open + 2);
    } else {
      yield { kind: 'text', text: '<' };
      pos = open + 1;
    }
  }
}

function readOpenTag(html: string, start: number) {
  const attributes = new Map<string, string>();
  let pos = nameEnd(html, start);
  const name = html.slice(start, pos).toLowerCase();
  while (pos < html.length) {
    pos = skip(html, pos, isSpaceOrSlash);
    if (html[pos] === '>') return { name, attributes, end: pos + 1, complete: true };
    const from = pos;
    // An equals sign at the start of a name belongs to the name (HTML 13.2.5.32).
    pos = skip(html, pos + 1, isAttributeName);
    const attribute = html.slice(from, Math.min(pos, from + MAX_NAME)).toLowerCase();
    const equals = skip(html, pos, isSpace);
    let value = '';
    if (html[equals] === '=') {
      [value, pos] = readValue(html, skip(html, equals + 1, isSpace));
    }
    if (attributes.size < MAX_ATTRIBUTES && !attributes.has(attribute)) attributes.set(attribute, value);
  }
  return { name, attributes, end: html.length, complete: false };
}

function readValue(html: string, start: number): [value: string, end: number] {
  const quote = html[start];
  if (quote === '"' || quote === "'") {
    const end = html.indexOf(quote, start + 1);
    return end === -1 ? ['', html.length] : [html.slice(start + 1, end), end + 1];
  }
  const end = skip(html, start, isUnquoted);
  return [html.slice(start, end), end];
}

function behindElement(html: string, from: number, name: string): number {
  for (let pos = html.indexOf('</', from); pos !== -1; pos = html.indexOf('</', pos + 2)) {
    const end = pos + 2 + name.length;
    if (html.slice(pos + 2, end).toLowerCase() === name && !isLetter(html.charCodeAt(end))) return behind(html, '>', end);
  }
  return html.length;
}

function behind(html: string, what: string, from: number): number {
  const found = html.indexOf(what, from);
  return found === -1 ? html.length : found + what.length;
}

function nameEnd(html: string, start: number): number {
  return skip(html, start, (code) => !isSpaceOrSlash(code) && code !== 0x3e);
}

function skip(html: string, from: number, what: (code: number) => boolean): number {
  let pos = from;
  while (pos < html.length && what(html.charCodeAt(pos))) pos++;
  return pos;
}

const isLetter = (code: number) => (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
const isSpace = (code: number) => code === 0x20 || (code >= 0x09 && code <= 0x0d);
const isSpaceOrSlash = (code: number) => isSpace(code) || code === 0x2f;
const isAttributeName = (code: number) => !isSpaceOrSlash(code) && code !== 0x3e && code !== 0x3d;
const isUnquoted = (code: number) => !isSpace(code) && code !== 0x3e;
