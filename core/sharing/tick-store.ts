import { maySetMail } from '../addon-user/lock.ts';
import { requireUnlocked } from '../addon-user/lock-guard-store.ts';
import { auditEntry } from '../audit/audit-store.ts';
import { conflict } from '../errors.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import { type Table, TransactionRefused, type Write } from '../table/client.ts';
import { memberKey, tickKey } from '../table/keys.ts';
import { underPolicy } from './sharing.ts';

/** Whether the viewer shares their mail of this record; undefined where there is nothing to tick: only `custom` asks (SHR-10, SHR-14). */
export async function readTick(table: Table, viewer: Viewer, record: string): Promise<{ ticked: boolean } | undefined> {
  const [member, tick] = await Promise.all([
    table.get<Member>(memberKey(viewer.tenant, viewer.member)),
    table.get(tickKey(viewer.tenant, record, viewer.member)),
  ]);
  return sharesByRecord(viewer, member) ? { ticked: tick !== undefined } : undefined;
}

/**
 * Ticks, or unticks, "share mail" for the viewer's own mail on a record they may read (SHR-10, R-8); the caller looks. It holds for
 * the very next read. Throws `not-shared-by-record` under any other type than `custom`, `locked` (LCK-1).
 */
export async function setTick(table: Table, viewer: Viewer, record: string, ticked: boolean, now: Date): Promise<{ ticked: boolean }> {
  await requireUnlocked(table, viewer, now);
  const member = await table.get<Member>(memberKey(viewer.tenant, viewer.member));
  if (!sharesByRecord(viewer, member)) {
    throw conflict(
      'not-shared-by-record',
      'Your mail is not shared record by record. Choose the sharing type `custom` in your mail settings first.',
    );
  }
  const key = tickKey(viewer.tenant, record, viewer.member);
  const at = now.toISOString();
  const writes: Write[] = [
    ticked ? { put: { ...key, owner: viewer.member, at } } : { delete: key },
    maySetMail(viewer, now),
    auditEntry(viewer.tenant, {
      at,
      actor: viewer.member,
      action: ticked ? 'record-mail.share' : 'record-mail.unshare',
      subject: `record:${record}`,
    }),
  ];
  try {
    await table.transact(writes);
  } catch (error) {
    if (error instanceof TransactionRefused) await requireUnlocked(table, viewer, now);
    throw error;
  }
  return { ticked };
}

const sharesByRecord = ({ organisation }: Viewer, member: Member | undefined) =>
  underPolicy(member?.sharing, organisation.mailPolicy).type === 'custom';
