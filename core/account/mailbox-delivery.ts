import type { TenantId } from '../ids.ts';

/**
 * A mail of a mailbox that is stored durably, on its way to be filed. What the poller puts into the inbound queue; of a hosted
 * mailbox, what its delivery by SMTP comes to.
 */
export type MailboxDelivery = {
  tenant: TenantId;
  member: string;
  account: string;
  /** Its place in the ledger: hash of its unique id on the server and its occurrence; of a hosted mailbox, of its delivery. */
  seen: string;
  rawKey: string;
  rawSize: number;
  /** When the poll took it: a proposal, the first one to be written down stands. */
  receivedAt: string;
  /** Fetched by the account's first sync, whose progress counts it. */
  firstSync?: true;
  /** It is over the limit for one mail: the bytes are its header alone. */
  tooLarge?: true;
  /** It came to a hosted mailbox: it is kept nowhere else. */
  hosted?: true;
  /** What the receiver of a hosted mailbox found in it. A mail read over POP3 has passed its provider's checks. */
  suspect?: 'virus' | 'spam';
  /** That receiver's checks do not prove its From: it is not taken for its owner's own. */
  unproved?: true;
};
