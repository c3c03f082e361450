import type { Viewer } from '../member/viewer.ts';
import { domainOf } from '../message/address.ts';
import type { Showing } from '../table/keys.ts';
import { isExcluded } from '../tenant/excluded-domain.ts';
import type { Exclusions, Sharing } from './sharing.ts';

/**
 * What the owner of a copy lets others see, as set now. Kept apart from the copy: visibility is computed when somebody
 * looks, so that a changed setting holds for the very next read.
 */
export type OwnerSettings = {
  /** Dropbox mail goes with the record, or follows the owner's sharing type. */
  dropboxVisibility: 'record' | 'sharing';
  sharing: Sharing;
  /** Their mailbox's mail is out of sight until it is backed up (GEN-9). */
  deactivated: boolean;
};

/** A copy, as far as its being shared depends on it. */
export type Shared = {
  owner: string;
  channel: Showing;
  /**
   * Addresses of the other side: its senders when it was received, all To and CC when it was sent. Undefined for mail
   * filed before they were noted: then they count as excluded, if anything is.
   */
  counterparts: readonly string[] | undefined;
};

/** Why a copy may be seen, or may not. Each has its words in `explain-visibility.ts`. */
export type Verdict =
  | { visible: true; because: 'own' | 'filed-on-record' | 'backed-up' | 'ticked' | 'public' | 'administrators' }
  | { visible: false; because: 'private' | 'not-ticked' | 'excluded-domain' | 'administrators-only' | 'owner-deactivated' };

/**
 * THE GATE: may the viewer see this copy on a record that the viewer may read? Pure and total; everything that reads mail
 * asks here (truth table 2.1). Whether the record may be read is asked before. `ticked`: the copy's owner has ticked "share
 * mail" on that record (SHR-10, R-8).
 */
export function canSee(
  viewer: Pick<Viewer, 'member' | 'profile'>,
  copy: Shared,
  settings: OwnerSettings,
  record: { ticked: boolean },
): Verdict {
  if (copy.owner === viewer.member) return { visible: true, because: 'own' };
  switch (copy.channel) {
    case 'dropbox':
      // To BCC is to file on purpose: it goes with the record, also after its owner has left (R-40, SHR-23).
      if (settings.dropboxVisibility === 'record') return { visible: true, because: 'filed-on-record' };
      return bySharing(viewer, copy, settings, record);
    case 'mailbox':
      return bySharing(viewer, copy, settings, record);
    case 'backup':
      // What a backup made visible stays so, whatever its owner sets later; what it may not show, it did not write.
      return { visible: true, because: 'backed-up' };
    default:
      return unreachable(copy.channel);
  }
}

function bySharing(
  viewer: Pick<Viewer, 'profile'>,
  { counterparts }: Shared,
  { sharing, deactivated }: OwnerSettings,
  record: { ticked: boolean },
): Verdict {
  if (deactivated) return { visible: false, because: 'owner-deactivated' };
  if (sharing.type === 'private') return { visible: false, because: 'private' };
  if (isHeldBack(counterparts, sharing)) return { visible: false, because: 'excluded-domain' };
  switch (sharing.type) {
    case 'custom':
      return record.ticked ? { visible: true, because: 'ticked' } : { visible: false, because: 'not-ticked' };
    case 'public':
      return { visible: true, because: 'public' };
    case 'admin':
      return viewer.profile.administrator
        ? { visible: true, because: 'administrators' }
        : { visible: false, because: 'administrators-only' };
    default:
      return unreachable(sharing);
  }
}

/** One excluded address or domain on the other side hides the mail: privacy first. */
function isHeldBack(counterparts: readonly string[] | undefined, { excludedDomains = [], excludedAddresses = [] }: Exclusions): boolean {
  if (excludedDomains.length === 0 && excludedAddresses.length === 0) return false;
  if (counterparts === undefined) return true;
  const [domains, addresses] = [setOf(excludedDomains), setOf(excludedAddresses)];
  return counterparts.some((address) => addresses.has(address) || isExcluded(domainOf(address), domains));
}

/** A policy may exclude thousands, and each mail is asked about: to go through the list took milliseconds for a mail to fifty. */
function setOf(list: readonly string[]): ReadonlySet<string> {
  const set = SETS.get(list) ?? new Set(list);
  SETS.set(list, set);
  return set;
}
/** Of each list, for as long as there is the list; nobody changes one. */
const SETS = new WeakMap<readonly string[], ReadonlySet<string>>();

function unreachable(value: never): never {
  throw new Error(`no rule for ${String(value)}`);
}
