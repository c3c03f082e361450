import * as z from 'zod';
import type { StoredRecord } from '../record/record.ts';

/**
 * The job of the queue: see to it that a record's mail follows its addresses; or look again at one mail, that was filed while they
 * changed.
 */
export const backfillJob = z.object({
  backfill: z.object({
    tenant: z.string(),
    record: z.string(),
    mail: z.object({ message: z.string(), member: z.string(), receivedAt: z.string() }).optional(),
  }),
});
export type BackfillJob = z.infer<typeof backfillJob>;

/** How many mails of a member were looked at for an address, and how many of them are on the record now. */
export type Tally = { found: number; tied: number };

/** How far the mail of one record follows its addresses. */
export type Backfill = {
  /** By address: the version it was attached or detached at (`AddressPast`), once all of its mail has been seen to. */
  done: Record<string, number>;
  /** What is being done, and where it goes on. */
  at?: Task & { after?: string };
  /** By address and member. */
  tallies: Record<string, Record<string, Tally>>;
};

/** To bring the mail of an attached address in, or to take that of a detached one off. */
export type Task = { address: string; version: number; kind: 'tie' | 'untie' };

export const NOTHING_DONE: Backfill = { done: {}, tallies: {} };

/** What is still to be done for a record, mail that leaves it first; of what has been begun, where it goes on. */
export function nextTask(
  record: Pick<StoredRecord, 'addresses' | 'history'>,
  { done, at }: Backfill,
): (Task & { after?: string }) | undefined {
  const open = Object.entries(record.history ?? {})
    .filter(([address, { version }]) => done[address] !== version)
    .map(([address, { version }]): Task => ({ address, version, kind: record.addresses.includes(address) ? 'tie' : 'untie' }))
    .sort((a, b) => (a.kind === b.kind ? (a.address < b.address ? -1 : 1) : a.kind === 'untie' ? -1 : 1));
  const [first] = open;
  const begun = at && open.find(({ address, version }) => address === at.address && version === at.version);
  return begun ? at : first;
}

export const backfillReturned = z
  .object({
    state: z.enum(['waiting', 'running', 'finished']),
    addresses: z.array(
      z.object({
        address: z.string(),
        task: z.enum(['add', 'remove']).meta({ description: 'Its mail is added to the record, or taken off: the address was detached' }),
        state: z.enum(['waiting', 'running', 'finished']),
        found: z.number().meta({ description: 'Mails of your own with the address that were looked at' }),
        tied: z.number().meta({ description: 'Those of them that are on the record now' }),
      }),
    ),
  })
  .meta({ description: 'How far the mail of a record follows its addresses; counted are your own mails alone' });

/** It as one member may see it: what others hold shows in no number. */
export function backfillView(record: Pick<StoredRecord, 'addresses' | 'history'>, { done, at, tallies }: Backfill, member: string) {
  // DynamoDB's maps have no order: the record's addresses as they stand, then those that are detached.
  const place = ([address]: [string, unknown]) =>
    `${record.addresses.includes(address) ? record.addresses.indexOf(address) : 'x'} ${address}`;
  const known = Object.entries(record.history ?? {}).sort((a, b) => (place(a) < place(b) ? -1 : 1));
  const addresses = known.map(([address, { version }]) => {
    const state = done[address] === version ? 'finished' : at?.address === address && at.version === version ? 'running' : 'waiting';
    const { found, tied } = tallies[address]?.[member] ?? { found: 0, tied: 0 };
    return { address, task: record.addresses.includes(address) ? 'add' : 'remove', state, found, tied } as const;
  });
  const has = (state: string) => addresses.some((one) => one.state === state);
  return { state: has('running') ? 'running' : has('waiting') ? 'waiting' : 'finished', addresses } as const;
}
