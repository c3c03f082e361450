import * as z from 'zod';
import type { Channel } from '../table/keys.ts';

/** A stored mail, once per tenant however many hold it. The bytes are the truth; this is what lists need. */
export type Message = {
  id: string;
  thread: string;
  /** Where the raw bytes lie. */
  rawKey: string;
  rawSize: number;
  /** The delivery whose bytes they are; absent on messages stored before it was noted. */
  delivery?: string;
  receivedAt: string;
  automatic?: string;
  /** Decoded attachments were over the limit: they are not offered. */
  attachmentsOmitted?: true;
  /** When a holder's copy was deleted, and nobody has begun to file it since: a day later it goes, unless others hold it. */
  unheldSince?: string;
};

/** That a member holds a message: written when everything else is there but its entries on timelines, which are last. */
export type Copy = {
  message: string;
  member: string;
  channel: Channel;
  direction: 'sent' | 'received';
  receivedAt: string;
  /** The delivery that filed it: the same one again is a redelivery, another one a duplicate. */
  delivery: string;
  records: { module: string; id: string }[];
  /** Addresses of the other side (`counterpartsOf`); absent on copies filed before they were noted. */
  counterparts?: string[];
  /** How often its records were changed since it was filed. */
  turn?: number;
  /** Records it was taken off: a late try of filing may yet write an entry there, and must see that it goes again. */
  parted?: string[];
};

/** An entry of a record's timeline: all that a list shows, within the kilobyte that one write unit pays for. */
export type TimelineEntry = {
  message: string;
  owner: string;
  receivedAt: string;
  direction: 'sent' | 'received';
  subject: string;
  from: string;
  to: string[];
  date?: string;
  snippet: string;
  attachments: number;
  attachmentsOmitted?: true;
  /** Addresses of the other side, where the series does not tell them; absent when they are too many: the copy has them. */
  counterparts?: string[];
};

/** A row of its owner's own list: with the records it is tied to; none is a mail "Not in CRM" (ASC-2). */
export type OwnMailEntry = TimelineEntry & { records: { module: string; id: string }[] };

export const timelineReturned = z.object({
  id: z.string(),
  receivedAt: z.string().meta({ description: 'When this system received it: the order of the list (R-34)' }),
  date: z.string().optional().meta({ description: 'Its Date header; only to be shown' }),
  direction: z.enum(['sent', 'received']).meta({ description: 'Dropbox mail is listed among the mails sent from the CRM (BCC-24)' }),
  subject: z.string(),
  from: z.string(),
  to: z.array(z.string()),
  snippet: z.string(),
  attachments: z.number(),
  attachmentsOmitted: z.boolean().optional(),
  owner: z.string(),
});

export const ownMailReturned = timelineReturned.extend({
  records: z.array(z.object({ module: z.string(), id: z.string() })).meta({
    description: 'Those it is tied to, at most three of them and as far as you may read them; none is a mail that is not in the CRM',
  }),
  gathered: z
    .object({ in: z.enum(['folder', 'label']), name: z.string() })
    .optional()
    .meta({ description: 'The folder or label of `gather` in your mail settings, on what you received from a lead or contact' }),
});

/** Is it gathered, where its owner gathers mail? What was received from leads and contacts is; what was sent, or concerns nobody's record, is not (MAG-1). */
export const isGathered = ({ direction, records }: Pick<OwnMailEntry, 'direction' | 'records'>) =>
  direction === 'received' && records.length > 0;

const addressReturned = z.object({ address: z.string(), name: z.string() });

/** One mail as its reader gets it. */
export const messageReturned = z.object({
  id: z.string(),
  mayReply: z.boolean().meta({ description: 'Who sees a mail may answer it, whatever they share themselves (SND-2)' }),
  thread: z.string(),
  receivedAt: z.string(),
  date: z.string().optional(),
  direction: z.enum(['sent', 'received']),
  subject: z.string(),
  from: z.array(addressReturned),
  to: z.array(addressReturned),
  cc: z.array(addressReturned),
  replyTo: z.array(addressReturned),
  headers: z
    .array(z.tuple([z.string(), z.string()]))
    .meta({ description: 'Name and decoded value, in order; dropbox addresses are left out' }),
  text: z.string(),
  textTruncated: z.boolean().optional().meta({ description: 'The text goes on in the raw source' }),
  html: z.string().optional().meta({ description: 'Sanitised; show it in a sandboxed frame. Remote images are blocked' }),
  htmlOmitted: z.boolean().optional().meta({ description: 'The HTML is too large for an answer; it is in the raw source' }),
  blockedRemoteImages: z.number().optional(),
  attachments: z.array(
    z.object({
      index: z.number(),
      filename: z.string(),
      contentType: z.string(),
      size: z.number(),
      inline: z.boolean(),
      contentId: z.string().optional(),
    }),
  ),
  attachmentsOmitted: z.boolean().optional().meta({ description: 'They were over 10 MB together and were left out' }),
  automatic: z.string().optional().meta({ description: 'By which sign it counts as automatic mail' }),
  records: z
    .array(z.object({ module: z.string(), id: z.string() }))
    .meta({ description: 'Those it is tied to, as far as you may read them' }),
});
