import { callAws, TABLE } from '../../lib/local/engine.ts';
import type { Answer, TestHost } from './host.ts';
import { until } from './host.ts';
import { type Caller, mailAccount, type Owner, type Thing } from './matrix-cells.ts';
import { expectStatus, rawMailWithFile } from './matrix-people.ts';
import { join, mailedCode, newTenant, type Person, rawMail } from './tenant.ts';

/** Words that stand in everything a tenant stores, and may stand in no answer to anybody of the other one. */
export const CANARY = { ours: 'kestrel', theirs: 'bullfinch' } as const;

export type MatrixWorld = {
  people: Record<Caller, Person>;
  /** Tokens that are not good: by why. */
  badTokens: Record<string, string | undefined>;
  /** The id of a thing of its owner: always the same one until `spent` is told. */
  idOf: (thing: Thing, owner: Owner) => Promise<string>;
  spent: (thing: Thing, owner: Owner) => void;
  /** Ids and words of a tenant that the other must never read. */
  secrets: { ours: string[]; theirs: string[] };
};

/** Two tenants with people and one thing of each kind, made through the API and over SMTP as users make them. */
export async function matrixWorld(host: TestHost): Promise<MatrixWorld> {
  const { id: ourTenant, admin: administrator } = await newTenant(host, `Firm ${CANARY.ours}`);
  const { id: theirTenant, admin: stranger } = await newTenant(host, `Firm ${CANARY.theirs}`);
  const noRights = { name: `No rights ${CANARY.ours}`, bccDropbox: false, modules: {} };
  const { id: profile } = (await expectStatus(201, administrator.api('POST', '/v1/profiles', noRights))).json;
  const ourMember = (name: string, profileId?: string) => join(host, administrator, `${name}@${CANARY.ours}.example`, profileId);
  const people = {
    administrator,
    stranger,
    mika: await ourMember('mika'),
    other: await ourMember('other'),
    outsider: await ourMember('outsider', profile),
  };
  // Leads are their owners' and administrators' alone: what is hidden inside a tenant is put to the same test.
  for (const { api } of [administrator, stranger]) {
    await expectStatus(200, api('PATCH', '/v1/organisation', { recordAccess: { leads: 'owner-and-admins' } }));
  }

  // Ours is for selected members: for all but the one without rights. Theirs is for everyone.
  await expectStatus(200, administrator.api('PATCH', '/v1/organisation', { mailAddOn: 'selected' }));
  await expectStatus(200, stranger.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' }));
  for (const { id } of [administrator, people.mika, people.other])
    await expectStatus(200, administrator.api('PATCH', `/v1/members/${id}`, { mailAddOn: true }));
  // Only who shares record by record has anything to tick.
  for (const { api, email } of [administrator, stranger, people.mika, people.other]) {
    const sharing = { type: 'custom' };
    const settings = { activeMailbox: null, fromAddress: email, sharing, dropboxVisibility: 'record', gather: null };
    await expectStatus(200, api('PUT', '/v1/mail-settings', settings));
  }

  const gone = await ourMember('gone');
  await expectStatus(200, administrator.api('PATCH', `/v1/members/${gone.id}`, { status: 'deactivated' }));
  const revoked = (await expectStatus(201, people.mika.api('POST', '/v1/tokens', { name: 'to be revoked' }))).json;
  await expectStatus(204, people.mika.api('DELETE', `/v1/tokens/${revoked.id}`));
  const soon = new Date(Date.now() - 1000).toISOString();
  const expired = (await expectStatus(201, people.mika.api('POST', '/v1/tokens', { name: 'over', expiresAt: soon }))).json;
  const [ourSecret, theirSecret] = [people.mika, stranger].map(({ token }) => token.split('_').at(-1));
  const unconfirmed = `unconfirmed@${CANARY.ours}.example`;
  await expectStatus(201, administrator.api('POST', '/v1/members', { name: 'Unconfirmed', email: unconfirmed }));
  const badTokens = {
    nobody: undefined,
    "an unconfirmed member's invitation": await mailedCode(host, unconfirmed, /^([0-9a-z]{26})\r?$/m),
    garbage: 'not-a-token',
    'a deactivated member': gone.token,
    'a revoked token': revoked.token,
    'an expired token': expired.token,
    'a token with its last letter cut off': people.mika.token.slice(0, -1),
    "another's secret under one's own name": people.mika.token.replace(ourSecret ?? '', theirSecret ?? ''),
    "another tenant's name on one's own token": people.mika.token.replace(ourTenant, theirTenant),
  };

  const made = new Map<string, Promise<string>>();
  const makers = thingMakers(host, people);
  const keyOf = (thing: Thing, owner: Owner) => `${thing} of ${owner}`;
  return {
    people,
    badTokens,
    idOf: (thing, owner) => {
      const key = keyOf(thing, owner);
      if (!made.has(key)) made.set(key, makers[thing](owner));
      return made.get(key) as Promise<string>;
    },
    spent: (thing, owner) => made.delete(keyOf(thing, owner)),
    secrets: { ours: [CANARY.ours, ourTenant], theirs: [CANARY.theirs, theirTenant] },
  };
}

async function setAttribute(host: TestHost, { pk, sk }: { pk: string; sk: string }, name: string, value: string): Promise<void> {
  const answer = await callAws(host.endpoints.dynamodb, 'DynamoDB_20120810.UpdateItem', {
    TableName: TABLE,
    Key: { pk: { S: pk }, sk: { S: sk } },
    UpdateExpression: 'SET #name = :value',
    ConditionExpression: 'attribute_exists(pk)',
    ExpressionAttributeNames: { '#name': name },
    ExpressionAttributeValues: { ':value': { S: value } },
  });
  if (!answer.ok) throw new Error(await answer.text());
}

function thingMakers(host: TestHost, people: Record<Caller, Person>): Record<Thing, (owner: Owner) => Promise<string>> {
  let count = 0;
  const canaryOf = (owner: Owner) => (owner === 'stranger' ? CANARY.theirs : CANARY.ours);
  const administratorOf = (owner: Owner) => people[owner === 'stranger' ? 'stranger' : 'administrator'];
  const post = async (person: Person, path: string, body: unknown, headers?: Record<string, string>): Promise<Answer['json']> =>
    (await expectStatus(path.endsWith('/import') ? 202 : 201, person.api('POST', path, body, headers))).json;
  const record = (owner: Owner, module: string) =>
    post(people[owner], `/v1/${module}`, {
      name: { last: `${module} of ${owner} ${canaryOf(owner)}` },
      addresses: [`${module}-${owner}-${++count}@${canaryOf(owner)}.example`],
    });
  const dropboxOf = async (owner: Owner) => (await expectStatus(200, people[owner].api('GET', '/v1/dropbox'))).json;
  const loginSender = async (owner: Owner): Promise<string> => {
    const { senders } = await dropboxOf(owner);
    const login = (senders as { id: string; address: string }[]).find(({ address }) => address === people[owner].email);
    return login?.id ?? (await post(people[owner], '/v1/dropbox/senders', { address: people[owner].email })).id;
  };
  const addonUser = async (owner: Owner) => {
    const { id, email, api } = await join(host, administratorOf(owner), `user-${++count}@${canaryOf(owner)}.example`);
    await expectStatus(200, administratorOf(owner).api('PATCH', `/v1/members/${id}`, { mailAddOn: true }));
    const settings = { activeMailbox: null, fromAddress: email, sharing: { type: 'custom' }, dropboxVisibility: 'record', gather: null };
    await expectStatus(200, api('PUT', '/v1/mail-settings', settings));
    return id;
  };

  /** Somebody who left, came back, saved their settings, and left again: either kind of backup may be taken of them. */
  const leaver = async (owner: Owner): Promise<Person> => {
    const administrator = administratorOf(owner);
    const left = await join(host, administrator, `left-${++count}@${canaryOf(owner)}.example`);
    const setStatus = (status: string) => expectStatus(200, administrator.api('PATCH', `/v1/members/${left.id}`, { status }));
    await expectStatus(200, administrator.api('PATCH', `/v1/members/${left.id}`, { mailAddOn: true }));
    const { id } = await post(left, '/v1/mail-accounts', mailAccount(20_000 + ++count, canaryOf(owner)));
    for (const _ of ['once', 'again']) {
      await setStatus('deactivated');
      await setStatus('active');
      const sharing = { type: 'custom' };
      const settings = { activeMailbox: id, fromAddress: left.email, sharing, dropboxVisibility: 'record', gather: null };
      await expectStatus(200, left.api('PUT', '/v1/mail-settings', settings));
    }
    await setStatus('deactivated');
    return left;
  };
  const backup = async (owner: Owner) => {
    const { api } = administratorOf(owner);
    const { json } = await expectStatus(202, api('POST', `/v1/addon-users/${(await leaver(owner)).id}/backup`, { scope: 'all-records' }));
    await until(async () => (await api('GET', `/v1/backups/${json.id}`)).json.state === 'completed');
    return json as { id: string; member: string };
  };

  const offboarding = async (owner: Owner) => {
    const { api } = administratorOf(owner);
    const { json } = await expectStatus(
      202,
      api('POST', `/v1/addon-users/${(await leaver(owner)).id}/offboard`, { reason: canaryOf(owner) }),
    );
    await until(async () => (await api('GET', `/v1/offboardings/${json.id}`)).json.state === 'completed');
    return json as { id: string; member: string };
  };

  const exported = async (owner: Owner) => {
    const { api } = administratorOf(owner);
    const { id } = await backup(owner);
    await expectStatus(202, api('POST', `/v1/backups/${id}/export`, { format: 'zip' }));
    await until(async () => (await api('GET', `/v1/backups/${id}/export/zip`)).json.state === 'completed');
    return id;
  };

  return {
    'off-boarding': async (owner) => (await offboarding(owner)).id,
    // As if one of its steps had failed.
    'failed off-boarding': async (owner) => {
      const { id } = await offboarding(owner);
      await setAttribute(host, { pk: `T#${people[owner].token.split('_').at(-4)}#Q`, sk: id }, 'state', 'failed');
      return id;
    },
    // As if it still ran: a real one is over before anybody can cancel it.
    'running off-boarding': async (owner) => {
      const { id, member } = await offboarding(owner);
      const tenant = people[owner].token.split('_').at(-4);
      await setAttribute(host, { pk: `T#${tenant}#Q`, sk: id }, 'state', 'running');
      await setAttribute(host, { pk: `T#${tenant}#U#${member}`, sk: 'OFFBOARDING' }, 'running', id);
      return id;
    },
    leaver: async (owner) => (await leaver(owner)).id,
    backup: async (owner) => (await backup(owner)).id,
    'exported backup': (owner) => exported(owner),
    // As if it still ran, as of a backup.
    'running export': async (owner) => {
      const id = await exported(owner);
      await setAttribute(host, { pk: `T#${people[owner].token.split('_').at(-4)}#V#${id}#X`, sk: 'zip' }, 'state', 'running');
      return id;
    },
    // As if it still ran: a real one is over before anybody can cancel it.
    'running backup': async (owner) => {
      const { id, member } = await backup(owner);
      const tenant = people[owner].token.split('_').at(-4);
      await setAttribute(host, { pk: `T#${tenant}#V`, sk: id }, 'state', 'running');
      await setAttribute(host, { pk: `T#${tenant}#U#${member}`, sk: 'BACKUP' }, 'running', id);
      return id;
    },
    token: async (owner) => (await post(people[owner], '/v1/tokens', { name: `token ${canaryOf(owner)}` })).id,
    member: async (owner) => people[owner].id,
    invited: async (owner) => {
      const email = `asked-${++count}@${canaryOf(owner)}.example`;
      return (await post(administratorOf(owner), '/v1/members', { name: canaryOf(owner), email })).id;
    },
    profile: async (owner) => (await post(administratorOf(owner), '/v1/profiles', { name: `Profile ${canaryOf(owner)}` })).id,
    sender: loginSender,
    unverified: async (owner) =>
      (await post(people[owner], '/v1/dropbox/senders', { address: `second-${owner}@${canaryOf(owner)}.example` })).id,
    held: async (owner) => {
      const subject = `held ${++count} ${canaryOf(owner)}`;
      const from = `unknown@${canaryOf(owner)}.example`;
      const { address } = await dropboxOf(owner);
      await host.sendMail({ from, rcpt: address, raw: rawMail({ From: from, To: `c@${canaryOf(owner)}.example`, Subject: subject }) });
      const found = await until(async () =>
        ((await people[owner].api('GET', '/v1/held')).json.items as { id: string; subject: string }[]).find(
          (held) => held.subject === subject,
        ),
      );
      return found.id;
    },
    lead: async (owner) => (await record(owner, 'leads')).id,
    contact: async (owner) => (await record(owner, 'contacts')).id,
    deal: async (owner) => {
      const contact = await record(owner, 'contacts');
      return (await post(people[owner], '/v1/deals', { title: `Deal ${canaryOf(owner)}`, contactId: contact.id })).id;
    },
    mail: async (owner) => {
      const lead = await record(owner, 'leads');
      await loginSender(owner);
      const { address } = await dropboxOf(owner);
      const from = people[owner].email;
      const filename = `${canaryOf(owner)}.txt`;
      const raw = rawMailWithFile({ From: from, To: lead.addresses[0], Subject: `Mail ${canaryOf(owner)}` }, filename);
      await host.sendMail({ from, rcpt: address, raw });
      return until(async () => (await people[owner].api('GET', `/v1/leads/${lead.id}/messages`)).json.items[0]?.id as string | undefined);
    },
    import: async (owner) => {
      const { id } = await post(people[owner], '/v1/contacts/import', `last name\n${canaryOf(owner)}\n`, { 'content-type': 'text/csv' });
      await until(async () => (await people[owner].api('GET', `/v1/imports/${id}`)).json.state === 'done');
      return id;
    },
    'mail account': async (owner) => {
      const { id } = await post(people[owner], '/v1/mail-accounts', mailAccount(10_000 + ++count, canaryOf(owner)));
      await expectStatus(200, people[owner].api('POST', `/v1/mail-accounts/${id}/activate`));
      return id;
    },
    'add-on user': addonUser,
    'held add-on user': async (owner) => {
      const id = await addonUser(owner);
      await expectStatus(200, administratorOf(owner).api('PUT', `/v1/addon-users/${id}/hold`, { reason: canaryOf(owner) }));
      return id;
    },
    'locked add-on user': async (owner) => {
      const id = await addonUser(owner);
      await expectStatus(200, administratorOf(owner).api('POST', `/v1/addon-users/${id}/lock`, { reason: canaryOf(owner) }));
      return id;
    },
  };
}
