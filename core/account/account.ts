import type { TenantId } from '../ids.ts';

/** How the connection is protected: TLS from the first byte, STLS/STARTTLS before anything secret is said, or not at all. */
export type Security = 'implicit' | 'starttls' | 'none';

export type Incoming = { host: string; port: number; security: Security; userName: string };

/** `sameCredentials`: the outgoing login is the incoming one (POP-13, C-9); else its own user name and password. */
export type Outgoing = { host: string; port: number; security: Security; sameCredentials: boolean; userName?: string };

/** When mail is deleted from the server (POP-15, R-36); only after it is stored durably. `recent:` user names force `leave`. */
export type Deletion = { policy: 'leave' } | { policy: 'delete-after-days'; days: number } | { policy: 'delete-at-once' };

/** A mailbox of a member: one that is read over POP3, or one that is received here. */
export type MailAccount = Pop3Account | HostedMailbox;

type Mailbox = {
  id: string;
  tenant: TenantId;
  member: string;
  name: string;
  /** The mailbox's own address, normalised. */
  address: string;
  createdAt: string;
  /** Of what is set; the ETag. State changes do not count it. */
  version: number;
  /** The one of its owner's accounts that was picked (POP-7): of those over POP3 it alone is read. */
  active: boolean;
  /** Its owner was deactivated then: not polled. */
  ownerDeactivatedAt?: string;
};

/** A mailbox at an address of ours: its mail is sent here, so there is nothing to log in to and nothing to poll. */
export type HostedMailbox = Mailbox & { protocol: 'hosted'; slot?: undefined };

/** A mailbox that is read over POP3. One item: what is set, what a poll needs, and how it went. */
export type Pop3Account = Mailbox & {
  protocol: 'pop3';
  incoming: Incoming;
  /** Sealed with the tenant's data key for `mail-account <id> incoming`; absent when its owner was away for so long that it was deleted. */
  incomingPassword?: string;
  outgoing?: Outgoing;
  /** Sealed for `mail-account <id> outgoing`; absent with the same credentials, or deleted likewise. */
  outgoingPassword?: string;
  deletion: Deletion;
  /** ISO 8601 time: mail that reached the server before it is left alone. */
  since: string;
  /** Counts changes of server, user name or password: a poll's verdict on older ones is void. */
  credentials: number;
  /** When its owner last asked for a poll. */
  pollAskedAt?: string;
} & PollState;

/** What polling has come to: written by polls alone, but for `slot` and what a change of the settings resets. */
export type PollState = {
  /** Where it stands in the timetable (`slot.ts`); absent while it is not polled. */
  slot?: string;
  state: AccountState;
  /** Since when it is in this state. */
  stateSince: string;
  /** Failures in a row: of the password, and of reaching the server. */
  authFailures: number;
  connectFailures: number;
  lastError?: { at: string; code: FailureCode; server?: string };
  /** The last poll that went well and left a trace: quiet ones do so once an hour. */
  lastSuccessAt?: string;
  lastNewMailAt?: string;
  /** The maildrop as the last full listing saw it: when STAT and the first and last UIDL are the same, nothing is new. */
  snapshot?: Snapshot;
  /** The answer to a QUIT that was to delete mails was lost: whether they are gone, the next listing tells. */
  quitLost?: true;
  /** A mail that was larger than its server had said; `truly`: larger than any may be. Its server is asked for one at a time. */
  oversize?: { seen: string; truly: boolean };
  /** Of the first sync; `doneAt` when it is over, `noticeAt` when its owner was told (INB-14). */
  sync: SyncProgress;
  /** All mails ever filed or held from this account, and deleted from its server. */
  totals: { filed: number; deleted: number };
  /** One worker at a time: `fence` grows with every lease, and who has an older one writes nothing. */
  lease?: Lease;
};

/** Who was killed while they held it leaves it without `over`. */
export type Lease = { until: string; fence: number; over?: true };

export type Snapshot = {
  count: number;
  octets: number;
  /** Hashes of the first and the last unique id. */
  first: string;
  last: string;
  /** Hash over all unique ids in order. */
  digest: string;
};

/** Counts of the first sync: mails found on the server, fetched, filed (or held), skipped as older than `since`; bytes fetched. */
export type SyncProgress = {
  startedAt?: string;
  found: number;
  fetched: number;
  filed: number;
  skipped: number;
  bytes: number;
  /** Everything is fetched; what is left is filing. */
  fetchedAllAt?: string;
  doneAt?: string;
};

export type AccountState = 'never-synced' | 'syncing' | 'ok' | 'backing-off' | 'auth-failed' | 'unreachable' | 'locked-out';

/** Why a test or a poll failed. Each has its words in `advice.ts`, and what it does to polling in `failure.ts`. */
export type FailureCode =
  | 'no-password'
  | 'wrong-password'
  | 'app-password-required'
  | 'pop-not-enabled'
  | 'web-login-required'
  | 'limit-exceeded'
  | 'mailbox-in-use'
  | 'login-delay'
  | 'server-temporary'
  | 'server-refused'
  | 'no-unique-ids'
  | 'unreachable'
  | 'certificate-refused'
  | 'tls-not-offered'
  | 'not-a-mail-server'
  | 'connection-lost'
  | 'mailbox-unavailable';
