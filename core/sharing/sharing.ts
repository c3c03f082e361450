import type { MailPolicy } from './mail-policy.ts';

/** The excluded domains belong to `public` alone (SHR-19); at most five of a member's own (SHR-18). Addresses are policy's. */
export type Public = { type: 'public'; excludedDomains: string[]; excludedAddresses?: string[] };
export type Sharing = { type: 'private' } | { type: 'custom' } | { type: 'admin' } | Public;

export const PRIVATE: Sharing = { type: 'private' };

/**
 * What a member's choice comes to under their organisation's policy: its default for who has not chosen, `private` when it has
 * none (SHR-2, R-1); nothing shared where the choice is not allowed any longer; and its exclusions beside their own.
 */
export function underPolicy(chosen: Sharing | undefined, policy: MailPolicy | undefined): Sharing {
  const sharing = chosen ?? (policy ? { type: policy.defaultSharing } : PRIVATE);
  if (!policy) return sharing;
  if (!policy.allowedSharing.includes(sharing.type)) return PRIVATE;
  if (sharing.type !== 'public') return sharing;
  return {
    ...sharing,
    excludedDomains: [...sharing.excludedDomains, ...policy.excludedDomains],
    excludedAddresses: policy.excludedAddresses,
  };
}
