import * as z from 'zod';
import { normaliseAddress } from './address.ts';
import type { TimelineEntry } from './message.ts';

/** What a record's mail is searched by; each narrows the others. */
export const mailFilter = z.object({
  q: z
    .string()
    .trim()
    .min(1)
    .max(200)
    .optional()
    .meta({ description: 'Each of its words stands in the subject, the addresses shown or the beginning of the text' }),
  direction: z.enum(['sent', 'received']).optional(),
  from: z.string().trim().min(1).max(1000).optional().meta({ description: 'The address it is from, or its domain: `@example.com`' }),
});
export type MailFilter = z.infer<typeof mailFilter>;

export const countReturned = z.object({
  count: z.number(),
  atLeast: z.boolean().meta({ description: 'There are older ones that were not looked at' }),
});

/** Whether a row of a list is what is looked for. It must be the row as its viewer is shown it: what is hidden cannot be guessed at. */
export function matcher({
  q,
  direction,
  from,
}: MailFilter): (row: Pick<TimelineEntry, 'subject' | 'from' | 'to' | 'snippet' | 'direction'>) => boolean {
  const words = q === undefined ? [] : fold(q).split(/\s+/u);
  const sender = from && (normaliseAddress(from) ?? from.toLowerCase());
  return (row) => {
    if (direction && row.direction !== direction) return false;
    if (sender && !(sender.startsWith('@') ? row.from.endsWith(sender) : row.from === sender)) return false;
    if (words.length === 0) return true;
    const text = fold([row.subject, row.from, ...row.to, row.snippet].join('\n'));
    return words.every((word) => text.includes(word));
  };
}

/** In upper or lower case, full or half width, it is the same text. */
const fold = (text: string) => text.normalize('NFKC').toLowerCase();
