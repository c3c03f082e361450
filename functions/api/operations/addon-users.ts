import type * as z from 'zod';
import type { AddonUserFilter, holdInput, lockInput, unlockInput } from '../../../core/addon-user/addon-user.ts';
import { addonUsersCsv } from '../../../core/addon-user/addon-user-csv.ts';
import { allAddonUsers, listAddonUsers, readAddonUser, showAddonUser } from '../../../core/addon-user/addon-user-store.ts';
import { placeHold, releaseHold } from '../../../core/addon-user/hold-store.ts';
import type { LockNotice } from '../../../core/addon-user/lock-notice-store.ts';
import { lockMember, unlockMember } from '../../../core/addon-user/lock-store.ts';
import { contentDisposition } from '../../../core/message/raw-mail.ts';
import { offboardingsQueue, tableOf } from '../../connect.ts';
import { errorForLog, log } from '../../edge/log.ts';
import type { Call, Operation } from '../call.ts';

export const addonUserOperations = {
  listAddonUsers: async ({ viewer, query, now }: Call<AddonUserFilter & { limit: number; cursor?: string }>) => {
    const { limit, cursor, ...filter } = query;
    return { body: await listAddonUsers(tableOf(viewer.tenant), viewer, filter, { limit, after: cursor }, now) };
  },
  downloadAddonUsers: async ({ viewer, query, now }: Call<AddonUserFilter>) => ({
    body: addonUsersCsv(await allAddonUsers(tableOf(viewer.tenant), viewer, query, now)),
    headers: { 'content-disposition': contentDisposition(`addon-users-${now.toISOString().slice(0, 10)}.csv`) },
  }),
  readAddonUser: async ({ viewer, params, now }: Call) => ({
    body: await readAddonUser(tableOf(viewer.tenant), viewer, params.memberId ?? '', now),
  }),
  lockAddonUser: async ({ viewer, params, body, now }: Call<never, z.output<typeof lockInput>>) => {
    const member = await lockMember(tableOf(viewer.tenant), viewer, params.memberId ?? '', body, now);
    const { at = '', reason } = member.locked ?? {};
    await tell({ tenant: viewer.tenant, member: member.id, what: 'locked', at, by: viewer.member, reason });
    return { body: await showAddonUser(tableOf(viewer.tenant), viewer, member, now) };
  },
  unlockAddonUser: async ({ viewer, params, body, now }: Call<never, z.output<typeof unlockInput>>) => {
    const { member } = await unlockMember(tableOf(viewer.tenant), viewer, params.memberId ?? '', body, now);
    const { reason } = body;
    await tell({ tenant: viewer.tenant, member: member.id, what: 'unlocked', at: now.toISOString(), by: viewer.member, reason });
    return { body: await showAddonUser(tableOf(viewer.tenant), viewer, member, now) };
  },
  holdAddonUserMail: async ({ viewer, params, body, now }: Call<never, z.output<typeof holdInput>>) => {
    const member = await placeHold(tableOf(viewer.tenant), viewer, params.memberId ?? '', body, now);
    return { body: await showAddonUser(tableOf(viewer.tenant), viewer, member, now) };
  },
  releaseAddonUserMail: async ({ viewer, params, now }: Call) => {
    const member = await releaseHold(tableOf(viewer.tenant), viewer, params.memberId ?? '', now);
    return { body: await showAddonUser(tableOf(viewer.tenant), viewer, member, now) };
  },
} satisfies Record<string, Operation>;

/** What they are told of is done already: that nobody can be told just now must not look as if it were not. */
async function tell(lockNotice: LockNotice): Promise<void> {
  await offboardingsQueue()
    .send({ lockNotice })
    .catch((error: unknown) => log.error('notice not sent', { member: lockNotice.member, ...errorForLog(error) }));
}
