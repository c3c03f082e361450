import { stableId, type TenantId } from '../ids.ts';
import { POLL_LEASE_SECONDS } from '../limits.ts';
import { type Table, ttlAfter, type Update, type Write } from '../table/client.ts';
import { accountNoticeKey, mailAccountKey, pollKey } from '../table/keys.ts';
import type { FailureCode, Lease, MailAccount, Pop3Account, SyncProgress } from './account.ts';
import type { Change, Notice } from './poll-state.ts';
import { moveTo, slotOf } from './slot.ts';

/** What one poll did, kept for its owner to see; one that found nothing leaves none. */
export type PollEntry = {
  id: string;
  at: string;
  /** Milliseconds. */
  took: number;
  /** Mails in the mailbox; absent when it was not reached. */
  found?: number;
  fetched: number;
  skipped: number;
  deleted: number;
  bytes: number;
  error?: FailureCode;
  server?: string;
  ttl: number;
};

/** An account with the lease held. */
export type Leased = Pop3Account & { lease: Lease };

const HISTORY_DAYS = 30;
const TRIES = 5;

/** An account that can be polled as it is now, whosoever; one consistent read. */
export async function readAccount(table: Table, tenant: TenantId, member: string, id: string): Promise<Pop3Account | undefined> {
  const account = await table.get<MailAccount>(mailAccountKey(tenant, member, id));
  return account?.protocol === 'hosted' ? undefined : account;
}

/**
 * Takes the lease on an account: until it runs out or is given back, nobody else gets it, and whatever an earlier holder writes
 * is refused by the fence. Undefined when another worker holds it, or when the account is not the one that was read (other
 * credentials, not active, gone): then there is nothing to do with what was read.
 */
export async function takeLease(table: Table, account: Pop3Account, now: Date): Promise<Leased | undefined> {
  const isFirst = account.state === 'never-synced';
  return table.update<Leased>(mailAccountKey(account.tenant, account.member, account.id), {
    update: `SET #lease = :lease${isFirst ? ', #state = :syncing, #stateSince = :now, #sync.#startedAt = if_not_exists(#sync.#startedAt, :now)' : ''}`,
    condition:
      '#credentials = :credentials AND #active = :yes AND attribute_not_exists(#ownerDeactivatedAt)' +
      (account.lease ? ' AND #lease.#fence = :fence AND #lease.#until <= :now' : ' AND attribute_not_exists(#lease)'),
    names: {
      ...namesOf(['lease', 'credentials', 'active', 'ownerDeactivatedAt']),
      ...(account.lease ? namesOf(['fence', 'until']) : {}),
      ...(isFirst ? namesOf(['state', 'stateSince', 'sync', 'startedAt']) : {}),
    },
    values: {
      ':lease': { until: leaseEnd(now), fence: nextFence(account) } satisfies Lease,
      ':credentials': account.credentials,
      ':yes': true,
      ...(account.lease || isFirst ? { ':now': now.toISOString() } : {}),
      ...(account.lease ? { ':fence': account.lease.fence } : {}),
      ...(isFirst ? { ':syncing': 'syncing' } : {}),
    },
  });
}

/** The fence of whoever takes the lease next. */
export const nextFence = ({ lease }: Pop3Account): number => (lease?.fence ?? 0) + 1;

const leaseEnd = (now: Date) => new Date(now.getTime() + POLL_LEASE_SECONDS * 1000).toISOString();

/** Holds the lease for longer. False when it was given back, or is another's. */
export async function renewLease(table: Table, { tenant, member, id, lease }: Leased, now: Date): Promise<boolean> {
  const renewed = await table.update(mailAccountKey(tenant, member, id), {
    update: 'SET #lease.#until = :until',
    condition: '#lease.#fence = :fence AND attribute_not_exists(#lease.#over)',
    names: namesOf(['lease', 'until', 'fence', 'over']),
    values: { ':until': leaseEnd(now), ':fence': lease.fence },
  });
  return renewed !== undefined;
}

/** Writes how far the first sync has come, for its owner to see. False when the lease is lost. */
export async function noteProgress(table: Table, account: Leased, sync: Partial<SyncProgress>): Promise<boolean> {
  const parts = assignments(sync, '#sync.');
  const written = await table.update(mailAccountKey(account.tenant, account.member, account.id), {
    update: `SET ${parts.set.join(', ')}`,
    condition: '#lease.#fence = :fence',
    names: { ...parts.names, ...namesOf(['sync', 'lease', 'fence']) },
    values: { ...parts.values, ':fence': account.lease.fence },
  });
  return written !== undefined;
}

/**
 * THE COMMIT of a poll: its state, its place in the timetable, what its owner is to be told, and its entry in the history, in one
 * transaction, and the lease is given back. An account that was moved or switched off meanwhile keeps the place its owner gave it.
 * False, and nothing but the lease is written, when the account is gone, its credentials are others (a verdict about the old ones
 * is void), or the lease is lost.
 */
export async function settlePoll(
  table: Table,
  leased: Leased,
  change: Change,
  now: Date,
  entry?: Omit<PollEntry, 'id' | 'ttl'>,
): Promise<boolean> {
  let account: Pop3Account = leased;
  for (let attempt = 1; ; attempt++) {
    const writes = [
      ...accountWrites(account, leased, change, now),
      ...change.notices.map((notice) => wanted(leased, notice)),
      ...(entry ? [historyWrite(leased, entry)] : []),
    ];
    if (await wrote(table, writes)) return true;
    const fresh = await readAccount(table, leased.tenant, leased.member, leased.id);
    if (fresh?.lease?.fence !== leased.lease.fence) return false;
    if (fresh.credentials !== leased.credentials) {
      await giveBack(table, leased, now);
      return false;
    }
    if (attempt === TRIES) throw new Error('the account is changed again and again');
    account = fresh;
  }
}

/** Gives the lease back and says nothing about the account. */
export async function giveBack(table: Table, { tenant, member, id, lease }: Leased, now: Date): Promise<void> {
  await table.update(mailAccountKey(tenant, member, id), {
    update: 'SET #lease = :over',
    condition: '#lease.#fence = :fence',
    names: namesOf(['lease', 'fence']),
    values: { ':over': overAt(now, lease), ':fence': lease.fence },
  });
}

const overAt = (now: Date, { fence }: Lease): Lease => ({ until: now.toISOString(), fence, over: true });

function accountWrites(account: Pop3Account, { lease }: Leased, change: Change, now: Date): Write[] {
  const isPolled = account.active && !account.ownerDeactivatedAt;
  const slot = isPolled ? change.slot : undefined;
  const moves = isPolled ? moveTo(account, slot) : [];
  const state = { ...change.set, ...(moves.length > 0 ? { slot: slot && slotOf(account, slot) } : {}) };
  const plain = assignments(state);
  const sync = assignments(change.sync ?? {}, '#sync.');
  const set = [...plain.set, ...sync.set, '#lease = :lease'];
  const inPlace = account.slot === undefined ? 'attribute_not_exists(#slot)' : '#slot = :wasSlot';
  const update: Update = {
    update: `SET ${set.join(', ')}${plain.remove.length > 0 ? ` REMOVE ${plain.remove.join(', ')}` : ''}`,
    condition: `#lease.#fence = :fence AND #credentials = :credentials AND #active = :active AND ${inPlace}`,
    names: {
      ...plain.names,
      ...sync.names,
      ...(sync.set.length > 0 ? namesOf(['sync']) : {}),
      ...namesOf(['lease', 'fence', 'credentials', 'active', 'slot']),
    },
    values: {
      ...plain.values,
      ...sync.values,
      ':lease': overAt(now, lease),
      ':fence': lease.fence,
      ':credentials': account.credentials,
      ':active': account.active,
      ...(account.slot === undefined ? {} : { ':wasSlot': account.slot }),
    },
  };
  return [{ update: mailAccountKey(account.tenant, account.member, account.id), with: update }, ...moves];
}

/** A transaction costs double: what is one write is written as one. */
async function wrote(table: Table, writes: Write[]): Promise<boolean> {
  const [first] = writes;
  if (writes.length === 1 && first && 'update' in first) return (await table.update(first.update, first.with)) !== undefined;
  return table.tryTransact(writes);
}

/** `sent` on the item says for which episode a mail went out; what is wanted again for the same one is not sent again. */
function wanted({ tenant, id }: Pop3Account, { kind, episode }: Notice): Write {
  return {
    update: accountNoticeKey(tenant, id, kind),
    with: {
      update: 'SET #kind = :kind, #wanted = :episode',
      names: namesOf(['kind', 'wanted']),
      values: { ':kind': kind, ':episode': episode },
    },
  };
}

function historyWrite({ tenant, id, lease }: Leased, entry: Omit<PollEntry, 'id' | 'ttl'>): Write {
  const poll = stableId(entry.at, id, String(lease.fence));
  return { put: { ...pollKey(tenant, id, poll), ...entry, id: poll, ttl: ttlAfter(entry.at, { days: HISTORY_DAYS }) } };
}

/** `SET #a = :a` for what has a value, `REMOVE #a` for what is undefined. */
function assignments(values: object, path = '') {
  const entries = Object.entries(values);
  const given = entries.filter(([, value]) => value !== undefined);
  const gone = entries.filter(([, value]) => value === undefined);
  return {
    set: given.map(([name]) => `${path}#${name} = :${name}`),
    remove: gone.map(([name]) => `${path}#${name}`),
    names: namesOf(entries.map(([name]) => name)),
    values: Object.fromEntries(given.map(([name, value]) => [`:${name}`, value])),
  };
}

const namesOf = (attributes: string[]) => Object.fromEntries(attributes.map((name) => [`#${name}`, name]));
