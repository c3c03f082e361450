import type * as z from 'zod';
import { readMailSettings, settingsChange } from '../account/mail-settings-store.ts';
import { unlockedAt } from '../addon-user/lock.ts';
import { requireUnlocked } from '../addon-user/lock-guard-store.ts';
import { auditEntry, changeOf } from '../audit/audit-store.ts';
import { conflict, forbidden, notFound, stale } from '../errors.ts';
import { newSecret, sha256 } from '../ids.ts';
import { ACTIVITY_DAYS } from '../limits.ts';
import type { Member } from '../member/member.ts';
import { may, type Viewer } from '../member/viewer.ts';
import { isNew, type Table, ttlAfter, type Update, type Write } from '../table/client.ts';
import { dropboxKey, memberKey } from '../table/keys.ts';
import type { Vault } from '../tenant/data-key-store.ts';
import type { Dropbox, dropboxPatch, Visibility } from './dropbox.ts';

/** What the functions here work with: the table, the vault, and the domain SES receives for. */
export type DropboxStore = { table: Table; vault: Vault; mailDomain: string };

/** A member's own dropbox, its address in clear, and who sees what comes through it (kept on the member: readers look there). */
export type OwnDropbox = { dropbox: Dropbox; address: string; visibility: Visibility };

/** The dropbox behind a recipient's address, whoever's it is; undefined when there is none. For the mail path. */
export function findDropbox(table: Table, address: string): Promise<Dropbox | undefined> {
  // Eventually consistent: half the price, and a new address is not written into a BCC within milliseconds.
  return table.get<Dropbox>(dropboxKey(sha256(address)), { consistent: false });
}

/**
 * The viewer's dropbox (BCC-1, BCC-2), made when it is first asked for; no mail account is needed (BCC-3). Its sender
 * list begins with the login address, which the confirmation of the membership has verified.
 */
export async function ownDropbox(store: DropboxStore, viewer: Viewer, now: Date): Promise<OwnDropbox> {
  for (;;) {
    const member = await store.table.get<Member>(memberKey(viewer.tenant, viewer.member));
    if (!member) throw notFound('member');
    if (member.dropbox && member.dropboxSealed) {
      const dropbox = await store.table.get<Dropbox>(dropboxKey(member.dropbox));
      const address = await store.vault.open(viewer.tenant, dropboxPurpose(viewer.member), member.dropboxSealed);
      if (dropbox && !dropbox.retiredAt && address) return { dropbox, address, visibility: member.dropboxVisibility ?? 'record' };
      if (!address) throw new Error('a dropbox address does not open with its tenant key');
      continue; // Regenerated between the two reads.
    }
    const at = now.toISOString();
    const fresh = await newAddress(store, viewer);
    const dropbox: Dropbox = {
      ...fresh.identity,
      tenant: viewer.tenant,
      member: viewer.member,
      profile: member.profile,
      deactivatedAt: member.deactivatedAt,
      pattern: 'contacts-then-leads',
      createIn: 'leads',
      severalRecords: 'all',
      senders: [{ id: sha256(viewer.email).slice(0, 12), address: viewer.email, addedAt: at, verifiedAt: at }],
      createdAt: at,
      version: 1,
    };
    const made = await store.table.tryTransact([
      { put: { ...dropboxKey(dropbox.hash), ...dropbox }, condition: isNew },
      // The member as read here, not as the request began: what changed in between must not be missed, nor waited for.
      pointTo(viewer, fresh, 'attribute_not_exists(dropbox) AND version = :version', { ':version': member.version }),
    ]);
    if (made) return { dropbox, address: fresh.address, visibility: 'record' };
  }
}

/**
 * Gives the dropbox a new address (BCC-20); the old one is dead from this moment, settings and senders stay, and
 * there is still exactly one (BCC-21).
 */
export async function regenerate(store: DropboxStore, viewer: Viewer, now: Date): Promise<OwnDropbox> {
  for (;;) {
    const { dropbox: old, visibility } = await ownDropbox(store, viewer, now);
    const at = now.toISOString();
    const fresh = await newAddress(store, viewer);
    const dropbox: Dropbox = { ...old, ...fresh.identity, createdAt: at, version: old.version + 1 };
    const tombstone = {
      hash: old.hash,
      tenant: viewer.tenant,
      member: viewer.member,
      retiredAt: at,
      version: old.version + 1,
      ttl: ttlAfter(now, { days: ACTIVITY_DAYS }),
    };
    const done = await store.table.tryTransact([
      { put: { ...dropboxKey(old.hash), ...tombstone }, condition: 'version = :version', values: { ':version': old.version } },
      { put: { ...dropbox, ...dropboxKey(dropbox.hash) }, condition: isNew },
      pointTo(viewer, fresh, 'dropbox = :old', { ':old': old.hash }),
      // Addresses are secrets: the audit names them by the beginning of their hash.
      auditEntry(viewer.tenant, {
        at,
        actor: viewer.member,
        action: 'dropbox.regenerate',
        subject: `member:${viewer.member}`,
        before: { address: old.hash.slice(0, 8) },
        after: { address: dropbox.hash.slice(0, 8) },
      }),
    ]);
    if (done) return { dropbox, address: fresh.address, visibility };
  }
}

/**
 * Changes how the viewer's own dropbox files (BCC-18). The search pattern needs permission on leads and on contacts
 * (BCC-17); who sees its mail is one of the mail settings: locked with them (LCK-1), and counted in their version, so that whoever saves
 * those as they were before is told. Throws `no-module-permission`, `stale`,
 * `changed-meanwhile`, `locked`.
 */
export async function patchDropbox(
  store: DropboxStore,
  viewer: Viewer,
  patch: z.output<typeof dropboxPatch>,
  now: Date,
  ifMatch?: number,
): Promise<OwnDropbox> {
  const own = await ownDropbox(store, viewer, now);
  if (ifMatch !== undefined && ifMatch !== own.dropbox.version) throw stale();
  const touchesPattern = patch.pattern !== undefined || patch.createIn !== undefined || patch.severalRecords !== undefined;
  if (touchesPattern && !mayEditPattern(viewer)) {
    throw forbidden(
      'no-module-permission',
      'Changing the search pattern needs permission on both leads and contacts. Ask an administrator.',
    );
  }
  const before = { ...own.dropbox, visibility: own.visibility };
  const after = { ...before, ...patch };
  const setsVisibility = patch.visibility !== undefined;
  if (setsVisibility) await requireUnlocked(store.table, viewer, now);
  const changing = changeDropbox(
    store.table,
    own.dropbox,
    {
      update: 'SET pattern = :pattern, createIn = :createIn, severalRecords = :several',
      values: { ':pattern': after.pattern, ':createIn': after.createIn, ':several': after.severalRecords },
    },
    { action: 'dropbox.change', ...changeOf(before, patch) },
    now,
    setsVisibility ? await visibilityChange(store.table, viewer, after.visibility, now) : [],
  );
  const dropbox = await changing.catch(async (error) => {
    if (setsVisibility) await requireUnlocked(store.table, viewer, now);
    throw error;
  });
  return { ...own, dropbox, visibility: after.visibility };
}

async function visibilityChange(table: Table, { tenant, member }: Viewer, visibility: Visibility, now: Date): Promise<Write[]> {
  const { condition, names, values } = unlockedAt(now);
  const update = 'SET dropboxVisibility = :visibility';
  return [
    { update: memberKey(tenant, member), with: { update, condition, names, values: { ...values, ':visibility': visibility } } },
    settingsChange(tenant, member, await readMailSettings(table, tenant, member), {}),
  ];
}

export const mayEditPattern = (viewer: Viewer) => may(viewer, 'leads', 'view') && may(viewer, 'contacts', 'view');

/** One change of a dropbox with its audit entry, refused when another came first. `change.update` begins with SET. */
export async function changeDropbox(
  table: Table,
  dropbox: Dropbox,
  change: Update,
  audit: { action: string; before?: unknown; after?: unknown },
  now: Date,
  more: Write[] = [],
): Promise<Dropbox> {
  const done = await table.tryTransact([
    {
      update: dropboxKey(dropbox.hash),
      with: {
        update: `${change.update}, version = :next`,
        condition: 'version = :version AND attribute_not_exists(retiredAt)',
        names: change.names,
        values: { ...change.values, ':version': dropbox.version, ':next': dropbox.version + 1 },
      },
    },
    auditEntry(dropbox.tenant, { at: now.toISOString(), actor: dropbox.member, subject: `member:${dropbox.member}`, ...audit }),
    ...more,
  ]);
  if (!done) throw conflict('changed-meanwhile', 'Your dropbox was changed in the same moment. Read it again.');
  return (await table.get<Dropbox>(dropboxKey(dropbox.hash))) as Dropbox;
}

/** 128 random bits, all of the local part: unguessable, and it tells neither tenant nor member. */
async function newAddress({ vault, mailDomain }: DropboxStore, viewer: Viewer) {
  const address = `${newSecret(128)}@${mailDomain}`;
  return { address, identity: { hash: sha256(address) }, sealed: await vault.seal(viewer.tenant, dropboxPurpose(viewer.member), address) };
}

function pointTo(
  viewer: Viewer,
  fresh: { identity: { hash: string }; sealed: string },
  condition: string,
  values: Record<string, unknown>,
): Write {
  return {
    update: memberKey(viewer.tenant, viewer.member),
    with: {
      update: 'SET dropbox = :hash, dropboxSealed = :sealed',
      condition,
      values: { ...values, ':hash': fresh.identity.hash, ':sealed': fresh.sealed },
    },
  };
}

/** What a sealed dropbox address is sealed for. */
export const dropboxPurpose = (member: string) => `dropbox ${member}`;
