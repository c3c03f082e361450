import type { TenantId } from '../ids.ts';
import { HIDDEN_MAIL_DAYS } from '../limits.ts';
import type { MailPolicy } from '../sharing/mail-policy.ts';
import type { Write } from '../table/client.ts';
import { hiddenMailKey } from '../table/keys.ts';

/** A deactivated member, in the one list of them that is gone through each day. */
export type HiddenMail = { tenant: TenantId; member: string; deactivatedAt: string; warnedAt?: string; passwordsGoneAt?: string };

const DAY_MS = 86_400_000;

/** Until when the mail of somebody who was deactivated then is kept at least. */
export const keptUntil = (deactivatedAt: string, policy: Pick<MailPolicy, 'hiddenMailDays'> | undefined) =>
  new Date(Date.parse(deactivatedAt) + (policy?.hiddenMailDays ?? HIDDEN_MAIL_DAYS) * DAY_MS).toISOString();

/** The write that puts a member on the list when they are deactivated, and takes them off when they come back. */
export function hiddenMailFollows(tenant: TenantId, { id, deactivatedAt }: { id: string; deactivatedAt?: string }): Write {
  const key = hiddenMailKey(tenant, id);
  const item: HiddenMail | undefined = deactivatedAt === undefined ? undefined : { tenant, member: id, deactivatedAt };
  return item ? { put: { ...key, ...item } } : { delete: key };
}
