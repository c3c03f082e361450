import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Table } from '../table/client.ts';
import { membersPartition } from '../table/keys.ts';
import { readSettings } from '../tenant/tenant-store.ts';

/** Members of one read, some 300 bytes each: a read ends at a megabyte in any case, however few of them that are. */
const AT_ONCE = 1000;

/**
 * Everybody else who might see a mail of the viewer's: active, confirmed members, as viewers. Of the first `most` members of the
 * organisation, all when left out; `more` says that there are others.
 */
export async function readColleagues(
  table: Table,
  viewer: Viewer,
  most = Number.POSITIVE_INFINITY,
): Promise<{ colleagues: Viewer[]; more: boolean }> {
  const [settings, members] = await Promise.all([
    readSettings(table, viewer.tenant),
    firstOf(table, membersPartition(viewer.tenant), most + 1),
  ]);
  const colleagues = members.slice(0, most).flatMap((member) => {
    const profile = settings?.profiles.get(member.profile);
    if (!settings || !profile || member.status !== 'active' || !member.confirmed || member.id === viewer.member) return [];
    return [{ tenant: viewer.tenant, member: member.id, name: member.name, email: member.email, profile, organisation: settings.tenant }];
  });
  return { colleagues, more: members.length > most };
}

async function firstOf(table: Table, pk: string, wanted: number): Promise<Member[]> {
  const members: (Member & { sk: string })[] = [];
  let more = true;
  while (more && members.length < wanted) {
    const limit = Math.min(AT_ONCE, wanted - members.length);
    const page = await table.page<Member & { sk: string }>({ pk, limit, after: members.at(-1)?.sk });
    members.push(...page.items);
    more = page.more;
  }
  return members;
}
