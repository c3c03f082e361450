import type * as z from 'zod';
import { listAudit } from '../../../core/audit/audit-store.ts';
import { notFound } from '../../../core/errors.ts';
import { newId } from '../../../core/ids.ts';
import type { memberInput, memberPatch } from '../../../core/member/member.ts';
import { confirmMember, inviteAgain, inviteMember, listMembers, patchMember, readMember } from '../../../core/member/member-store.ts';
import type { profileInput, profilePatch } from '../../../core/member/profile.ts';
import { createProfile, patchProfile } from '../../../core/member/profile-store.ts';
import { createToken, listTokens, revokeToken, type tokenInput } from '../../../core/member/token-store.ts';
import type { Viewer } from '../../../core/member/viewer.ts';
import { invitationMail } from '../../../core/outbound/texts.ts';
import type { tenantPatch } from '../../../core/tenant/tenant.ts';
import { patchTenant, readSettings } from '../../../core/tenant/tenant-store.ts';
import { outbound, setting, table, tableOf } from '../../connect.ts';
import type { Call, Operation, Reply } from '../call.ts';

type Page = { limit: number; cursor?: string };

export const peopleOperations = {
  readMe: async ({ viewer }: Call) => {
    const member = await readMember(tableOf(viewer.tenant), viewer, viewer.member);
    return { body: { member, profile: viewer.profile, organisation: viewer.organisation } };
  },
  listTokens: async ({ viewer, now }: Call) => ({ body: { items: await listTokens(tableOf(viewer.tenant), viewer, now) } }),
  createToken: async ({ viewer, body, now }: Call<never, z.output<typeof tokenInput>>) => ({
    body: await createToken(tableOf(viewer.tenant), viewer, body, newId(now), now),
  }),
  revokeToken: async ({ viewer, params, now }: Call) => {
    await revokeToken(tableOf(viewer.tenant), viewer, params.tokenId ?? '', now);
    return {};
  },
  confirmMember: async ({ body, now }: Call<never, { code: string }>) => ({
    body: await confirmMember(table(), tableOf, body.code, newId(now), now),
  }),
  listMembers: async ({ viewer, query }: Call<Page>) => ({
    body: await listMembers(tableOf(viewer.tenant), viewer, { limit: query.limit, after: query.cursor }),
  }),
  inviteMember: async ({ viewer, body, now }: Call<never, z.output<typeof memberInput>>) => {
    const { member, code } = await inviteMember(tableOf(viewer.tenant), viewer, await profilesOf(viewer), body, newId(now), now);
    await outbound().send({ to: member.email, ...invitationMail(viewer.organisation.name, code, setting('PUBLIC_URL')) });
    return { body: member, version: member.version };
  },
  inviteAgain: async ({ viewer, params, now }: Call) => {
    const { member, code } = await inviteAgain(tableOf(viewer.tenant), viewer, params.memberId ?? '', now);
    await outbound().send({ to: member.email, ...invitationMail(viewer.organisation.name, code, setting('PUBLIC_URL')) });
    return { body: member };
  },
  readMember: async ({ viewer, params }: Call) => versioned(await readMember(tableOf(viewer.tenant), viewer, params.memberId ?? '')),
  patchMember: async ({ viewer, params, body, now, ifMatch }: Call<never, z.output<typeof memberPatch>>) =>
    versioned(await patchMember(tableOf(viewer.tenant), viewer, await profilesOf(viewer), params.memberId ?? '', body, now, ifMatch)),
  listProfiles: async ({ viewer }: Call) => ({ body: { items: [...(await profilesOf(viewer)).values()] } }),
  createProfile: async ({ viewer, body, now }: Call<never, z.output<typeof profileInput>>) =>
    versioned(await createProfile(tableOf(viewer.tenant), viewer, await profilesOf(viewer), body, newId(now), now)),
  readProfile: async ({ viewer, params }: Call) => {
    const profile = (await profilesOf(viewer)).get(params.profileId ?? '');
    if (!profile) throw notFound('profile');
    return versioned(profile);
  },
  patchProfile: async ({ viewer, params, body, now, ifMatch }: Call<never, z.output<typeof profilePatch>>) =>
    versioned(await patchProfile(tableOf(viewer.tenant), viewer, await profilesOf(viewer), params.profileId ?? '', body, now, ifMatch)),
  readOrganisation: async ({ viewer }: Call) => versioned(viewer.organisation),
  patchOrganisation: async ({ viewer, body, now, ifMatch }: Call<never, z.output<typeof tenantPatch>>) =>
    versioned(await patchTenant(tableOf(viewer.tenant), viewer, body, now.toISOString(), ifMatch)),
  listAudit: async ({ viewer, query, now }: Call<Page>) => ({
    body: await listAudit(tableOf(viewer.tenant), viewer.tenant, {
      limit: query.limit,
      after: query.cursor,
      now,
      since: viewer.organisation.createdAt,
    }),
  }),
} satisfies Record<string, Operation>;

const versioned = <T extends { version: number }>(thing: T): Reply => ({ body: thing, version: thing.version });

async function profilesOf(viewer: Viewer) {
  return (await readSettings(tableOf(viewer.tenant), viewer.tenant))?.profiles ?? new Map();
}
