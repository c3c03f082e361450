import type { MailAccount, Pop3Account } from '../account/account.ts';
import { isStopped } from '../account/account-store.ts';
import { askLastPoll, wasAsked } from '../account/active-account-store.ts';
import { readMailSettings } from '../account/mail-settings-store.ts';
import type { PollJob } from '../account/poll-job.ts';
import { readAccount } from '../account/poll-store.ts';
import { isOnce } from '../account/slot.ts';
import { OFFBOARDING_POLL_MINUTES } from '../limits.ts';
import { readMember } from '../member/member-store.ts';
import { mailAccountKey } from '../table/keys.ts';
import { isEnabledFor } from '../tenant/tenant-store.ts';
import type { WarningCode } from './offboarding.ts';
import type { At, Outcome } from './step.ts';

/**
 * The mailbox is looked into once more before its owner is deactivated. Who has none that is read is through, as is who has a hosted
 * one: nothing waits anywhere. A server that is down keeps nobody active: when the time is over it goes on, and says so.
 */
export async function lastPoll(at: At): Promise<Outcome> {
  const asked = at.step.memo?.poll;
  if (!asked) {
    const active = await activeAccount(at);
    const reason = await whyNone(at, active);
    if (!active || active.protocol === 'hosted' || reason) return { end: 'skipped', warning: reason };
    const until = new Date(at.now.getTime() + OFFBOARDING_POLL_MINUTES * 60_000).toISOString();
    return { goOn: { poll: { account: active.id, until, filed: active.totals.filed, ...asking(active, at.now) } } };
  }
  const account = await readAccount(at.room.table, at.tenant, at.run.member, asked.account);
  if (!account?.active) return { end: 'done', warning: 'no-active-mailbox' };
  const counts = { mails: Math.max(0, account.totals.filed - asked.filed) };
  const isPolledSince = isPolled(account, asked.askedAt);
  if (isPolledSince && (asked.inHand === undefined || account.lease?.fence !== asked.inHand)) return { end: 'done', counts };
  const hindrance = await whyNoMore(at, account);
  if (hindrance) return { end: 'done', warning: hindrance, counts };
  if (at.now.toISOString() >= asked.until) return { end: 'done', warning: whyUnfinished(account, asked.askedAt), counts };
  if (isPolledSince) return { goOn: { poll: { ...asked, ...asking(account, at.now) } } };
  if (!wasAsked(account, asked.askedAt)) {
    await askLastPoll(at.room.table, account, asked.askedAt, at.now);
    await at.room.polls.send({ poll: { tenant: at.tenant, member: at.run.member, account: account.id } } satisfies PollJob);
  }
  return { wait: at.step.memo };
}

/** A poll that holds the lease now has listed the mailbox before: its end is no answer, and another one is asked for. */
function asking({ lease }: Pick<Pop3Account, 'lease'>, now: Date): { askedAt: string; inHand?: number } {
  const askedAt = now.toISOString();
  return { askedAt, inHand: lease && lease.until > askedAt ? lease.fence : undefined };
}

async function activeAccount({ room, tenant, run }: At): Promise<MailAccount | undefined> {
  const { active } = await readMailSettings(room.table, tenant, run.member);
  return active === undefined ? undefined : room.table.get<MailAccount>(mailAccountKey(tenant, run.member, active));
}

async function whyNone(at: At, account: MailAccount | undefined): Promise<WarningCode | undefined> {
  const { room, viewer, run } = at;
  if ((await readMember(room.table, viewer, run.member)).status === 'deactivated') return 'already-deactivated';
  if (!account) return 'no-active-mailbox';
  if (account.protocol === 'hosted') return undefined;
  return whyNoMore(at, account);
}

/** It is not polled any more, however long one waits: its owner was deactivated by hand, say, or the add-on switched off. */
async function whyNoMore({ room, tenant, run }: At, account: Pop3Account): Promise<WarningCode | undefined> {
  if (account.ownerDeactivatedAt) return 'already-deactivated';
  if (isStopped(account)) return account.incomingPassword === undefined ? 'no-password' : 'password-refused';
  return (await isEnabledFor(room.table, tenant, run.member)) ? undefined : 'add-on-off';
}

/** Polled well since it was asked, and back at its usual place: else a further session has been left to do. */
const isPolled = ({ lastSuccessAt, slot }: Pop3Account, askedAt: string) =>
  lastSuccessAt !== undefined && lastSuccessAt >= askedAt && !isOnce(slot);

function whyUnfinished({ lastError }: Pop3Account, askedAt: string): WarningCode {
  return lastError && lastError.at >= askedAt ? 'mail-server-failed' : 'poll-unfinished';
}
