/**
 * What of the header is not a reader's to know. One message is stored for all who hold it, so its bytes may be another's:
 * those of the sender's mailbox, with the BCC that RFC 5322 3.6.3 keeps from everybody else; or of a colleague's whose holding it
 * the reader must not learn of, with the lines that name whom it was delivered to. Undefined when all of it may be shown.
 */
export function hiddenFields({ isSender, isTheirs }: { isSender: boolean; isTheirs: boolean }): RegExp | undefined {
  const hidden = [...(isSender ? [] : BLIND), ...(isTheirs ? [] : TRACE)];
  return hidden.length > 0 ? new RegExp(`^(?:${hidden.join('|')})$`, 'i') : undefined;
}

const BLIND = ['(?:resent-)?bcc'];
const TRACE = [
  '(?:x-)?received',
  'return-path',
  '(?:x-)?delivered-to',
  'x-original-to',
  '(?:x-)?envelope-to',
  'x-forwarded-\\w+',
  'arc-.+',
];

/** The raw source without these fields, their folded lines included: the very same bytes when it has none of them. */
export function withoutFields(raw: Buffer, hidden: RegExp): Buffer {
  const head = raw.subarray(0, endOfHeader(raw));
  // One byte a character, so that nothing is lost both ways.
  const text = head.toString('latin1');
  // A carriage return alone ends a line for some readers and not for others: what is folded behind one goes as well.
  const shown = text.replace(/^([\w-]+)[ \t]*:.*(?:(?:\r+\n?|\n)[ \t].*)*(?:\r+\n?|\n|$)/gm, (field, name: string) =>
    hidden.test(name) ? '' : field,
  );
  return shown.length === text.length ? raw : Buffer.concat([Buffer.from(shown, 'latin1'), raw.subarray(head.length)]);
}

/** Behind the line feed of the header's last line. */
function endOfHeader(raw: Buffer): number {
  for (let at = raw.indexOf(LF); at !== -1; at = raw.indexOf(LF, at + 1)) {
    const next = raw[at + 1] === CR ? raw[at + 2] : raw[at + 1];
    if (next === LF) return at + 1;
  }
  return raw.length;
}

/** Dropbox addresses in the source, in lower case, each once. */
export function dropboxAddressesIn(raw: Buffer, mailDomain: string): string[] {
  const found = placesOf(raw, mailDomain).map((at) => raw.toString('latin1', at, at + SECRET + 1 + mailDomain.length).toLowerCase());
  return [...new Set(found)];
}

/**
 * The source with dropbox addresses made unreadable but for those that are kept; the very same bytes when there are none. They are
 * secrets: whoever knows one can write into its owner's records. The length stays as it was.
 */
export function blottedSource(raw: Buffer, mailDomain: string, kept: ReadonlySet<string> = new Set()): Buffer {
  const places = placesOf(raw, mailDomain).filter(
    (at) => !kept.has(raw.toString('latin1', at, at + SECRET + 1 + mailDomain.length).toLowerCase()),
  );
  if (places.length === 0) return raw;
  const blotted = Buffer.from(raw);
  for (const at of places) blotted.fill('x', at, at + SECRET);
  return blotted;
}

/** The same of a decoded text. */
export function blotted(text: string, mailDomain: string): string {
  return text.replace(dropboxAddresses(mailDomain), (address) => 'x'.repeat(SECRET) + address.slice(SECRET));
}

/** Others of the same domain are mailboxes, and no secret. */
export const isDropboxAddress = (address: string, mailDomain: string): boolean =>
  dropboxAddresses(mailDomain).exec(address)?.[0] === address;

/** Characters of a dropbox address before its @: 128 bits in base32. */
const SECRET = 26;
const dropboxAddresses = (mailDomain: string) => new RegExp(`[0-9a-z]{${SECRET}}@${mailDomain.replaceAll('.', '\\.')}`, 'gi');

/** From one @ to the next: there is none in base64, so megabytes of attachments cost next to nothing. */
function placesOf(raw: Buffer, mailDomain: string): number[] {
  const places: number[] = [];
  const domain = Buffer.from(mailDomain.toLowerCase());
  for (let at = raw.indexOf(AT_SIGN); at !== -1; at = raw.indexOf(AT_SIGN, at + 1)) {
    const begin = at - SECRET;
    if (begin < 0 || !domain.every((byte, i) => lower(raw[at + 1 + i] ?? 0) === byte)) continue;
    if (/^[0-9a-z]+$/i.test(raw.toString('latin1', begin, at))) places.push(begin);
  }
  return places;
}

const lower = (byte: number) => (byte >= 65 && byte <= 90 ? byte + 32 : byte);
const [LF, CR, AT_SIGN] = [10, 13, 64];
