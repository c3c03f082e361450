import { Resolver } from 'node:dns/promises';
import { isLoopback, isPublicAddress, readHost } from './public-address.ts';

/** The ports mail servers are reached at; a scanner of other ports we are not. */
export const INCOMING_PORTS = [995, 110] as const;
export const OUTGOING_PORTS = [465, 587] as const;

/**
 * Which servers may be connected to beside public ones. Only the host on a developer's machine ever sets `local`: then this
 * machine's own servers are allowed, at any port, and `ca` (PEM) is trusted beside the usual authorities.
 */
export type Reach = { local: boolean; ca?: string };

export const PUBLIC_ONLY: Reach = { local: false };

/** A server that may be connected to: at `address`, which was checked; `name` is whose certificate it must show. */
export type CheckedServer = { name: string; address: string; port: number; ca?: string };

/** All addresses of a name. Rejects when it has none. */
export type Lookup = (name: string) => Promise<string[]>;

/**
 * Resolves a server that a user named, once, and gives the address to connect to; undefined when there is none that may be.
 * Who connects takes `address` and never asks DNS again: a name that answers differently the second time (DNS rebinding) is
 * asked no second time. Why it is undefined is nobody's business: a refusal told apart from a name that does not exist would
 * let a user map our network by asking.
 */
export async function resolveServer(
  { host, port }: { host: string; port: number },
  ports: readonly number[],
  reach: Reach,
  lookup: Lookup = lookUp,
): Promise<CheckedServer | undefined> {
  const own = reach.local ? ownServer(host, port, reach.ca) : undefined;
  if (own) return own;
  const named = readHost(host);
  if (!named || !ports.includes(port)) return undefined;
  const addresses = named.isAddress ? [named.name] : await lookup(named.name).catch(() => []);
  const address = addresses.find(isPublicAddress);
  return address === undefined ? undefined : { name: named.name, address, port, ...(reach.ca ? { ca: reach.ca } : {}) };
}

/** A server on this machine, where that is allowed. Without DNS: no name but `localhost` leads here. */
function ownServer(host: string, port: number, ca: string | undefined): CheckedServer | undefined {
  const name = host.trim().toLowerCase();
  const address = name === 'localhost' ? '127.0.0.1' : name;
  if (!isLoopback(address) || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  return { name, address, port, ...(ca ? { ca } : {}) };
}

/** A first question and one more for a lost packet; both together stay below what a connection may take. */
const DNS = { timeout: 1500, tries: 2 };

/**
 * IPv4 first: Lambda has no way out by IPv6. Asks DNS itself: the system's resolver would complete names by the search domains
 * of the machine, and read its hosts file.
 */
const lookUp: Lookup = async (name) => {
  const resolver = new Resolver(DNS);
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
};
