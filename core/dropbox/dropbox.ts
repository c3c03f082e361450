import * as z from 'zod';
import type { TenantId } from '../ids.ts';
import { MAX_SENDERS } from '../limits.ts';

/** Where a recipient's address is looked for, and what is made when it is not found (BCC-9..15). */
export const pattern = z.enum(['contacts', 'leads', 'contacts-then-leads']);
/** Pattern C's choice (BCC-15). */
export const createIn = z.enum(['leads', 'contacts']);
/** Which of several records with one address a mail is tied to. */
export const severalRecords = z.enum(['all', 'newest']);
/** Who sees dropbox mail: whoever may read the record, or as the owner's sharing type says. */
export const visibility = z.enum(['record', 'sharing']);

export type Visibility = z.infer<typeof visibility>;

/** An address the owner may send from. It counts once `verifiedAt` is there. */
export type RegisteredSender = {
  id: string;
  address: string;
  addedAt: string;
  verifiedAt?: string;
  /** SHA-256 of the mailed code, with the dropbox's hash as salt. */
  codeHash?: string;
  codeExpiresAt?: string;
  /** Wrong answers to the current code. */
  tries?: number;
};

/**
 * A member's dropbox, found by its secret address alone. It repeats what the gate needs of its owner (profile, status),
 * kept in step by the transactions that change those, so that a mail's gate costs one read.
 */
export type Dropbox = {
  /** SHA-256 of the whole address: the item's key. */
  hash: string;
  tenant: TenantId;
  member: string;
  profile: string;
  /** When the owner was deactivated: what came in before that is still filed. */
  deactivatedAt?: string;
  pattern: z.infer<typeof pattern>;
  createIn: z.infer<typeof createIn>;
  severalRecords: z.infer<typeof severalRecords>;
  senders: RegisteredSender[];
  createdAt: string;
  version: number;
  /** Set when another address took its place: this one is dead, and says so in the owner's activity for a while. */
  retiredAt?: string;
  ttl?: number;
};

export const senderReturned = z.object({
  id: z.string(),
  address: z.string(),
  addedAt: z.string(),
  verifiedAt: z.string().optional().meta({ description: 'Absent until the mailed code was given; mail from it is held until then' }),
});
export const dropboxReturned = z.object({
  address: z.string().meta({ description: 'Put this in BCC. Whoever knows it can send to it: regenerate it when it leaks' }),
  createdAt: z.string(),
  pattern,
  createIn,
  severalRecords,
  visibility,
  mayEditPattern: z.boolean().meta({ description: 'False without permission on both leads and contacts (BCC-17)' }),
  senders: z.array(senderReturned).max(MAX_SENDERS),
});
export const dropboxPatch = z.strictObject({ pattern, createIn, severalRecords, visibility }).partial();
export const senderInput = z.strictObject({ address: z.string().max(254).meta({ example: 'mika@example.com' }) });
export const codeInput = z.strictObject({ code: z.string().trim().max(20).meta({ example: '12345678' }) });
