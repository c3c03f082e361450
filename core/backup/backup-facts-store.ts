import type { MailAccount } from '../account/account.ts';
import { readMailSettings } from '../account/mail-settings-store.ts';
import type { Member } from '../member/member.ts';
import { isAdministrator, type Viewer } from '../member/viewer.ts';
import { underPolicy } from '../sharing/sharing.ts';
import type { Table } from '../table/client.ts';
import { backupStandingKey, mailAccountKey } from '../table/keys.ts';
import type { BackupStanding } from './backup.ts';
import type { BackupFacts } from './eligibility.ts';

/** What decides on a backup of the member by the viewer, as it stands now; and where the member's backups stand. */
export async function readBackupFacts(
  table: Table,
  viewer: Viewer,
  member: Member,
): Promise<{ facts: BackupFacts; standing: BackupStanding }> {
  const [settings, standing = {}] = await Promise.all([
    readMailSettings(table, viewer.tenant, member.id),
    table.get<BackupStanding>(backupStandingKey(viewer.tenant, member.id)),
  ]);
  const mailbox = settings.active ?? settings.main;
  const account = mailbox === undefined ? undefined : await table.get<MailAccount>(mailAccountKey(viewer.tenant, member.id, mailbox));
  return { facts: factsOf(viewer, member, { account, standing, savedAt: settings.savedAt }), standing };
}

/** The same of what was read already: for a list of many members. */
export function factsOf(
  viewer: Viewer,
  member: Member,
  read: { account: Pick<MailAccount, 'protocol' | 'address'> | undefined; standing: BackupStanding; savedAt: string | undefined },
): BackupFacts {
  return {
    actor: { administrator: isAdministrator(viewer), email: viewer.email },
    status: member.status,
    account: read.account && { protocol: read.account.protocol, address: read.account.address },
    type: underPolicy(member.sharing, viewer.organisation.mailPolicy).type,
    running: read.standing.running !== undefined,
    reactivatedAt: member.reactivatedAt,
    savedAt: read.savedAt,
    backedUpAt: read.standing.backedUpAt,
  };
}
