import * as z from 'zod';

/**
 * How a member shares the mail of their mailbox with those who may read the record (SHR-1, SHR-21, REC-3): with nobody; on the
 * records they tick; on all of them but for what is excluded; or with administrators alone.
 */
export const sharingType = z.enum(['private', 'custom', 'public', 'admin']);
export type SharingType = z.infer<typeof sharingType>;
