import * as z from 'zod';

/**
 * What stands in the polls queue. `poll`: look into this mailbox, void unless the account still stands at this place of the
 * timetable. `forget`: clear away what is left of an account that was removed.
 */
export const pollJob = z.union([
  z.object({ poll: z.object({ tenant: z.string(), member: z.string(), account: z.string(), slot: z.string().optional() }) }),
  z.object({ forget: z.object({ tenant: z.string(), account: z.string() }) }),
]);
export type PollJob = z.output<typeof pollJob>;
export type Planned = Extract<PollJob, { poll: unknown }>['poll'];
