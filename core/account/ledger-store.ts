import type { TenantId } from '../ids.ts';
import { type Table, ttlAfter } from '../table/client.ts';
import { accountPartition, seenMailKey } from '../table/keys.ts';
import type { MailboxDelivery } from './mailbox-delivery.ts';
import type { SeenMail } from './seen-mail-store.ts';

/** A line as a poll reads and writes it. */
export type Line = SeenMail & {
  /** Bytes as LIST gave them: a server that hands out a used id again is noticed before anything is deleted. */
  size?: number;
  /** Lines of mails that were deleted from the server long ago are forgotten. */
  ttl?: number;
};

type Account = { tenant: TenantId; id: string };

/** So many lines are looked up one by one, at a read unit each; beyond it reading the whole ledger is cheaper. */
const LOOK_UP = 1000;
const ALL_LINES = 'Y#';
const WRITES_AT_ONCE = 10;
const DELETED_DAYS = 30;
const FORGET_AT_ONCE = 500;

/** The lines of these mails, by `seen`. Consistent: a mail whose line was overlooked would be fetched again. */
export async function findLines(table: Table, { tenant, id }: Account, seen: readonly string[]): Promise<Map<string, Line>> {
  if (seen.length > LOOK_UP) return readLedger(table, { tenant, id });
  const lines = await table.getMany<Line>(seen.map((each) => seenMailKey(tenant, id, each)));
  return new Map(seen.flatMap((each, i) => (lines[i] ? [[each, lines[i]] as const] : [])));
}

/** All lines, by `seen`. */
export async function readLedger(table: Table, { tenant, id }: Account): Promise<Map<string, Line>> {
  const items = await table.all<Line & { sk: string }>({ pk: accountPartition(tenant, id), begins: ALL_LINES });
  return new Map(items.map((item) => [item.sk.slice(ALL_LINES.length), item]));
}

/** Places of mails that were fetched and are not filed yet; among `some` when given. */
export async function findUnfiled(table: Table, account: Account, some?: readonly string[]): Promise<string[]> {
  const lines = some ? await findLines(table, account, some) : await readLedger(table, account);
  return [...lines].filter(([, { receivedAt, outcome }]) => receivedAt !== undefined && outcome === undefined).map(([seen]) => seen);
}

/** THE COMMIT MARKER of a fetched mail: written when the mail is stored and queued. Filing may have been here before. */
export async function noteFetched(table: Table, { tenant, account, seen, receivedAt }: MailboxDelivery, size: number): Promise<void> {
  await table.update(seenMailKey(tenant, account, seen), {
    update: 'SET receivedAt = if_not_exists(receivedAt, :at), #size = :size',
    names: { '#size': 'size' },
    values: { ':at': receivedAt, ':size': size },
  });
}

/** Notes mails that are never to be fetched: older than the account's `since`. */
export async function noteSkipped(table: Table, { tenant, id }: Account, seen: readonly string[]): Promise<void> {
  await table.putMany(seen.map((each) => ({ ...seenMailKey(tenant, id, each), outcome: 'skipped' }) satisfies SeenMail & object));
}

/** Notes mails that are no longer on the server because we deleted them. */
export async function noteDeleted(table: Table, { tenant, id }: Account, seen: readonly string[], now: Date): Promise<void> {
  const note = (each: string) =>
    table.update(seenMailKey(tenant, id, each), {
      update: 'SET deletedAt = if_not_exists(deletedAt, :at), #ttl = :ttl',
      condition: 'attribute_exists(pk)',
      names: { '#ttl': 'ttl' },
      values: { ':at': now.toISOString(), ':ttl': ttlAfter(now, { days: DELETED_DAYS }) },
    });
  for (let start = 0; start < seen.length; start += WRITES_AT_ONCE) await Promise.all(seen.slice(start, start + WRITES_AT_ONCE).map(note));
}

/** Clears away a page of what is left of a removed account; true while there is more. */
export async function forgetPage(table: Table, tenant: TenantId, account: string): Promise<boolean> {
  const { items, more } = await table.page<{ pk: string; sk: string }>({
    pk: accountPartition(tenant, account),
    limit: FORGET_AT_ONCE,
    only: ['pk', 'sk'],
  });
  await table.deleteMany(items);
  return more;
}
