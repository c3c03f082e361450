import { unlockedAt } from '../addon-user/lock.ts';
import { forbidden, invalid } from '../errors.ts';
import { MAX_SHARING_EXCLUSIONS } from '../limits.ts';
import type { Viewer } from '../member/viewer.ts';
import { NO_POLICY } from '../sharing/mail-policy.ts';
import type { Sharing } from '../sharing/sharing.ts';
import type { Write } from '../table/client.ts';
import { memberKey } from '../table/keys.ts';
import { normaliseDomains } from '../tenant/domain-list.ts';
import type { SharingInput } from './mail-settings.ts';

/** The write that makes a member share in this way; refused when they were deactivated, or locked (LCK-8), in the same moment. */
export function sharingChange(viewer: Viewer, sharing: Sharing, now: Date, dropboxVisibility?: 'record' | 'sharing'): Write {
  const unlocked = unlockedAt(now);
  return {
    update: memberKey(viewer.tenant, viewer.member),
    with: {
      update: `SET sharing = :sharing${dropboxVisibility ? ', dropboxVisibility = :dropbox' : ''}`,
      condition: `#status = :active AND ${unlocked.condition}`,
      names: { '#status': 'status', ...unlocked.names },
      values: {
        ':sharing': sharing,
        ':active': 'active',
        ...unlocked.values,
        ...(dropboxVisibility ? { ':dropbox': dropboxVisibility } : {}),
      },
    },
  };
}

/** What the viewer may choose, normalised. Throws `sharing-not-allowed`, `invalid-domain`, `too-many-excluded-domains`. */
export function readSharing({ organisation }: Pick<Viewer, 'organisation'>, input: SharingInput): Sharing {
  const { allowedSharing } = organisation.mailPolicy ?? NO_POLICY;
  if (!allowedSharing.includes(input.type)) {
    throw forbidden(
      'sharing-not-allowed',
      `Your organisation allows ${allowedSharing.join(', ')}. Choose one of them, or ask an administrator.`,
    );
  }
  if (input.type !== 'public') return input;
  const excludedDomains = normaliseDomains(input.excludedDomains);
  if (excludedDomains.length > MAX_SHARING_EXCLUSIONS) {
    throw invalid(
      'too-many-excluded-domains',
      `You may exclude ${MAX_SHARING_EXCLUSIONS} domains. An administrator can exclude more for everybody.`,
    );
  }
  return { type: 'public', excludedDomains };
}
