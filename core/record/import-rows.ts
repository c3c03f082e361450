import { parseDisplayName } from './display-name.ts';
import { CSV, type ImportType, type Position } from './import.ts';
import { hasAddresses, type Module, moduleRow } from './module.ts';

/** One row of a source: where it stands, where the next begins, and its text. */
export type SourceRow = { line: number; text: string; next: Position };

/** A body for `recordInput`, not yet checked; or why there is none. */
export type Body = { body: Record<string, unknown> } | { error: string };

/** A quoted cell may run over so many lines; an opening quote that is not closed by then is a fault of its line alone. */
const MAX_ROW_LINES = 50;

const START: Position = { offset: 0, line: 1 };

/**
 * The rows of a source from `from` on, without empty ones. Rows are told apart by lines, not by a parser: so that a quote
 * too many spoils its own line and not all that follow.
 */
export function* rowsOf(type: ImportType, source: string, from: Position = START): Generator<SourceRow> {
  const delimiter = type === CSV ? delimiterOf(source) : undefined;
  let at = from;
  while (at.offset < source.length) {
    const first = lineAt(source, at);
    const row = delimiter ? withQuotedLines(source, first, delimiter) : first;
    // Spreadsheets end their files with rows of delimiters alone.
    if ((delimiter ? row.text.replaceAll(delimiter, '') : row.text).trim() !== '') yield row;
    at = row.next;
  }
}

/** Reads a row of JSON lines: an object like the body of a POST. */
export function jsonBody(text: string): Body {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return { body: body as Record<string, unknown> };
  } catch {
    // Said below: what the parser says would repeat the line's content.
  }
  return { error: 'not a JSON object' };
}

/** Makes a reader of CSV rows from the file's header: known columns by their names in any case, the others as custom fields. */
export function csvReader(module: Module, source: string): { body: (text: string) => Body; start: Position } | undefined {
  const [header] = rowsOf(CSV, source);
  if (!header) return undefined;
  const delimiter = delimiterOf(source);
  const names = cellsOf(header.text, delimiter);
  if (!names) return undefined;
  const columns = names.map((name, i) => columnOf(module, name.trim() || `column ${i + 1}`));
  return {
    start: header.next,
    body: (text) => {
      const cells = cellsOf(text, delimiter);
      if (!cells) return { error: 'a quote is missing, or stands where none may be' };
      if (cells.slice(columns.length).some((cell) => cell.trim() !== '')) return { error: 'more cells than the header has names' };
      return bodyOf(module, columns, cells);
    },
  };
}

/** Without a byte order mark, or undefined when it is not UTF-8. */
export function decodeSource(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function lineAt(source: string, { offset, line }: Position): SourceRow {
  LINE_END.lastIndex = offset;
  const end = LINE_END.exec(source);
  const next = end ? end.index + end[0].length : source.length;
  return { line, text: source.slice(offset, end ? end.index : next), next: { offset: next, line: line + 1 } };
}

const LINE_END = /\r\n|\n|\r/g;

/** The row that begins with this line: with the lines after it that an open quote takes in, if they make a row at all. */
function withQuotedLines(source: string, first: SourceRow, delimiter: string): SourceRow {
  if (!opensQuote(first.text, delimiter) || isBalanced(first.text)) return first;
  let row = first;
  let quotes = count(first.text);
  for (let lines = 1; lines < MAX_ROW_LINES && row.next.offset < source.length; lines++) {
    const { text, next } = lineAt(source, row.next);
    row = { line: first.line, text: `${row.text}\n${text}`, next };
    quotes += count(text);
    if (quotes % 2 === 0) return cellsOf(row.text, delimiter) ? row : first;
  }
  return first;
}

/** The cells of a row: RFC 4180, with spaces around quoted cells. Undefined when its quotes are wrong. */
function cellsOf(text: string, delimiter: string): string[] | undefined {
  if (!opensQuote(text, delimiter)) return text.split(delimiter);
  const quoted = new RegExp(` *"(?<inside>[^"]*(?:""[^"]*)*)" *(?<more>${delimiter}|$)`, 'y');
  const plain = new RegExp(`(?<plain>[^"${delimiter}\\n]*)(?<more>${delimiter}|$)`, 'y');
  const cells: string[] = [];
  for (let at = 0; ; ) {
    quoted.lastIndex = plain.lastIndex = at;
    const found = quoted.exec(text) ?? plain.exec(text);
    if (!found) return undefined;
    const { inside, plain: bare = '', more } = found.groups as Record<string, string | undefined>;
    cells.push(inside?.replaceAll('""', '"') ?? bare.trim());
    if (!more) return cells;
    at += found[0].length;
  }
}

const opensQuote = (text: string, delimiter: string) =>
  text.includes('"') && text.split(delimiter).some((cell) => cell.trimStart().startsWith('"'));
const count = (text: string) => text.split('"').length - 1;
const isBalanced = (text: string) => count(text) % 2 === 0;

/** Spreadsheets write what their country uses: the commonest of the three in the header. */
function delimiterOf(source: string): string {
  const { text } = lineAt(source, START);
  const found = [',', ';', '\t'].map((delimiter) => ({ delimiter, times: text.split(delimiter).length }));
  return found.reduce((best, other) => (other.times > best.times ? other : best)).delimiter;
}

type Column =
  | { is: 'address' | 'first' | 'last' | 'full' | 'title' | 'owner' }
  | { is: 'field'; name: string; kind: string }
  | { is: 'custom'; name: string };

const KNOWN: [Column['is'] & ('address' | 'first' | 'last' | 'full' | 'owner'), RegExp][] = [
  ['address', /^(?:(?:primary|secondary|other|work|home)?e?mail(?:address)?\d*|address(?:es)?\d*|メール(?:アドレス)?\d*|電子メール)$/],
  ['first', /^(?:first(?:name)?|givenname|forename|名)$/],
  ['last', /^(?:last(?:name)?|surname|familyname|姓)$/],
  ['full', /^(?:(?:full|display)?name|氏名|名前)$/],
  ['owner', /^ownerid$/],
];
const FIRM = /^(?:company(?:name)?|account(?:name)?|organi[sz]ation|firm|会社名?)$/;

function columnOf(module: Module, name: string): Column {
  const plain = name
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[\s_-]/g, '');
  for (const [field, row] of Object.entries(moduleRow(module).fields)) {
    if (plain === field.toLowerCase() || (row.kind === 'text' && FIRM.test(plain))) return { is: 'field', name: field, kind: row.kind };
  }
  const known = KNOWN.find(([, pattern]) => pattern.test(plain))?.[0];
  if (known === 'owner') return { is: 'owner' };
  if (hasAddresses(module) && known) return { is: known };
  if (!hasAddresses(module) && (known === 'full' || plain === 'title' || plain === 'dealname')) return { is: 'title' };
  return { is: 'custom', name };
}

function bodyOf(module: Module, columns: Column[], cells: string[]): Body {
  const filled = columns.flatMap((column, i) => (cells[i]?.trim() ? [{ column, text: cells[i].trim() }] : []));
  const texts = (is: Column['is']) => filled.filter(({ column }) => column.is === is).map(({ text }) => text);
  const addresses = texts('address').flatMap((text) => text.split(/[\s;,]+/).filter((part) => part !== ''));
  const fields = filled.flatMap(({ column, text }) =>
    column.is === 'field' ? [[column.name, fieldValue(column.kind, text)] as const] : [],
  );
  const custom = filled.flatMap(({ column, text }) => (column.is === 'custom' ? [[column.name, text] as const] : []));
  const body = {
    ...(hasAddresses(module)
      ? { name: nameOf(texts('first')[0], texts('last')[0], texts('full')[0], addresses[0]), addresses }
      : { title: texts('title')[0] }),
    ...Object.fromEntries(fields),
    ownerId: texts('owner')[0],
    custom: Object.fromEntries(custom),
  };
  return { body: Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) };
}

/** A name of two columns, or of one, or the address where there is none (as R-21 has it for mail). */
function nameOf(first: string | undefined, last: string | undefined, full: string | undefined, address: string | undefined) {
  if (last) return first ? { first, last } : { last };
  if (full) return parseDisplayName(full, address ?? full);
  const only = first ?? address;
  return only ? { last: only } : undefined;
}

function fieldValue(kind: string, text: string): unknown {
  if (kind === 'choice') return text.toLowerCase();
  if (kind !== 'amount') return text;
  const plain = /^-?\d{1,3}(?:,\d{3})+(?:\.\d+)?$/.test(text) ? text.replaceAll(',', '') : text;
  return /^-?\d+(?:\.\d+)?$/.test(plain) ? Number(plain) : text;
}
