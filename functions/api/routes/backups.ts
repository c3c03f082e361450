import { backupInput, backupReturned, backupsInput, backupsReturned } from '../../../core/backup/backup.ts';
import { REASONS, reasonCodes } from '../../../core/backup/eligibility.ts';
import { exportInput, exportReturned } from '../../../core/backup/export.ts';
import { EXPORT_COPIES_BYTES, EXPORT_DAYS } from '../../../core/limits.ts';
import { pageOf, pageQuery } from '../../../core/table/page.ts';
import type { Route } from '../route.ts';

const common = { tag: 'Backups', who: 'administrator' } as const;
/** But for who is no administrator: that is 403 like everywhere. */
const refusals = reasonCodes.filter((code) => code !== 'not_administrator').map((code): string => REASONS[code].problem);
const REFUSED = 'When refused, the first reason is the code; `reasons` lists all of them, each with what to do about it.';

/** What administrators do with the mail of members who left: back it up, so that colleagues see it on its records again. */
export const backupRoutes: Route[] = [
  {
    ...common,
    method: 'POST',
    path: '/v1/addon-users/{memberId}/backup',
    operation: 'startBackup',
    summary: "Back up a deactivated member's mail",
    description: `Makes their mail that is tied to records visible there again; it stays so. It runs in the background: ask for the backup until its state is \`completed\`. ${REFUSED}`,
    body: backupInput,
    example: { scope: 'shared' },
    returns: backupReturned,
    status: 202,
    problems: [...refusals.filter((code) => !['not-reactivated', 'settings-not-saved'].includes(code)), 'changed-meanwhile'],
  },
  {
    ...common,
    method: 'POST',
    path: '/v1/addon-users/{memberId}/latest-backup',
    operation: 'startLatestBackup',
    summary: 'Back up what is new since a member came back and left again',
    description: `Adds to the backups before it; no mail is there twice. The member must have saved their mail settings in person after they came back. ${REFUSED}`,
    body: backupInput,
    example: { scope: 'shared' },
    returns: backupReturned,
    status: 202,
    problems: [...refusals.filter((code) => code !== 'use-latest-backup'), 'changed-meanwhile'],
  },
  {
    ...common,
    method: 'POST',
    path: '/v1/addon-users/latest-backup',
    operation: 'startLatestBackups',
    summary: 'The latest backup of several members at once, as ticked in the list',
    description: 'Each is started or refused for itself, as by the route for one member.',
    body: backupsInput,
    example: { members: ['01k9zq3v5nexampleofamember'], scope: 'shared' },
    returns: backupsReturned,
  },
  {
    ...common,
    method: 'GET',
    path: '/v1/addon-users/{memberId}/backups',
    operation: 'listBackups',
    summary: 'All backups ever taken of a member, newest first',
    query: pageQuery,
    returns: pageOf(backupReturned),
    problems: ['bad-cursor'],
  },
  {
    ...common,
    method: 'GET',
    path: '/v1/backups/{backupId}',
    operation: 'readBackup',
    summary: 'A backup: how far it is, and what it came to',
    returns: backupReturned,
  },
  {
    ...common,
    method: 'POST',
    path: '/v1/backups/{backupId}/cancel',
    operation: 'cancelBackup',
    summary: 'Cancel a running backup',
    description: 'What it has made visible so far stays visible, and another backup goes on from there.',
    returns: backupReturned,
    problems: ['not-running'],
  },
  {
    ...common,
    method: 'GET',
    path: '/v1/backups/{backupId}/export/manifest',
    operation: 'downloadBackupManifest',
    summary: 'The manifest of a completed backup, by a short-lived link',
    description:
      'Whose mail, by whom, when and in which scope; what came of it; and the parts of the list of mails, each with its SHA-256. Its own SHA-256 is `manifestSha256` of the backup: `sha256sum` of the file says the same.',
    returns: 'redirect',
    status: 302,
    problems: ['not-complete'],
  },
  {
    ...common,
    method: 'POST',
    path: '/v1/backups/{backupId}/export',
    operation: 'startBackupExport',
    summary: 'Export the mails of a completed backup',
    description: `Of all backups its result consists of, as colleagues are shown them: without BCC, without how they came to others. It is made in the background: ask for it until its state is \`completed\`; who started it is told by mail when it ends. For ${EXPORT_DAYS} days it can be downloaded, and who asks again is answered the same one; then it can be made anew. Unpack all volumes of a zip into one folder and check them with \`sha256sum -c SHA256SUMS*\`; a mail whose bytes are gone is \`missing\` in \`manifest.json\`; one whose bytes are not those that the backup noted is \`damaged\`, and lies in a folder of that name. A mail that would take more than ${EXPORT_COPIES_BYTES / 1024 ** 2} MiB in the folders of all its records lies in that of the first alone.`,
    body: exportInput,
    example: { format: 'zip' },
    returns: exportReturned,
    status: 202,
    problems: ['not-complete', 'changed-meanwhile'],
  },
  {
    ...common,
    method: 'GET',
    path: '/v1/backups/{backupId}/export/{format}',
    operation: 'readBackupExport',
    summary: 'An export of a backup: how far it is, and its files',
    returns: exportReturned,
  },
  {
    ...common,
    method: 'POST',
    path: '/v1/backups/{backupId}/export/{format}/cancel',
    operation: 'cancelBackupExport',
    summary: 'Cancel a running export',
    description: 'Nothing of it is given out. It can be asked for again, and is begun anew then; the backup is as it was.',
    returns: exportReturned,
    problems: ['not-running'],
  },
  {
    ...common,
    method: 'GET',
    path: '/v1/backups/{backupId}/export/{format}/files/{file}',
    operation: 'downloadBackupExport',
    summary: 'A file of a completed export, by a short-lived link',
    description: 'Its SHA-256 is in the export. Each link is noted in the audit.',
    returns: 'redirect',
    status: 302,
    problems: ['not-complete', 'expired'],
  },
];
