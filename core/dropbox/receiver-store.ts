import type { HostedAddress } from '../account/hosted-address.ts';
import { sha256 } from '../ids.ts';
import type { Table } from '../table/client.ts';
import { receiverPartition } from '../table/keys.ts';
import type { Dropbox } from './dropbox.ts';

/** Who receives mail at an address of ours: a member's dropbox, or a mailbox that is hosted here. */
export type Receiver = Dropbox | HostedAddress;

export const isHosted = (receiver: Receiver): receiver is HostedAddress => 'account' in receiver;

/**
 * Who receives at a recipient's address, whoever's it is, by one Query; undefined when there is nobody. For the mail path. What follows a
 * plus is the sender's own note (RFC 5233) at a mailbox; a dropbox's address is a secret, and nobody has written one down with a tag.
 */
export async function findReceiver(table: Table, address: string): Promise<Receiver | undefined> {
  // Eventually consistent: half the price, and a new address is not written to within milliseconds.
  const untagged = address.replace(/\+[^@]*@/, '@');
  const [receiver] = await table.all<Receiver>({ pk: receiverPartition(sha256(untagged)), consistent: false });
  return receiver && (untagged === address || isHosted(receiver)) ? receiver : undefined;
}

/**
 * Whether mail that was received then is still taken in. A dropbox address that was regenerated away is dead at once; a
 * removed mailbox has what was on its way when it was removed.
 */
export const receives = (receiver: Receiver, receivedAt: string): boolean =>
  receiver.retiredAt === undefined || (isHosted(receiver) && receivedAt < receiver.retiredAt);
