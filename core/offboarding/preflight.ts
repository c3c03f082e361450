import { type BackupFacts, type BackupKind, refusalsOf as backupRefusalsOf, REASONS } from '../backup/eligibility.ts';
import { type Advice, adviceOf } from './advice.ts';

/** What an off-boarding depends on, as it stands now; gathered by `preflight-store.ts`. */
export type OffboardingFacts = {
  /** The actor is the member who leaves. */
  isSelf: boolean;
  /** The leaver is an active, confirmed administrator; and how many of those there are. */
  isAdministrator: boolean;
  administrators: number;
  usesAddOn: boolean;
  lock?: { until?: string };
  /** As they are now; judged as they will be after the deactivation. */
  backup: BackupFacts;
  /** Absent when none was named. */
  successor?: 'unknown' | 'leaver' | 'inactive' | 'fine';
};

/** Which backup will be taken: of who was backed up and came back since, the latest one. */
export const kindOf = ({ backedUpAt, reactivatedAt }: BackupFacts): BackupKind =>
  backedUpAt !== undefined && reactivatedAt !== undefined && reactivatedAt > backedUpAt ? 'latest-backup' : 'backup';

/**
 * Everything that stands in the way of an off-boarding, each with what to do about it; nothing when it may begin. Truth tables 2.2
 * (lock) and 2.3 (backup, as it will hold after the deactivation), the last administrator, the successor. Pure.
 */
export function refusalsOf(facts: OffboardingFacts): Advice[] {
  const { isSelf, isAdministrator, administrators, usesAddOn, lock, successor } = facts;
  const stands: [string, boolean][] = [
    ['own-lock', isSelf && administrators > 1],
    ['last-administrator', isAdministrator && administrators <= 1],
    ['not-an-add-on-user', !usesAddOn],
    ['lock-ends', lock?.until !== undefined],
    ...backupRefusals(facts.backup).map((code): [string, boolean] => [code, true]),
    ['unknown-successor', successor === 'unknown'],
    ['successor-is-leaver', successor === 'leaver'],
    ['successor-inactive', successor === 'inactive'],
  ];
  return stands.filter(([, is]) => is).map(([code]) => adviceOf(code));
}

const backupRefusals = (facts: BackupFacts): string[] =>
  backupRefusalsOf(kindOf(facts), { ...facts, status: 'deactivated' }).map(({ code }) => REASONS[code].problem);

/** Every code an off-boarding is refused with. */
export const refusalCodes = [
  'own-lock',
  'last-administrator',
  'not-an-add-on-user',
  'lock-ends',
  'no-account',
  'imap-not-supported',
  'private-account',
  'account-type-not-eligible',
  'domain-mismatch',
  'already-running',
  'settings-not-saved',
  'unknown-successor',
  'successor-is-leaver',
  'successor-inactive',
] as const;
