import { readMailSettings } from '../account/mail-settings-store.ts';
import { usesAddOn } from '../addon-user/addon-user-store.ts';
import { lockOf } from '../addon-user/lock.ts';
import { readBackupFacts } from '../backup/backup-facts-store.ts';
import { notFound } from '../errors.ts';
import { ID } from '../ids.ts';
import type { Member } from '../member/member.ts';
import { readMember } from '../member/member-store.ts';
import { ADMINISTRATOR } from '../member/profile.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Table } from '../table/client.ts';
import { memberKey, tenantKey } from '../table/keys.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { OffboardingFacts } from './preflight.ts';

/** What an off-boarding of the member by the viewer depends on. Reads alone. Throws `not-found`. */
export async function readOffboardingFacts(
  table: Table,
  viewer: Viewer,
  memberId: string,
  successor: string | undefined,
  now: Date,
): Promise<OffboardingFacts> {
  const member = await readMember(table, viewer, memberId);
  const [settings, { facts }, organisation, heir] = await Promise.all([
    readMailSettings(table, viewer.tenant, memberId),
    readBackupFacts(table, viewer, member),
    table.get<Tenant & { administrators: number }>(tenantKey(viewer.tenant)),
    successor !== undefined && ID.test(successor) ? table.get<Member>(memberKey(viewer.tenant, successor)) : undefined,
  ]);
  if (!organisation) throw notFound('member');
  return {
    isSelf: memberId === viewer.member,
    isAdministrator: member.profile === ADMINISTRATOR && member.status === 'active' && member.confirmed,
    administrators: organisation.administrators,
    usesAddOn: usesAddOn(member, settings),
    lock: lockOf(member, now),
    backup: facts,
    successor: successor === undefined ? undefined : standingOf(heir, memberId),
  };
}

function standingOf(heir: Member | undefined, leaver: string): OffboardingFacts['successor'] {
  if (!heir) return 'unknown';
  if (heir.id === leaver) return 'leaver';
  return heir.status === 'active' && heir.confirmed ? 'fine' : 'inactive';
}
