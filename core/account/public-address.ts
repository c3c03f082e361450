import ipaddr from 'ipaddr.js';
import { normaliseDomain } from '../message/address.ts';

/** A server as a user names it, in its one spelling: a domain name in ASCII, or an IP address. */
export type Host = { name: string; isAddress: boolean };

/** Names that belong to the inside of some network, whatever DNS says of them (RFC 6761, 6762, 7686, 8375, 9476; ICANN's .internal). */
const INSIDE = /(?:^|\.)(?:localhost|localdomain|local|internal|intranet|private|corp|home|lan|arpa|test|example|invalid|onion|alt)$/;

/**
 * The host a user typed. Undefined for everything that is neither a domain name with a dot nor an IP address in its canonical
 * spelling: the decimal, octal, hexadecimal and shortened IPv4 spellings that system resolvers take for addresses, URLs, user
 * information, brackets, zones, escapes, and names of the inside.
 */
export function readHost(text: string): Host | undefined {
  const trimmed = text.trim();
  if (parse(trimmed)) return { name: trimmed.toLowerCase(), isAddress: true };
  const name = normaliseDomain(trimmed);
  if (!name?.includes('.') || INSIDE.test(name)) return undefined;
  return { name, isAddress: false };
}

/** Of IPv6 only this block is given out; everything beside it is nobody's, or some network's own (RFC 4291 2.4). */
const GIVEN_OUT = ipaddr.IPv6.parseCIDR('2000::/3');

/**
 * True for an address of the public internet. ipaddr.js names the blocks that are not: private, shared, link-local, loopback,
 * documentation, multicast, and those that carry somebody's IPv4 address in IPv6 (mapped, NAT64, 6to4, Teredo).
 */
export function isPublicAddress(address: string): boolean {
  const parsed = parse(address);
  if (parsed?.range() !== 'unicast') return false;
  return parsed instanceof ipaddr.IPv4 || parsed.match(GIVEN_OUT);
}

/** True for an address of this machine alone. */
export const isLoopback = (address: string): boolean => parse(address)?.range() === 'loopback';

/** An address in the one spelling of its kind: ipaddr.js would read 0177.1 too, and a zone such as %eth0. */
function parse(address: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(address)) return ipaddr.IPv4.parse(address);
  return !address.includes('%') && ipaddr.IPv6.isValid(address) ? ipaddr.IPv6.parse(address) : undefined;
}
