import type { TenantId } from '../ids.ts';
import type { Table } from '../table/client.ts';
import { memberKey, membersPartition } from '../table/keys.ts';
import type { Member } from './member.ts';
import { ADMINISTRATOR } from './profile.ts';

/** The active, confirmed administrators of an organisation. */
export async function readAdministrators(table: Table, tenant: TenantId): Promise<Member[]> {
  return (await table.all<Member>({ pk: membersPartition(tenant) })).filter(isAdministrator);
}

/** Who is told of the end of what somebody began: they themselves; when they are no administrator any longer, all who are. */
export async function readThoseToTell(table: Table, tenant: TenantId, begunBy: string): Promise<Member[]> {
  const actor = await table.get<Member>(memberKey(tenant, begunBy));
  return actor && isAdministrator(actor) ? [actor] : readAdministrators(table, tenant);
}

const isAdministrator = ({ profile, status, confirmed }: Member) => profile === ADMINISTRATOR && status === 'active' && confirmed;
