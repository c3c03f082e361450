import { maySetMail } from '../addon-user/lock.ts';
import { requireUnlocked } from '../addon-user/lock-guard-store.ts';
import { auditEntry } from '../audit/audit-store.ts';
import type { Dropbox } from '../dropbox/dropbox.ts';
import { invalid, stale } from '../errors.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import { normaliseAddress } from '../message/address.ts';
import type { Table } from '../table/client.ts';
import { dropboxKey, memberKey } from '../table/keys.ts';
import { anew, type Mailboxes, readMailboxes } from './account-store.ts';
import { settingsChange } from './mail-settings-store.ts';

export type FromAddress = { address: string; chosen: boolean; sources: Source[] };
type Source = 'login' | 'sender' | 'account';

/** All addresses of the viewer's own, and which of them their mail is sent from (FRM-1). `version` is the settings'. */
export async function listFromAddresses(table: Table, viewer: Viewer): Promise<{ items: FromAddress[]; version: number }> {
  const mailboxes = await readMailboxes(table, viewer);
  const sources = await sourcesOf(table, viewer, mailboxes);
  const chosen = chosenOf(viewer, mailboxes, sources);
  const items = [...sources].map(([address, from]) => ({ address, chosen: address === chosen, sources: from }));
  return { items, version: mailboxes.settings.version };
}

/** Picks the address the viewer's mail is sent from. Throws `not-your-address`, `stale`, `locked`. */
export async function chooseFromAddress(table: Table, viewer: Viewer, text: string, now: Date, ifMatch?: number) {
  await anew(async () => {
    await requireUnlocked(table, viewer, now);
    const mailboxes = await readMailboxes(table, viewer);
    const { settings } = mailboxes;
    if (ifMatch !== undefined && ifMatch !== settings.version) throw stale();
    const sources = await sourcesOf(table, viewer, mailboxes);
    const address = normaliseAddress(text);
    if (!address || !sources.has(address)) {
      throw invalid('not-your-address', 'Choose one of your addresses: GET /v1/from-addresses lists them.', {
        addresses: [...sources.keys()],
      });
    }
    await table.transact([
      settingsChange(viewer.tenant, viewer.member, settings, { fromAddress: address }),
      maySetMail(viewer, now),
      auditEntry(viewer.tenant, {
        at: now.toISOString(),
        actor: viewer.member,
        action: 'from-address.choose',
        subject: `member:${viewer.member}`,
        before: { address: settings.fromAddress },
        after: { address },
      }),
    ]);
  });
  return listFromAddresses(table, viewer);
}

/** Login address, proved senders of the dropbox, addresses of mail accounts; each once. */
async function sourcesOf(table: Table, viewer: Viewer, { accounts }: Mailboxes): Promise<Map<string, Source[]>> {
  const sources = new Map<string, Source[]>();
  const add = (address: string, source: Source) => {
    const known = sources.get(address) ?? [];
    if (!known.includes(source)) sources.set(address, [...known, source]);
  };
  add(viewer.email, 'login');
  for (const { address, verifiedAt } of await sendersOf(table, viewer)) if (verifiedAt) add(address, 'sender');
  for (const { address } of accounts) add(address, 'account');
  return sources;
}

async function sendersOf(table: Table, viewer: Viewer) {
  const member = await table.get<Member>(memberKey(viewer.tenant, viewer.member));
  const dropbox = member?.dropbox ? await table.get<Dropbox>(dropboxKey(member.dropbox)) : undefined;
  return dropbox?.senders ?? [];
}

/** What was picked, while it is the viewer's still; else the main account's address; else the login address. */
function chosenOf(viewer: Viewer, { accounts, settings }: Mailboxes, sources: Map<string, Source[]>): string {
  if (settings.fromAddress && sources.has(settings.fromAddress)) return settings.fromAddress;
  return accounts.find(({ id }) => id === settings.main)?.address ?? viewer.email;
}
