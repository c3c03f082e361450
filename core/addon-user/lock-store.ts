import type * as z from 'zod';
import { readMailSettings } from '../account/mail-settings-store.ts';
import { auditEntry } from '../audit/audit-store.ts';
import { conflict, forbidden, invalid, notFound } from '../errors.ts';
import { ID, type TenantId } from '../ids.ts';
import type { Member } from '../member/member.ts';
import { ADMINISTRATOR } from '../member/profile.ts';
import type { Viewer } from '../member/viewer.ts';
import { underPolicy } from '../sharing/sharing.ts';
import { type Expression, type Table, TransactionRefused, type Write } from '../table/client.ts';
import { memberKey, tenantKey } from '../table/keys.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { lockInput, unlockInput } from './addon-user.ts';
import { usesAddOn } from './addon-user-store.ts';
import { hiddenMailFollows } from './hidden-mail.ts';
import { type Lock, lockOf, unlockedAt } from './lock.ts';
import { showLock } from './lock-guard-store.ts';

const TRIES = 5;

/** The tenant's item with the count of its active, confirmed administrators. */
type Organisation = Tenant & { administrators: number };
/** A condition with what it names. */
type Guard = Expression & { condition: string };
export type Situation = { target: Member; organisation: Organisation; isSelf: boolean };

/**
 * Locks a member's mail settings (LCK-1): truth table 2.2, judged afresh and once more by the transaction, so that it holds
 * whatever changes in the same moment: the target's sharing type, the policy, the actor's profile, how many administrators there
 * are. Locks made are counted on the organisation, for whoever changes its policy meanwhile (LCK-8).
 * Throws `not-found`, `own-lock`, `not-an-add-on-user`, `already-locked`, `private-account`, `administrators-only`, `expiry-past`,
 * `expiry-too-far`.
 */
export async function lockMember(table: Table, viewer: Viewer, id: string, input: z.output<typeof lockInput>, now: Date): Promise<Member> {
  const locked: Lock = { by: viewer.member, at: now.toISOString(), reason: input.reason, until: readExpiry(input.expiresAt, now) };
  return afresh(async () => {
    const situation = await readSituation(table, viewer, id);
    const { target, organisation } = situation;
    requireAnother(situation);
    const settings = await readMailSettings(table, viewer.tenant, id);
    if (!usesAddOn(target, settings)) {
      throw conflict('not-an-add-on-user', 'This member does not use the mail add-on (yet): there are no settings to lock.');
    }
    const before = lockOf(target, now);
    if (before) {
      throw conflict('already-locked', 'The mail settings of this member are locked already.', {
        locked: await showLock(table, viewer, before),
      });
    }
    if (underPolicy(target.sharing, organisation.mailPolicy).type === 'private') {
      throw conflict(
        'private-account',
        'This member shares nothing (private): that cannot be locked. Ask them to choose another sharing type first.',
      );
    }
    await table.transact([
      {
        update: memberKey(viewer.tenant, id),
        with: {
          update: 'SET #locked = :locked',
          ...merged(unlockedAt(now), asChosen(target), actorIfSelf(situation), { values: { ':locked': locked } }),
        },
      },
      {
        update: tenantKey(viewer.tenant),
        with: {
          update: 'SET lockRound = if_not_exists(lockRound, :zero) + :one',
          condition: `version = :version${situation.isSelf ? ' AND administrators = :one' : ''}`,
          values: { ':zero': 0, ':one': 1, ':version': organisation.version },
        },
      },
      ...actorUnlessSelf(viewer, situation),
      lockAudit(viewer, 'lock', id, now, { after: { reason: locked.reason, until: locked.until } }),
    ]);
    return { ...target, locked };
  });
}

/**
 * Unlocks a member's mail settings (UNL-1), under the same rules as locking (UNL-2, UNL-3). Answers the member and the lock that
 * was. Throws `not-found`, `own-lock`, `not-locked`, `administrators-only`.
 */
export async function unlockMember(
  table: Table,
  viewer: Viewer,
  id: string,
  { reason }: z.output<typeof unlockInput>,
  now: Date,
): Promise<{ member: Member; was: Lock }> {
  return afresh(async () => {
    const situation = await readSituation(table, viewer, id);
    requireAnother(situation);
    const { locked: _, ...target } = situation.target;
    const was = lockOf(situation.target, now);
    if (!was) throw conflict('not-locked', 'The mail settings of this member are not locked.');
    const asRead = { condition: '#locked.#at = :at', names: { '#locked': 'locked', '#at': 'at' }, values: { ':at': was.at } };
    await table.transact([
      {
        update: memberKey(viewer.tenant, id),
        with: { update: 'REMOVE #locked', ...merged(asRead, actorIfSelf(situation), asAway(situation)) },
      },
      ...warnedAnew(viewer.tenant, situation),
      ...(situation.isSelf
        ? [{ check: tenantKey(viewer.tenant), condition: 'administrators = :one', values: { ':one': 1 } }]
        : actorUnlessSelf(viewer, situation)),
      lockAudit(viewer, 'unlock', id, now, { before: was, after: { reason } }),
    ]);
    return { member: target, was };
  });
}

export async function readSituation(table: Table, viewer: Viewer, id: string): Promise<Situation> {
  if (!ID.test(id)) throw notFound('member');
  const keys = [memberKey(viewer.tenant, id), memberKey(viewer.tenant, viewer.member), tenantKey(viewer.tenant)];
  const [target, actor, organisation] = (await table.getMany<object>(keys)) as [Member?, Member?, Organisation?];
  if (!target || !organisation) throw notFound('member');
  if (actor?.status !== 'active' || actor.profile !== ADMINISTRATOR) {
    throw forbidden('administrators-only', 'Only members with the Administrator profile may do this.');
  }
  return { target, organisation, isSelf: id === viewer.member };
}

/** LCK-4..6, UNL-2, UNL-3: one's own settings only as the only administrator there is. */
function requireAnother({ isSelf, organisation }: Situation): void {
  if (!isSelf || organisation.administrators === 1) return;
  throw forbidden('own-lock', 'Your own mail settings can only be locked and unlocked by another administrator: there is one.');
}

/** The sharing type is still the one that was judged: a change to private in the same moment comes first or is refused (LCK-3, LCK-8). */
const asChosen = ({ sharing }: Member): Guard =>
  sharing
    ? { condition: '#sharing.#type = :type', names: { '#sharing': 'sharing', '#type': 'type' }, values: { ':type': sharing.type } }
    : { condition: 'attribute_not_exists(#sharing)', names: { '#sharing': 'sharing' } };

const isAdministratorStill = {
  condition: '#status = :active AND #profile = :administrator',
  names: { '#status': 'status', '#profile': 'profile' },
  values: { ':active': 'active', ':administrator': ADMINISTRATOR },
};

export const actorIfSelf = ({ isSelf }: Situation) => (isSelf ? isAdministratorStill : undefined);

/** An administrator who is deactivated or demoted in the same moment locks nobody. */
export const actorUnlessSelf = ({ tenant, member }: Viewer, { isSelf }: Situation): Write[] =>
  isSelf ? [] : [{ check: memberKey(tenant, member), ...isAdministratorStill }];

/**
 * What held the mail of a member who left was ended: that administrators were told of its deletion counts no longer, however short it
 * was. They are told again, a week before anything goes.
 */
export const warnedAnew = (tenant: TenantId, { target }: Situation): Write[] =>
  target.deactivatedAt ? [hiddenMailFollows(tenant, target)] : [];

/** They did not come back in the same moment: else they would be on the list of those who left. */
export const asAway = ({ target: { deactivatedAt } }: Situation): Guard | undefined =>
  deactivatedAt ? { condition: '#away = :away', names: { '#away': 'deactivatedAt' }, values: { ':away': deactivatedAt } } : undefined;

/** Several conditions on one item as one. */
export function merged(...parts: (Guard | { values: Record<string, unknown> } | undefined)[]) {
  return {
    condition: parts.flatMap((part) => (part && 'condition' in part ? part.condition : [])).join(' AND '),
    names: Object.assign({}, ...parts.map((part) => (part && 'names' in part ? part.names : {}))) as Record<string, string>,
    values: Object.assign({}, ...parts.map((part) => part?.values)) as Record<string, unknown>,
  };
}

function readExpiry(expiresAt: string | undefined, now: Date): string | undefined {
  if (expiresAt === undefined) return undefined;
  if (Date.parse(expiresAt) <= now.getTime())
    throw invalid('expiry-past', 'Give a time that is still to come, or none: then the lock has no end.');
  const until = new Date(expiresAt).toISOString();
  // Behind the year 9999 a time has another form, which sorts before all others.
  if (until.startsWith('+')) throw invalid('expiry-too-far', 'Give a time before the year 10000, or none: then the lock has no end.');
  return until;
}

/** What a transaction refused is read again and judged anew. */
export async function afresh<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof TransactionRefused)) throw error;
      if (tries === TRIES) throw conflict('changed-meanwhile', 'This member was changed in the same moment. Read it again.');
    }
  }
}

export const lockAudit = (
  viewer: { tenant: TenantId; member: string },
  verb: string,
  id: string,
  now: Date,
  what: { before?: unknown; after?: unknown },
) =>
  auditEntry(viewer.tenant, {
    at: now.toISOString(),
    actor: viewer.member,
    action: `addon-user.${verb}`,
    subject: `member:${id}`,
    ...what,
  });
