import * as z from 'zod';

/** `fence`: of the poll that is followed; `nth`: so many in a row before this one were killed. */
const after = z.object({ fence: z.number(), nth: z.number() });

/**
 * What stands in the polls queue. `poll`: look into this mailbox, void unless the account still stands at this place of the
 * timetable; with `after`, unless the poll that is followed was killed. `forget`: clear away what is left of an account that was removed.
 */
export const pollJob = z.union([
  z.object({
    poll: z.object({ tenant: z.string(), member: z.string(), account: z.string(), slot: z.string().optional(), after: after.optional() }),
  }),
  z.object({ forget: z.object({ tenant: z.string(), account: z.string() }) }),
]);
export type PollJob = z.output<typeof pollJob>;
export type Planned = Extract<PollJob, { poll: unknown }>['poll'];
