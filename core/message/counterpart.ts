import { sha256 } from '../ids.ts';
import type { Series } from '../table/keys.ts';
import type { Copy } from './message.ts';
import type { ParsedMail } from './parsed-mail.ts';

/**
 * The addresses of the other side, in order: whose exclusion hides a mail. Its senders when it was received; all To and CC
 * when it was sent, colleagues included (SHR-20: one may exclude one's own firm). Of what cannot be read as an address, `@` and its domain.
 */
export function counterpartsOf(
  { from, to, cc, others }: Pick<ParsedMail, 'from' | 'to' | 'cc' | 'others'>,
  direction: Copy['direction'],
): string[] {
  const [addresses, beside] = direction === 'sent' ? [[...to, ...cc], others?.recipients] : [from, others?.from];
  const all = [...new Set([...addresses.map(({ address }) => address), ...(beside ?? [])])];
  return (direction === 'received' && all.length > 1 ? [...new Set([...all, NOBODY])] : all).sort();
}

/**
 * Stands beside several senders, which hardly a mail has that is not forged: with it they are too many for a series of their own. Who is
 * no customer could else write as one and somebody new each time, and every list of the record would read a series for each such mail.
 */
const NOBODY = '@';

/** Sets of more addresses are too many different ones to keep apart: such mails stand in one series and are looked at one by one. */
const MAX_GROUP_ADDRESSES = 2;
const MIXED = 'mixed';

/** Of more addresses than this an entry of a list does not name the other side: whoever must know looks into the copy. */
const MAX_NAMED = 50;

/**
 * Mail of a mailbox stands on a record's timeline in series, each with the same other side, so that a whole series is read or
 * left alone when something is excluded: mail that may not be seen costs no time that would tell of it.
 */
export function seriesOf({ member, channel, counterparts }: Pick<Copy, 'member' | 'channel' | 'counterparts'>): Series {
  return channel === 'dropbox' ? { owner: member, channel } : { owner: member, channel, group: groupOf(counterparts ?? []) };
}

/** What a line of a conversation has room for, that it costs one write unit: about twenty addresses. */
const [MAX_LINE_ADDRESSES, MAX_LINE_BYTES] = [30, 600];

/**
 * The same in a conversation, where a series costs nothing beside its lines: there mail to more has one of its own, too, as long as a
 * line can name its other side.
 */
export function threadSeriesOf(copy: Pick<Copy, 'member' | 'channel' | 'counterparts'>): Series {
  const { member: owner, channel, counterparts = [] } = copy;
  const fits = counterparts.length <= MAX_LINE_ADDRESSES && Buffer.byteLength(counterparts.join('')) <= MAX_LINE_BYTES;
  return channel === 'mailbox' && fits ? { owner, channel, group: nameOf(counterparts) } : seriesOf(copy);
}

/** 96 bits: who could make an address of the same group would have an excluded customer's mail judged by it. */
const nameOf = (addresses: string[]) => sha256(...addresses, '').slice(0, 24);
const groupOf = (addresses: string[]) => (addresses.length > MAX_GROUP_ADDRESSES ? MIXED : nameOf(addresses));

/** Do all mails of the series have the same other side? */
export const isOneSide = (series: Series) => series.channel === 'mailbox' && series.group !== MIXED;

/** What an entry names of the other side, because its series does not tell. The recipients it shows do not either: they are cut. */
export function namedInEntry(copy: Copy): string[] | undefined {
  const { counterparts = [] } = copy;
  return isOneSide(seriesOf(copy)) || counterparts.length > MAX_NAMED ? undefined : counterparts;
}
