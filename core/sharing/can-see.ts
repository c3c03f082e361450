import type { Viewer } from '../member/viewer.ts';
import type { Channel } from '../table/keys.ts';

/**
 * What the owner of a copy lets others see, as set now. Kept apart from the copy: visibility is computed when somebody
 * looks, so that a changed setting holds for the very next read.
 */
export type OwnerSettings = {
  /** Dropbox mail goes with the record, or follows the owner's sharing type. */
  dropboxVisibility: 'record' | 'sharing';
  /** The one type there is so far: a type that is not chosen is private. */
  sharing: 'private';
};

/**
 * THE GATE: may the viewer see this owner's mail of a record that the viewer may read? Pure and total; everything that
 * reads mail asks here. Whether the record may be read is asked before.
 */
export function canSee(viewer: Pick<Viewer, 'member'>, owner: string, channel: Channel, settings: OwnerSettings): boolean {
  if (owner === viewer.member) return true;
  switch (channel) {
    case 'dropbox':
      // To BCC is to file on purpose: it goes with the record, also after its owner has left.
      return settings.dropboxVisibility === 'record' || shares(settings.sharing);
    case 'mailbox':
      return shares(settings.sharing);
    default:
      return unreachable(channel);
  }
}

function shares(sharing: OwnerSettings['sharing']): boolean {
  switch (sharing) {
    case 'private':
      return false;
    default:
      return unreachable(sharing);
  }
}

function unreachable(value: never): never {
  throw new Error(`no rule for ${String(value)}`);
}
