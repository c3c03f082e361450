import { isProved } from '../dropbox/gate.ts';
import { sha256 } from '../ids.ts';
import type { Delivery } from '../message/delivery.ts';
import type { HostedAddress } from './hosted-address.ts';
import type { Letter } from './ingest-mailbox.ts';
import type { MailboxDelivery } from './mailbox-delivery.ts';

/**
 * A mail sent to a hosted mailbox as one of its owner's: its place in the ledger is that of its delivery, so that a redelivery is
 * the same mail. Forged or not, it is taken; but with the owner in From, anybody who knows the address could else say what they have
 * sent to a customer: that must be proved, and what was held unread never is.
 */
export function hostedDeliveryOf(delivery: Delivery, { tenant, member, account }: HostedAddress, letter?: Letter): MailboxDelivery {
  const { id, rawKey, receivedAt, verdicts } = delivery;
  const suspect = verdicts.virus === 'FAIL' ? 'virus' : verdicts.spam === 'FAIL' ? 'spam' : undefined;
  const unproved = letter?.mail && isProved(delivery, letter.mail) ? undefined : true;
  return {
    tenant,
    member,
    account,
    seen: sha256(id),
    rawKey,
    rawSize: letter?.raw.length ?? 0,
    receivedAt,
    hosted: true,
    suspect,
    unproved,
  };
}
