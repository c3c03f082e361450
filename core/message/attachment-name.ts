const MAX_NAME_CHARS = 200;

const EXTENSIONS: Record<string, string> = {
  'message/rfc822': '.eml',
  'message/delivery-status': '.txt',
  'text/plain': '.txt',
  'text/html': '.html',
  'text/csv': '.csv',
  'text/calendar': '.ics',
  'text/vcard': '.vcf',
  'application/pdf': '.pdf',
  'application/zip': '.zip',
  'image/png': '.png',
  'image/jpeg': '.jpg',
  'image/gif': '.gif',
};

/**
 * A name fit to be saved under: without folders (../../x, C:\x), control characters, or characters that turn the
 * reading direction (exe.gpj shown as jpg.exe). A part without a name is called after its place.
 */
export function attachmentName(name: string | undefined, contentType: string, index: number): string {
  const last = (name ?? '').split(/[/\\]/).at(-1)!;
  const clean = last
    .normalize('NFC')
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, '')
    .replace(/^[\s.]+|\s+$/g, '');
  if (clean === '') return `attachment-${index + 1}${EXTENSIONS[contentType] ?? ''}`;
  const chars = Array.from(clean);
  if (chars.length <= MAX_NAME_CHARS) return clean;
  const extension = /\.[A-Za-z0-9]{1,10}$/.exec(clean)?.[0] ?? '';
  return chars.slice(0, MAX_NAME_CHARS - extension.length).join('') + extension;
}
