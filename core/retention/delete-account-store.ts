import type { MailAccount } from '../account/account.ts';
import { accountAudit, accountRemoval, settingsOf } from '../account/account-store.ts';
import { readMailSettings } from '../account/mail-settings-store.ts';
import type { TenantId } from '../ids.ts';
import { type Table, TransactionRefused } from '../table/client.ts';
import { mailAccountPrefix, memberPartition } from '../table/keys.ts';
import { counted, type Deletion, Held, HOLDING, nothingHolds, Over, RETENTION } from './deletion.ts';
import { readDeletion } from './deletion-store.ts';

const TRIES = 5;

/**
 * Removes the member's mail accounts, passwords included, as the member would: from their settings and the timetable too. The main one
 * comes last, so that it is the one the list still names. What their ledgers hold is to be forgotten afterwards: the deletion names
 * them. Throws `Held`, `Over`.
 */
export async function deleteAccounts(table: Table, tenant: TenantId, deletion: Deletion, now: Date): Promise<Deletion> {
  for (let tries = 0; tries < TRIES; ) {
    const current = await readDeletion(table, tenant, deletion.member);
    if (current?.id !== deletion.id || current.state !== 'running') throw new Over('the deletion has ended');
    const settings = await readMailSettings(table, tenant, deletion.member);
    const accounts = await table.all<MailAccount>({ pk: memberPartition(tenant, deletion.member), begins: mailAccountPrefix });
    const chosen = settings.active ?? settings.main;
    const [account] = accounts.sort((a, b) => Number(a.id === chosen) - Number(b.id === chosen));
    if (!account) return current;
    try {
      await table.transact([
        ...nothingHolds(tenant, deletion, now),
        counted(tenant, deletion, { forget: [...new Set([...current.forget, account.id])] }),
        ...accountRemoval(settings, account, now),
        accountAudit({ tenant, member: RETENTION }, now, 'remove', account.id, { before: settingsOf(account) }),
      ]);
      tries = 0;
    } catch (error) {
      if (!(error instanceof TransactionRefused)) throw error;
      if (error.reasons.slice(0, HOLDING).includes(true)) throw new Held('something holds the mail');
      tries++;
    }
  }
  throw new Error('the mail accounts are being changed all the time');
}
