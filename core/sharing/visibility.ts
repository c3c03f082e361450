import * as z from 'zod';

export const tickInput = z.strictObject({ shared: z.boolean() });
export const tickReturned = z.object({ ticked: z.boolean() });

const words = z.object({ en: z.string(), ja: z.string() });

/** Why a mail is seen, and by whom else when it is the viewer's own. */
export const visibilityReturned = z.object({
  because: z.array(
    z.object({
      code: z.enum(['own', 'filed-on-record', 'backed-up', 'ticked', 'public', 'administrators']),
      words,
      owner: z.object({ id: z.string(), name: z.string() }).meta({ description: 'Who holds the copy you see' }),
      record: z.object({ module: z.string(), id: z.string() }).optional(),
    }),
  ),
  whoElse: z
    .object({ count: z.number(), members: z.array(z.object({ id: z.string(), name: z.string() })) })
    .optional()
    .meta({ description: 'Of your own mail: the colleagues who see it through your copy, at most a hundred of them by name' }),
});
