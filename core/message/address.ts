import { domainToASCII } from 'node:url';

/** RFC 5321 4.5.3.1.3: a path of 256 octets, less its angle brackets. */
const MAX_ADDRESS_CHARS = 254;

// Invisible characters make two addresses look alike; `#` separates the parts of keys; the rest are RFC 5322 specials.
const NOT_IN_LOCAL_PART = /[\p{Cc}\p{Cf}\p{Cs}\p{Z}#<>()[\]\\,;:"@]/u;
// domainToASCII is the URL host parser: it cuts at # and /, drops tabs, and decodes %41 to "a".
const NOT_IN_DOMAIN = /[\p{Cc}\p{Cf}\p{Cs}\p{Z}%#/?\\:@[\]<>^|]/u;
const DOMAIN = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/**
 * The one spelling of a mail address that keys, matching and comparisons use: trimmed, lower case whole, domain in
 * ASCII (punycode), no dot at its end. Plus-tags stay: two tags may be two people.
 * Returns undefined for what is no address, and for the legal but unused spellings that would break keys (`#`) or hide
 * a second address (quoted specials). Idempotent.
 */
export function normaliseAddress(text: string): string | undefined {
  if (text.length > 4 * MAX_ADDRESS_CHARS) return undefined;
  const trimmed = text.trim();
  const at = trimmed.lastIndexOf('@');
  if (at < 1) return undefined;
  const local = normaliseLocalPart(trimmed.slice(0, at));
  const domain = normaliseDomain(trimmed.slice(at + 1));
  if (local === undefined || domain === undefined) return undefined;
  const address = `${local}@${domain}`;
  return address.length <= MAX_ADDRESS_CHARS ? address : undefined;
}

/**
 * A domain in lower-case ASCII without a dot at its end; undefined when it is none. IP addresses are none: nobody's
 * customer writes from one.
 */
export function normaliseDomain(text: string): string | undefined {
  const trimmed = text.trim().replace(/\.$/, '');
  if (trimmed.length > MAX_ADDRESS_CHARS || NOT_IN_DOMAIN.test(trimmed)) return undefined;
  const domain = /^[a-z0-9._-]+$/.test(trimmed) && !trimmed.includes('xn--') ? trimmed : domainToASCII(trimmed);
  if (!DOMAIN.test(domain) || /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/.test(domain)) return undefined;
  return domain;
}

/** True for a normalised address that SES sends to: it speaks no SMTPUTF8 (RFC 6531), so what is before the @ must be ASCII. */
export const isMailable = (address: string): boolean => /^[\x21-\x7e]+$/.test(address);

/** A normalised address as it is written in an envelope: quoted where dots stand as RFC 5321 does not know them (a..b@). */
export function quotedAddress(address: string): string {
  const at = address.lastIndexOf('@');
  const local = address.slice(0, at);
  return /^[^.]+(\.[^.]+)*$/.test(local) ? address : `"${local}"${address.slice(at)}`;
}

/** The domain of a normalised address. */
export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1);
}

const START = '^(?:.*[-._+])?';
const END = '(?:[-._+=\\d].*)?$';
const AUTOMATIC_SENDERS = [
  /^(?:.*[-._+])?(?:no[-._]?repl(?:y|ies)|(?:do|dont|donot|never)[-._]?(?:not[-._]?)?reply|nichtantworten|nepasrepondre)/,
  new RegExp(`${START}(?:mailer[-._]?daemon|mail[-._]?daemon|postmaster|auto[-._]?(?:reply|responder|respond|mailer))${END}`),
  new RegExp(`${START}bounces?${END}`),
  // VERP, BATV, SRS: the recipient's address is coded in the sender's, as in news-taro=example.com@list.example.
  /[^=]=[a-z0-9-]+(?:\.[a-z0-9-]+)+$/,
  /^(?:prvs|msprvs\d|btv\d|srs[01])[-+=]/,
];

/** True for a normalised address that only programs write from: never made a record, never answered. */
export function isAutomaticSender(address: string): boolean {
  const local = address.slice(0, address.lastIndexOf('@'));
  return AUTOMATIC_SENDERS.some((pattern) => pattern.test(local));
}

function normaliseLocalPart(text: string): string | undefined {
  // Mobile carriers in Japan gave out a..b@ and a.@, which must be quoted on the wire: quotes are dropped, dots stay.
  const bare = /^"[^"\\]*"$/.test(text) ? text.slice(1, -1) : text;
  const local = bare.normalize('NFC').toLowerCase().normalize('NFC');
  if (local === '' || local.includes('"') || NOT_IN_LOCAL_PART.test(local)) return undefined;
  return local;
}
