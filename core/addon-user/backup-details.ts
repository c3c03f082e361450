import type { BackupStanding } from '../backup/backup.ts';
import { type BackupFacts, type BackupKind, refusalsOf } from '../backup/eligibility.ts';

/** Of a deactivated member: where their backups stand, and whether another may be taken, with every reason why not (ADM-3). */
export function backupDetails(facts: BackupFacts, { running, last }: BackupStanding) {
  return { running, last, backup: eligibility('backup', facts), latestBackup: eligibility('latest-backup', facts) };
}

function eligibility(kind: BackupKind, facts: BackupFacts) {
  const reasons = refusalsOf(kind, facts);
  return { eligible: reasons.length === 0, reasons };
}
