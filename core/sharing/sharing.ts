import type { MailPolicy } from './mail-policy.ts';

/** What is held back whatever is shared. Domains of a member's own belong to `public` alone (SHR-19); addresses are policy's. */
export type Exclusions = { excludedDomains?: string[]; excludedAddresses?: string[] };
/** At most five domains of a member's own (SHR-18). */
export type Public = Exclusions & { type: 'public'; excludedDomains: string[] };
export type Sharing = { type: 'private' } | (Exclusions & { type: 'custom' }) | (Exclusions & { type: 'admin' }) | Public;

export const PRIVATE: Sharing = { type: 'private' };

/**
 * What a member's choice comes to under their organisation's policy: its default for who has not chosen, `private` when it has
 * none (SHR-2, R-1); nothing shared where the choice is not allowed any longer; and its exclusions, under every type, beside
 * those of their own.
 */
export function underPolicy(chosen: Sharing | undefined, policy: MailPolicy | undefined): Sharing {
  if (!policy) return chosen ?? PRIVATE;
  const sharing: Sharing = chosen ?? { type: policy.defaultSharing };
  if (!policy.allowedSharing.includes(sharing.type)) return PRIVATE;
  const { excludedDomains, excludedAddresses } = policy;
  if (sharing.type === 'private' || excludedDomains.length + excludedAddresses.length === 0) return sharing;
  return { ...sharing, excludedDomains: [...(sharing.excludedDomains ?? []), ...excludedDomains], excludedAddresses };
}
