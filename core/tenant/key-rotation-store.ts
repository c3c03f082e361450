import type { MailAccount } from '../account/account.ts';
import { passwordPurpose } from '../account/account-store.ts';
import { dropboxPurpose } from '../dropbox/dropbox-store.ts';
import type { TenantId } from '../ids.ts';
import { OLD_KEY_HOURS } from '../limits.ts';
import type { Member } from '../member/member.ts';
import type { Table } from '../table/client.ts';
import { type Key, mailAccountKey, mailAccountPrefix, memberKey, memberPartition, membersPartition } from '../table/keys.ts';
import { type DataKeys, dropOlderKeys, readDataKeys, type Vault, versionOf } from './data-key-store.ts';

export type RotationRoom = {
  table: Table;
  /** One that has not looked at this tenant's keys yet. */
  vault: Vault;
  addKey: (before: DataKeys) => Promise<void>;
  hasTime: () => boolean;
};

/** `unreadable`: sealed texts that no key opens; while there are any, no key is dropped. */
export type Rotation = {
  version: number;
  resealed: number;
  unreadable: number;
  /** False when the time was up: the next run goes on. */
  complete: boolean;
  /** Versions that still open what they sealed, and until when at least. */
  older: number[];
  olderKeptUntil?: string;
};

type Tally = { resealed: number; unreadable: number };

/** Members of one page: each costs a query for their mail accounts. */
const PAGE = 100;

/**
 * Gives a tenant a new data key, without a moment in which anything does not open. The first run adds the key and seals anew what
 * is kept sealed; a run OLD_KEY_HOURS later seals anew what was still sealed with the old key meanwhile (a process follows within
 * minutes), and takes the old key away. By then cursors and remembered answers that it sealed are expired. Each step may be done
 * again: while an old key is left, a run goes on with this rotation. Undefined when there is no such tenant.
 */
export async function rotateDataKey(
  { table, vault, addKey, hasTime }: RotationRoom,
  tenant: TenantId,
  now: Date,
): Promise<Rotation | undefined> {
  const before = await readDataKeys(table, tenant);
  if (!before) return undefined;
  if (before.older.length === 0) await addKey(before);
  const keys = (await readDataKeys(table, tenant)) ?? before;
  const tally: Tally = { resealed: 0, unreadable: 0 };
  const complete = await resealMembers({ table, vault, hasTime }, tenant, keys.current, tally);
  const keptUntil = new Date(Date.parse(keys.rotatedAt ?? now.toISOString()) + OLD_KEY_HOURS * 3_600_000);
  const result = { version: keys.current, ...tally, complete };
  if (!complete || tally.unreadable > 0 || now < keptUntil)
    return { ...result, older: keys.older, olderKeptUntil: keptUntil.toISOString() };
  await dropOlderKeys(table, tenant, keys, now);
  return { ...result, older: [] };
}

/** Everything that is kept sealed belongs to a member: the address of their dropbox, and the passwords of their mailboxes. */
async function resealMembers(room: Pick<RotationRoom, 'table' | 'vault' | 'hasTime'>, tenant: TenantId, version: number, tally: Tally) {
  const { table, hasTime } = room;
  let after: string | undefined;
  for (;;) {
    const { items, more } = await table.page<Member>({ pk: membersPartition(tenant), after, limit: PAGE });
    for (const { id } of items) {
      if (!hasTime()) return false;
      await reseal(room, tenant, memberKey(tenant, id), 'dropboxSealed', dropboxPurpose(id), version, tally);
      const accounts = await table.all<MailAccount>({ pk: memberPartition(tenant, id), begins: mailAccountPrefix });
      for (const account of accounts) {
        for (const side of ['incoming', 'outgoing'] as const) {
          const key = mailAccountKey(tenant, id, account.id);
          await reseal(room, tenant, key, `${side}Password`, passwordPurpose(account.id, side), version, tally);
        }
      }
    }
    after = items.at(-1)?.id;
    if (!more || after === undefined) return true;
  }
}

/** Seals one attribute with the new key. Who writes it in the same moment is not written over: their text is looked at again. */
async function reseal(
  { table, vault }: Pick<RotationRoom, 'table' | 'vault'>,
  tenant: TenantId,
  key: Key,
  attribute: string,
  purpose: string,
  version: number,
  tally: Tally,
): Promise<void> {
  for (;;) {
    const sealed = (await table.get<Record<string, string>>(key))?.[attribute];
    if (sealed === undefined || versionOf(sealed) === version) return;
    const text = await vault.open(tenant, purpose, sealed);
    if (text === undefined) {
      tally.unreadable++;
      return;
    }
    const done = await table.update(key, {
      update: 'SET #attribute = :anew',
      condition: '#attribute = :sealed',
      names: { '#attribute': attribute },
      values: { ':anew': await vault.seal(tenant, purpose, text), ':sealed': sealed },
    });
    if (done) {
      tally.resealed++;
      return;
    }
  }
}
