import type { HeldReason } from '../dropbox/gate.ts';
import { hold, settleReplay } from '../dropbox/held-store.ts';
import type { Mailroom } from '../dropbox/ingest.ts';
import { recipientsOf } from '../dropbox/recipients.ts';
import { sweepLater } from '../dropbox/sweep-store.ts';
import { stableId } from '../ids.ts';
import { MAX_MATCHED_ADDRESSES } from '../limits.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Parcel } from '../message/delivery.ts';
import { fileMail } from '../message/file-mail.ts';
import { messageIdOf, threadOf } from '../message/identity.ts';
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

type Case = { delivery: MailboxDelivery; mail: ParsedMail; raw: Uint8Array; owner: Viewer; account?: MailAccount };
type Ties = {
  direction: Copy['direction'];
  ties: AddressLink[] /** Whom it was exchanged with, as far as mail is tied by them. */;
  by: string[];
};

/**
 * Files one mail fetched from a member's mailbox: on the leads and contacts it was exchanged with (ASC-1), and in its owner's
 * own list, where what concerns nobody's record stays (ASC-2). It never makes a record. The line in the ledger is settled last.
 * Running it again, whole or after a crash anywhere, changes nothing. Throws when a service cannot be reached. A mail that was
 * on its way when its owner was deactivated, or its account removed, is stored all the same.
 */
export async function ingestMailbox(room: Mailroom, delivery: MailboxDelivery, replayOf?: string): Promise<SeenOutcome> {
  if (delivery.tooLarge) return holdMailbox(room, delivery, 'too-large');
  const raw = await room.readRaw(delivery.rawKey);
  if (!raw) throw new Error('the raw mail is not there');
  const mail = await room.readMail(raw);
  if (!mail) return holdMailbox(room, delivery, 'unreadable', replayOf);
  const owner = await readOwner(room, delivery);
  if (!owner) return settle(room, delivery, 'not-kept');
  const account = await room.table.get<MailAccount>(mailAccountKey(delivery.tenant, delivery.member, delivery.account), {
    consistent: false,
  });

  const found: Case = { delivery, mail, raw, owner, account };
  const { direction, ties, by } = await tiesOf(room, found);
  const message = messageIdOf(delivery.tenant, mail, raw);
  const parcel = parcelOf(delivery);
  const rawOwner = { tenant: delivery.tenant, member: delivery.member, message };
  if (ties.length === 0 && owner.organisation.mailPolicy?.storeOnlyRecordMail) {
    await sweepLater(room.table, parcel, [rawOwner], NOT_KEPT_DAYS);
    return settle(room, delivery, 'not-kept');
  }
  const filed = await fileMail(room.table, {
    tenant: delivery.tenant,
    owner: delivery.member,
    channel: 'mailbox',
    direction,
    delivery: parcel,
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
  if (!filed.usesRaw) await sweepLater(room.table, parcel, [rawOwner]);
  await lookAgain(room, owner, by, filed.copy);
  if (replayOf) await settleReplay(room.table, delivery.tenant, delivery.member, replayOf);
  return settle(room, delivery, filed.outcome === 'duplicate' ? 'duplicate' : 'filed', message);
}

/** Keeps a mail that could not be filed for its owner to see, with its bytes, thirty days. */
export async function holdMailbox(
  room: Pick<Mailroom, 'table'>,
  delivery: MailboxDelivery,
  reason: HeldReason,
  replayOf?: string,
): Promise<SeenOutcome> {
  const { tenant, member, account, seen } = delivery;
  if (replayOf) await settleReplay(room.table, tenant, member, replayOf, reason);
  else {
    // Its id sorts by time, and must be the same on every try.
    const receivedAt = await fixReceivedAt(room.table, delivery);
    await hold(room.table, tenant, member, {
      id: stableId(receivedAt, account, seen),
      reason,
      delivery: { ...parcelOf(delivery), receivedAt },
      mailbox: delivery,
      receivedAt,
      subject: '',
      from: [],
      to: [],
      size: delivery.rawSize,
    });
    await sweepLater(room.table, { ...parcelOf(delivery), receivedAt }, [{ tenant, member }]);
  }
  return settle(room, delivery, reason === 'too-large' ? 'too-large' : 'held');
}

async function settle(
  room: Pick<Mailroom, 'table'>,
  delivery: MailboxDelivery,
  outcome: SeenOutcome,
  message?: string,
): Promise<SeenOutcome> {
  await settleSeen(room.table, delivery, outcome, message);
  return outcome;
}

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
async function tiesOf(room: Mailroom, { mail, owner, account }: Case): Promise<Ties> {
  const senders = await matchAll(room, owner, mail.from.map(({ address }) => address).slice(0, MAX_SENDERS_LOOKED_UP));
  const isOwn = ({ address, members }: AddressMatch) =>
    address === account?.address || address === owner.email || members.includes(owner.member);
  const direction = senders.some(isOwn) ? 'sent' : 'received';
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
