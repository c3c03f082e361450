import type { Member } from '../member/member.ts';
import { canSee, type OwnerSettings } from '../sharing/can-see.ts';
import type { MailPolicy } from '../sharing/mail-policy.ts';
import { type Sharing, underPolicy } from '../sharing/sharing.ts';

export const scopes = ['shared', 'all-records'] as const;
/** What a backup makes visible: what was shared when the member was deactivated, or everything tied to a record. */
export type BackupScope = (typeof scopes)[number];

/**
 * The sharing a backup goes by, fixed when it starts: a deactivated member cannot change theirs, and what an administrator changes
 * meanwhile is for later ones. With `all-records` everything is public but what is excluded, by the member or for everybody.
 */
export function sharingInScope(scope: BackupScope, member: Pick<Member, 'sharing'>, policy: MailPolicy | undefined): Sharing {
  if (scope === 'shared') return underPolicy(member.sharing, policy);
  const own = member.sharing?.type === 'public' ? member.sharing.excludedDomains : [];
  return {
    type: 'public',
    excludedDomains: [...own, ...(policy?.excludedDomains ?? [])],
    excludedAddresses: policy?.excludedAddresses ?? [],
  };
}

/** Does the backup cover this mail on this record? What a colleague without any rights of their own would have seen of it: one gate. */
export function isInScope(
  sharing: Sharing,
  mail: { owner: string; counterparts: readonly string[] | undefined },
  record: { ticked: boolean },
): boolean {
  const settings: OwnerSettings = { dropboxVisibility: 'sharing', sharing, deactivated: false };
  return canSee(COLLEAGUE, { ...mail, channel: 'mailbox' }, settings, record).visible;
}

/** Whether the ticks matter at all: else they need not be read. */
export const goesByTicks = (sharing: Sharing) => sharing.type === 'custom';

/** Somebody who is nobody's owner and no administrator. */
const COLLEAGUE = { member: '', profile: { administrator: false } } as Parameters<typeof canSee>[0];
