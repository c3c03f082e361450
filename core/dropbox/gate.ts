import type { Profile } from '../member/profile.ts';
import { domainOf } from '../message/address.ts';
import type { Delivery, Verdicts } from '../message/delivery.ts';
import type { ParsedMail } from '../message/parsed-mail.ts';
import type { Dropbox } from './dropbox.ts';

/** Why a mail was not taken. Each has its words in `reasons.ts`, and can be replayed once its cause is gone. */
export type HeldReason =
  | 'unregistered-sender'
  | 'no-dropbox-permission'
  | 'sender-not-authenticated'
  | 'spam'
  | 'virus'
  | 'member-deactivated'
  | 'no-permission'
  | 'nothing-to-file'
  | 'unreadable'
  | 'failed'
  /** Of a hosted mailbox: it concerns no record, and policy is to store only what does. */
  | 'no-record'
  /** Of a mailbox: over the limit for one mail, so only its header was fetched. */
  | 'too-large';

/** What a mail's owner vouches for by replaying it: that they sent it, though the receiver could not tell. */
export type Vouched = { vouched: boolean };

/**
 * May this mail be filed for the dropbox's owner? Undefined when it may; else why not. In the order of truth table 2.5:
 * the sender first (BCC-6), then the permission (GEN-5).
 */
export function gate(
  dropbox: Dropbox,
  profile: Profile | undefined,
  delivery: Delivery,
  mail: ParsedMail,
  { vouched }: Vouched,
): HeldReason | undefined {
  if (delivery.verdicts.virus === 'FAIL') return 'virus';
  if (!isRegistered(dropbox, mail)) return 'unregistered-sender';
  if (!vouched && isForged(delivery, mail)) return 'sender-not-authenticated';
  if (!vouched && delivery.verdicts.spam === 'FAIL') return 'spam';
  if (!profile?.bccDropbox) return 'no-dropbox-permission';
  // What came in before the deactivation was on its way and is still filed.
  if (dropbox.deactivatedAt && delivery.receivedAt >= dropbox.deactivatedAt) return 'member-deactivated';
  return undefined;
}

/** True when every From address is a verified one of the owner (BCC-5, BCC-6): one stranger beside them makes it a stranger's. */
export function isRegistered(dropbox: Pick<Dropbox, 'senders'>, mail: Pick<ParsedMail, 'from'>): boolean {
  const verified = new Set(dropbox.senders.filter((sender) => sender.verifiedAt).map((sender) => sender.address));
  return mail.from.length > 0 && mail.from.every((from) => verified.has(from.address));
}

/**
 * From can be forged, so a registered one counts only if the receiver's checks do not speak against it: DMARC failed; or
 * SPF or DKIM failed and neither of them passed for the domain in From (RFC 7489 3.1: a pass for another domain proves
 * nothing about From). All of them unsure is not a failure: many small senders publish no records.
 */
export function isForged(
  { source, verdicts }: Pick<Delivery, 'source' | 'verdicts'>,
  mail: Pick<ParsedMail, 'from' | 'dkimDomains'>,
): boolean {
  if (verdicts.dmarc === 'PASS') return false;
  if (verdicts.dmarc === 'FAIL') return true;
  const from = domainOf(mail.from[0]?.address ?? '');
  const spfAligned = verdicts.spf === 'PASS' && isAligned(domainOf(source), from);
  const dkimAligned = verdicts.dkim === 'PASS' && mail.dkimDomains.some((domain) => isAligned(domain, from));
  if (spfAligned || dkimAligned) return false;
  return failed(verdicts);
}

/**
 * Whether the receiver's checks prove that From wrote it: for an address that everybody knows, where being unsure says nothing. Of several
 * From addresses none is proved: the checks are of one, and who forges writes theirs first. One signature of the right domain beside
 * others does not count either: SES does not say which one passed.
 */
export function isProved(
  { source, verdicts }: Pick<Delivery, 'source' | 'verdicts'>,
  mail: Pick<ParsedMail, 'from' | 'dkimDomains'>,
): boolean {
  if (mail.from.length !== 1 || verdicts.dmarc === 'FAIL') return false;
  if (verdicts.dmarc === 'PASS') return true;
  const from = domainOf(mail.from[0]?.address ?? '');
  const spfAligned = verdicts.spf === 'PASS' && isAligned(domainOf(source), from);
  return (
    spfAligned || (verdicts.dkim === 'PASS' && mail.dkimDomains.length > 0 && mail.dkimDomains.every((domain) => isAligned(domain, from)))
  );
}

const failed = ({ spf, dkim }: Verdicts) => spf === 'FAIL' || dkim === 'FAIL';

/** Relaxed alignment: the same domain, or one below the other. */
function isAligned(domain: string, from: string): boolean {
  if (domain === '' || from === '') return false;
  return domain === from || domain.endsWith(`.${from}`) || from.endsWith(`.${domain}`);
}
