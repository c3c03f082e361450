import type { TenantId } from '../ids.ts';
import { claimNotice } from '../job/claim-notice-store.ts';
import { readThoseToTell } from '../member/administrators-store.ts';
import type { Member } from '../member/member.ts';
import type { ProductMail } from '../outbound/send.ts';
import type { Table } from '../table/client.ts';
import { memberKey, offboardingKey } from '../table/keys.ts';
import { endMail } from './notices.ts';
import type { Offboarding } from './offboarding.ts';
import { noteNoticeSent } from './offboarding-store.ts';

type Post = { table: Table; tell: (mail: ProductMail) => Promise<void>; publicUrl: string };

/**
 * Tells the administrator who started an off-boarding, or resumed it last, that it has ended, and what each step did, or all
 * administrators when they are none any longer; once: only a worker killed between sending and noting it makes a second mail of it.
 */
export async function tellActor({ table, tell, publicUrl }: Post, tenant: TenantId, run: Offboarding, now: Date): Promise<void> {
  if (run.noticeSentAt === undefined) {
    if (!(await claimNotice(table, offboardingKey(tenant, run.id), run.id, now))) return;
    const member = await table.get<Member>(memberKey(tenant, run.member));
    const mail = endMail(run, member?.name ?? '', publicUrl);
    for (const { email } of await readThoseToTell(table, tenant, run.actor)) await tell({ to: email, ...mail });
  }
  await noteNoticeSent(table, tenant, run.id, now);
}
