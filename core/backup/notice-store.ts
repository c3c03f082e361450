import type { TenantId } from '../ids.ts';
import { claimNotice } from '../job/claim-notice-store.ts';
import { readThoseToTell } from '../member/administrators-store.ts';
import type { Member } from '../member/member.ts';
import type { ProductMail } from '../outbound/send.ts';
import type { Table } from '../table/client.ts';
import { backupKey, exportKey, memberKey } from '../table/keys.ts';
import type { Backup } from './backup.ts';
import { noteNoticeSent } from './backup-store.ts';
import type { Export } from './export.ts';
import { noteExportNoticeSent } from './export-store.ts';
import { endMail, exportEndMail } from './notices.ts';

type Post = { table: Table; tell: (mail: ProductMail) => Promise<void>; publicUrl: string };

/**
 * Tells who started a backup that it has ended, or all administrators when they are none any longer; once: only a worker killed between
 * sending and noting it makes a second mail of it. Of one that an off-boarding began, the off-boarding tells.
 */
export async function tellStarter({ table, tell, publicUrl }: Post, tenant: TenantId, backup: Backup, now: Date): Promise<void> {
  if (backup.noticeSentAt === undefined && backup.offboarding === undefined) {
    if (!(await claimNotice(table, backupKey(tenant, backup.id), backup.id, now))) return;
    const member = await table.get<Member>(memberKey(tenant, backup.member));
    const mail = endMail(backup, member?.name ?? '', publicUrl);
    for (const { email } of await readThoseToTell(table, tenant, backup.startedBy)) await tell({ to: email, ...mail });
  }
  await noteNoticeSent(table, tenant, backup.id, now);
}

/** Tells who asked for an export that it has ended, while they are active; once in the same way. */
export async function tellExporter({ table, tell, publicUrl }: Post, tenant: TenantId, one: Export, now: Date): Promise<void> {
  if (one.noticeSentAt === undefined) {
    if (!(await claimNotice(table, exportKey(tenant, one.backup, one.format), one.id, now))) return;
    const [starter, member] = await table.getMany<Member>([one.startedBy, one.member].map((id) => memberKey(tenant, id)));
    if (starter?.status === 'active') await tell({ to: starter.email, ...exportEndMail(one, member?.name ?? '', publicUrl) });
  }
  await noteExportNoticeSent(table, tenant, one, now);
}
