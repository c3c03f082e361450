import { Transform, type TransformCallback } from 'node:stream';
import { MailParser } from 'mailparser';
import { MAX_MIME_PARTS } from '../limits.ts';
import { decodeText } from './charset.ts';
import type { ParsedBody, ParsedLeaf } from './parsed-body.ts';

/** What mailparser (pinned exactly) keeps inside, as far as we go by it; a test notices when a new version differs. */
type SplitNode = { getDecoder(): Transform; headers: { getFirst(name: string): string }; charset: string | false };
type ParserNode = {
  contentType: string | false;
  charset?: string;
  encoding?: string;
  isAttachment?: boolean;
  textContent?: string;
  children: ParserNode[];
};
type Internals = { createNode(node: SplitNode): ParserNode };

/**
 * mailparser, with three of its steps replaced: header fields are not read (ours are, once), quoted-printable is
 * decoded in linear time, and every text goes through our charset table, those without a charset too.
 */
class Parser extends MailParser {
  declare tree: ParserNode | false;

  constructor() {
    super({
      keepCidLinks: true,
      skipImageLinks: true,
      skipTextToHtml: true,
      skipTextLinks: true,
      skipHtmlToText: true,
      keepDeliveryStatus: true,
      ignoreEmbedded: true,
      maxChildNodes: MAX_MIME_PARTS + 10,
    } as ConstructorParameters<typeof MailParser>[0]);
  }

  processHeaders(): Map<string, unknown> {
    return new Map();
  }

  getDecoder() {
    return { decodeStream: (charset: string) => new Collected((bytes) => Buffer.from(decodeText(bytes, charset.slice(1)))) };
  }

  createNode(node: SplitNode): ParserNode {
    const decoder = node.getDecoder.bind(node);
    node.getDecoder = () => (isQuotedPrintable(node) ? new Collected(decodeQuotedPrintable) : decoder());
    const made = (MailParser.prototype as unknown as Internals).createNode.call(this, node);
    // The mark keeps mailparser from taking the charset for one it need not decode.
    made.charset = `x${node.charset || ''}`;
    return made;
  }
}

const isQuotedPrintable = (node: SplitNode & { encoding?: string }) => node.encoding === 'quoted-printable';

/** A stream that turns all it got into its output at the end. */
class Collected extends Transform {
  private readonly chunks: Buffer[] = [];
  private readonly convert: (bytes: Buffer) => Buffer;

  constructor(convert: (bytes: Buffer) => Buffer) {
    super();
    this.convert = convert;
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.chunks.push(chunk);
    done();
  }

  override _flush(done: TransformCallback): void {
    done(null, this.convert(this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks)));
  }
}

/**
 * RFC 2045 6.7 in one pass. mailparser's own decoder takes minutes for 128 KB of spaces: its pattern for white space at
 * the end of a line is quadratic.
 */
export function decodeQuotedPrintable(bytes: Buffer): Buffer {
  const out = Buffer.allocUnsafe(bytes.length);
  let length = 0;
  let pos = 0;
  while (pos < bytes.length) {
    const lf = bytes.indexOf(0x0a, pos);
    const next = lf === -1 ? bytes.length : lf + 1;
    let end = lf === -1 ? bytes.length : lf;
    const cr = end > pos && bytes[end - 1] === 0x0d;
    if (cr) end--;
    while (end > pos && (bytes[end - 1] === 0x20 || bytes[end - 1] === 0x09)) end--;
    const soft = end > pos && bytes[end - 1] === 0x3d;
    if (soft) end--;
    while (pos < end) {
      const byte = bytes[pos]!;
      const high = byte === 0x3d && pos + 2 < end ? hexDigit(bytes[pos + 1]!) : -1;
      const low = high >= 0 ? hexDigit(bytes[pos + 2]!) : -1;
      out[length++] = low >= 0 ? high * 16 + low : byte;
      pos += low >= 0 ? 3 : 1;
    }
    if (!soft && lf !== -1) {
      if (cr) out[length++] = 0x0d;
      out[length++] = 0x0a;
    }
    pos = next;
  }
  return out.subarray(0, length);
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

type AttachmentEvent = { type: 'attachment'; contentType: string; content: NodeJS.ReadableStream; release(): void };

/**
 * Parses with mailparser. The leaves come in the order they have in the mail; content of attachments is kept only for
 * the one that `keep` names (position among the attachments), the others are counted.
 */
export function parseWithMailparser(bytes: Buffer, keep = -1): Promise<ParsedBody> {
  return new Promise((resolve, reject) => {
    const parser = new Parser();
    const attachments: { contentType: string; size: number; content?: Uint8Array }[] = [];
    parser.on('data', (event: AttachmentEvent | { type: 'text' }) => {
      if (event.type !== 'attachment') return;
      const attachment: { contentType: string; size: number; content?: Uint8Array } = { contentType: event.contentType, size: 0 };
      const chunks: Buffer[] | undefined = attachments.push(attachment) - 1 === keep ? [] : undefined;
      event.content.on('data', (chunk: Buffer) => {
        attachment.size += chunk.length;
        chunks?.push(chunk);
      });
      event.content.on('end', () => {
        if (chunks) attachment.content = Buffer.concat(chunks);
        event.release();
      });
    });
    parser.on('error', reject);
    parser.on('end', () => resolve({ leaves: parser.tree ? leavesOf(parser.tree, attachments) : [], parser: 'mailparser' }));
    parser.end(bytes);
  });
}

function leavesOf(tree: ParserNode, attachments: { contentType: string; size: number; content?: Uint8Array }[]): ParsedLeaf[] {
  const leaves: ParsedLeaf[] = [];
  const pending = [...attachments];
  const walk = (node: ParserNode) => {
    if (/^multipart\//i.test(node.contentType || '')) for (const child of node.children) walk(child);
    else if (node.isAttachment) {
      const attachment = pending.shift();
      leaves.push({
        kind: 'attachment',
        type: attachment?.contentType ?? 'application/octet-stream',
        size: attachment?.size ?? 0,
        content: attachment?.content,
      });
    } else leaves.push({ kind: node.contentType === 'text/html' ? 'html' : 'text', text: node.textContent ?? '' });
  };
  walk(tree);
  return leaves;
}
