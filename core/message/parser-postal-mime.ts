import PostalMime from 'postal-mime';
import { MAX_MIME_DEPTH } from '../limits.ts';
import type { ParsedBody, ParsedLeaf } from './parsed-body.ts';

/** Parses with postal-mime, the second opinion: text and HTML joined, then the attachments with their contents. */
export async function parseWithPostalMime(bytes: Uint8Array): Promise<ParsedBody> {
  const parser = new PostalMime({ forceRfc822Attachments: true, attachmentEncoding: 'arraybuffer', maxNestingDepth: MAX_MIME_DEPTH + 5 });
  const mail = await parser.parse(bytes);
  const leaves: ParsedLeaf[] = [];
  if (mail.text) leaves.push({ kind: 'text', text: mail.text });
  if (mail.html) leaves.push({ kind: 'html', text: mail.html });
  for (const { mimeType, filename, contentId, content } of mail.attachments) {
    const data = typeof content === 'string' ? Buffer.from(content) : new Uint8Array(content as ArrayBuffer);
    leaves.push({ kind: 'attachment', type: mimeType, size: data.length, filename: filename ?? undefined, contentId, content: data });
  }
  return { leaves, parser: 'postal-mime' };
}
