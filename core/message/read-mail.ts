import { attachmentName } from './attachment-name.ts';
import { decodeText } from './charset.ts';
import { readHeaders } from './mail-headers.ts';
import { htmlToText, textToHtml } from './mail-text.ts';
import { fieldValue, type Scan, type ScannedPart, scanMail, type TooBig } from './mime-scan.ts';
import type { ParsedBody, ParsedLeaf } from './parsed-body.ts';
import type { Attachment, ParsedMail } from './parsed-mail.ts';
import { parseWithMailparser } from './parser-mailparser.ts';
import { parseWithPostalMime } from './parser-postal-mime.ts';

export type ReadMail = { mail: ParsedMail; content?: Uint8Array };

type Leaf = { read: ParsedLeaf; part?: ScannedPart };

/**
 * Reads a mail with the parser asked for, in this thread. With `keep`, also the content of the attachment of that index.
 * Limits are checked before a parser sees a byte. When mailparser fails, or returns fewer parts than the mail has,
 * postal-mime is asked and the fuller answer taken: a lost attachment is worse than a slow mail.
 */
export async function readMail(raw: Uint8Array, parser: ParsedMail['parser'], keep?: number): Promise<ReadMail | TooBig> {
  const scan = scanMail(raw);
  if ('tooBig' in scan) return scan;
  const body = parser === 'mailparser' ? await firstOpinion(scan, keep) : await parseWithPostalMime(scan.repaired);
  const leaves = matchLeaves(scan, body);
  const attached = leaves.filter((leaf) => leaf.read.kind === 'attachment');
  const content = keep === undefined ? undefined : contentOf(attached[keep]);
  return { mail: { ...readHeaders(scan.parts[0]!.fields), ...describeBody(raw, scan, leaves, attached), parser: body.parser }, content };
}

async function firstOpinion(scan: Scan, keep: number | undefined): Promise<ParsedBody> {
  const expected = leafParts(scan).length;
  const first = await parseWithMailparser(scan.repaired, keep).catch(() => undefined);
  if (first && expected > 0 && first.leaves.length >= expected) return first;
  const second = await parseWithPostalMime(scan.repaired).catch(() => undefined);
  if (!first && !second) throw new Error('both parsers failed');
  if (!first || (second && second.leaves.length > first.leaves.length)) return second!;
  return first;
}

function leafParts(scan: Scan): ScannedPart[] {
  return scan.parts.filter((part) => !part.multipart);
}

/** mailparser's leaves are the scan's, one by one; postal-mime's attachments are known by what it says of them. */
function matchLeaves(scan: Scan, body: ParsedBody): Leaf[] {
  const parts = leafParts(scan);
  if (body.parser === 'mailparser' && body.leaves.length === parts.length) return body.leaves.map((read, i) => ({ read, part: parts[i]! }));
  return body.leaves.map((read) => ({ read }));
}

function describeBody(raw: Uint8Array, scan: Scan, leaves: Leaf[], attached: Leaf[]): Pick<ParsedMail, 'text' | 'html' | 'attachments'> {
  const html = joinHtml(leaves);
  const shown = idsShown(html ?? '');
  return {
    text: joinText(leaves) || bareBody(raw, scan, leaves),
    html,
    attachments: attached.map((leaf, index) => describe(leaf, index, shown)),
  };
}

/** All plain texts, and the text of HTML that has no plain form beside it. */
function joinText(leaves: Leaf[]): string {
  const texts = leaves.map((leaf) => {
    if (leaf.read.kind === 'text') return leaf.read.text.trimEnd();
    if (leaf.read.kind === 'html' && !hasOtherForm(leaf, leaves, 'text')) return htmlToText(leaf.read.text);
    return '';
  });
  return texts
    .filter((text) => text.trim() !== '')
    .join('\n\n')
    .replaceAll('\0', '');
}

/** All HTML, with plain texts between that have no HTML form; undefined when nothing is HTML. */
function joinHtml(leaves: Leaf[]): string | undefined {
  if (!leaves.some(({ read }) => read.kind === 'html' && read.text.trim() !== '')) return undefined;
  const pieces = leaves.map((leaf) => {
    if (leaf.read.kind === 'html') return leaf.read.text;
    return leaf.read.kind === 'text' && !isBlank(leaf.read.text) && !hasOtherForm(leaf, leaves, 'html') ? textToHtml(leaf.read.text) : '';
  });
  return pieces.filter((piece) => piece !== '').join('<br>\n');
}

/** Whether the same text is there in the other form: beside it in a multipart/alternative, or anywhere if the structure is unknown. */
function hasOtherForm(leaf: Leaf, leaves: Leaf[], kind: 'text' | 'html'): boolean {
  return leaves.some((other) => {
    if (other.read.kind !== kind || isBlank(other.read.text)) return false;
    return !leaf.part || !other.part || (leaf.part.alternative !== undefined && leaf.part.alternative === other.part.alternative);
  });
}

const isBlank = (text: string) => text.trim() === '';

/** A multipart without parts (its boundary missing or never used) still has what it was sent with. */
function bareBody(raw: Uint8Array, scan: Scan, leaves: Leaf[]): string {
  if (leaves.length > 0 || scan.parts.length !== 1) return '';
  return decodeText(raw.subarray(scan.parts[0]!.bodyStart)).replaceAll('\0', '').trim();
}

function describe({ read, part }: Leaf, index: number, shown: ReadonlySet<string>): Attachment {
  if (read.kind !== 'attachment') throw new TypeError('not an attachment');
  const contentType = /^[\w.+-]{1,100}\/[\w.+-]{1,100}$/.test(read.type) ? read.type.toLowerCase() : 'application/octet-stream';
  const contentId =
    (part ? fieldValue(part.fields, 'content-id') : read.contentId)?.trim().replace(/^<|>$/g, '').slice(0, 500) || undefined;
  return {
    index,
    filename: attachmentName(part ? part.filename : read.filename, contentType, index),
    contentType,
    size: read.size,
    contentId,
    inline: contentId !== undefined && part?.disposition !== 'attachment' && shown.has(contentId),
  };
}

function contentOf(leaf: Leaf | undefined): Uint8Array | undefined {
  return leaf?.read.kind === 'attachment' ? leaf.read.content : undefined;
}

/** Content-IDs an HTML body shows by cid:. */
function idsShown(html: string): Set<string> {
  return new Set([...html.matchAll(/\bcid:([^"'\s<>()]{1,500})/gi)].map((match) => decodeUri(match[1]!)));
}

function decodeUri(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
