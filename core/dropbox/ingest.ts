import type { HostedAddress } from '../account/hosted-address.ts';
import { hostedDeliveryOf } from '../account/hosted-delivery.ts';
import { holdMail, type Letter, takeMail, type Verdict } from '../account/ingest-mailbox.ts';
import type { MailboxDelivery } from '../account/mailbox-delivery.ts';
import { settleSeen } from '../account/seen-mail-store.ts';
import { stableId, type TenantId } from '../ids.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Delivery } from '../message/delivery.ts';
import { fileMail } from '../message/file-mail.ts';
import { messageIdOf, threadOf } from '../message/identity.ts';
import type { Mailroom } from '../message/mailroom.ts';
import type { ParsedMail } from '../message/parsed-mail.ts';
import { ownMark } from '../outbound/send.ts';
import { dropboxKey, memberKey } from '../table/keys.ts';
import { readSettings } from '../tenant/tenant-store.ts';
import { type Activity, putActivity, putFirstActivity } from './activity-store.ts';
import type { Dropbox } from './dropbox.ts';
import { gate, type HeldReason } from './gate.ts';
import { type Held, headOf, hold, settleReplay } from './held-store.ts';
import { planTies } from './plan-ties.ts';
import { findReceiver, isHosted, type Receiver, receives } from './receiver-store.ts';
import { type RawOwner, sweepLater } from './sweep-store.ts';

/** What became of a delivery for one of its recipients. */
export type Outcome = { recipient: string; outcome: Activity['outcome']; reason?: string };

type Settled = Outcome & {
  owner?: RawOwner;
  usesRaw?: boolean;
  /** Says in a mailbox's ledger that all is done. */
  commit?: () => Promise<void>;
};
/** One mail for one dropbox. `held` when its owner wants it looked at again: they vouch for having sent it. */
type Case = { delivery: Delivery; dropbox: Dropbox; mail?: ParsedMail; raw: Uint8Array; held?: string };

/**
 * Takes one delivery in: for each dropbox and each hosted mailbox among its envelope recipients on its own, files the mail on the
 * records it concerns, or holds it with a reason. Running it again, whole or after a crash anywhere, changes nothing.
 * Throws when a service cannot be reached: the queue brings the delivery again.
 */
export async function ingest(room: Mailroom, delivery: Delivery): Promise<Outcome[]> {
  const found = await findReceivers(room, delivery);
  const settled: Settled[] = [];
  const live = found.filter(isLive);
  if (live.length > 0) {
    const raw = await room.readRaw(delivery.rawKey);
    if (!raw) throw new Error('the raw mail is not there');
    const mail = await room.readMail(raw);
    for (const { recipient, receiver } of live) {
      const took = isHosted(receiver)
        ? await takeInHosted(room, delivery, receiver, { raw, mail })
        : await takeIn(room, { delivery, dropbox: receiver, mail, raw });
      settled.push({ recipient, ...took });
    }
  }
  for (const { recipient, receiver, isLive } of found) {
    if (!isLive) settled.push({ recipient, ...(await ignoreUnknown(room, delivery, receiver)) });
  }
  return conclude(room, delivery, settled);
}

/**
 * Raw mail that no message points to goes when its thirty days are over. Of one for several recipients SES's header names
 * none: that it is settled can be known by its note alone, and the sweep leaves it where it is. What is written in ledgers is last.
 */
async function conclude(room: Pick<Mailroom, 'table'>, delivery: Delivery, settled: Settled[]): Promise<Outcome[]> {
  if (delivery.recipients.length > 1 || !settled.some(({ usesRaw }) => usesRaw)) {
    const owners = settled.flatMap(({ owner }) => owner ?? []);
    await sweepLater(room.table, delivery, owners);
  }
  for (const { commit } of settled) await commit?.();
  return settled.map(({ recipient, outcome, reason }) => ({ recipient, outcome, reason }));
}

/** Takes a held mail in again for its owner, whose present dropbox and settings count. */
export async function ingestHeld(room: Mailroom, tenant: TenantId, member: string, held: Held): Promise<Outcome | undefined> {
  const owner = await room.table.get<Member>(memberKey(tenant, member));
  const dropbox = owner?.dropbox ? await room.table.get<Dropbox>(dropboxKey(owner.dropbox)) : undefined;
  const { delivery } = held;
  if (!dropbox || !('verdicts' in delivery)) return undefined;
  const raw = await room.readRaw(delivery.rawKey);
  const found = { delivery, dropbox, raw: raw ?? new Uint8Array(), mail: raw && (await room.readMail(raw)), held: held.id };
  const { outcome, reason } = await takeIn(room, found);
  return { recipient: '', outcome, reason };
}

/**
 * Holds a delivery for all its owners without looking into it: for one that has failed every time it was tried, so that
 * it ends where its owner sees it and not in a dead-letter queue alone.
 */
export async function holdUnprocessed(room: Pick<Mailroom, 'table' | 'mailDomain'>, delivery: Delivery): Promise<Outcome[]> {
  const settled: Settled[] = [];
  for (const { recipient, receiver } of (await findReceivers(room, delivery)).filter(isLive)) {
    const held = isHosted(receiver)
      ? await holdHosted(room, delivery, receiver)
      : await holdIt(room, { delivery, dropbox: receiver, raw: new Uint8Array() }, 'failed');
    settled.push({ recipient, ...held });
  }
  return conclude(room, delivery, settled);
}

type Found = { recipient: string; receiver: Receiver | undefined; isLive: boolean };
const isLive = (found: Found): found is Found & { receiver: Receiver } => found.isLive;

async function findReceivers(room: Pick<Mailroom, 'table' | 'mailDomain'>, delivery: Delivery): Promise<Found[]> {
  const recipients = [...new Set(delivery.recipients.map((recipient) => recipient.toLowerCase()))];
  const ours = recipients.filter((recipient) => recipient.endsWith(`@${room.mailDomain}`));
  const found = await Promise.all(
    ours.map(async (recipient) => {
      const receiver = await findReceiver(room.table, recipient);
      return { recipient, receiver, isLive: receiver !== undefined && receives(receiver, delivery.receivedAt) };
    }),
  );
  // One mailbox under several tags is one.
  const accounts = found.map(({ receiver }) => (receiver && isHosted(receiver) ? receiver.account : undefined));
  return found.filter((_, i) => accounts[i] === undefined || accounts.indexOf(accounts[i]) === i);
}

/** A hosted mailbox takes all mail, from whomsoever, active or not, and of a deactivated owner too: it would be lost else. */
async function takeInHosted(room: Mailroom, delivery: Delivery, mailbox: HostedAddress, letter: Letter) {
  const mine = hostedDeliveryOf(delivery, mailbox, letter);
  return asSettled(room, mine, await takeMail(room, mine, letter));
}

async function holdHosted(room: Pick<Mailroom, 'table'>, delivery: Delivery, mailbox: HostedAddress) {
  const mine = hostedDeliveryOf(delivery, mailbox);
  return asSettled(room, mine, await holdMail(room, mine, 'failed'));
}

function asSettled(
  { table }: Pick<Mailroom, 'table'>,
  mine: MailboxDelivery,
  { outcome, reason, ...verdict }: Verdict,
): Omit<Settled, 'recipient'> {
  const commit = () => settleSeen(table, mine, outcome, verdict.message);
  if (outcome === 'filed' || outcome === 'duplicate' || outcome === 'held') return { ...verdict, outcome, reason, commit };
  return { ...verdict, outcome: 'ignored', reason: outcome, commit };
}

async function takeIn(room: Mailroom, found: Case): Promise<Omit<Settled, 'recipient'>> {
  const { delivery, dropbox, mail, raw, held } = found;
  if (!mail) return holdIt(room, found, 'unreadable');
  if (isOurOwn(room, mail)) return note(room, found, { outcome: 'ignored', reason: 'own-mail' });
  const settings = await readSettings(room.table, dropbox.tenant, { consistent: false });
  const profile = settings?.profiles.get(dropbox.profile);
  const refused = gate(dropbox, profile, delivery, mail, { vouched: held !== undefined });
  if (refused || !settings || !profile) return holdIt(room, found, refused ?? 'no-dropbox-permission');

  const owner: Viewer = { tenant: dropbox.tenant, member: dropbox.member, name: '', email: '', profile, organisation: settings.tenant };
  const plan = await planTies(room, owner, dropbox, mail);
  if (plan.ties.length === 0 && plan.creations.length === 0) {
    return holdIt(room, found, plan.skipped.some(({ reason }) => reason === 'no-permission') ? 'no-permission' : 'nothing-to-file');
  }
  const message = messageIdOf(dropbox.tenant, mail, raw);
  const thread = threadOf(dropbox.tenant, mail, message);
  const skipped = plan.skipped.length > 0 ? plan.skipped : undefined;
  const filed = await fileMail(room.table, {
    tenant: dropbox.tenant,
    owner: dropbox.member,
    channel: 'dropbox',
    // Whoever is registered is in From, and to BCC is to have sent it (BCC-24, R-40).
    direction: 'sent',
    delivery,
    mail,
    rawSize: raw.length,
    message,
    thread,
    ...plan,
    onCreated: (record) => room.backfills.send({ backfill: { tenant: dropbox.tenant, record } }),
    tell: ({ outcome, ...told }) =>
      putActivity(room.table, dropbox.tenant, dropbox.member, {
        ...activityOf(found),
        skipped: outcome === 'duplicate' ? undefined : skipped,
        outcome,
        ...told,
      }),
  });
  if (held) await settleReplay(room.table, dropbox.tenant, dropbox.member, held);
  return { outcome: filed.outcome, usesRaw: filed.usesRaw, owner: ownerOf(found) };
}

/** Holds the mail; the first word on a delivery stands, so that a late redelivery does not bring back what was discarded. */
async function holdIt(room: Pick<Mailroom, 'table'>, found: Case, reason: HeldReason): Promise<Omit<Settled, 'recipient'>> {
  const { delivery, dropbox, mail, raw } = found;
  const { tenant, member } = dropbox;
  const activity = activityOf(found);
  if (found.held) {
    await putActivity(room.table, tenant, member, { ...activity, outcome: 'held', reason, held: found.held });
    await settleReplay(room.table, tenant, member, found.held, reason);
  } else {
    const held = await hold(room.table, tenant, member, {
      id: activity.id,
      reason,
      delivery,
      dropbox: dropbox.hash,
      receivedAt: delivery.receivedAt,
      ...headOf(mail),
      size: raw.length,
    });
    await putFirstActivity(room.table, tenant, member, { ...activity, outcome: 'held', reason, held: held.id });
  }
  return { outcome: 'held', reason, owner: ownerOf(found) };
}

async function note(
  room: Pick<Mailroom, 'table'>,
  found: Case,
  what: Pick<Activity, 'outcome' | 'reason'>,
): Promise<Omit<Settled, 'recipient'>> {
  await putFirstActivity(room.table, found.dropbox.tenant, found.dropbox.member, { ...activityOf(found), ...what });
  return { ...what, owner: ownerOf(found) };
}

/** Nobody's address, or one that is no longer in use: filed nowhere, no reply; who had the old one sees it. */
async function ignoreUnknown(room: Mailroom, delivery: Delivery, old: Receiver | undefined): Promise<Omit<Settled, 'recipient'>> {
  const what = { outcome: 'ignored', reason: 'unknown-recipient' } as const;
  if (!old) return what;
  if (isHosted(old)) return noteRemoved(room, delivery, old);
  return note(room, { delivery, dropbox: old, raw: new Uint8Array() }, what);
}

async function noteRemoved(
  { table }: Mailroom,
  { id, receivedAt, source }: Delivery,
  old: HostedAddress,
): Promise<Omit<Settled, 'recipient'>> {
  const { tenant, member, account } = old;
  const what = { outcome: 'ignored', reason: 'removed-mailbox' } as const;
  const activity = stableId(receivedAt, id, account);
  await putFirstActivity(table, tenant, member, { id: activity, at: receivedAt, from: source || undefined, ...what });
  return { ...what, owner: { tenant, member, activity } };
}

/** The one entry a delivery has in its owner's activity: same id on every try and every replay. */
function activityOf(found: Case): Omit<Activity, 'outcome'> {
  const { delivery, mail, held } = found;
  return {
    id: activityId(found),
    at: delivery.receivedAt,
    subject: mail && clip(mail.subject, 200),
    from: mail?.from[0]?.address,
    replayed: held ? true : undefined,
  };
}

const activityId = ({ delivery, dropbox, held }: Case) => held ?? stableId(delivery.receivedAt, delivery.id, dropbox.hash);
function ownerOf(found: Case): RawOwner {
  const { dropbox, mail, raw } = found;
  const message = mail && messageIdOf(dropbox.tenant, mail, raw);
  return { tenant: dropbox.tenant, member: dropbox.member, activity: activityId(found), message };
}

/** Mail this product sent is never filed: an answer to an answer would go on for ever. */
const isOurOwn = (room: Mailroom, mail: ParsedMail) => mail.ownMark === ownMark(room.mailDomain);

const clip = (text: string, chars: number) => Array.from(text).slice(0, chars).join('');
