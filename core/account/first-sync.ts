import type { SyncProgress } from './account.ts';
import { fetchMails, isOlder, isOver, type Visit, type Wanted } from './fetch-mails.ts';
import { Lane } from './lane.ts';
import { type Line, noteSkipped } from './ledger-store.ts';
import type { ListedMail } from './listing.ts';
import type { Leased } from './poll-store.ts';
import { noteProgress } from './poll-store.ts';
import { Pop3Error } from './pop3.ts';

/** So many older mails in a row, and all before them are taken for older too: mailboxes are in the order of arrival, nearly. */
export const OLDER_IN_A_ROW = 50;

/** Mails looked at, fetched and counted together. */
const CHUNK = 50;
const SKIPS_AT_ONCE = 500;

type Walk = { account: Leased; mails: readonly ListedMail[]; lines: ReadonlyMap<string, Line>; begun: string; isFirstSync: boolean };

/**
 * Takes what has reached a server since the account's `since`, and notes the rest as skipped: from the newest mail to older
 * ones, looking at headers, until many in a row are older. True when it is through; false when time or share is over first: the
 * next poll goes on with what has no line. Times of receipt are in the order of the mailbox, however the mails are fetched.
 */
export async function walkBack(visit: Visit, walk: Walk): Promise<boolean> {
  const { account, mails, lines } = walk;
  const since = new Date(account.since);
  const isUnderWay = walk.isFirstSync && account.sync.found > 0;
  const startedAt = (isUnderWay && account.sync.startedAt) || walk.begun;
  const total = isUnderWay ? account.sync.found : mails.length;
  const before = countLines(lines);
  await note(visit, walk, { found: total, startedAt }, before);
  let olderInARow = 0;
  let end = mails.length;
  while (end > 0 && olderInARow < OLDER_IN_A_ROW) {
    if (isOver(visit)) return false;
    const chunk = mails.slice(Math.max(0, end - CHUNK), end);
    const unknown = chunk.filter(({ seen }) => !lines.has(seen));
    const wanted = (mail: ListedMail): Wanted => ({
      ...mail,
      receivedAt: new Date(Date.parse(startedAt) + mails.indexOf(mail, end - chunk.length) + 1 - total).toISOString(),
      ...(walk.isFirstSync ? { firstSync: true } : {}),
    });
    const older = (await olderByHeader(visit, unknown, since)) ?? (await fetchMails(visit, unknown.map(wanted), since));
    const isOld = ({ seen }: ListedMail) => older.has(seen) || lines.get(seen)?.outcome === 'skipped';
    let from = chunk.length;
    while (from > 0 && olderInARow < OLDER_IN_A_ROW) olderInARow = isOld(chunk[--from] as ListedMail) ? olderInARow + 1 : 0;
    const news = chunk.slice(from).filter((mail) => !isKnown(visit, lines, mail));
    await skip(visit, account, news.filter(isOld));
    await fetchMails(visit, news.filter((mail) => !isOld(mail)).map(wanted));
    await note(visit, walk, {}, before);
    if (isOver(visit)) return false;
    end += from - chunk.length;
  }
  return skipRest(visit, walk, mails.slice(0, end), before);
}

/** What the ledger says of a first sync so far. */
export function countLines(lines: ReadonlyMap<string, Line>): { fetched: number; skipped: number; settled: number; bytes: number } {
  const counts = { fetched: 0, skipped: 0, settled: 0, bytes: 0 };
  for (const { outcome, size } of lines.values()) {
    if (outcome === 'skipped') counts.skipped++;
    else counts.fetched++;
    if (outcome && outcome !== 'skipped') counts.settled++;
    counts.bytes += outcome === 'skipped' ? 0 : (size ?? 0);
  }
  return counts;
}

/** Which of these mails are older, by their headers; undefined when the server knows no TOP. */
async function olderByHeader({ session }: Visit, mails: readonly ListedMail[], since: Date): Promise<Set<string> | undefined> {
  const requests = new Lane(session.window);
  let hasNoTop = false;
  const looks = mails.map(({ number, seen }) =>
    requests.run(async () => {
      if (hasNoTop) return [];
      try {
        return isOlder(await session.top(number, 0), since) ? [seen] : [];
      } catch (error) {
        if (!(error instanceof Pop3Error) || error.trouble !== 'refused') throw error;
        hasNoTop = true;
        return [];
      }
    }),
  );
  const answers = await Promise.allSettled(looks);
  for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
  return hasNoTop ? undefined : new Set(answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : [])));
}

/** From the newest on: whoever goes on after a kill meets those that were noted, in a row, and knows where it ends. */
async function skipRest(visit: Visit, walk: Walk, rest: readonly ListedMail[], before: Counts): Promise<boolean> {
  const open = rest.filter((mail) => !isKnown(visit, walk.lines, mail)).reverse();
  for (let start = 0; start < open.length; start += SKIPS_AT_ONCE) {
    if (visit.store.clock() >= visit.until) return false;
    await skip(visit, walk.account, open.slice(start, start + SKIPS_AT_ONCE));
    await note(visit, walk, {}, before);
  }
  return true;
}

async function skip({ store, tally }: Visit, account: Leased, mails: readonly ListedMail[]): Promise<void> {
  if (mails.length === 0) return;
  const places = mails.map(({ seen }) => seen);
  await noteSkipped(store.table, account, places);
  for (const each of places) tally.noted.add(each);
  tally.skipped += places.length;
}

type Counts = ReturnType<typeof countLines>;

async function note({ store, tally }: Visit, { account, isFirstSync }: Walk, more: Partial<SyncProgress>, before: Counts): Promise<void> {
  if (!isFirstSync) return;
  await noteProgress(store.table, account, {
    ...more,
    fetched: before.fetched + tally.fetched,
    skipped: before.skipped + tally.skipped,
    bytes: before.bytes + tally.bytes,
  });
}

const isKnown = ({ tally }: Visit, lines: ReadonlyMap<string, Line>, { seen }: ListedMail) => lines.has(seen) || tally.noted.has(seen);
