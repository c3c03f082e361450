import { Resolver } from 'node:dns/promises';
import { domainOf } from '../message/address.ts';
import type { Security } from './account.ts';
import { type Advice, noPasswordPop } from './advice.ts';
import { type Preset, presetOfAddress, presetOfExchangers, userNameFor } from './presets.ts';
import { readHost } from './public-address.ts';
import { INCOMING_PORTS, type Lookup, OUTGOING_PORTS, PUBLIC_ONLY, resolveServer } from './resolve-client.ts';

export type FoundServer = { host: string; port: number; security: Security };

/**
 * How it was found: `provider` by the address's domain; `hosted` by who takes the domain's mail (MX); `published` by the domain's
 * own word (SRV); `guess` by usual names that exist; `unknown`.
 */
export type Discovery = {
  source: 'provider' | 'hosted' | 'published' | 'guess' | 'unknown';
  provider?: Preset;
  incoming?: FoundServer;
  outgoing?: FoundServer;
  userName: string;
  /** A published server outside the address's own domain: its user should say that it is right (RFC 6186 6). */
  confirm: boolean;
  advice?: Advice;
};

export type SrvRecord = { name: string; port: number; priority: number; weight: number };
/** What is asked of DNS. Each may reject. */
export type Dns = { mx: (domain: string) => Promise<string[]>; srv: (name: string) => Promise<SrvRecord[]>; lookup?: Lookup };

/**
 * Finds the servers of an address (POP-14): by what we know of its provider, else by DNS. Nothing is connected to; who connects
 * checks the server anew, because DNS may name any.
 */
export async function discoverServers(address: string, dns: Dns = realDns()): Promise<Discovery> {
  const known = presetOfAddress(address);
  if (known) return byPreset('provider', known, address);
  const domain = domainOf(address);
  if (!readHost(domain)) return { source: 'unknown', userName: address, confirm: false };
  const [exchangers, published] = await Promise.all([dns.mx(domain).catch(() => []), publishedServers(domain, dns)]);
  if (published.incoming) return { source: 'published', ...published, userName: address };
  const host = presetOfExchangers(exchangers);
  if (host) return byPreset('hosted', host, address);
  const [incoming, outgoing] = await Promise.all([guess(domain, 'incoming', dns), guess(domain, 'outgoing', dns)]);
  const found = { ...(incoming ? { incoming } : {}), ...(outgoing ? { outgoing } : {}) };
  return { source: incoming ? 'guess' : 'unknown', ...found, userName: address, confirm: false };
}

function byPreset(source: 'provider' | 'hosted', provider: Preset, address: string): Discovery {
  const { incoming, outgoing } = provider;
  const advice = noPasswordPop(provider);
  const servers = { ...(incoming ? { incoming } : {}), ...(outgoing ? { outgoing } : {}) };
  return { source, provider, ...servers, userName: userNameFor(provider, address), confirm: false, ...(advice ? { advice } : {}) };
}

/** SRV records of RFC 6186 and RFC 8314: TLS from the first byte goes before STARTTLS. */
async function publishedServers(domain: string, dns: Dns) {
  const [pop3s, pop3, submissions, submission] = await Promise.all(
    ['_pop3s', '_pop3', '_submissions', '_submission'].map((service) => dns.srv(`${service}._tcp.${domain}`).catch(() => [])),
  );
  const incoming = best(pop3s, 'implicit', INCOMING_PORTS) ?? best(pop3, 'starttls', INCOMING_PORTS);
  const outgoing = best(submissions, 'implicit', OUTGOING_PORTS) ?? best(submission, 'starttls', OUTGOING_PORTS);
  const strange = [incoming, outgoing].some((server) => server && server.host !== domain && !server.host.endsWith(`.${domain}`));
  return { ...(incoming ? { incoming } : {}), ...(outgoing ? { outgoing } : {}), confirm: strange };
}

/** The first by priority, then the heaviest (RFC 2782). A target `.` says that there is no such service; other ports are of no use. */
function best(records: SrvRecord[] = [], security: Security, ports: readonly number[]): FoundServer | undefined {
  const sorted = records.toSorted((a, b) => a.priority - b.priority || b.weight - a.weight);
  for (const { name, port } of sorted) {
    const host = readHost(name);
    if (host && !host.isAddress && ports.includes(port)) return { host: host.name, port, security };
  }
  return undefined;
}

const GUESSES = {
  incoming: { names: ['pop', 'pop3', 'mail'], port: 995, ports: INCOMING_PORTS },
  outgoing: { names: ['smtp', 'mail'], port: 465, ports: OUTGOING_PORTS },
} as const;

async function guess(domain: string, side: 'incoming' | 'outgoing', { lookup }: Dns): Promise<FoundServer | undefined> {
  const { names, port, ports } = GUESSES[side];
  const exist = await Promise.all(names.map((name) => resolveServer({ host: `${name}.${domain}`, port }, ports, PUBLIC_ONLY, lookup)));
  const found = exist.find((server) => server !== undefined);
  return found && { host: found.name, port, security: 'implicit' };
}

function realDns(): Dns {
  const resolver = new Resolver({ timeout: 1500, tries: 2 });
  return {
    mx: async (domain) => (await resolver.resolveMx(domain)).toSorted((a, b) => a.priority - b.priority).map(({ exchange }) => exchange),
    srv: (name) => resolver.resolveSrv(name),
  };
}
