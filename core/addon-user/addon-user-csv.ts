import type { AddonUserRow } from './addon-user.ts';

const COLUMNS: Record<string, (row: AddonUserRow) => string | boolean | undefined> = {
  id: ({ id }) => id,
  name: ({ name }) => name,
  email: ({ email }) => email,
  administrator: ({ administrator }) => administrator,
  status: ({ status }) => status,
  deactivatedAt: ({ deactivatedAt }) => deactivatedAt,
  reactivatedAt: ({ reactivatedAt }) => reactivatedAt,
  mailbox: ({ mailbox }) => mailbox?.address,
  protocol: ({ mailbox }) => mailbox?.protocol,
  state: ({ mailbox }) => mailbox?.state,
  lastSyncAt: ({ mailbox }) => mailbox?.lastSyncAt,
  sharingChosen: ({ sharing }) => sharing.chosen,
  sharingInForce: ({ sharing }) => sharing.inForce,
  lockedBy: ({ locked }) => locked?.by.name,
  lockedSince: ({ locked }) => locked?.since,
  lockedUntil: ({ locked }) => locked?.until,
  lockReason: ({ locked }) => locked?.reason,
  heldBy: ({ hold }) => hold?.by.name,
  heldSince: ({ hold }) => hold?.since,
  holdReason: ({ hold }) => hold?.reason,
  savedAt: ({ savedAt }) => savedAt,
  settingsSavedSince: ({ settingsSavedSince }) => settingsSavedSince,
  lastBackup: ({ backup }) => backup?.last?.state,
  lastBackupAt: ({ backup }) => backup?.last?.finishedAt,
  backupEligible: ({ backup }) => backup?.backup.eligible,
  latestBackupEligible: ({ backup }) => backup?.latestBackup.eligible,
};

/** Add-on users as RFC 4180 with a byte order mark: without it Excel reads Japanese names as something else. */
export function addonUsersCsv(rows: AddonUserRow[]): string {
  const lines = [Object.keys(COLUMNS), ...rows.map((row) => Object.values(COLUMNS).map((column) => cellOf(column(row))))];
  return `\ufeff${lines.map((cells) => `${cells.join(',')}\r\n`).join('')}`;
}

/** Members choose their names and administrators their reasons: a cell that begins as a formula would be run by a spreadsheet. */
function cellOf(value: string | boolean | undefined): string {
  const text = String(value ?? '');
  const harmless = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
