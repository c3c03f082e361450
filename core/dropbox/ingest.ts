import { stableId, type TenantId } from '../ids.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import type { BackfillJob } from '../message/backfill.ts';
import type { Delivery } from '../message/delivery.ts';
import { fileMail } from '../message/file-mail.ts';
import { messageIdOf, threadOf } from '../message/identity.ts';
import type { ParsedMail } from '../message/parsed-mail.ts';
import { ownMark } from '../outbound/send.ts';
import type { Table } from '../table/client.ts';
import { dropboxKey, memberKey } from '../table/keys.ts';
import { readSettings } from '../tenant/tenant-store.ts';
import { type Activity, putActivity, putFirstActivity } from './activity-store.ts';
import type { Dropbox } from './dropbox.ts';
import { findDropbox } from './dropbox-store.ts';
import { gate, type HeldReason } from './gate.ts';
import { type Held, hold, settleReplay } from './held-store.ts';
import { planTies } from './plan-ties.ts';
import { type RawOwner, sweepLater } from './sweep-store.ts';

/** What ingesting works with. `readMail` parses within limits and a deadline; undefined is a mail that no parser can read. */
export type Mailroom = {
  table: Table;
  mailDomain: string;
  readRaw: (key: string) => Promise<Uint8Array | undefined>;
  readMail: (raw: Uint8Array) => Promise<ParsedMail | undefined>;
  /** Where word is left that a record's mail is to be looked at again. */
  backfills: { send: (job: BackfillJob) => Promise<void> };
};

/** What became of a delivery for one of its recipients. */
export type Outcome = { recipient: string; outcome: Activity['outcome']; reason?: string };

type Settled = Outcome & { owner?: RawOwner; usesRaw?: boolean };
/** One mail for one dropbox. `held` when its owner wants it looked at again: they vouch for having sent it. */
type Case = { delivery: Delivery; dropbox: Dropbox; mail?: ParsedMail; raw: Uint8Array; held?: string };

/**
 * Takes one delivery in: for each dropbox among its envelope recipients on its own, files the mail on the records it
 * concerns, or holds it with a reason. Running it again, whole or after a crash anywhere, changes nothing.
 * Throws when a service cannot be reached: the queue brings the delivery again.
 */
export async function ingest(room: Mailroom, delivery: Delivery): Promise<Outcome[]> {
  const found = await findOwners(room, delivery);
  const settled: Settled[] = [];
  const live = found.filter(({ dropbox }) => dropbox && !dropbox.retiredAt);
  if (live.length > 0) {
    const raw = await room.readRaw(delivery.rawKey);
    if (!raw) throw new Error('the raw mail is not there');
    const mail = await room.readMail(raw);
    for (const { recipient, dropbox } of live) {
      settled.push({ recipient, ...(await takeIn(room, { delivery, dropbox: dropbox as Dropbox, mail, raw })) });
    }
  }
  for (const { recipient, dropbox } of found) {
    if (!dropbox || dropbox.retiredAt) settled.push({ recipient, ...(await ignoreUnknown(room, delivery, dropbox)) });
  }
  // Raw mail that no message points to goes when its thirty days are over. Of one for several dropboxes SES's header names
  // none: that it is settled can be known by its note alone, and the sweep leaves it where it is.
  if (delivery.recipients.length > 1 || !settled.some(({ usesRaw }) => usesRaw))
    await sweepLater(
      room.table,
      delivery,
      settled.flatMap(({ owner }) => owner ?? []),
    );
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
  for (const { recipient, dropbox } of await findOwners(room, delivery)) {
    if (!dropbox || dropbox.retiredAt) continue;
    settled.push({ recipient, ...(await holdIt(room, { delivery, dropbox, raw: new Uint8Array() }, 'failed')) });
  }
  const owners = settled.flatMap(({ owner }) => owner ?? []);
  await sweepLater(room.table, delivery, owners);
  return settled.map(({ recipient, outcome, reason }) => ({ recipient, outcome, reason }));
}

async function findOwners(room: Pick<Mailroom, 'table' | 'mailDomain'>, delivery: Delivery) {
  const recipients = [...new Set(delivery.recipients.map((recipient) => recipient.toLowerCase()))];
  const ours = recipients.filter((recipient) => recipient.endsWith(`@${room.mailDomain}`));
  return Promise.all(ours.map(async (recipient) => ({ recipient, dropbox: await findDropbox(room.table, recipient) })));
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
      subject: activity.subject ?? '',
      from: mail?.from.map(({ address }) => address).slice(0, 5) ?? [],
      to: mail?.to.map(({ address }) => address).slice(0, 10) ?? [],
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

/** Nobody's address, or one that was regenerated away: filed nowhere, no reply; the owner of the old one sees it. */
async function ignoreUnknown(room: Mailroom, delivery: Delivery, tombstone: Dropbox | undefined): Promise<Omit<Settled, 'recipient'>> {
  const what = { outcome: 'ignored', reason: 'unknown-recipient' } as const;
  if (!tombstone) return what;
  return note(room, { delivery, dropbox: tombstone, raw: new Uint8Array() }, what);
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
