import { may, type Viewer } from '../member/viewer.ts';
import type { ParsedMail } from '../message/parsed-mail.ts';
import { mayRead } from '../record/access.ts';
import { type AddressLink, type AddressMatch, matchAddress } from '../record/address-store.ts';
import type { Table } from '../table/client.ts';
import type { Dropbox } from './dropbox.ts';
import { type Recipient, recipientsOf } from './recipients.ts';
import { choose, type DropboxModule } from './search-pattern.ts';

/** What a mail is to be tied to, decided before anything is written. */
export type Plan = {
  ties: AddressLink[];
  /** Whether the owner may read a record that somebody else came first in making. */
  mayTie: (link: AddressLink) => boolean;
  creations: { module: DropboxModule; recipient: Recipient; possibleDuplicateOf?: string }[];
  skipped: { address: string; reason: 'colleague' | 'no-permission' | 'cc-only' | 'automatic' | 'beyond-limit' }[];
};

/**
 * Looks each recipient up (one eventually consistent query an address) and decides by the owner's search pattern and
 * permissions: tie to all the owner may read, create where they may, never for colleagues.
 */
export async function planTies(
  room: { table: Table; mailDomain: string },
  owner: Viewer,
  dropbox: Dropbox,
  mail: ParsedMail,
): Promise<Plan> {
  const { matched, beyondLimit } = recipientsOf(mail, {
    mailDomain: room.mailDomain,
    excludedDomains: owner.organisation.excludedDomains,
    own: dropbox.senders.map((sender) => sender.address),
  });
  const matches = await Promise.all(matched.map((recipient) => matchAddress(room.table, owner.tenant, recipient.address)));
  const plan: Plan = { ties: [], mayTie: (link) => mayRead(owner, link), creations: [], skipped: [] };
  for (const [i, recipient] of matched.entries()) decide(plan, owner, dropbox, mail, recipient, matches[i] as AddressMatch);
  if (beyondLimit > 0) plan.skipped.push({ address: `${beyondLimit} more`, reason: 'beyond-limit' });
  plan.ties = [...new Map(plan.ties.map((tie) => [tie.record, tie])).values()];
  return plan;
}

function decide(plan: Plan, owner: Viewer, dropbox: Dropbox, mail: ParsedMail, recipient: Recipient, match: AddressMatch): void {
  const skip = (reason: Plan['skipped'][number]['reason']) => plan.skipped.push({ address: recipient.address, reason });
  if (match.members.length > 0) {
    skip('colleague');
    return;
  }
  const inModule = (module: DropboxModule) => match.records.filter((link) => link.module === module);
  const choice = choose(dropbox, { contacts: inModule('contacts'), leads: inModule('leads') });
  if ('tie' in choice) {
    const readable = choice.tie.filter((link) => mayRead(owner, link));
    if (readable.length === 0) skip('no-permission');
    plan.ties.push(...(dropbox.severalRecords === 'newest' ? readable.slice(0, 1) : readable));
    return;
  }
  if (!recipient.mayCreate) skip(mail.automatic ? 'automatic' : 'cc-only');
  else if (!may(owner, choice.create, 'create')) skip('no-permission');
  // Pattern A creates a contact beside a lead with this address, and says so on it.
  else plan.creations.push({ module: choice.create, recipient, possibleDuplicateOf: match.records[0]?.record });
}
