import type { HeldReason } from '../dropbox/gate.ts';
import { headOf, hold, settleReplay } from '../dropbox/held-store.ts';
import { recipientsOf } from '../dropbox/recipients.ts';
import { type RawOwner, sweepLater } from '../dropbox/sweep-store.ts';
import { stableId } from '../ids.ts';
import { MAX_MATCHED_ADDRESSES } from '../limits.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Parcel } from '../message/delivery.ts';
import { fileMail } from '../message/file-mail.ts';
import { messageIdOf, threadOf } from '../message/identity.ts';
import type { Mailroom } from '../message/mailroom.ts';
import type { Copy } from '../message/message.ts';
import type { ParsedMail } from '../message/parsed-mail.ts';
import { mayRead } from '../record/access.ts';
import { type AddressLink, type AddressMatch, matchAddress } from '../record/address-store.ts';
import { mailAccountKey, memberKey } from '../table/keys.ts';
import { readSettings } from '../tenant/tenant-store.ts';
import type { MailAccount } from './account.ts';
import type { MailboxDelivery } from './mailbox-delivery.ts';
import { fixReceivedAt, type SeenOutcome, settleSeen } from './seen-mail-store.ts';

/** Days the bytes of a mail are kept that policy says not to store: long enough for whoever is still at work on them. */
const NOT_KEPT_DAYS = 1;

/** A mail's bytes, and what a parser made of them; undefined when none can read it. */
export type Letter = { raw: Uint8Array; mail: ParsedMail | undefined };

/** What became of a mail, before its line in the ledger says so; and what the sweep needs to know of its bytes. */
export type Verdict = {
  outcome: SeenOutcome;
  /** Why it is held. */
  reason?: HeldReason;
  message?: string;
  usesRaw: boolean;
  owner: RawOwner;
  /** Days its bytes are kept, if it is not as long as a held mail's. */
  days?: number;
};

type Case = { delivery: MailboxDelivery; mail: ParsedMail; raw: Uint8Array; owner: Viewer; account?: MailAccount };
type Ties = {
  direction: Copy['direction'];
  ties: AddressLink[] /** Whom it was exchanged with, as far as mail is tied by them. */;
  by: string[];
};

/**
 * Takes in one mail fetched from a member's mailbox, or again a held one of whatever mailbox. Running it again, whole or after a
 * crash anywhere, changes nothing. Throws when a service cannot be reached.
 */
export async function ingestMailbox(room: Mailroom, delivery: MailboxDelivery, replayOf?: string): Promise<SeenOutcome> {
  const replayed = replayOf !== undefined;
  if (delivery.tooLarge) return conclude(room, delivery, await holdMail(room, delivery, 'too-large', { replayed }), replayOf);
  const raw = await room.readRaw(delivery.rawKey);
  if (!raw) throw new Error('the raw mail is not there');
  const letter = { raw, mail: await room.readMail(raw) };
  return conclude(room, delivery, await takeMail(room, delivery, letter, { replayed }), replayOf);
}

/** Holds a fetched mail that has failed every time it was tried. */
export async function holdMailbox(room: Pick<Mailroom, 'table'>, delivery: MailboxDelivery, reason: HeldReason): Promise<SeenOutcome> {
  return conclude(room, delivery, await holdMail(room, delivery, reason));
}

/**
 * The bytes' fate, the line in the ledger, and last the replay: one that was cut off before is done again. A mail that was held
 * has its note for the sweep already; that of a hosted mailbox names all who were sent the same bytes.
 */
async function conclude(
  { table }: Pick<Mailroom, 'table'>,
  delivery: MailboxDelivery,
  { outcome, message, reason, usesRaw, owner, days }: Verdict,
  replayOf?: string,
): Promise<SeenOutcome> {
  if (!usesRaw && !replayOf) await sweepLater(table, parcelOf(delivery), [owner], days);
  await settleSeen(table, delivery, outcome, message);
  if (replayOf) await settleReplay(table, delivery.tenant, delivery.member, replayOf, reason);
  return outcome;
}

/**
 * Files a mail of a member's mailbox: on the leads and contacts it was exchanged with (ASC-1), and in its owner's own list, where
 * what concerns nobody's record stays (ASC-2); or holds it. It never makes a record. Its line in the ledger is the caller's to
 * settle, last of all. A mail that was on its way when its owner was deactivated, or its account removed, is stored all the same.
 */
export async function takeMail(
  room: Mailroom,
  delivery: MailboxDelivery,
  { raw, mail }: Letter,
  { replayed = false } = {},
): Promise<Verdict> {
  if (!mail) return holdMail(room, delivery, 'unreadable', { replayed });
  // Who replays a mail says that it is no spam; of a virus nobody can say so.
  if (delivery.suspect && !(delivery.suspect === 'spam' && replayed)) return holdMail(room, delivery, delivery.suspect, { mail, replayed });
  const owner = await readOwner(room, delivery);
  if (!owner) return { outcome: 'not-kept', usesRaw: false, owner: rawOwnerOf(delivery) };
  const account = await room.table.get<MailAccount>(mailAccountKey(delivery.tenant, delivery.member, delivery.account), {
    consistent: false,
  });

  const found: Case = { delivery, mail, raw, owner, account };
  const { direction, ties, by } = await tiesOf(room, found);
  const message = messageIdOf(delivery.tenant, mail, raw);
  const rawOwner = { ...rawOwnerOf(delivery), message };
  if (ties.length === 0 && owner.organisation.mailPolicy?.storeOnlyRecordMail) {
    // No server keeps it: a stranger's first mail would be lost, and nobody told.
    if (delivery.hosted) return holdMail(room, delivery, 'no-record', { mail, replayed });
    return { outcome: 'not-kept', usesRaw: false, owner: rawOwner, days: NOT_KEPT_DAYS };
  }
  const filed = await fileMail(room.table, {
    tenant: delivery.tenant,
    owner: delivery.member,
    channel: 'mailbox',
    direction,
    delivery: parcelOf(delivery),
    mail,
    rawSize: raw.length,
    message,
    thread: threadOf(delivery.tenant, mail, message),
    ties,
    creations: [],
    findableBy: by,
    mayTie: (link) => mayRead(owner, link),
    // The ledger tells of it, once it is done.
    tell: async () => {},
  });
  await lookAgain(room, owner, by, filed.copy);
  return { outcome: filed.outcome === 'duplicate' ? 'duplicate' : 'filed', message, usesRaw: filed.usesRaw, owner: rawOwner };
}

/** Keeps a mail that could not be filed for its owner to see, with its bytes, thirty days. One that is replayed is kept already. */
export async function holdMail(
  room: Pick<Mailroom, 'table'>,
  delivery: MailboxDelivery,
  reason: HeldReason,
  { mail, replayed = false }: { mail?: ParsedMail; replayed?: boolean } = {},
): Promise<Verdict> {
  const { tenant, member, account, seen } = delivery;
  if (!replayed) {
    // Its id sorts by time, and must be the same on every try.
    const receivedAt = await fixReceivedAt(room.table, delivery);
    await hold(room.table, tenant, member, {
      id: stableId(receivedAt, account, seen),
      reason,
      delivery: { ...parcelOf(delivery), receivedAt },
      mailbox: delivery,
      receivedAt,
      ...headOf(mail),
      size: delivery.rawSize,
    });
  }
  return { outcome: reason === 'too-large' ? 'too-large' : 'held', reason, usesRaw: false, owner: rawOwnerOf(delivery) };
}

const rawOwnerOf = ({ tenant, member }: MailboxDelivery): RawOwner => ({ tenant, member });

/** As the copy and the sweep name it: the same for every try of it, another one for every other place in a mailbox. */
const parcelOf = ({ account, seen, rawKey, receivedAt }: MailboxDelivery): Parcel => ({
  id: `${account}-${seen}`,
  rawKey,
  receivedAt,
});

async function readOwner({ table }: Mailroom, { tenant, member }: MailboxDelivery): Promise<Viewer | undefined> {
  const [settings, owner] = await Promise.all([
    readSettings(table, tenant, { consistent: false }),
    table.get<Member>(memberKey(tenant, member), { consistent: false }),
  ]);
  const profile = settings?.profiles.get(owner?.profile ?? '');
  if (!settings || !owner || !profile) return undefined;
  return { tenant, member, name: owner.name, email: owner.email, profile, organisation: settings.tenant };
}

/**
 * Whom the mail was exchanged with: its sender; or, when the owner sent it (`recent:` hands out sent mail too, POP-17), those it
 * went to. Tied to all records of theirs that the owner may read; never for colleagues, excluded domains and addresses
 * that only programs write from.
 */
async function tiesOf(room: Mailroom, { delivery, mail, owner, account }: Case): Promise<Ties> {
  const senders = await matchAll(room, owner, mail.from.map(({ address }) => address).slice(0, MAX_SENDERS_LOOKED_UP));
  const isOwn = ({ address, members }: AddressMatch) =>
    address === account?.address || address === owner.email || members.includes(owner.member);
  const direction = !delivery.unproved && senders.some(isOwn) ? 'sent' : 'received';
  const { matched } = recipientsOf(direction === 'sent' ? mail : { ...mail, to: mail.from, cc: [] }, {
    mailDomain: room.mailDomain,
    excludedDomains: owner.organisation.excludedDomains,
    own: account ? [account.address] : [],
  });
  const known = new Map(senders.map((match) => [match.address, match]));
  const missing = await matchAll(
    room,
    owner,
    matched.map(({ address }) => address).filter((address) => !known.has(address)),
  );
  for (const match of missing) known.set(match.address, match);
  const by = matched.flatMap(({ address }) => known.get(address) ?? []).filter(({ members }) => members.length === 0);
  const links = by.flatMap(({ records }) => records.filter((link) => mayRead(owner, link)));
  return { direction, ties: [...new Map(links.map((link) => [link.record, link])).values()], by: by.map(({ address }) => address) };
}

/**
 * Looks at the addresses once more when all is filed: a record that came to have one meanwhile, or was parted from it, may have been
 * looked for mail before this one could be found. Whoever changed an address did so before looking for mail, so one of the two sees
 * the other. One consistent query an address, and hardly ever more.
 */
async function lookAgain(room: Mailroom, owner: Viewer, by: string[], copy: Copy): Promise<void> {
  const others = (copy.counterparts ?? []).slice(0, MAX_MATCHED_ADDRESSES);
  const matches = await matchAll(room, owner, [...by, ...others], { consistent: true });
  const have = new Set(copy.records.map(({ id }) => id));
  const come = matches
    .filter(({ address, members }) => by.includes(address) && members.length === 0)
    .flatMap(({ records }) => records.filter((link) => mayRead(owner, link) && !have.has(link.record)));
  const linked = new Set(matches.flatMap(({ records }) => records.map(({ record }) => record)));
  const isWhole = copy.counterparts !== undefined && copy.counterparts.length <= MAX_MATCHED_ADDRESSES;
  const gone = isWhole ? [...have, ...(copy.parted ?? [])].filter((record) => !linked.has(record)) : [];
  const { message, member, receivedAt } = copy;
  for (const record of new Set([...come.map((link) => link.record), ...gone])) {
    await room.backfills.send({ backfill: { tenant: owner.tenant, record, mail: { message, member, receivedAt } } });
  }
}

/** From has one address nearly always; several are looked up, but a mail cannot make us look up a thousand. */
const MAX_SENDERS_LOOKED_UP = 5;

const matchAll = ({ table }: Mailroom, { tenant }: Viewer, addresses: string[], options?: { consistent: boolean }) =>
  Promise.all([...new Set(addresses)].map((address) => matchAddress(table, tenant, address, options)));
