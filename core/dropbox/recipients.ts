import { MAX_MATCHED_ADDRESSES } from '../limits.ts';
import { domainOf, isAutomaticSender } from '../message/address.ts';
import type { ParsedMail } from '../message/parsed-mail.ts';
import { isExcluded } from '../tenant/excluded-domain.ts';

/** An address that is looked for among the records. Only To addresses may become records. */
export type Recipient = { address: string; name: string; mayCreate: boolean };

export type Recipients = {
  matched: Recipient[];
  /** Addresses beyond the fiftieth, which were not looked at. */
  beyondLimit: number;
};

/**
 * Whom a mail is about: its To and CC addresses once each, To first, without those that are never customers: the
 * dropbox's domain, excluded domains, the owner's own addresses, no-reply and bounce addresses. Colleagues are told
 * by the address's own entry when it is looked up. Addresses in a BCC header are nobody's business.
 */
export function recipientsOf(
  mail: Pick<ParsedMail, 'to' | 'cc' | 'automatic'>,
  never: { mailDomain: string; excludedDomains: readonly string[]; own: readonly string[] },
): Recipients {
  const excluded = new Set([never.mailDomain, ...never.excludedDomains]);
  const found = new Map<string, Recipient>();
  const consider = ({ address, name }: { address: string; name: string }, mayCreate: boolean) => {
    if (found.has(address) || never.own.includes(address)) return;
    if (isExcluded(domainOf(address), excluded) || isAutomaticSender(address)) return;
    found.set(address, { address, name, mayCreate });
  };
  // An automatic mail is tied to what is there and makes nothing new.
  for (const to of mail.to) consider(to, mail.automatic === undefined);
  for (const cc of mail.cc) consider(cc, false);
  const all = [...found.values()];
  return { matched: all.slice(0, MAX_MATCHED_ADDRESSES), beyondLimit: Math.max(0, all.length - MAX_MATCHED_ADDRESSES) };
}
