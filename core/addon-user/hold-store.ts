import type * as z from 'zod';
import { conflict } from '../errors.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Table } from '../table/client.ts';
import { memberKey } from '../table/keys.ts';
import type { holdInput } from './addon-user.ts';
import type { Hold } from './lock.ts';
import {
  actorIfSelf,
  actorUnlessSelf,
  afresh,
  asAway,
  lockAudit,
  merged,
  readSituation,
  type Situation,
  warnedAnew,
} from './lock-store.ts';

/**
 * Puts a member's mail on hold: from this write on nothing of it is deleted, a deletion that is under way included. Whoever it is,
 * active or not: a hold may come before they leave. Again with another reason: that one counts. Throws `not-found`,
 * `administrators-only`.
 */
export async function placeHold(
  table: Table,
  viewer: Viewer,
  id: string,
  { reason }: z.output<typeof holdInput>,
  now: Date,
): Promise<Member> {
  return afresh(async () => {
    const situation = await readSituation(table, viewer, id);
    const { target } = situation;
    if (target.hold?.reason === reason) return target;
    const hold: Hold = { by: viewer.member, at: now.toISOString(), reason };
    await table.transact([
      {
        update: memberKey(viewer.tenant, id),
        with: { update: 'SET #hold = :hold', ...merged(asRead(situation), actorIfSelf(situation), { values: { ':hold': hold } }) },
      },
      ...actorUnlessSelf(viewer, situation),
      lockAudit(viewer, 'hold', id, now, { before: target.hold, after: hold }),
    ]);
    return { ...target, hold };
  });
}

/** Ends a hold: the mail may be deleted again when its days are over, a week after administrators were told. Throws `not-on-hold` too. */
export async function releaseHold(table: Table, viewer: Viewer, id: string, now: Date): Promise<Member> {
  return afresh(async () => {
    const situation = await readSituation(table, viewer, id);
    const { hold, ...target } = situation.target;
    if (!hold) throw conflict('not-on-hold', 'The mail of this member is not on hold.');
    await table.transact([
      {
        update: memberKey(viewer.tenant, id),
        with: { update: 'REMOVE #hold', ...merged(asRead(situation), actorIfSelf(situation), asAway(situation)) },
      },
      ...actorUnlessSelf(viewer, situation),
      ...warnedAnew(viewer.tenant, situation),
      lockAudit(viewer, 'release-hold', id, now, { before: hold }),
    ]);
    return target;
  });
}

/** Two administrators at once: the audit tells what was there before each of them. */
function asRead({ target: { hold } }: Situation) {
  const names = { '#hold': 'hold', ...(hold ? { '#at': 'at' } : {}) };
  return hold
    ? { condition: '#hold.#at = :at', names, values: { ':at': hold.at } }
    : { condition: 'attribute_exists(pk) AND attribute_not_exists(#hold)', names };
}
