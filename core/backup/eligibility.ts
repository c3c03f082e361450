import * as z from 'zod';
import { domainOf } from '../message/address.ts';
import type { SharingType } from '../sharing/sharing-type.ts';

/** What eligibility depends on, as it stands now; gathered by `backup-facts-store.ts`. */
export type BackupFacts = {
  /** Who would take the backup; `email` is the login address. */
  actor: { administrator: boolean; email: string };
  status: 'active' | 'deactivated';
  /** The mailbox to be backed up: the active one, else the main one. Undefined when there is none (any longer). */
  account?: { protocol: string; address: string };
  /** The sharing type in force under the organisation's policy. */
  type: SharingType;
  /** Another backup of this member is running. */
  running: boolean;
  /** When the member last came back after a deactivation, and last saved their mail settings in person. */
  reactivatedAt?: string;
  savedAt?: string;
  /** When the last completed backup was begun. */
  backedUpAt?: string;
};

export type BackupKind = 'backup' | 'latest-backup';

/** Every reason a backup is refused for, in the order of truth table 2.3; those of the latest backup alone come last (table 2.4). */
export const REASONS = {
  not_administrator: {
    problem: 'administrators-only',
    refuses: ({ actor }) => !actor.administrator,
    words: 'Only members with the Administrator profile may take a backup.',
    cure: 'Ask an administrator to take it.',
  },
  user_active: {
    problem: 'user-active',
    refuses: ({ status }) => status === 'active',
    words: 'The member is active: their mail is theirs to share.',
    cure: 'Deactivate the member first.',
  },
  no_account: {
    problem: 'no-account',
    refuses: ({ account }) => account === undefined,
    words: 'The member has no mail account on record.',
    cure: 'There is nothing to back up. Mail sent to the BCC dropbox stays on its records without a backup.',
  },
  imap_not_supported: {
    problem: 'imap-not-supported',
    refuses: ({ account }) => account !== undefined && !BACKED_UP_PROTOCOLS.includes(account.protocol),
    words: 'The mailbox is read over IMAP; only mailboxes read over POP3, or hosted here, can be backed up.',
    cure: 'Reactivate the member and let them set the mailbox up over POP3.',
  },
  private_account: {
    problem: 'private-account',
    refuses: ({ type }) => type === 'private',
    words: 'The member shares no mail: a private mailbox cannot be backed up.',
    cure: 'Only the member can change that: reactivate them, and let them save `custom` or `public` in their mail settings.',
  },
  account_type_not_eligible: {
    problem: 'account-type-not-eligible',
    refuses: ({ type }) => type === 'admin',
    words: 'The member shares mail with administrators alone: such a mailbox cannot be backed up.',
    cure: 'Reactivate the member, unlock them if they are locked, and let them save `custom` or `public` in their mail settings.',
  },
  domain_mismatch: {
    problem: 'domain-mismatch',
    refuses: ({ account, actor }) => account !== undefined && !isOwnDomain(account, actor.email),
    words: 'The mailbox belongs to another domain than your login address.',
    cure: "An administrator whose login address has the mailbox's domain can take the backup.",
  },
  already_running: {
    problem: 'already-running',
    refuses: ({ running }) => running,
    words: 'A backup of this member is running.',
    cure: 'Wait until it ends, or cancel it.',
  },
  use_latest_backup: {
    problem: 'use-latest-backup',
    of: 'backup',
    refuses: ({ backedUpAt, reactivatedAt }) => backedUpAt !== undefined && reactivatedAt !== undefined && reactivatedAt > backedUpAt,
    words: 'The member was backed up, and came back since.',
    cure: 'Take the latest backup: it adds what is new.',
  },
  not_reactivated: {
    problem: 'not-reactivated',
    of: 'latest-backup',
    refuses: ({ reactivatedAt }) => reactivatedAt === undefined,
    words: 'The member has not been active again since they were deactivated: there is nothing newer to add.',
    cure: 'Take a backup.',
  },
  settings_not_saved: {
    problem: 'settings-not-saved',
    of: 'latest-backup',
    refuses: ({ reactivatedAt, savedAt }) => reactivatedAt !== undefined && !(savedAt !== undefined && savedAt > reactivatedAt),
    words: 'The member came back, and did not save their mail settings in person since.',
    cure: 'Reactivate the member, unlock them if they are locked, let them save their mail settings, and deactivate them again.',
  },
} as const satisfies Record<string, Reason>;

type Reason = {
  /** The code of the problem with which the API refuses. */
  problem: string;
  /** The kind of backup it concerns; both when left out. */
  of?: BackupKind;
  refuses: (facts: BackupFacts) => boolean;
  /** Why, and what to do about it. */
  words: string;
  cure: string;
};

export type ReasonCode = keyof typeof REASONS;
export type Refusal = { code: ReasonCode; words: string; cure: string };

export const reasonCodes = Object.keys(REASONS) as [ReasonCode, ...ReasonCode[]];
export const refusalReturned = z.object({
  code: z.enum(reasonCodes),
  words: z.string(),
  cure: z.string().meta({ description: 'What to do about it' }),
});

/** Hosted mailboxes count as POP3 ones; any other protocol is refused (BKP-2). */
const BACKED_UP_PROTOCOLS = ['pop3', 'hosted'];

/**
 * All reasons why a backup is refused, in the order of truth table 2.3; none when it may be taken (BKP-1..5, BKP-9, LBK-1..3, LBK-5).
 * Pure: the same for the API that refuses and the list that says why.
 */
export function refusalsOf(kind: BackupKind, facts: BackupFacts): Refusal[] {
  return reasonCodes
    .map((code) => ({ code, ...(REASONS[code] as Reason) }))
    .filter(({ of, refuses }) => (of === undefined || of === kind) && refuses(facts))
    .map(({ code, words, cure }) => ({ code, words, cure }));
}

/**
 * exact, whatever the case; a subdomain is another domain. A hosted mailbox stands at the domain at which this product
 * receives mail for the organisation: that is nobody else's, and no administrator's login address has it.
 */
const isOwnDomain = ({ protocol, address }: { protocol: string; address: string }, login: string) =>
  protocol === 'hosted' || domainOf(address).toLowerCase() === domainOf(login).toLowerCase();
