import { findUnfiled } from '../account/ledger-store.ts';
import { readMailSettings } from '../account/mail-settings-store.ts';
import type { Backup, Tally } from '../backup/backup.ts';
import { readBackupFacts } from '../backup/backup-facts-store.ts';
import { endBackup, readBackup, startBackup } from '../backup/backup-store.ts';
import { stableId, type TenantId } from '../ids.ts';
import { OFFBOARDING_FILING_MINUTES } from '../limits.ts';
import { readMember } from '../member/member-store.ts';
import type { Offboarding } from './offboarding.ts';
import { kindOf } from './preflight.ts';
import type { At, OffboardingRoom, Outcome } from './step.ts';

/** Places of the ledger that are remembered from one look to the next; of more of them the whole ledger is read again. */
const MOST_REMEMBERED = 100;

/**
 * Backs the leaver's mail up: when what the last poll brought is filed, or has had its time, a backup is begun, once, and waited for.
 * It takes what is there then.
 */
export async function backUp(at: At): Promise<Outcome> {
  const memo = at.step.memo ?? {};
  const { filing, backup, tries = 0 } = memo;
  if (!filing) {
    const until = new Date(at.now.getTime() + OFFBOARDING_FILING_MINUTES * 60_000).toISOString();
    return { goOn: { ...memo, filing: { until, open: await unfiled(at) } } };
  }
  if (!backup) {
    const open = await unfiled(at, filing.open);
    if (open.length > 0 && at.now.toISOString() < filing.until) return { wait: { ...memo, filing: { ...filing, open } } };
    // Noted before it is begun: who goes on after a kill begins the same one.
    return { goOn: { ...memo, filing: { ...filing, open }, backup: stableId(at.now, at.run.id, 'backup', String(tries)) } };
  }
  const found = await readBackup(at.room.table, at.tenant, backup);
  if (!found) {
    await begin(at, backup);
    return { wait: memo };
  }
  return found.state === 'running' ? { wait: memo } : outcomeOf(found, filing.open.length > 0);
}

/** Of the accounts of a member one was polled last: what was fetched from it is looked for. */
async function unfiled({ room, tenant, run }: At, among?: string[]): Promise<string[]> {
  const { active } = await readMailSettings(room.table, tenant, run.member);
  if (active === undefined || among?.length === 0) return [];
  const isRemembered = among && among.length < MOST_REMEMBERED;
  return (await findUnfiled(room.table, { tenant, id: active }, isRemembered ? among : undefined)).slice(0, MOST_REMEMBERED);
}

async function begin({ room, viewer, run, now }: At, id: string): Promise<void> {
  const member = await readMember(room.table, viewer, run.member);
  const { facts } = await readBackupFacts(room.table, viewer, member);
  const given = { scope: run.scope, id, now, offboarding: run.id };
  await startBackup({ table: room.table, queue: room.backups }, viewer, run.member, kindOf(facts), given);
}

/** Ends the backup of a step that is not gone on with: what it has made visible stays so. Answers it as it is then; undefined when none was begun. */
export async function endItsBackup(room: OffboardingRoom, tenant: TenantId, run: Offboarding, by: string): Promise<Backup | undefined> {
  const { backup } = run.steps['back-up'].memo ?? {};
  const found = backup === undefined ? undefined : await readBackup(room.table, tenant, backup);
  if (found?.state !== 'running') return found;
  await endBackup(room.table, tenant, found, { state: 'cancelled', by, now: room.clock() });
  await room.backups.send({ tenant, backup: found.id });
  return readBackup(room.table, tenant, found.id);
}

function outcomeOf({ state, tally }: Backup, hasUnfiled: boolean): Outcome {
  if (state !== 'completed')
    return { end: 'failed', failure: { code: state === 'failed' ? 'backup-failed' : 'backup-cancelled', detail: '' } };
  return { end: 'done', counts: countsOf(tally), ...(hasUnfiled ? { warning: 'filing-unfinished' } : {}) };
}

export const countsOf = ({ mails, entries, known, missing }: Tally) => ({ mails, entries, known, missing });
