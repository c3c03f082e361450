import { MAX_AUDIENCE } from '../limits.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Table } from '../table/client.ts';
import { membersPartition } from '../table/keys.ts';
import { readSettings } from '../tenant/tenant-store.ts';

/** Everybody else who might see a mail of the viewer's: active, confirmed members, as viewers. At most MAX_AUDIENCE. */
export async function readColleagues(table: Table, viewer: Viewer): Promise<Viewer[]> {
  const [settings, { items }] = await Promise.all([
    readSettings(table, viewer.tenant),
    table.page<Member>({ pk: membersPartition(viewer.tenant), limit: MAX_AUDIENCE }),
  ]);
  return items.flatMap((member) => {
    const profile = settings?.profiles.get(member.profile);
    if (!settings || !profile || member.status !== 'active' || !member.confirmed || member.id === viewer.member) return [];
    return [{ tenant: viewer.tenant, member: member.id, name: member.name, email: member.email, profile, organisation: settings.tenant }];
  });
}
