import addressparser from 'nodemailer/lib/addressparser';
import { normaliseAddress, normaliseDomain } from './address.ts';
import { decodeWords, rawText } from './encoded-words.ts';
import { parseMailDate } from './mail-date.ts';
import { fieldValue, type RawField } from './mime-scan.ts';
import type { MailAddress, ParsedMail } from './parsed-mail.ts';

/** What a mail's own header says: all of ParsedMail but the body. */
export type MailHeaders = Omit<ParsedMail, 'text' | 'html' | 'attachments' | 'parser'>;

const MAX_REFERENCES = 100;
const MAX_ADDRESSES = 1000;
/** With a thousand of the longest addresses they fit the 400 KB of an item: a character of a domain may become twenty in ASCII. */
const MAX_OTHERS_BYTES = 100 * 1024;
const MAX_HEADERS_SHOWN = 200;
const MAX_HEADER_CHARS = 2000;
/** RFC 5322 2.1.1: a line has 998 characters, and an id stands on one. */
const MAX_ID_CHARS = 998;

/** Reads the header fields of a mail. Never throws; what cannot be read is empty or undefined, never guessed. */
export function readHeaders(fields: readonly RawField[]): MailHeaders {
  const dateHeader = fieldValue(fields, 'date');
  const date = dateHeader === undefined ? undefined : parseMailDate(rawText(dateHeader));
  const [from, to, cc] = [sendersOf(fields), addressesOf(fields, 'to'), addressesOf(fields, 'cc')];
  return {
    messageId: messageIdOf(fieldValue(fields, 'message-id')),
    references: referencesOf(fields),
    subject: decoded(fieldValue(fields, 'subject') ?? ''),
    date: date?.toISOString(),
    dateHeader: dateHeader === undefined ? undefined : rawText(dateHeader).slice(0, MAX_HEADER_CHARS),
    from,
    sender: addressesOf(fields, 'sender')[0],
    to,
    cc,
    others: othersOf(fields, from, [...to, ...cc]),
    bcc: addressesOf(fields, 'bcc'),
    replyTo: addressesOf(fields, 'reply-to'),
    automatic: automaticBy(fields),
    dkimDomains: dkimDomainsOf(fields),
    ownMark: fieldValue(fields, 'x-crm-mail-addon'),
    headers: fields.slice(0, MAX_HEADERS_SHOWN).map(({ name, value }) => [name, decoded(value).slice(0, MAX_HEADER_CHARS)]),
  };
}

/**
 * The addresses of an address header's raw value. Its structure is read before encoded words are decoded, so that no
 * name can turn into an address (RFC 2047 5 (3)); raw 8-bit and ISO-2022-JP text is decoded before, because its bytes
 * look like brackets and quotes.
 */
export function parseAddresses(value: string): MailAddress[] {
  const text = rawText(value);
  if (!text.includes('@')) return [];
  const addresses: MailAddress[] = [];
  for (const entry of addressparser(text, { flatten: true }).slice(0, MAX_ADDRESSES)) {
    const address = normaliseAddress(entry.address ?? '');
    if (address !== undefined && !/=\?.*\?=/.test(address)) addresses.push({ address, name: displayName(entry.name) });
  }
  return addresses;
}

function addressesOf(fields: readonly RawField[], name: string): MailAddress[] {
  const values = fields.filter((field) => field.name.toLowerCase() === name).slice(0, 50);
  return values.flatMap((field) => parseAddresses(field.value)).slice(0, MAX_ADDRESSES);
}

/**
 * Every address that some reader might take for the sender's: of all From fields, and of `<a@x> <b@y>` both. Whoever
 * checked the signature may have read the other one, so the gate must see that there are two.
 */
function sendersOf(fields: readonly RawField[]): MailAddress[] {
  const senders = addressesOf(fields, 'from');
  for (const field of fields) {
    if (field.name.toLowerCase() !== 'from') continue;
    for (const candidate of addressesOutsideQuotes(rawText(field.value))) {
      const address = normaliseAddress(candidate);
      if (address !== undefined && !senders.some((sender) => sender.address === address)) senders.push({ address, name: '' });
    }
  }
  return senders.slice(0, MAX_ADDRESSES);
}

/** Whom the header names beyond the addresses it was read as; undefined when there is nobody, as in nearly every mail. */
function othersOf(fields: readonly RawField[], senders: MailAddress[], recipients: MailAddress[]): MailHeaders['others'] {
  const others = { from: namedBeside(fields, /^from$/i, senders), recipients: namedBeside(fields, /^(?:to|cc)$/i, recipients) };
  return others.from.length + others.recipients.length > 0 ? others : undefined;
}

function namedBeside(fields: readonly RawField[], name: RegExp, listed: MailAddress[]): string[] {
  const known = new Set(listed.map(({ address }) => address));
  const texts = fields.filter((field) => name.test(field.name)).map(({ value }) => rawText(value));
  const named = texts
    .filter((text) => text.includes('@'))
    .flatMap((text) => [...addressparser(text, { flatten: true }).map(({ address }) => address), ...addressesOutsideQuotes(text)]);
  let bytes = 0;
  return [...new Set(named.flatMap((one) => addressOrDomain(one) ?? []))].filter((one) => {
    if (known.has(one)) return false;
    bytes += Buffer.byteLength(one);
    return bytes <= MAX_OTHERS_BYTES;
  });
}

/** What is no address to us (`sales#jp@example.com`, `"a b"@example.com`) may be one to a server: `@` and its domain. */
function addressOrDomain(text: string): string | undefined {
  const address = normaliseAddress(text);
  if (address !== undefined) return address;
  const domain = text.includes('@') ? normaliseDomain(text.slice(text.lastIndexOf('@') + 1)) : undefined;
  return domain && `@${domain}`;
}

function addressesOutsideQuotes(value: string): string[] {
  const bare = withoutQuotesAndComments(value);
  if (bare.includes('<'))
    return [...bare.matchAll(/<([^<>]{1,320})>/g)].map((match) => match[1]!).filter((text) => /^[^:\s]+@[^:\s]+$/.test(text));
  return bare.split(/[\s,;:]+/).filter((word) => word.includes('@'));
}

function withoutQuotesAndComments(value: string): string {
  let bare = '';
  let quoted = false;
  let depth = 0;
  for (let i = 0; i < value.length; i++) {
    const char = value[i]!;
    if (char === '\\') i++;
    else if (char === '"' && depth === 0) quoted = !quoted;
    else if (quoted) continue;
    else if (char === '(') depth++;
    else if (char === ')') depth = Math.max(0, depth - 1);
    else if (depth === 0) bare += char;
  }
  return bare;
}

/** Control and direction characters could make a name look like another one, or like another header. */
function displayName(name: string): string {
  return decodeWords(name)
    .replace(/[\p{Cc}\u202A-\u202E\u2066-\u2069]+/gu, ' ')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 500)
    .toWellFormed();
}

function decoded(value: string): string {
  return decodeWords(rawText(value))
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim()
    .toWellFormed();
}

function messageIdOf(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const id = rawText(/<([^<>]*)>/.exec(value)?.[1] ?? value.replace(/[<>]/g, '')).trim();
  return id === '' ? undefined : id.slice(0, MAX_ID_CHARS);
}

function referencesOf(fields: readonly RawField[]): string[] {
  const replyTo = fieldValue(fields, 'in-reply-to') ?? fieldValue(fields, 'x-ms-exchange-parent-message-id') ?? '';
  const ids = new Set([...idsIn(fieldValue(fields, 'references') ?? ''), ...idsIn(replyTo)]);
  const all = [...ids];
  // The first names the thread and the last ones the place in it.
  return all.length <= MAX_REFERENCES ? all : [all[0]!, ...all.slice(1 - MAX_REFERENCES)];
}

function idsIn(value: string): string[] {
  const text = rawText(value);
  const bracketed = [...text.matchAll(/<([^<>\s]{1,998})>/g)].map((match) => match[1]!);
  return bracketed.length > 0
    ? bracketed
    : text.split(/[\s,<>]+/).filter((word) => /^[^"@]+@[^"@]+$/.test(word) && word.length <= MAX_ID_CHARS);
}

/**
 * Why a mail counts as automatic. X-Auto-Response-Suppress counts only when it asks for no answer at all (All,
 * AutoReply): that is what programs set on what they send; OOF, DR, RN and NRN alone also stand on people's mail.
 */
function automaticBy(fields: readonly RawField[]): ParsedMail['automatic'] {
  const token = (name: string) =>
    fieldValue(fields, name)
      ?.toLowerCase()
      .replace(/[;(].*$/, '')
      .trim();
  const autoSubmitted = token('auto-submitted');
  if (autoSubmitted && autoSubmitted !== 'no') return 'auto-submitted';
  if (/^<\s*>$/.test(fieldValue(fields, 'return-path') ?? '')) return 'null-return-path';
  if (/^(?:bulk|list|junk|auto_reply)$/.test(token('precedence') ?? '')) return 'precedence';
  if (['list-id', 'list-unsubscribe', 'list-post'].some((name) => fieldValue(fields, name))) return 'list';
  if (/\b(?:all|autoreply)\b/i.test(fieldValue(fields, 'x-auto-response-suppress') ?? '')) return 'auto-response-suppress';
  return undefined;
}

function dkimDomainsOf(fields: readonly RawField[]): string[] {
  const signatures = fields.filter((field) => field.name.toLowerCase() === 'dkim-signature').slice(0, 20);
  const domains = signatures.map((field) => /(?:^|;)\s*d\s*=\s*([^;\s]{1,253})/.exec(field.value)?.[1]?.toLowerCase());
  return [...new Set(domains.filter((domain) => domain !== undefined))];
}
