import * as z from 'zod';
import type { MailboxDelivery } from '../account/mailbox-delivery.ts';
import { auditEntry } from '../audit/audit-store.ts';
import { conflict, notFound } from '../errors.ts';
import { ID, type TenantId } from '../ids.ts';
import { HELD_DAYS } from '../limits.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Delivery, Parcel } from '../message/delivery.ts';
import type { ParsedMail } from '../message/parsed-mail.ts';
import { isLive, type Table, ttlAfter } from '../table/client.ts';
import { heldKey, memberPartition } from '../table/keys.ts';
import { filledPage, type Page } from '../table/page.ts';
import type { HeldReason } from './gate.ts';

/** A mail that was not taken, with all that replaying it needs. It lives as long as its raw bytes: 30 days. */
export type Held = {
  id: string;
  /** `filed` and `discarded` ones stay, out of sight: a late redelivery must not hold the mail again. */
  state: 'held' | 'replaying' | 'filed' | 'discarded';
  reason: HeldReason;
  /** Where its bytes lie; all of it, with envelope and verdicts, when it was sent to a dropbox. */
  delivery: Delivery | Parcel;
  /** Which dropbox it was sent to; or how it came to a mailbox. */
  dropbox?: string;
  mailbox?: MailboxDelivery;
  receivedAt: string;
  subject: string;
  from: string[];
  to: string[];
  size: number;
  ttl: number;
};

export const heldReturned = z.object({
  id: z.string(),
  state: z.enum(['held', 'replaying']),
  reason: z.string(),
  explanation: z.string().meta({ description: 'The reason in words, and what to do' }),
  receivedAt: z.string(),
  keptUntil: z.string(),
  subject: z.string(),
  from: z.array(z.string()),
  to: z.array(z.string()),
  size: z.number().meta({ description: 'Bytes of the raw mail' }),
});

/** What the list of held mail shows of its header; nothing of a mail that could not be read. */
export const headOf = (mail: ParsedMail | undefined) => ({
  subject: mail ? Array.from(mail.subject).slice(0, 200).join('') : '',
  from: mail?.from.map(({ address }) => address).slice(0, 5) ?? [],
  to: mail?.to.map(({ address }) => address).slice(0, 10) ?? [],
});

/** Holds a mail, once: answers the entry that stands, which may be an earlier one of the same delivery. */
export async function hold(table: Table, tenant: TenantId, member: string, held: Omit<Held, 'ttl' | 'state'>): Promise<Held> {
  const item: Held = { ...held, state: 'held', ttl: ttlAfter(held.receivedAt, { days: HELD_DAYS }) };
  return (await table.putNew<Held>({ ...heldKey(tenant, member, held.id), ...item })) ?? item;
}

/** What a replay came to: filed, or held again for this reason. */
export async function settleReplay(table: Table, tenant: TenantId, member: string, id: string, heldAgain?: HeldReason): Promise<void> {
  await table.update(heldKey(tenant, member, id), {
    update: heldAgain ? 'SET #state = :state, reason = :reason' : 'SET #state = :state',
    condition: '#state = :replaying',
    names: { '#state': 'state' },
    values: { ':state': heldAgain ? 'held' : 'filed', ':replaying': 'replaying', ...(heldAgain ? { ':reason': heldAgain } : {}) },
  });
}

export function findHeld(table: Table, tenant: TenantId, member: string, id: string): Promise<Held | undefined> {
  return table.get<Held>(heldKey(tenant, member, id));
}

/** One held mail of the viewer's own. Throws `not-found`, also for what was filed, discarded, or is past its 30 days. */
export async function readHeld(table: Table, viewer: Viewer, id: string, now: Date): Promise<Held> {
  const held = ID.test(id) ? await findHeld(table, viewer.tenant, viewer.member, id) : undefined;
  if (!held || !isShown(held, now)) throw notFound('held mail');
  return held;
}

/** The viewer's own held mail, newest first. What is settled or expired is passed over. */
export function listHeld(table: Table, viewer: Viewer, page: { limit: number; after?: string }, now: Date): Promise<Page<Held>> {
  const query = { pk: memberPartition(viewer.tenant, viewer.member), begins: 'H#', limit: page.limit, descending: true };
  return filledPage<Held>(table, query, { after: page.after, keep: (held) => isShown(held, now) });
}

/** Marks a held mail for replay; the queue does the rest. Throws `not-found`. */
export async function markReplaying(table: Table, viewer: Viewer, id: string, now: Date): Promise<Held> {
  return settle(table, viewer, await readHeld(table, viewer, id, now), 'replaying', 'held.replay', now);
}

/** Takes a mail off the held list for good; its bytes go with the thirty days. Throws `not-found`, `changed-meanwhile`. */
export async function discard(table: Table, viewer: Viewer, id: string, now: Date): Promise<Held> {
  return settle(table, viewer, await readHeld(table, viewer, id, now), 'discarded', 'held.discard', now);
}

async function settle(table: Table, viewer: Viewer, held: Held, state: Held['state'], action: string, now: Date): Promise<Held> {
  await table.transact(
    [
      {
        update: heldKey(viewer.tenant, viewer.member, held.id),
        with: {
          update: 'SET #state = :state',
          // Not discarded under a replay at work: the mail would be filed, and its raw bytes swept as nobody's.
          condition: state === 'discarded' ? '#state = :held' : '#state IN (:held, :replaying)',
          names: { '#state': 'state' },
          values: { ':state': state, ':held': 'held', ...(state === 'discarded' ? {} : { ':replaying': 'replaying' }) },
        },
      },
      auditEntry(viewer.tenant, {
        at: now.toISOString(),
        actor: viewer.member,
        action,
        subject: `held:${held.id}`,
        before: { reason: held.reason },
      }),
    ],
    () => conflict('changed-meanwhile', 'This mail is being replayed, or was settled in the same moment. Read the list again.'),
  );
  return { ...held, state };
}

const isShown = (held: Held, now: Date) => (held.state === 'held' || held.state === 'replaying') && isLive(held, now);
