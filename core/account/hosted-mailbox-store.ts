import { sha256 } from '../ids.ts';
import type { Viewer } from '../member/viewer.ts';
import { isNew, type Table } from '../table/client.ts';
import { hostedAddressKey } from '../table/keys.ts';
import type { HostedMailbox } from './account.ts';
import type { HostedMailboxInput } from './account-input.ts';
import { addAccount } from './account-store.ts';
import { type HostedAddress, newHostedAddress } from './hosted-address.ts';
import { readSharing } from './own-sharing.ts';

/** What the functions here work with: the table, and the domain SES receives for. */
export type HostedStore = { table: Table; mailDomain: string };

/**
 * Makes a mailbox of the viewer's own that is received here (POP-1, POP-4, R-43): from then on it is one of their accounts (POP-5),
 * the active and the main one when it is the first. Throws as `newHostedAddress`, `too-many-accounts`, `sharing-not-allowed`, `locked`.
 */
export async function createHostedMailbox(
  { table, mailDomain }: HostedStore,
  viewer: Viewer,
  input: HostedMailboxInput,
  id: string,
  now: Date,
): Promise<HostedMailbox> {
  const { tenant, member } = viewer;
  const address = newHostedAddress(input.localPart, viewer.email, mailDomain);
  const mailbox: HostedMailbox = {
    id,
    tenant,
    member,
    name: input.name,
    address,
    protocol: 'hosted',
    createdAt: now.toISOString(),
    version: 1,
    active: false,
  };
  const owner: HostedAddress = { tenant, member, account: id };
  return addAccount(table, viewer, mailbox, now, {
    sharing: input.sharing && readSharing(viewer, input.sharing),
    writes: [{ put: { ...hostedAddressKey(sha256(address)), ...owner }, condition: isNew }],
  });
}
