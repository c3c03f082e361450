import { type Table, ttlAfter } from './client.ts';
import type { Key } from './keys.ts';

/**
 * Counts one more in this hour under a key, at most `most` of them. 0 when it was counted; else nothing was, and it is the
 * seconds until the next hour.
 */
export async function countInHour(table: Table, key: Key, most: number, now: Date): Promise<number> {
  const hour = now.toISOString().slice(0, 13);
  // First call of a new hour starts the count; otherwise it goes up by one while it is below the limit.
  const counted =
    (await table.update(key, {
      update: 'SET #hour = :hour, #count = :one, #ttl = :ttl',
      condition: 'attribute_not_exists(pk) OR #hour <> :hour',
      names: { '#hour': 'hour', '#count': 'count', '#ttl': 'ttl' },
      values: { ':hour': hour, ':one': 1, ':ttl': ttlAfter(now, { hours: 2 }) },
    })) ??
    (await table.update(key, {
      update: 'SET #count = #count + :one',
      condition: '#count < :most',
      names: { '#count': 'count' },
      values: { ':one': 1, ':most': most },
    }));
  return counted ? 0 : 3600 - ((now.getTime() / 1000) % 3600);
}
