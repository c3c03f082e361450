import type { TenantId } from '../ids.ts';
import { claimNotice } from '../job/claim-notice-store.ts';
import type { Member } from '../member/member.ts';
import type { ProductMail } from '../outbound/send.ts';
import type { Table } from '../table/client.ts';
import { memberKey, offboardingKey } from '../table/keys.ts';
import { endMail } from './notices.ts';
import type { Offboarding } from './offboarding.ts';
import { noteNoticeSent } from './offboarding-store.ts';

type Post = { table: Table; tell: (mail: ProductMail) => Promise<void>; publicUrl: string };

/**
 * Tells the administrator who started an off-boarding, or resumed it last, that it has ended, and what each step did; once: only a
 * worker killed between sending and noting it makes a second mail of it.
 */
export async function tellActor({ table, tell, publicUrl }: Post, tenant: TenantId, run: Offboarding, now: Date): Promise<void> {
  if (run.noticeSentAt === undefined) {
    if (!(await claimNotice(table, offboardingKey(tenant, run.id), run.id, now))) return;
    const [actor, member] = await table.getMany<Member>([run.actor, run.member].map((id) => memberKey(tenant, id)));
    if (actor?.status === 'active') await tell({ to: actor.email, ...endMail(run, member?.name ?? '', publicUrl) });
  }
  await noteNoticeSent(table, tenant, run.id, now);
}
