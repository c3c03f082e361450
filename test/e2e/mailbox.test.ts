import { startHost, type TestHost, until, untilDone } from '../support/host.ts';
import { newMailbox, reached } from '../support/mailbox.ts';
import { startPop3Server } from '../support/pop3-server.ts';
import { insideOnly } from '../support/stage.ts';

const { test } = insideOnly('its mail server is on this machine');

let host: TestHost;
beforeAll(async () => {
  host = await startHost({ settings: { LOCAL_MAIL_SERVERS: '{}' } });
});
afterAll(() => host.end());

test('R-39, POP-15, INB-14: a mailbox from its first sync on: what is old stays, what is new is filed, shown, and then deleted', async () => {
  const now = new Date();
  const server = await startPop3Server({ mails: [reached(new Date(0), { Subject: 'Long ago' }), reached(now, { Subject: 'Lately' })] });
  const { owner, poll, read } = await newMailbox(host, server, { deletion: { policy: 'delete-at-once' } });
  await poll(({ lastSuccessAt }) => lastSuccessAt);
  await until(async () => (await read()).sync.filed === 1);
  const done = await poll(({ sync }) => sync.doneAt);
  expect(done).toMatchObject({ state: 'ok', sync: { found: 2, fetched: 1, filed: 1, skipped: 1 }, totals: { filed: 1, deleted: 0 } });

  server.add(reached(now, { Subject: 'Later' }));
  await poll(({ totals }) => totals.filed === 2);
  await until(async () => (await owner.api('GET', '/v1/mail')).json.items.length === 2);
  await poll(({ totals }) => totals.deleted === 2);
  expect(server.mails.map(({ raw }) => /Subject: (.*)\r/.exec(raw.toString())?.[1])).toEqual(['Long ago']);
  const subjects = (await owner.api('GET', '/v1/mail')).json.items.map(({ subject }: { subject: string }) => subject);
  expect(subjects).toEqual(['Later', 'Lately']);
  // A poll tells after it has written what came of it.
  await untilDone(host, 'polls');
  const told = (await host.outbox()).filter(({ destinations }) => destinations.includes(owner.email));
  expect(await Promise.all(told.map(async (mail) => /sync/.test(await mail.raw())))).toEqual([true]);
});

test('POP-15: a policy chosen later holds for mail that was there before, from the next poll on', async () => {
  const now = new Date();
  const server = await startPop3Server({ mails: [reached(now, { Subject: 'One' }), reached(now, { Subject: 'Two' })] });
  const { owner, poll, read } = await newMailbox(host, server, {});
  await poll(({ lastSuccessAt }) => lastSuccessAt);
  await until(async () => (await read()).sync.filed === 2);
  const { id } = await poll(({ sync }) => sync.doneAt);
  expect(server.mails).toHaveLength(2);
  await owner.api('PATCH', `/v1/mail-accounts/${id}`, { deletion: { policy: 'delete-at-once' } });
  await poll(({ totals }) => totals.deleted === 2);
  expect(server.mails).toEqual([]);
});

test('a server without UIDL, which nobody can poll without taking mails twice: its owner is told why and what to do, and nothing is fetched', async () => {
  const server = await startPop3Server({ capabilities: ['TOP', 'USER'], mails: [reached(new Date(), { Subject: 'Stays there' })] });
  const { owner, account, poll } = await newMailbox(host, server, { deletion: { policy: 'delete-at-once' } });
  const failed = await poll(({ lastError }) => lastError);
  expect(failed).toMatchObject({
    state: 'backing-off',
    lastError: {
      code: 'no-unique-ids',
      server: expect.any(String),
      advice: { todo: { en: expect.stringContaining('UIDL'), ja: expect.stringContaining('UIDL') } },
    },
    sync: { fetched: 0 },
  });
  const [entry] = (await owner.api('GET', `/v1/mail-accounts/${account}/polls`)).json.items;
  expect(entry).toMatchObject({ error: 'no-unique-ids', fetched: 0 });
  expect([server.mails.length, (await owner.api('GET', '/v1/mail')).json.items]).toEqual([1, []]);
});
