import { conflict, invalid } from '../errors.ts';
import { sha256 } from '../ids.ts';
import { IDEMPOTENCY_HOURS } from '../limits.ts';
import { isLive, type Table, ttlAfter } from '../table/client.ts';
import { idempotencyKey } from '../table/keys.ts';
import type { Vault } from '../tenant/data-key-store.ts';
import type { Viewer } from './viewer.ts';

/** How long a request may take before another with its key may try: more than the API's function lives. */
const LEASE_SECONDS = 60;

type Remembered = { request: string; sealed?: string; leaseUntil?: number; ttl: number };

/**
 * Runs `work` once for an Idempotency-Key: the same request again within a day gets the same answer and changes
 * nothing. A key is its member's own; answers are sealed, for they may hold a token. Throws `idempotency-key-reused`,
 * `still-running`. If `work` throws, nothing is remembered: the request may be sent again.
 */
export async function once<T>(
  { table, vault }: { table: Table; vault: Vault },
  viewer: Viewer,
  key: string,
  request: string,
  now: Date,
  work: () => Promise<T>,
): Promise<T> {
  const hash = sha256(key);
  const at = idempotencyKey(viewer.tenant, viewer.member, hash);
  const purpose = `idempotency ${viewer.member} ${hash}`;
  const seconds = Math.floor(now.getTime() / 1000);
  const begun: Remembered = {
    // With the key itself, which is stored nowhere: else who reads the table could try passwords that stand in a body.
    request: sha256(key, request),
    leaseUntil: seconds + LEASE_SECONDS,
    ttl: ttlAfter(now, { hours: IDEMPOTENCY_HOURS }),
  };

  const existing = await table.putNew<Remembered>({ ...at, ...begun });
  if (existing && isLive(existing, now)) {
    if (existing.request !== begun.request) {
      throw invalid('idempotency-key-reused', 'This Idempotency-Key was used for another request. Use a new key for a new request.');
    }
    const answer = existing.sealed && (await vault.open(viewer.tenant, purpose, existing.sealed));
    if (answer) return JSON.parse(answer) as T;
  }
  if (existing && !(await takeOver(table, at, existing, begun, seconds))) {
    throw conflict('still-running', 'A request with this Idempotency-Key is being worked on. Ask again in a moment.');
  }
  try {
    const answer = await work();
    await table.put({ ...at, ...begun, leaseUntil: undefined, sealed: await vault.seal(viewer.tenant, purpose, JSON.stringify(answer)) });
    return answer;
  } catch (error) {
    await table.delete(at);
    throw error;
  }
}

/** The first try is gone (its lease is over) or expired: this one takes its place, if no other was quicker. */
async function takeOver(
  table: Table,
  at: { pk: string; sk: string },
  existing: Remembered,
  begun: Remembered,
  seconds: number,
): Promise<boolean> {
  if (existing.leaseUntil && existing.leaseUntil > seconds) return false;
  const taken = await table.update(at, {
    update: 'SET #request = :request, leaseUntil = :until, #ttl = :ttl REMOVE sealed',
    condition: 'leaseUntil = :was OR attribute_not_exists(leaseUntil)',
    names: { '#ttl': 'ttl', '#request': 'request' },
    values: { ':request': begun.request, ':until': begun.leaseUntil, ':ttl': begun.ttl, ':was': existing.leaseUntil ?? 0 },
  });
  return taken !== undefined;
}
