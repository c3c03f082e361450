import type * as z from 'zod';
import type { MailAccount } from '../../../core/account/account.ts';
import type {
  AccountInput,
  AccountPatch,
  fromAddressInput,
  HostedMailboxInput,
  incomingPasswordInput,
  outgoingPasswordInput,
} from '../../../core/account/account-input.ts';
import { accountShown, accountsShown } from '../../../core/account/account-shown.ts';
import {
  type AccountStore,
  changeIncomingPassword,
  changeOutgoingPassword,
  createAccount,
  nextMinute,
  patchAccount,
  readAccount,
  readMailboxes,
  removeAccount,
} from '../../../core/account/account-store.ts';
import { activateAccount, askPoll, makeMain } from '../../../core/account/active-account-store.ts';
import { chooseFromAddress, listFromAddresses } from '../../../core/account/from-address-store.ts';
import { createHostedMailbox } from '../../../core/account/hosted-mailbox-store.ts';
import { readMailSettings } from '../../../core/account/mail-settings-store.ts';
import { listPolls } from '../../../core/account/poll-history-store.ts';
import type { PollJob } from '../../../core/account/poll-job.ts';
import { slotOf } from '../../../core/account/slot.ts';
import { countCredentials, countHostedChange } from '../../../core/account/trial-limit-store.ts';
import { newId } from '../../../core/ids.ts';
import type { Viewer } from '../../../core/member/viewer.ts';
import { pollsQueue, setting, tableOf, vaultOf } from '../../connect.ts';
import { errorForLog, log } from '../../edge/log.ts';
import type { Call, Operation, Reply } from '../call.ts';

export const mailAccountOperations = {
  listMailAccounts: async ({ viewer, now }: Call) => ({ body: accountsShown(await readMailboxes(tableOf(viewer.tenant), viewer), now) }),
  createMailAccount: async ({ viewer, body, now }: Call<never, AccountInput>) => {
    await countCredentials(tableOf(viewer.tenant), viewer, now);
    const account = await createAccount(store(viewer), viewer, body, newId(now), now);
    return { ...(await soon(viewer, account, now)), headers: { location: `/v1/mail-accounts/${account.id}` } };
  },
  createHostedMailbox: async ({ viewer, body, now }: Call<never, HostedMailboxInput>) => {
    const hosted = { table: tableOf(viewer.tenant), mailDomain: setting('MAIL_DOMAIN') };
    await countHostedChange(hosted.table, viewer, now);
    const mailbox = await createHostedMailbox(hosted, viewer, body, newId(now), now);
    return { ...(await shown(viewer, mailbox, now)), headers: { location: `/v1/mail-accounts/${mailbox.id}` } };
  },
  readMailAccount: async ({ viewer, params, now }: Call) =>
    shown(viewer, await readAccount(tableOf(viewer.tenant), viewer, params.accountId ?? ''), now),
  patchMailAccount: async ({ viewer, params, body, now, ifMatch }: Call<never, AccountPatch>) => {
    if (body.incoming || body.outgoing) await countCredentials(tableOf(viewer.tenant), viewer, now);
    return soon(viewer, await patchAccount(store(viewer), viewer, params.accountId ?? '', body, now, ifMatch), now);
  },
  removeMailAccount: async ({ viewer, params, now, ifMatch }: Call) => {
    const table = tableOf(viewer.tenant);
    const { id, protocol } = await readAccount(table, viewer, params.accountId ?? '');
    if (protocol === 'hosted') await countHostedChange(table, viewer, now);
    await removeAccount(table, viewer, id, now, ifMatch);
    await send({ forget: { tenant: viewer.tenant, account: id } });
    return {};
  },
  changeIncomingPassword: async ({ viewer, params, body, now, ifMatch }: Call<never, z.output<typeof incomingPasswordInput>>) => {
    await countCredentials(tableOf(viewer.tenant), viewer, now);
    return soon(viewer, await changeIncomingPassword(store(viewer), viewer, params.accountId ?? '', body.password, now, ifMatch), now);
  },
  changeOutgoingPassword: async ({ viewer, params, body, now, ifMatch }: Call<never, z.output<typeof outgoingPasswordInput>>) => {
    await countCredentials(tableOf(viewer.tenant), viewer, now);
    return shown(viewer, await changeOutgoingPassword(store(viewer), viewer, params.accountId ?? '', body, now, ifMatch), now);
  },
  activateMailAccount: async ({ viewer, params, now }: Call) =>
    soon(viewer, await activateAccount(tableOf(viewer.tenant), viewer, params.accountId ?? '', now), now),
  makeMailAccountMain: async ({ viewer, params, now }: Call) =>
    shown(viewer, await makeMain(tableOf(viewer.tenant), viewer, params.accountId ?? '', now), now),
  pollMailAccount: async ({ viewer, params, now }: Call) => {
    const account = await askPoll(tableOf(viewer.tenant), viewer, params.accountId ?? '', now);
    await pollsQueue().send(pollOf(account));
    return shown(viewer, account, now);
  },
  listPolls: async ({ viewer, params, query, now }: Call<{ limit: number; cursor?: string }>) => ({
    body: await listPolls(tableOf(viewer.tenant), viewer, params.accountId ?? '', { limit: query.limit, after: query.cursor }, now),
  }),
  listFromAddresses: async ({ viewer }: Call) => {
    const { items, version } = await listFromAddresses(tableOf(viewer.tenant), viewer);
    return { body: { items }, version };
  },
  chooseFromAddress: async ({ viewer, body, now, ifMatch }: Call<never, z.output<typeof fromAddressInput>>) => {
    const { items, version } = await chooseFromAddress(tableOf(viewer.tenant), viewer, body.address, now, ifMatch);
    return { body: { items }, version };
  },
} satisfies Record<string, Operation>;

const store = ({ tenant }: Viewer): AccountStore => ({ table: tableOf(tenant), vault: vaultOf(tenant) });

/** What was just changed is looked into at once; the timetable, where it stands too, would come to it within two minutes. */
async function soon(viewer: Viewer, account: MailAccount, now: Date): Promise<Reply> {
  if (account.slot !== undefined && account.slot === slotOf(account, nextMinute(now))) await send(pollOf(account));
  return shown(viewer, account, now);
}

const pollOf = ({ tenant, member, id }: MailAccount): PollJob => ({ poll: { tenant, member, account: id } });

/** What it goes with is done already: that the queue cannot be reached just now must not look as if it were not. */
async function send(job: PollJob): Promise<void> {
  await pollsQueue()
    .send(job)
    .catch((error: unknown) => log.error('job not sent', errorForLog(error)));
}

async function shown(viewer: Viewer, account: MailAccount, now: Date): Promise<Reply> {
  const settings = await readMailSettings(tableOf(viewer.tenant), viewer.tenant, viewer.member);
  return { body: accountShown(account, settings, now), version: account.version };
}
