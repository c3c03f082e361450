import { sha256 } from '../ids.ts';
import type { Series } from '../table/keys.ts';
import { domainOf } from './address.ts';
import type { Copy } from './message.ts';
import type { ParsedMail } from './parsed-mail.ts';

/**
 * The domains whose exclusion hides a mail (R-6), in order: of its sender's when it was received; of all To and CC when it was
 * sent, colleagues' included (SHR-20: one may exclude one's own firm).
 */
export function counterpartDomains(mail: Pick<ParsedMail, 'from' | 'to' | 'cc'>, direction: Copy['direction']): string[] {
  const addresses = direction === 'sent' ? [...mail.to, ...mail.cc] : mail.from;
  return [...new Set(addresses.map(({ address }) => domainOf(address)))].sort();
}

/** Sets of more domains are too many different ones to keep apart: such mails are looked at one by one. */
const MAX_GROUP_DOMAINS = 3;
export const MIXED = 'mixed';

/**
 * Mail of a mailbox stands on a record's timeline in groups of one set of domains each, so that a whole group is read or left
 * alone when its owner excludes domains: mail that may not be seen costs no time that would tell of it.
 */
export function groupOf(domains: readonly string[]): string {
  return domains.length > MAX_GROUP_DOMAINS ? MIXED : sha256(...domains, '').slice(0, 10);
}

/** The series a copy stands in on its records' timelines. */
export function seriesOf({ member, channel, domains }: Pick<Copy, 'member' | 'channel' | 'domains'>): Series {
  return channel === 'dropbox' ? { owner: member, channel } : { owner: member, channel, group: groupOf(domains ?? []) };
}
