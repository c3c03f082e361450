import type * as z from 'zod';
import { readForm } from '../../../core/account/account-form.ts';
import { noPassword, openPassword, readPop3Account } from '../../../core/account/account-store.ts';
import { discoverServers } from '../../../core/account/discover-client.ts';
import type { trialInput } from '../../../core/account/mail-server-input.ts';
import { PRESETS } from '../../../core/account/presets.ts';
import { type TrialInput, trialOf, tryServers } from '../../../core/account/trial.ts';
import { countDiscovery, countTrial } from '../../../core/account/trial-limit-store.ts';
import { invalid } from '../../../core/errors.ts';
import { normaliseAddress } from '../../../core/message/address.ts';
import { mailServers, tableOf, vaultOf } from '../../connect.ts';
import type { Call, Operation } from '../call.ts';

export const mailServerOperations = {
  listMailProviders: async () => ({ body: { items: PRESETS } }),
  discoverMailServers: async ({ viewer, query, now }: Call<{ address: string }>) => {
    const address = normaliseAddress(query.address);
    if (!address) throw invalid('invalid-address', 'Give the address of the mailbox, such as mika@example.com.');
    await countDiscovery(tableOf(viewer.tenant), viewer, now);
    return { body: await discoverServers(address) };
  },
  testMailServers: async (call: Call<never, z.output<typeof trialInput>>) => {
    const { incoming, outgoing } = call.body;
    const form = readForm({ ...call.body, name: call.body.name ?? '' });
    return test(call, trialOf(form, { incoming: incoming.password, outgoing: outgoing?.password }));
  },
  testMailAccount: async (call: Call) => {
    const { viewer, params } = call;
    const account = await readPop3Account(tableOf(viewer.tenant), viewer, params.accountId ?? '');
    const [incoming, outgoing] = await Promise.all([
      openPassword(vaultOf(viewer.tenant), account, 'incoming'),
      openPassword(vaultOf(viewer.tenant), account, 'outgoing'),
    ]);
    if (incoming === undefined) throw noPassword('incoming');
    if (account.outgoing?.sameCredentials === false && outgoing === undefined) throw noPassword('outgoing');
    return test(call, trialOf(account, { incoming, outgoing }));
  },
} satisfies Record<string, Operation>;

async function test({ viewer, now }: Pick<Call, 'viewer' | 'now'>, input: TrialInput) {
  await countTrial(tableOf(viewer.tenant), viewer, now);
  return { body: await tryServers(input, { reach: mailServers() }) };
}
