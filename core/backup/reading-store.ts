import { auditEntry } from '../audit/audit-store.ts';
import type { Viewer } from '../member/viewer.ts';
import type { VisibleMessage } from '../message/visible-message-store.ts';
import type { Table } from '../table/client.ts';
import type { Backup } from './backup.ts';

/**
 * Notes in the audit who read a mail that only a backup shows them: once for each reader, mail and day, so that it costs one write
 * when such a mail is opened, and nothing for any other.
 */
export async function noteReading(table: Table, viewer: Viewer, { message, reasons }: VisibleMessage, now: Date): Promise<void> {
  const [first] = reasons;
  if (!first || reasons.some(({ because }) => because !== 'backed-up')) return;
  // Its id comes from the day, so that it is there once; it tells the first time of that day.
  const day = `${now.toISOString().slice(0, 10)}T00:00:00.000Z`;
  const after = { message: message.id };
  const { put } = auditEntry(viewer.tenant, {
    at: day,
    actor: viewer.member,
    action: 'backup.read',
    subject: `member:${first.owner}`,
    after,
  });
  await table.putNew({ ...put, at: now.toISOString() });
}

/** Notes in the audit who took what of a backup away: its manifest, or a file of an export by its name. */
export async function noteDownload(table: Table, viewer: Viewer, { id, member }: Backup, what: string, now: Date): Promise<void> {
  const after = { backup: id, what };
  const entry = { at: now.toISOString(), actor: viewer.member, action: 'backup.download', subject: `member:${member}`, after };
  await table.put(auditEntry(viewer.tenant, entry).put);
}
