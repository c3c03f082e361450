import { savedSince } from '../addon-user/addon-user-store.ts';
import { lockOf } from '../addon-user/lock.ts';
import { requireUnlocked, showLock } from '../addon-user/lock-guard-store.ts';
import { auditEntry } from '../audit/audit-store.ts';
import { invalid, stale } from '../errors.ts';
import type { Member } from '../member/member.ts';
import type { Viewer } from '../member/viewer.ts';
import { normaliseAddress } from '../message/address.ts';
import { NO_POLICY } from '../sharing/mail-policy.ts';
import { PRIVATE, underPolicy } from '../sharing/sharing.ts';
import type { Table, Write } from '../table/client.ts';
import { memberKey } from '../table/keys.ts';
import type { MailAccount } from './account.ts';
import { accountChange, anew, placeOf, readMailboxes } from './account-store.ts';
import { listFromAddresses } from './from-address-store.ts';
import type { MailSettingsInput } from './mail-settings.ts';
import { settingsChange } from './mail-settings-store.ts';
import { readSharing, sharingChange } from './own-sharing.ts';

/** The viewer's mail settings as they see them: what they chose, what there is to choose from, what policy makes of it. */
export async function readOwnSettings(table: Table, viewer: Viewer, now: Date) {
  // Their version first: what is read after it may be newer than it says, which a save notices, and never older, which it would not.
  const { accounts, settings } = await readMailboxes(table, viewer);
  const [from, member] = await Promise.all([listFromAddresses(table, viewer), table.get<Member>(memberKey(viewer.tenant, viewer.member))]);
  const lock = lockOf(member, now);
  const { mailPolicy } = viewer.organisation;
  const policy = mailPolicy ?? NO_POLICY;
  const sharing = member?.sharing ?? { type: policy.defaultSharing };
  const excludes = policy.excludedDomains.length + policy.excludedAddresses.length > 0;
  const narrows =
    policy.allowedSharing.length < NO_POLICY.allowedSharing.length || (!member?.sharing && policy.defaultSharing !== PRIVATE.type);
  return {
    configured: settings.savedAt !== undefined,
    savedAt: settings.savedAt,
    settingsSavedSince: member && savedSince(member, settings),
    locked: lock && (await showLock(table, viewer, lock)),
    activeMailbox: settings.active ?? null,
    mailboxes: accounts.map(({ id, name, address }) => ({ id, name, address })),
    fromAddress: from.items.find(({ chosen }) => chosen)?.address ?? viewer.email,
    fromAddresses: from.items.map(({ address }) => address),
    sharing,
    sharingInForce: underPolicy(member?.sharing, mailPolicy),
    dropboxVisibility: member?.dropboxVisibility ?? ('record' as const),
    gather: settings.gather ?? null,
    policy: {
      ...policy,
      decides: [
        ...(narrows ? (['sharing'] as const) : []),
        ...(excludes ? (['excludedDomains'] as const) : []),
        ...(policy.storeOnlyRecordMail ? (['storeOnlyRecordMail'] as const) : []),
      ],
    },
    version: settings.version,
  };
}

/**
 * Saves the settings as a whole: nothing of them holds before, all of it for the very next read after (POP-21, R-7). Only ever the
 * viewer's own (GEN-2). Throws `stale`, `unknown-mailbox`, `not-your-address`, `sharing-not-allowed`, `invalid-domain`,
 * `too-many-excluded-domains`, `no-mailbox`, `locked` (LCK-1).
 */
export async function saveSettings(table: Table, viewer: Viewer, input: MailSettingsInput, now: Date, ifMatch?: number): Promise<void> {
  const sharing = readSharing(viewer, input.sharing);
  await anew(async () => {
    await requireUnlocked(table, viewer, now);
    const { accounts, settings } = await readMailboxes(table, viewer);
    if (ifMatch !== undefined && ifMatch !== settings.version) throw stale();
    const next = requireMailbox(accounts, input.activeMailbox);
    const fromAddress = await requireOwnAddress(table, viewer, input.fromAddress);
    if (input.gather && accounts.length === 0) {
      throw invalid('no-mailbox', 'There is no mailbox whose mail could be gathered. Set a mail account up first (MAG-3).');
    }
    const before = accounts.find(({ id }) => id === settings.active);
    await table.transact([
      settingsChange(viewer.tenant, viewer.member, settings, {
        active: next?.id,
        fromAddress,
        gather: input.gather ?? undefined,
        savedAt: now.toISOString(),
      }),
      ...(before?.id === next?.id ? [] : switchTo(before, next, now)),
      sharingChange(viewer, sharing, now, input.dropboxVisibility),
      auditEntry(viewer.tenant, {
        at: now.toISOString(),
        actor: viewer.member,
        action: 'mail-settings.save',
        subject: `member:${viewer.member}`,
        before: { activeMailbox: settings.active, fromAddress: settings.fromAddress, gather: settings.gather },
        after: { ...input, sharing },
      }),
    ]);
  });
}

/** One is read and the other no longer (POP-7), both in this transaction. */
function switchTo(before: MailAccount | undefined, next: MailAccount | undefined, now: Date): Write[] {
  return [
    ...(before ? accountChange(before, { active: false }, undefined) : []),
    ...(next ? accountChange(next, { active: true }, placeOf(next, now)) : []),
  ];
}

function requireMailbox(accounts: MailAccount[], id: string | null): MailAccount | undefined {
  const found = accounts.find((account) => account.id === id);
  if (found || id === null) return found;
  throw invalid('unknown-mailbox', 'There is no such mailbox of yours (any longer). Choose one of those there are.', {
    mailboxes: accounts.map(({ id: known, name, address }) => ({ id: known, name, address })),
  });
}

async function requireOwnAddress(table: Table, viewer: Viewer, text: string): Promise<string> {
  const { items } = await listFromAddresses(table, viewer);
  const address = normaliseAddress(text);
  if (items.some((item) => item.address === address)) return address as string;
  throw invalid('not-your-address', 'Choose one of your addresses.', { addresses: items.map((item) => item.address) });
}
