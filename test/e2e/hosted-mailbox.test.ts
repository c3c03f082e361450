import { until } from '../support/host.ts';
import { mailTest, openStage, type Stage } from '../support/stage.ts';
import { type Person, rawMail } from '../support/tenant.ts';

/** What a member does who has no mailbox elsewhere, or whose provider only forwards: real SMTP, real queues, the bundles as on AWS. */
let stage: Stage;
let mika: Person;
let lead: string;
beforeAll(async () => {
  stage = await openStage();
  mika = stage.administrator;
  await mika.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' });
  const made = await mika.api('POST', '/v1/leads', { name: { last: 'Hana' }, addresses: ['hana@customer.example'] });
  lead = made.json.id;
});
afterAll(() => stage.end());

type Listed = { id: string; subject: string; to: string[] };
const listed = async (path: string) => (await mika.api('GET', path)).json.items as Listed[];
const onLead = async () => (await listed(`/v1/leads/${lead}/messages`)).map(({ subject }) => subject);
const ownList = async () => (await listed('/v1/mail')).map(({ subject }) => subject);
const arrive = (rcpt: string | string[], headers: Record<string, string>) =>
  stage.sendMail({ from: 'hana@customer.example', rcpt, raw: rawMail({ From: 'hana@customer.example', ...headers }) });

mailTest(
  'R-43, POP-1, POP-4, POP-5, R-44: created, listed, picked; mail to it is on the lead and in the own list; removed, it takes no more',
  async () => {
    const created = await mika.api(
      'POST',
      '/v1/mail-accounts/hosted',
      { name: 'Sales', localPart: 'mika.sales' },
      { 'idempotency-key': 'one' },
    );
    expect(created).toMatchObject({ status: 201, json: { protocol: 'hosted', state: 'receiving', active: true, main: true } });
    const { id, address } = created.json as { id: string; address: string };
    expect(address).toMatch(/^mika\.sales-[0-9a-z]{8}@/);
    const again = await mika.api(
      'POST',
      '/v1/mail-accounts/hosted',
      { name: 'Sales', localPart: 'mika.sales' },
      { 'idempotency-key': 'one' },
    );
    expect([again.text, created.headers.get('location')]).toEqual([created.text, `/v1/mail-accounts/${id}`]);
    expect((await listed('/v1/mail-accounts')).map((account) => account.id)).toEqual([id]);
    const settings = { activeMailbox: id, fromAddress: address, sharing: { type: 'public' }, dropboxVisibility: 'record', gather: null };
    expect((await mika.api('PUT', '/v1/mail-settings', settings)).json).toMatchObject({ activeMailbox: id, mailboxes: [{ id, address }] });
    expect((await mika.api('POST', `/v1/mail-accounts/${id}/activate`)).json).toEqual(
      (await mika.api('GET', `/v1/mail-accounts/${id}`)).json,
    );

    await arrive(address, { To: address, Subject: 'A question' });
    await arrive(address, { From: 'forwarding-noreply@provider.example', To: 'mika@provider.example', Subject: 'Confirm forwarding' });
    await until(async () => (await ownList()).length === 2);
    expect([await onLead(), (await ownList()).sort()]).toEqual([['A question'], ['A question', 'Confirm forwarding']]);
    // Unlike a dropbox's, its address is no secret: it stands where the sender wrote it.
    const [mail] = await listed(`/v1/leads/${lead}/messages`);
    expect([mail?.to, (await mika.api('GET', `/v1/messages/${mail?.id}`)).json.to]).toMatchObject([[address], [{ address }]]);

    const dropbox = (await mika.api('GET', '/v1/dropbox')).json.address as string;
    expect((await mika.api('DELETE', `/v1/mail-accounts/${id}`)).status).toBe(204);
    expect((await mika.api('GET', '/v1/mail-accounts')).json).toMatchObject({ items: [], notice: { code: 'mailbox-unavailable' } });
    await arrive([address, dropbox], { To: address, Subject: 'Too late' });
    // Others' activity may stand beside it on a stage that is used by more tests.
    await until(async () => {
      const entries = (await mika.api('GET', '/v1/activity')).json.items as { subject?: string; reason?: string }[];
      const held = entries.filter(({ subject }) => subject === 'Too late').map(({ reason }) => reason);
      return entries.some(({ reason }) => reason === 'removed-mailbox') && held.includes('unregistered-sender');
    });
    expect([await onLead(), (await ownList()).includes('Too late')]).toEqual([['A question'], false]);
  },
);

mailTest(
  'REC-1: what concerns a server is refused with a code of its own; a POP3 account stands beside it, and each is picked in turn',
  async () => {
    const { json: hosted } = await mika.api('POST', '/v1/mail-accounts/hosted', { name: 'Here' });
    const url = `/v1/mail-accounts/${hosted.id}`;
    const refused = [
      await mika.api('POST', `${url}/poll`),
      await mika.api('POST', `${url}/test`),
      await mika.api('PATCH', url, { address: 'mika@example.com' }),
      await mika.api('PUT', `${url}/incoming-password`, { password: 'x' }),
      await mika.api('PUT', `${url}/outgoing-password`, { password: 'x' }),
    ];
    expect(refused.map(({ status, json }) => `${status} ${json.code}`)).toEqual(refused.map(() => '409 hosted-mailbox'));
    expect((await mika.api('PATCH', url, { name: 'Still here' })).json).toMatchObject({ name: 'Still here', protocol: 'hosted' });
    expect((await mika.api('GET', `${url}/polls`)).json.items).toEqual([]);
    const named = await mika.api('POST', '/v1/mail-accounts/hosted', { name: 'x', localPart: 'postmaster' });
    expect([named.status, named.json.code]).toEqual([422, 'reserved-local-part']);

    const incoming = { host: 'pop.example.invalid', userName: 'mika', password: 'secret' };
    const { json: pop3 } = await mika.api('POST', '/v1/mail-accounts', { name: 'There', address: 'mika@example.com', incoming });
    for (const picked of [pop3.id, hosted.id]) {
      expect((await mika.api('POST', `/v1/mail-accounts/${picked}/activate`)).status).toBe(200);
      const { items } = (await mika.api('GET', '/v1/mail-accounts')).json as {
        items: { id: string; active: boolean; nextPollAt?: string }[];
      };
      expect(items.filter(({ active }) => active).map(({ id }) => id)).toEqual([picked]);
      expect(items.some(({ nextPollAt }) => nextPollAt !== undefined)).toBe(picked === pop3.id);
    }
  },
);
