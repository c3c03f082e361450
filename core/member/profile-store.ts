import type * as z from 'zod';
import { auditEntry, changeOf } from '../audit/audit-store.ts';
import { conflict, forbidden, notFound, stale } from '../errors.ts';
import { MAX_PROFILES } from '../limits.ts';
import { isNew, type Table } from '../table/client.ts';
import { profileKey } from '../table/keys.ts';
import { ADMINISTRATOR, type Profile, permissions, type profileInput, type profilePatch } from './profile.ts';
import type { Viewer } from './viewer.ts';

/** Adds a profile; the dropbox permission is off unless ticked (GEN-6). Throws `too-many-profiles`. */
export async function createProfile(
  table: Table,
  viewer: Viewer,
  profiles: Map<string, Profile>,
  input: z.output<typeof profileInput>,
  id: string,
  now: Date,
): Promise<Profile> {
  if (profiles.size >= MAX_PROFILES)
    throw conflict('too-many-profiles', `There are ${MAX_PROFILES} profiles, which is the most. Change one of them.`);
  const profile: Profile = { id, ...input, administrator: false, modules: permissions(input.modules, false), version: 1 };
  await table.transact([
    { put: { ...profileKey(viewer.tenant, id), ...profile }, condition: isNew },
    auditEntry(viewer.tenant, {
      at: now.toISOString(),
      actor: viewer.member,
      action: 'profile.create',
      subject: `profile:${id}`,
      after: profile,
    }),
  ]);
  return profile;
}

/**
 * Changes a profile (GEN-7); it holds for the next call and the next mail of everyone who has it. The Administrator
 * profile keeps all it may do: else nobody could give it back. Throws `not-found`, `stale`, `fixed-profile`.
 */
export async function patchProfile(
  table: Table,
  viewer: Viewer,
  profiles: Map<string, Profile>,
  id: string,
  patch: z.output<typeof profilePatch>,
  now: Date,
  ifMatch?: number,
): Promise<Profile> {
  const before = profiles.get(id);
  if (!before) throw notFound('profile');
  if (ifMatch !== undefined && ifMatch !== before.version) throw stale();
  if (Object.keys(patch).length === 0) return before;
  if (id === ADMINISTRATOR && (patch.manageProfiles === false || patch.modules)) {
    throw forbidden('fixed-profile', 'The Administrator profile keeps its module permissions and the management of profiles.');
  }
  const modules = { ...before.modules };
  for (const [module, change] of Object.entries(patch.modules ?? {}))
    Object.assign(modules, { [module]: { ...modules[module as keyof typeof modules], ...change } });
  const after: Profile = { ...before, ...patch, modules, version: before.version + 1 };
  await table.transact(
    [
      { put: { ...profileKey(viewer.tenant, id), ...after }, condition: 'version = :version', values: { ':version': before.version } },
      auditEntry(viewer.tenant, {
        at: now.toISOString(),
        actor: viewer.member,
        action: 'profile.change',
        subject: `profile:${id}`,
        ...changeOf<object>(before, patch),
      }),
    ],
    () => conflict('changed-meanwhile', 'This profile was changed in the same moment. Read it again.'),
  );
  return after;
}
