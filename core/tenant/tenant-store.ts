import type * as z from 'zod';
import { lockOf } from '../addon-user/lock.ts';
import { auditEntry, changeOf } from '../audit/audit-store.ts';
import { conflict, invalid, stale } from '../errors.ts';
import type { TenantId } from '../ids.ts';
import { MAX_POLICY_EXCLUSION_BYTES } from '../limits.ts';
import type { Member } from '../member/member.ts';
import { builtInProfiles, type Profile } from '../member/profile.ts';
import { mayUseMailAddOn, type Viewer } from '../member/viewer.ts';
import { isMailable, normaliseAddress } from '../message/address.ts';
import { type MailPolicy, type mailPolicyPatch, NO_POLICY } from '../sharing/mail-policy.ts';
import { underPolicy } from '../sharing/sharing.ts';
import { isNew, type Table, type Write } from '../table/client.ts';
import { memberAddressKey, memberKey, membersPartition, profileKey, tenantKey, tenantPartition } from '../table/keys.ts';
import { normaliseDomains } from './domain-list.ts';
import type { newTenantInput, Tenant, tenantPatch } from './tenant.ts';

/** A tenant with its profiles: all that deciding anything for it needs, one Query of one small partition. */
export type TenantSettings = { tenant: Tenant; profiles: Map<string, Profile> };

export async function readSettings(
  table: Table,
  tenant: TenantId,
  options: { consistent?: boolean } = {},
): Promise<TenantSettings | undefined> {
  const items = await table.all<{ sk: string }>({ pk: tenantPartition(tenant), consistent: options.consistent ?? true });
  const found = items.find((item) => item.sk === 'TENANT');
  if (!found) return undefined;
  const profiles = items.filter((item) => item.sk.startsWith('P#')) as unknown as Profile[];
  return { tenant: found as unknown as Tenant, profiles: new Map(profiles.map((profile) => [profile.id, profile])) };
}

/** For whom an API call is: undefined when the member is gone, deactivated, or has not confirmed. Read anew for each call. */
export async function readViewer(table: Table, tenant: TenantId, memberId: string): Promise<Viewer | undefined> {
  const [settings, member] = await Promise.all([readSettings(table, tenant), table.get<Member>(memberKey(tenant, memberId))]);
  const profile = settings?.profiles.get(member?.profile ?? '');
  if (!settings || !profile || member?.status !== 'active' || !member.confirmed) return undefined;
  return {
    tenant,
    member: memberId,
    name: member.name,
    email: member.email,
    profile,
    organisation: settings.tenant,
    mailAddOn: member.mailAddOn,
  };
}

/** Whether the mail add-on is enabled for a member now (GEN-1). Eventually consistent. */
export async function isEnabledFor(table: Table, tenant: TenantId, memberId: string): Promise<boolean> {
  const [settings, member] = await Promise.all([
    readSettings(table, tenant, { consistent: false }),
    table.get<Member>(memberKey(tenant, memberId), { consistent: false }),
  ]);
  return settings !== undefined && member !== undefined && mayUseMailAddOn({ organisation: settings.tenant, mailAddOn: member.mailAddOn });
}

/**
 * Writes a new tenant, its two profiles and its first administrator (confirmed: the operator vouches for the address).
 * `more` are the writes that go with it: the data key, the administrator's first token. Throws `invalid-address`.
 */
export async function createTenant(
  table: Table,
  id: TenantId,
  input: z.output<typeof newTenantInput>,
  administrator: string,
  at: string,
  more: Write[],
): Promise<void> {
  const email = normaliseAddress(input.administrator.email);
  if (!email || !isMailable(email)) throw invalid('invalid-address', 'The administrator needs a mail address, such as admin@example.com.');
  const tenant: Tenant & { administrators: number } = {
    id,
    name: input.name,
    timeZone: input.timeZone,
    recordAccess: {},
    excludedDomains: [],
    createdAt: at,
    version: 1,
    administrators: 1,
  };
  const member: Member = {
    id: administrator,
    name: input.administrator.name,
    email,
    profile: 'administrator',
    status: 'active',
    confirmed: true,
    createdAt: at,
    version: 1,
  };
  await table.transact([
    { put: { ...tenantKey(id), ...tenant }, condition: isNew },
    ...builtInProfiles().map((profile) => ({ put: { ...profileKey(id, profile.id), ...profile } })),
    { put: { ...memberKey(id, administrator), ...member } },
    { put: { ...memberAddressKey(id, email), member: administrator } },
    auditEntry(id, { at, actor: 'operator', action: 'tenant.create', subject: `tenant:${id}`, after: { name: input.name, administrator } }),
    ...more,
  ]);
}

/**
 * Changes the tenant's settings; answers them as they are then. Throws `stale`, `invalid-domain`, `invalid-address`,
 * `default-not-allowed`, `policy-too-large`, `members-locked`.
 */
export async function patchTenant(
  table: Table,
  viewer: Viewer,
  patch: z.output<typeof tenantPatch>,
  at: string,
  ifMatch?: number,
): Promise<Tenant> {
  const before = viewer.organisation;
  if (ifMatch !== undefined && ifMatch !== before.version) throw stale();
  if (Object.keys(patch).length === 0) return before;
  const after: Tenant = {
    ...before,
    ...patch,
    recordAccess: { ...before.recordAccess, ...patch.recordAccess },
    excludedDomains: patch.excludedDomains ? normaliseDomains(patch.excludedDomains) : before.excludedDomains,
    mailPolicy: patch.mailPolicy ? changedPolicy(before.mailPolicy, patch.mailPolicy) : before.mailPolicy,
    version: before.version + 1,
  };
  if (patch.mailPolicy) await requireLockedUntouched(table, viewer, before.mailPolicy, after.mailPolicy, new Date(at));
  const asJudged = patch.mailPolicy ? lockRoundAsRead(before) : undefined;
  await table.transact(
    [
      {
        update: tenantKey(viewer.tenant),
        with: {
          update:
            'SET #name = :name, #timeZone = :timeZone, recordAccess = :access, excludedDomains = :domains, mailAddOn = :addOn, mailPolicy = :policy, version = :next',
          condition: `version = :version${asJudged ? ` AND ${asJudged.condition}` : ''}`,
          names: { '#name': 'name', '#timeZone': 'timeZone' },
          values: {
            ':name': after.name,
            ':timeZone': after.timeZone,
            ':access': after.recordAccess,
            ':domains': after.excludedDomains,
            ':addOn': after.mailAddOn ?? 'off',
            ':policy': after.mailPolicy ?? NO_POLICY,
            ':version': before.version,
            ':next': after.version,
            ...asJudged?.values,
          },
        },
      },
      auditEntry(viewer.tenant, {
        at,
        actor: viewer.member,
        action: 'organisation.change',
        subject: `tenant:${viewer.tenant}`,
        ...changeOf<object>(before, { ...patch, ...(patch.excludedDomains ? { excludedDomains: after.excludedDomains } : {}) }),
      }),
    ],
    () => conflict('changed-meanwhile', 'Somebody changed this in the same moment. Read it again.'),
  );
  return after;
}

/**
 * While a member is locked their sharing type stays what it is, never private (LCK-8): not even the organisation's policy takes it
 * away unsaid. The administrator unlocks them first, knowing what becomes of a backup then (LCK-2).
 */
async function requireLockedUntouched(
  table: Table,
  { tenant }: Viewer,
  before: MailPolicy | undefined,
  after: MailPolicy | undefined,
  now: Date,
) {
  const members = await table.all<Member>({ pk: membersPartition(tenant) });
  const touched = members.filter(
    (member) => lockOf(member, now) && underPolicy(member.sharing, before).type !== underPolicy(member.sharing, after).type,
  );
  if (touched.length === 0) return;
  throw conflict(
    'members-locked',
    'This policy would change the sharing type of members whose mail settings are locked. Unlock them first.',
    {
      members: touched.slice(0, 20).map(({ id, name }) => ({ id, name })),
    },
  );
}

/** No member was locked since the policy was judged by those who are. */
const lockRoundAsRead = ({ lockRound }: Tenant) =>
  lockRound === undefined
    ? { condition: 'attribute_not_exists(lockRound)', values: {} }
    : { condition: 'lockRound = :lockRound', values: { ':lockRound': lockRound } };

function changedPolicy(before: MailPolicy = NO_POLICY, patch: z.output<typeof mailPolicyPatch>): MailPolicy {
  const after = { ...before, ...patch };
  if (!after.allowedSharing.includes(after.defaultSharing)) {
    throw invalid('default-not-allowed', 'The default sharing type must be one of the allowed ones.', { allowed: after.allowedSharing });
  }
  const bad = after.excludedAddresses.filter((address) => !normaliseAddress(address));
  if (bad.length > 0) throw invalid('invalid-address', 'Exclude whole mail addresses, such as taro@example.com.', { addresses: bad });
  const excludedDomains = normaliseDomains(after.excludedDomains);
  const excludedAddresses = [...new Set(after.excludedAddresses.map((address) => normaliseAddress(address) as string))].sort();
  const bytes = [...excludedDomains, ...excludedAddresses].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (bytes > MAX_POLICY_EXCLUSION_BYTES) {
    throw invalid(
      'policy-too-large',
      `The excluded domains and addresses have ${bytes} bytes together; ${MAX_POLICY_EXCLUSION_BYTES} are possible. A domain stands for all its subdomains and addresses: exclude it instead of them.`,
    );
  }
  return { ...after, allowedSharing: [...new Set(after.allowedSharing)], excludedDomains, excludedAddresses };
}
