import { invalid } from '../errors.ts';
import { newSecret, type TenantId } from '../ids.ts';
import { MAX_HOSTED_NAME_CHARS } from '../limits.ts';
import { isAutomaticSender } from '../message/address.ts';

/** What stands at the address of a hosted mailbox: all the mail path needs to know of it. */
export type HostedAddress = {
  tenant: TenantId;
  member: string;
  account: string;
  /** Set when the mailbox was removed: mail that was sent here later is ignored, and nobody else is ever given the address. */
  retiredAt?: string;
};

/** Letters, digits, and single dots, dashes and underscores between them: of RFC 5321's atoms what every sender's form takes. */
const LOCAL_PART = /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/;

/** Addresses that everybody takes for those of whoever runs the domain (RFC 2142, and what certificate authorities write to). */
const RESERVED = /^(?:abuse|admin(?:istrator)?|hostmaster|noc|root|security|ssl-?admin|sys-?admin|webmaster)$/;

/** What an address begins with when nothing better is known. */
const PLAIN = 'mail';

/**
 * A new address for a mailbox: the part its owner chose, else that of their login address as far as it will do, and forty random
 * bits, so that nobody finds mailboxes by trying names. The dash keeps it apart from every dropbox address, which has none.
 * Throws `invalid-local-part`, `reserved-local-part`.
 */
export function newHostedAddress(chosen: string | undefined, login: string, mailDomain: string): string {
  const localPart = chosen === undefined ? localPartOf(login) : readLocalPart(chosen);
  return `${localPart}-${newSecret(40)}@${mailDomain}`;
}

function readLocalPart(text: string): string {
  const localPart = text.trim().toLowerCase();
  if (!isAtom(localPart)) {
    throw invalid(
      'invalid-local-part',
      `Give at most ${MAX_HOSTED_NAME_CHARS} of the letters a to z and digits, with single dots, dashes or underscores between them.`,
    );
  }
  if (isReserved(localPart)) {
    throw invalid(
      'reserved-local-part',
      'This name speaks for whoever runs the domain, or is one that only programs write from. Choose another.',
    );
  }
  return localPart;
}

function localPartOf(login: string): string {
  const localPart = login
    .slice(0, login.lastIndexOf('@'))
    .replace(/\+.*$/, '')
    .replace(/[^a-z0-9]+/g, '.')
    .slice(0, MAX_HOSTED_NAME_CHARS)
    .replace(/^\.+|\.+$/g, '');
  return isAtom(localPart) && !isReserved(localPart) ? localPart : PLAIN;
}

const isAtom = (localPart: string) => localPart.length <= MAX_HOSTED_NAME_CHARS && LOCAL_PART.test(localPart);

/** An address like a program's would never be tied to anything, nor answered. */
const isReserved = (localPart: string) => RESERVED.test(localPart) || isAutomaticSender(`${localPart}-0@example.com`);
