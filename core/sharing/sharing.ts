import * as z from 'zod';
import { MAX_SHARING_EXCLUSIONS } from '../limits.ts';

/**
 * How a member shares the mail of their mailbox with those who may read the record (SHR-1, SHR-21, REC-3): with nobody; on the
 * records they tick; on all of them but for excluded domains; or with administrators alone.
 */
export const sharingType = z.enum(['private', 'custom', 'public', 'admin']);
export type SharingType = z.infer<typeof sharingType>;

/** The excluded domains belong to `public` alone (SHR-19); at most five (SHR-18). */
export type Sharing = { type: 'private' } | { type: 'custom' } | { type: 'public'; excludedDomains: string[] } | { type: 'admin' };

/** Who has not chosen shares nothing (SHR-2, R-1). */
export const NOT_CHOSEN: Sharing = { type: 'private' };

export const sharingReturned = z.object({
  type: sharingType,
  excludedDomains: z.array(z.string()).max(MAX_SHARING_EXCLUSIONS).optional().meta({ description: 'Of `public` alone (SHR-19)' }),
});
