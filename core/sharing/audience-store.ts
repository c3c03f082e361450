import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Table } from '../table/client.ts';
import { membersPartition } from '../table/keys.ts';
import { readSettings } from '../tenant/tenant-store.ts';

/**
 * Everybody else who might see a mail of the viewer's: active, confirmed members, as viewers. Of the first `most` members of the
 * organisation, all when left out; `more` says that there are others.
 */
export async function readColleagues(table: Table, viewer: Viewer, most?: number): Promise<{ colleagues: Viewer[]; more: boolean }> {
  const pk = membersPartition(viewer.tenant);
  const [settings, members] = await Promise.all([
    readSettings(table, viewer.tenant),
    most === undefined ? table.all<Member>({ pk }) : firstOf(table, pk, most + 1),
  ]);
  const colleagues = members.slice(0, most).flatMap((member) => {
    const profile = settings?.profiles.get(member.profile);
    if (!settings || !profile || member.status !== 'active' || !member.confirmed || member.id === viewer.member) return [];
    return [{ tenant: viewer.tenant, member: member.id, name: member.name, email: member.email, profile, organisation: settings.tenant }];
  });
  return { colleagues, more: most !== undefined && members.length > most };
}

/** A read ends at a megabyte, however few of them that are. */
async function firstOf(table: Table, pk: string, limit: number): Promise<Member[]> {
  const members: (Member & { sk: string })[] = [];
  let more = true;
  while (more && members.length < limit) {
    const page = await table.page<Member & { sk: string }>({ pk, limit: limit - members.length, after: members.at(-1)?.sk });
    members.push(...page.items);
    more = page.more;
  }
  return members;
}
