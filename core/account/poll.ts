import { asTenantId } from '../ids.ts';
import { POLL_DELETIONS, POLL_FOLLOWERS, POLL_LEASE_SECONDS, POLL_PULSE_SECONDS, POLL_RENUMBERED_MAILS } from '../limits.ts';
import type { ProductMail } from '../outbound/send.ts';
import type { PollState, Pop3Account, Snapshot } from './account.ts';
import { failureOf } from './failure.ts';
import { fetchMails, isOver, type Store, type Tally, type Visit } from './fetch-mails.ts';
import { countLines, walkBack } from './first-sync.ts';
import { Lane } from './lane.ts';
import { findLines, type Line, noteDeleted, readLedger } from './ledger-store.ts';
import { beginsWith, idHash, type ListedMail, listedMails, snapshotOf } from './listing.ts';
import { tellOwner } from './notice-store.ts';
import type { Planned, PollJob } from './poll-job.ts';
import { afterFailure, afterSuccess, type Change, mayGoOn, type Next, type Notice } from './poll-state.ts';
import { type Leased, nextFence, type PollEntry, readAccount, renewLease, settlePoll, takeLease } from './poll-store.ts';
import { Pop3Error, type Pop3Session } from './pop3.ts';
import { presetOfHost } from './presets.ts';
import { isOnce, slotOf } from './slot.ts';

/** What polling works with. */
export type PollRoom = Store & {
  /** Opens a session with an account's server, logged in. Throws a Pop3Error. */
  open: (account: Pop3Account) => Promise<Pop3Session>;
  polls: { send: (job: PollJob, delaySeconds?: number) => Promise<void> };
  /** Whether the account's owner is still one for whom the add-on is enabled (GEN-1). Asked by polls that find something to do. */
  isEnabled: (account: Pop3Account) => Promise<boolean>;
  tell: (mail: ProductMail) => Promise<void>;
};

/** What a poll came to, in ids, codes and counts: fit for a log. */
export type PollResult =
  | { outcome: 'void'; reason: 'gone' | 'not-polled' | 'moved' | 'stopped' | 'in-hand' | 'in-use' | 'changed' | 'add-on-off' | 'over' }
  | { outcome: 'quiet' }
  | { outcome: 'waiting' | 'polled' | 'failed'; fetched: number; skipped: number; deleted: number; code?: string };

/** Minutes after which a mailbox is listed in full though nothing seems to have changed, and its last success is written down. */
const LISTING_MINUTES = 55;

/** Hours after which a first sync is called done although filing of some mails has not been heard of. */
const PATIENCE_HOURS = 24;

/** Below so many mails it cannot be told whether a server numbered them anew. */
const RENUMBERED_AT_LEAST = 10;

/** Minutes between two sessions while the filing of a first sync is waited for. */
const MEANWHILE_MINUTES = 5;

const HOUR_MS = 3_600_000;

/**
 * Looks into one mailbox: fetches what is new, hands it on to be filed, deletes what policy says, and writes down how it went.
 * One that finds nothing writes nothing. Running it again, twice at once, or after a kill anywhere, loses and doubles nothing.
 * Takes no new work up after `until`. Throws when one of our own services cannot be reached: the queue brings the job again.
 */
export async function poll(room: PollRoom, job: Planned, until: Date): Promise<PollResult> {
  const account = await readAccount(room.table, asTenantId(job.tenant), job.member, job.account);
  if (!account) return { outcome: 'void', reason: 'gone' };
  const reason = whyVoid(account, job, room.clock());
  if (reason) {
    // The job of a poll that was killed between its last write and its mail comes again, and ends here.
    if (reason === 'moved' || reason === 'stopped') await tellOwner(room, account, room.clock());
    if (reason === 'in-hand' && job.after) await followLater(room, account, job);
    return { outcome: 'void', reason };
  }
  return isHealthy(account) ? lookFirst(room, account, job, until) : leaseFirst(room, account, job, until);
}

function whyVoid(account: Pop3Account, job: Planned, now: Date) {
  if (job.after && (account.lease?.fence !== job.after.fence || account.lease.over)) return 'over';
  if (!account.active || account.ownerDeactivatedAt) return 'not-polled';
  if (account.state === 'auth-failed') return 'stopped';
  if (job.slot !== undefined && job.slot !== account.slot) return 'moved';
  if (account.lease && Date.parse(account.lease.until) > now.getTime()) return 'in-hand';
  return undefined;
}

/** Nothing to be written down about it unless something is new. */
const isHealthy = ({ state, lastError, sync, snapshot, quitLost }: Pop3Account) =>
  state === 'ok' && !lastError && sync.doneAt !== undefined && snapshot !== undefined && !quitLost;

/** The quiet poll: a read, a session, and no write. */
async function lookFirst(room: PollRoom, account: Pop3Account, job: Planned, until: Date): Promise<PollResult> {
  const begun = room.clock();
  let session: Pop3Session | undefined;
  let failure: Pop3Error | undefined;
  if (isListingDue(account, begun) && !(await room.isEnabled(account))) return { outcome: 'void', reason: 'add-on-off' };
  try {
    session = await room.open(account);
    if (!isListingDue(account, begun) && (await isUnchanged(session, account.snapshot as Snapshot))) {
      await session.quit().catch(unlessStore);
      return { outcome: 'quiet' };
    }
  } catch (error) {
    session?.destroy();
    if (!(error instanceof Pop3Error)) throw error;
    // Another client has it, or another poll of ours; it is the next turn's.
    if (isInUse(error) && !isOnce(account.slot) && !isListingDue(account, begun)) return { outcome: 'void', reason: 'in-use' };
    failure = error;
  }
  let leased: Leased | undefined;
  let isEnabled = false;
  try {
    isEnabled = await room.isEnabled(account);
    if (isEnabled) leased = await leaseFollowed(room, account, job);
  } finally {
    if (!leased) session?.destroy();
  }
  if (!isEnabled) return { outcome: 'void', reason: 'add-on-off' };
  return leased ? visit(room, leased, { session, failure, begun, until }) : { outcome: 'void', reason: 'in-hand' };
}

/** What will write in any case takes the lease before it logs in: a password that is refused is not tried by two at once. */
async function leaseFirst(room: PollRoom, account: Pop3Account, job: Planned, until: Date): Promise<PollResult> {
  const begun = room.clock();
  if (!(await room.isEnabled(account))) return { outcome: 'void', reason: 'add-on-off' };
  const leased = await leaseFollowed(room, account, job);
  if (!leased) return { outcome: 'void', reason: 'in-hand' };
  if (leased.sync.fetchedAllAt && !leased.sync.doneAt) {
    const waiting = await waitForFiling(room, leased);
    if (waiting) return waiting;
  }
  return visit(room, leased, { begun, until });
}

/**
 * Takes the lease. Word to look after this poll when its lease is over leaves before: if it was killed by then, the one who gets the
 * word goes on in its place, and if the lease was not taken at all, nobody does anything.
 */
async function leaseFollowed(room: PollRoom, account: Pop3Account, { tenant, member, account: id, after }: Planned) {
  const nth = (after?.nth ?? 0) + 1;
  if (nth <= POLL_FOLLOWERS) {
    await room.polls.send({ poll: { tenant, member, account: id, after: { fence: nextFence(account), nth } } }, POLL_LEASE_SECONDS + 1);
  }
  return takeLease(room.table, account, room.clock());
}

/** The poll that is followed is alive: until its lease, as it is now, is over. */
async function followLater({ polls, clock }: PollRoom, { lease }: Pop3Account, job: Planned): Promise<void> {
  const left = Date.parse(lease?.until ?? '') - clock().getTime();
  await polls.send({ poll: job }, Math.ceil(left / 1000) + 1);
}

/** Says now and then that the poll is at work, until it is told to stop. Whose lease is another's by then is cut off. */
function pulse({ table, clock }: PollRoom, account: Leased, cutOff: () => void): () => void {
  // A pulse that fails is made up for by the next one.
  const beat = () =>
    void renewLease(table, account, clock()).then(
      (isHeld) => isHeld || cutOff(),
      () => {},
    );
  const timer = setInterval(beat, POLL_PULSE_SECONDS * 1000).unref();
  return () => clearInterval(timer);
}

/** One session, and what it means for the account. */
async function visit(
  room: PollRoom,
  account: Leased,
  given: { session?: Pop3Session; failure?: Pop3Error; begun: Date; until: Date },
): Promise<PollResult> {
  const tally: Tally = { fetched: 0, skipped: 0, deleted: 0, bytes: 0, noted: new Set() };
  const loginDelay = () => loginDelayOf(account, session);
  let { session, failure } = given;
  let change: Change;
  let goesOn = false;
  const stopPulse = pulse(room, account, () => session?.destroy());
  try {
    if (failure) throw failure;
    session ??= await room.open(account);
    const found = await readMailbox(room, account, session, tally, given.until);
    const done = { ...account, sync: { ...account.sync, ...found.sync } };
    change = afterSuccess(done, room.clock(), { newMail: found.newMail, next: found.next, loginDelay: loginDelay() });
    change = { ...change, sync: found.sync, set: { ...change.set, ...found.set } };
    goesOn = found.next === 'more-mail' && mayGoOn(loginDelay());
  } catch (error) {
    if (!(error instanceof Pop3Error)) throw error;
    failure = error;
    const why = failureOf(error, account.lastSuccessAt !== undefined);
    change = afterFailure(account, room.clock(), { ...why, server: error.server, progressed: tally.fetched + tally.skipped > 0 });
  } finally {
    stopPulse();
    session?.destroy();
  }
  change.set.totals = {
    // A first sync is counted at its end, from the ledger.
    filed: account.totals.filed + (account.sync.doneAt ? tally.fetched : 0),
    deleted: account.totals.deleted + tally.deleted,
  };
  if (tally.oversize) change.set.oversize = tally.oversize;
  const result = await settle(room, account, change, tally, given.begun);
  if (goesOn && result.outcome === 'polled') await room.polls.send(jobOf(account, change));
  return result;
}

async function settle(room: PollRoom, account: Leased, change: Change, tally: Tally, begun: Date): Promise<PollResult> {
  const now = room.clock();
  const error = change.set.lastError;
  const { found, fetched, skipped, deleted, bytes } = tally;
  const entry: Omit<PollEntry, 'id' | 'ttl'> = {
    at: begun.toISOString(),
    took: now.getTime() - begun.getTime(),
    found,
    fetched,
    skipped,
    deleted,
    bytes,
    error: error?.code,
    server: error?.server,
  };
  const didSomething = error !== undefined || fetched + skipped + deleted > 0;
  if (!(await settlePoll(room.table, account, change, now, didSomething ? entry : undefined)))
    return { outcome: 'void', reason: 'changed' };
  await tellOwner(room, { ...account, ...change.set, sync: { ...account.sync, ...change.sync } } as Pop3Account, now);
  return { outcome: error ? 'failed' : 'polled', fetched, skipped, deleted, code: error?.code };
}

/** The next piece at once. When this word is lost, the place in the timetable stands. */
function jobOf({ tenant, member, id }: Pop3Account, { slot }: Change): PollJob {
  return { poll: { tenant, member, account: id, slot: slot && slotOf({ id }, slot) } };
}

type Found = { newMail: boolean; next: Next; set: Partial<PollState>; sync?: Partial<PollState['sync']> };

/** One session with a mailbox, from STAT to QUIT. */
async function readMailbox(room: PollRoom, account: Leased, session: Pop3Session, tally: Tally, until: Date): Promise<Found> {
  const begun = room.clock().toISOString();
  const drop = await session.stat();
  const mails = drop.count > 0 ? listedMails(await session.uidl()) : [];
  tally.found = mails.length;
  const { snapshot } = account;
  const isSame = snapshot !== undefined && beginsWith(mails, snapshot);
  const known = isSame ? snapshot.count : 0;
  const isSync = !account.sync.doneAt && !account.sync.fetchedAllAt;
  // A mailbox never seen before, as after a change of the server, is not taken in whole either.
  const isWalk = isSync || !snapshot;
  const looked = mails.slice(isWalk || account.quitLost ? 0 : known);
  const lines =
    account.quitLost || isWalk ? await readLedger(room.table, account) : await findLines(room.table, account, looked.map(seenOf));
  const fresh = looked.filter(({ seen }) => !lines.has(seen));
  const looksForDeletions = mayDelete(account) && (account.deletion.policy === 'delete-at-once' || isListingDue(account, room.clock()));
  const sizes = fresh.length > 0 || (looksForDeletions && mails.length > 0) ? await session.list() : new Map<number, number>();
  const visit: Visit = { store: room, account, session, sizes, until, tally };

  const isRenumbered = !isWalk && !isSame && snapshot.count >= RENUMBERED_AT_LEAST && fresh.length > mails.length / 2;
  let isComplete = true;
  if (isWalk) {
    isComplete = await walkBack(visit, { account, mails, lines, begun, isFirstSync: isSync });
  } else {
    const wanted = isRenumbered ? fresh.slice(0, POLL_RENUMBERED_MAILS) : fresh;
    // A millisecond each: lists are in the order of receipt, and this is the mailbox's.
    await fetchMails(
      visit,
      wanted.map((mail, i) => ({ ...mail, receivedAt: new Date(Date.parse(begun) + i).toISOString() })),
    );
    isComplete = wanted.every(({ seen }) => tally.noted.has(seen)) || !isOver(visit);
  }
  const hasLine = (mail: ListedMail, i: number) => i < known || lines.has(mail.seen) || tally.noted.has(mail.seen);

  const isDeleting = looksForDeletions && !isWalk && !isRenumbered;
  const allLines = !isDeleting || looked.length === mails.length ? lines : await findLines(room.table, account, mails.map(seenOf));
  const due = isDeleting ? dueForDeletion(account, mails, allLines, sizes, room.clock()) : [];
  const deleted = await deleteAndQuit(room, account, session, due.slice(0, POLL_DELETIONS), tally);
  if (account.quitLost) await noteVanished(room, account, mails, lines, tally);

  const gone = new Set(deleted.mails);
  const left = mails.map((mail, i) => ({ mail, isKnown: hasLine(mail, i) })).filter(({ mail }) => !gone.has(mail));
  const firstOpen = left.findIndex(({ isKnown }) => !isKnown);
  const covered = left.slice(0, firstOpen < 0 ? undefined : firstOpen).map(({ mail }) => mail);
  const isExact = firstOpen < 0 && drop.count === mails.length && !deleted.isUnsure;
  const octets = drop.octets - deleted.mails.reduce((sum, { number }) => sum + (sizes.get(number) ?? 0), 0);
  const isThrough = isSync && isComplete;
  const snapshotAfter = () => {
    if (isWalk && !isComplete) return undefined;
    // Kept until half of the mails are known again: the slow lane stays slow.
    return isRenumbered && firstOpen >= 0 ? snapshot : snapshotOf(covered, isExact ? octets : undefined);
  };
  return {
    newMail: !isWalk && tally.fetched > 0,
    next: nextOf({
      isComplete,
      isThrough,
      isFiling: !isSync && !account.sync.doneAt,
      hasDeletions: isDeleting && (due.length > POLL_DELETIONS || tally.fetched > 0),
    }),
    set: {
      snapshot: snapshotAfter(),
      quitLost: deleted.isUnsure ? true : undefined,
    },
    ...(isThrough ? { sync: { fetchedAllAt: room.clock().toISOString() } } : {}),
  };
}

function nextOf(after: { isComplete: boolean; isThrough: boolean; isFiling: boolean; hasDeletions: boolean }): Next {
  if (!after.isComplete) return 'more-mail';
  if (after.isThrough || after.isFiling) return 'filing';
  return after.hasDeletions ? 'deletions' : 'nothing';
}

/**
 * STAT and the unique ids of the first and the last mail are what they were. In one go where the server pipelines; elsewhere the
 * first id is not asked for: a mailbox of the same count, bytes and last mail that changed at its front is found by the next full
 * listing.
 */
async function isUnchanged(session: Pop3Session, { count, octets, first, last }: Snapshot): Promise<boolean> {
  const same = (drop: { count: number; octets: number }) => drop.count === count && drop.octets === octets;
  if (count === 0) return same(await session.stat());
  const idIs = (number: number, hash: string) =>
    session.uidlOf(number).then(
      (uid) => idHash(uid) === hash,
      (error: unknown) => {
        // There is no such mail any longer: that is a change.
        if (error instanceof Pop3Error && error.trouble === 'refused') return false;
        throw error;
      },
    );
  if (session.window === 1) return same(await session.stat()) && idIs(count, last);
  const answers = await Promise.allSettled([session.stat().then(same), idIs(1, first), idIs(count, last)]);
  for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
  return answers.every((answer) => answer.status === 'fulfilled' && answer.value);
}

/** Gmail's `recent:` hands the last thirty days to every client that asks: none of them may delete (POP-17). */
const mayDelete = ({ deletion, incoming }: Pop3Account) => deletion.policy !== 'leave' && !/^\s*recent:/i.test(incoming.userName);

/**
 * What policy says is to go (POP-15, R-36): only what is stored durably, and is the very mail its line tells of. Of mails with one
 * unique id all go or none: which of them an id means is not certain once one is gone.
 */
function dueForDeletion(
  { deletion }: Pop3Account,
  mails: readonly ListedMail[],
  lines: ReadonlyMap<string, Line>,
  sizes: ReadonlyMap<number, number>,
  now: Date,
): ListedMail[] {
  const days = deletion.policy === 'delete-after-days' ? deletion.days : 0;
  const isDue = ({ seen, number }: ListedMail) => {
    const line = lines.get(seen);
    if (!line?.receivedAt || (line.outcome !== 'filed' && line.outcome !== 'duplicate')) return false;
    if (line.size !== undefined && line.size !== sizes.get(number)) return false;
    return Date.parse(line.receivedAt) + days * 24 * HOUR_MS <= now.getTime();
  };
  const kept = new Set(mails.filter((mail) => !isDue(mail)).map(({ uid }) => uid));
  return mails.filter(({ uid }) => !kept.has(uid));
}

/** QUIT is the commit of the deletions: only its answer tells that they took place. */
async function deleteAndQuit(room: PollRoom, account: Leased, session: Pop3Session, due: ListedMail[], tally: Tally) {
  const mails = await markDeleted(session, due);
  try {
    await session.quit();
  } catch (error) {
    if (!(error instanceof Pop3Error)) throw error;
    return { mails: [], isUnsure: mails.length > 0 };
  }
  if (mails.length > 0) await noteDeleted(room.table, account, mails.map(seenOf), room.clock());
  tally.deleted += mails.length;
  return { mails, isUnsure: false };
}

/** DELE for each; one that is refused stays. */
async function markDeleted(session: Pop3Session, due: ListedMail[]): Promise<ListedMail[]> {
  const requests = new Lane(session.window);
  const marks = due.map((mail) =>
    requests.run(async () => {
      try {
        await session.dele(mail.number);
        return [mail];
      } catch (error) {
        if (error instanceof Pop3Error && error.trouble === 'refused') return [];
        throw error;
      }
    }),
  );
  const answers = await Promise.allSettled(marks);
  for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
}

/** After a QUIT whose answer was lost: what might go and is no longer listed was deleted. */
async function noteVanished(room: PollRoom, account: Leased, mails: ListedMail[], lines: ReadonlyMap<string, Line>, tally: Tally) {
  const listed = new Set(mails.map(seenOf));
  const isGone = ([seen, { outcome, deletedAt }]: [string, Line]) =>
    !listed.has(seen) && !deletedAt && (outcome === 'filed' || outcome === 'duplicate');
  const vanished = [...lines].filter(isGone).map(([seen]) => seen);
  await noteDeleted(room.table, account, vanished, room.clock());
  tally.deleted += vanished.length;
}

/**
 * Everything of a first sync is fetched: is it filed, too? Then it is done, and its owner is told, once (INB-14). Undefined when a
 * session is due meanwhile.
 */
async function waitForFiling(room: PollRoom, account: Leased): Promise<PollResult | undefined> {
  const now = room.clock();
  const counts = countLines(await readLedger(room.table, account));
  const waited = now.getTime() - Date.parse(account.sync.fetchedAllAt as string);
  const result = { outcome: 'waiting' as const, fetched: 0, skipped: 0, deleted: 0 };
  if (counts.settled < counts.fetched && waited < PATIENCE_HOURS * HOUR_MS) {
    if (now.getTime() - Date.parse(account.lastSuccessAt ?? account.createdAt) >= MEANWHILE_MINUTES * 60_000) return undefined;
    const { slot } = afterSuccess(account, now, { newMail: false, next: 'filing', loginDelay: 0 });
    await settlePoll(room.table, account, { set: {}, slot, notices: [] }, now);
    return result;
  }
  const sync = { fetched: counts.fetched, filed: counts.settled, skipped: counts.skipped, bytes: counts.bytes, doneAt: now.toISOString() };
  const done = { ...account, sync: { ...account.sync, ...sync } };
  const next = mayDelete(account) && account.deletion.policy === 'delete-at-once' ? 'deletions' : 'nothing';
  const change = afterSuccess(done, now, { newMail: false, next, loginDelay: loginDelayOf(account) });
  const totals = { ...account.totals, filed: account.totals.filed + counts.settled };
  const notice: Notice = { kind: 'sync-done', episode: 'once' };
  const settled = await settlePoll(
    room.table,
    account,
    { ...change, sync, set: { ...change.set, totals, lastSuccessAt: account.lastSuccessAt }, notices: [notice] },
    now,
  );
  if (settled) await tellOwner(room, done, now);
  return result;
}

function isListingDue({ slot, lastSuccessAt }: Pop3Account, now: Date): boolean {
  return isOnce(slot) || !lastSuccessAt || now.getTime() - Date.parse(lastSuccessAt) >= LISTING_MINUTES * 60_000;
}

/** Seconds between two logins, as the server itself says (RFC 2449 6.5), or as is known of its provider. */
function loginDelayOf({ incoming }: Pop3Account, session?: Pop3Session): number {
  const said = Number.parseInt(session?.capabilities.get('LOGIN-DELAY') ?? '', 10);
  return Math.max(said || 0, presetOfHost(incoming.host)?.loginDelay ?? 0);
}

const seenOf = ({ seen }: ListedMail) => seen;

const isInUse = (error: Pop3Error) => failureOf(error).code === 'mailbox-in-use';

function unlessStore(error: unknown): void {
  if (!(error instanceof Pop3Error)) throw error;
}
