import type { Table } from '../table/client.ts';
import type { Key } from '../table/keys.ts';

/** Minutes after which a claim is void: who made it was killed before the mail was noted as sent. */
const CLAIM_MINUTES = 6;

/**
 * Claims the notice of a job's end for this worker; false when it was sent, another one is at it, the job runs, or another job stands
 * in its place.
 */
export async function claimNotice(table: Table, job: Key, id: string, now: Date): Promise<boolean> {
  const claimed = await table.update(job, {
    update: 'SET #claimed = :now',
    condition: '#id = :id AND #state <> :running AND attribute_not_exists(#sent) AND (attribute_not_exists(#claimed) OR #claimed <= :void)',
    names: { '#id': 'id', '#state': 'state', '#sent': 'noticeSentAt', '#claimed': 'noticeClaimedAt' },
    values: {
      ':id': id,
      ':running': 'running',
      ':now': now.toISOString(),
      ':void': new Date(now.getTime() - CLAIM_MINUTES * 60_000).toISOString(),
    },
  });
  return claimed !== undefined;
}
