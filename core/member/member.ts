import * as z from 'zod';
import type { Hold, Lock } from '../addon-user/lock.ts';
import type { Sharing } from '../sharing/sharing.ts';

/**
 * A person of a tenant. `confirmed` once they have shown that the login address is theirs; only then they have tokens,
 * and only then the address counts as verified.
 */
export type Member = {
  id: string;
  name: string;
  /** Login address, normalised; unique in the tenant. */
  email: string;
  profile: string;
  status: 'active' | 'deactivated';
  confirmed: boolean;
  createdAt: string;
  deactivatedAt?: string;
  /** When they last came back after a deactivation: a latest backup asks whether they saved their settings since (LBK-2). */
  reactivatedAt?: string;
  /** SHA-256 of the current dropbox address: the way to the dropbox's item. */
  dropbox?: string;
  /** The current dropbox address itself, sealed with the tenant's data key. */
  dropboxSealed?: string;
  /** Who sees dropbox mail; `record` when not set. Kept here, where readers of mail look for its owner. */
  dropboxVisibility?: 'record' | 'sharing';
  /** Ticked for the mail add-on (GEN-1). */
  mailAddOn?: boolean;
  /** How mail of their mailbox is shared; kept here for the same reason. Absent until chosen. */
  sharing?: Sharing;
  /** Keeps them from changing their mail settings (LCK-1); go by `lockOf`, which knows when it has run out. */
  locked?: Lock;
  /** Nothing of their mail is deleted while it is there. */
  hold?: Hold;
  version: number;
};

export const memberInput = z.strictObject({
  name: z.string().trim().min(1).max(200),
  email: z.string().max(254).meta({ example: 'mika@example.com' }),
  profile: z.string().max(40).default('standard'),
});
export const memberPatch = z
  .strictObject({
    name: z.string().trim().min(1).max(200),
    profile: z.string().max(40),
    status: z.enum(['active', 'deactivated']),
    mailAddOn: z.boolean().meta({ description: "Counts while the organisation's mailAddOn is `selected`" }),
  })
  .partial();
export const memberReturned = z.object({
  id: z.string(),
  name: z.string(),
  email: z.string(),
  profile: z.string(),
  status: z.enum(['active', 'deactivated']),
  confirmed: z.boolean(),
  createdAt: z.string(),
  deactivatedAt: z.string().optional(),
  reactivatedAt: z.string().optional(),
  mailAddOn: z.boolean().default(false),
});
