import type { MailAccount, Pop3Account } from '../account/account.ts';
import { accountAudit, accountChange } from '../account/account-store.ts';
import { type HiddenMail, keptUntil } from '../addon-user/hidden-mail.ts';
import { everybody } from '../addon-user/hidden-mail-store.ts';
import { MIN_HIDDEN_MAIL_DAYS } from '../limits.ts';
import type { Member } from '../member/member.ts';
import type { Table, Write } from '../table/client.ts';
import { hiddenMailKey, mailAccountPrefix, memberKey, memberPartition, tenantKey } from '../table/keys.ts';
import type { Tenant } from '../tenant/tenant.ts';
import { RETENTION } from './deletion.ts';

/** Before so many days nothing is over, whatever an organisation has set. */
const SOONEST = { hiddenMailDays: MIN_HIDDEN_MAIL_DAYS };

/**
 * Deletes the passwords of the mailboxes of those whose days are over: nobody reads these mailboxes any more, and what is kept without a
 * purpose can only leak. Accounts and mail stay, also what a lock or a backup keeps for ever; who comes back enters the password again. A
 * hold keeps them, as it keeps everything. One member's failure keeps no other from it.
 */
export async function forgetPasswords(table: Table, now: Date): Promise<{ members: number; accounts: number }> {
  const counts = { members: 0, accounts: 0 };
  const failures: unknown[] = [];
  for await (const hidden of everybody(table)) {
    if (hidden.passwordsGoneAt !== undefined || keptUntil(hidden.deactivatedAt, SOONEST) > now.toISOString()) continue;
    await forgetThose(table, hidden, now).then(
      (accounts) => {
        counts.members += Number(accounts > 0);
        counts.accounts += accounts;
      },
      (error) => failures.push(error),
    );
  }
  if (failures.length > 0) throw failures[0];
  return counts;
}

async function forgetThose(table: Table, hidden: HiddenMail, now: Date): Promise<number> {
  const { tenant, member: id, deactivatedAt } = hidden;
  const [organisation, member] = await Promise.all([table.get<Tenant>(tenantKey(tenant)), table.get<Member>(memberKey(tenant, id))]);
  if (!organisation || member?.deactivatedAt !== deactivatedAt || member.hold) return 0;
  if (keptUntil(deactivatedAt, organisation.mailPolicy) > now.toISOString()) return 0;
  const accounts = await table.all<MailAccount>({ pk: memberPartition(tenant, id), begins: mailAccountPrefix });
  const sealed = accounts.filter(hasPassword);
  for (const account of sealed) {
    // Changed, or held, in the same moment: the next round looks again.
    if (!(await table.tryTransact([...forgetting(account, now), stillAway(hidden)]))) return 0;
  }
  await table.update(hiddenMailKey(tenant, id), {
    update: 'SET passwordsGoneAt = :now',
    condition: 'deactivatedAt = :at',
    values: { ':now': now.toISOString(), ':at': deactivatedAt },
  });
  return sealed.length;
}

const hasPassword = (account: MailAccount): account is Pop3Account =>
  account.protocol !== 'hosted' && (account.incomingPassword ?? account.outgoingPassword) !== undefined;

/** Nor is it polled without one: it stands as if its server had refused it, and says why. */
function forgetting(account: Pop3Account, now: Date): Write[] {
  const at = now.toISOString();
  const { tenant, id, version, credentials } = account;
  const change: Partial<Pop3Account> = {
    incomingPassword: undefined,
    outgoingPassword: undefined,
    state: 'auth-failed',
    stateSince: at,
    lastError: { at, code: 'no-password' },
    credentials: credentials + 1,
    version: version + 1,
  };
  return [...accountChange(account, change, 'stay'), accountAudit({ tenant, member: RETENTION }, now, 'forget-passwords', id)];
}

const stillAway = ({ tenant, member, deactivatedAt }: HiddenMail): Write => ({
  check: memberKey(tenant, member),
  condition: '#deactivatedAt = :at AND attribute_not_exists(#hold)',
  names: { '#deactivatedAt': 'deactivatedAt', '#hold': 'hold' },
  values: { ':at': deactivatedAt },
});
