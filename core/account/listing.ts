import { sha256 } from '../ids.ts';
import type { Snapshot } from './account.ts';

/** A mail as this session lists it. `number` means something in this session alone; `seen` is its place in the ledger. */
export type ListedMail = { number: number; uid: string; seen: string };

/**
 * The mails of a maildrop in their order, out of UIDL's answer. The place in the ledger is made of unique id and occurrence:
 * RFC 1939 allows identical copies to share an id.
 */
export function listedMails(uidl: ReadonlyMap<number, string>): ListedMail[] {
  const occurrences = new Map<string, number>();
  return [...uidl]
    .sort(([a], [b]) => a - b)
    .map(([number, uid]) => {
      const occurrence = (occurrences.get(uid) ?? 0) + 1;
      occurrences.set(uid, occurrence);
      return { number, uid, seen: sha256(uid, String(occurrence)) };
    });
}

/** True when the listing begins with all that the snapshot saw, in its order: then only the rest can be new. */
export function beginsWith(mails: readonly ListedMail[], { count, digest }: Snapshot): boolean {
  return count <= mails.length && digestOf(mails.slice(0, count)) === digest;
}

/** `octets` as STAT would give them; left out while some mail behind these has no line in the ledger yet: then STAT never fits. */
export function snapshotOf(mails: readonly ListedMail[], octets = UNKNOWN_OCTETS): Snapshot {
  const [first, last] = [mails[0], mails.at(-1)];
  return {
    count: mails.length,
    octets,
    first: first ? idHash(first.uid) : '',
    last: last ? idHash(last.uid) : '',
    digest: digestOf(mails),
  };
}

export const idHash = (uid: string) => sha256(uid);

const UNKNOWN_OCTETS = -1;

/** Unique ids hold no line break (RFC 1939 7). */
const digestOf = (mails: readonly ListedMail[]) => sha256(mails.map(({ uid }) => uid).join('\n'));
