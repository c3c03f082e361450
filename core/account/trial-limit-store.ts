import { tooMany } from '../errors.ts';
import { TRIALS_PER_HOUR } from '../limits.ts';
import type { Viewer } from '../member/viewer.ts';
import type { Table } from '../table/client.ts';
import { countInHour } from '../table/hourly-count-store.ts';
import { trialsKey } from '../table/keys.ts';

/** Counts a member's test of mail servers; throws `too-many-requests` past TRIALS_PER_HOUR. */
export async function countTrial(table: Table, { tenant, member }: Viewer, now: Date): Promise<void> {
  const secondsLeft = await countInHour(table, trialsKey(tenant, member), TRIALS_PER_HOUR, now);
  if (secondsLeft > 0) throw tooMany(`You may test mail servers ${TRIALS_PER_HOUR} times an hour. Try again later.`, secondsLeft);
}
