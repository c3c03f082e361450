import { tooMany } from '../errors.ts';
import { CREDENTIALS_PER_HOUR, DISCOVERIES_PER_HOUR, HOSTED_CHANGES_PER_HOUR, TRIALS_PER_HOUR } from '../limits.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Table } from '../table/client.ts';
import { countInHour } from '../table/hourly-count-store.ts';
import { credentialsKey, discoveriesKey, hostedChangesKey, type Key, trialsKey } from '../table/keys.ts';

/** Counts a member's test of mail servers; throws `too-many-requests` past TRIALS_PER_HOUR. */
export const countTrial = (table: Table, { tenant, member }: Viewer, now: Date) =>
  count(table, trialsKey(tenant, member), TRIALS_PER_HOUR, 'test mail servers', now);

/** Counts servers and passwords that a member sets for their accounts; throws `too-many-requests` past CREDENTIALS_PER_HOUR. */
export const countCredentials = (table: Table, { tenant, member }: Viewer, now: Date) =>
  count(table, credentialsKey(tenant, member), CREDENTIALS_PER_HOUR, 'set servers or passwords of mail accounts', now);

/** Counts a hosted mailbox that a member makes or removes; throws `too-many-requests` past HOSTED_CHANGES_PER_HOUR. */
export const countHostedChange = (table: Table, { tenant, member }: Viewer, now: Date) =>
  count(table, hostedChangesKey(tenant, member), HOSTED_CHANGES_PER_HOUR, 'make or remove hosted mailboxes', now);

/** Counts a member's search for the servers of an address; throws `too-many-requests` past DISCOVERIES_PER_HOUR. */
export const countDiscovery = (table: Table, { tenant, member }: Viewer, now: Date) =>
  count(table, discoveriesKey(tenant, member), DISCOVERIES_PER_HOUR, 'look for mail servers', now);

async function count(table: Table, key: Key, most: number, what: string, now: Date): Promise<void> {
  const secondsLeft = await countInHour(table, key, most, now);
  if (secondsLeft > 0) throw tooMany(`You may ${what} ${most} times an hour. Try again later.`, secondsLeft);
}
