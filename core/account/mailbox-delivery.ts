import type { TenantId } from '../ids.ts';

/** A mail fetched from a mailbox and stored durably, on its way to be filed. What the poller puts into the inbound queue. */
export type MailboxDelivery = {
  tenant: TenantId;
  member: string;
  account: string;
  /** Hash of its unique id on the server and its occurrence: its place in the ledger. */
  seen: string;
  rawKey: string;
  rawSize: number;
  /** When the poll took it: a proposal, the first one to be written down stands. */
  receivedAt: string;
  /** Fetched by the account's first sync, whose progress counts it. */
  firstSync?: true;
  /** It is over the limit for one mail: the bytes are its header alone. */
  tooLarge?: true;
};
