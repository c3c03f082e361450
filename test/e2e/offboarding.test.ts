import { MAX_BACKUPS_AT_ONCE } from '../../core/limits.ts';
import { callAws, TABLE } from '../../lib/local/engine.ts';
import { fetchMail } from '../support/fetched-mail.ts';
import { type Answer, startHost, type TestHost, until, untilDone } from '../support/host.ts';
import { reached, untilPolled } from '../support/mailbox.ts';
import { mailAccount } from '../support/matrix-cells.ts';
import { expectStatus } from '../support/matrix-people.ts';
import { type Pop3Server, startPop3Server } from '../support/pop3-server.ts';
import { insideOnly } from '../support/stage.ts';
import { join, newTenant, type Person, rawMail } from '../support/tenant.ts';

const { describe, test } = insideOnly('its mail server is on this machine, and it has several members');

/** Two administrators and three members, of whom some leave: as administrators do it, with requests alone. */
let host: TestHost;
let server: Pop3Server;
let tenant: string;
let admin: Person;
let second: Person;
let jun: Person;
let nth = 40_000;

beforeAll(async () => {
  server = await startPop3Server();
  host = await startHost({ throttle: { rate: 10_000, burst: 10_000 }, settings: { LOCAL_MAIL_SERVERS: '{}' } });
  ({ id: tenant, admin } = await newTenant(host));
  await expectStatus(200, admin.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' }));
  second = await join(host, admin, 'second@example.com', 'administrator');
  jun = await join(host, admin, 'jun@example.com');
});
afterAll(async () => {
  await host.end();
  await server.end();
});

// biome-ignore lint/suspicious/noExplicitAny: a test says what it expects by looking into it.
type Shown = any;
const code = ({ status, json }: Answer) => (status < 300 ? String(status) : `${status} ${json?.code}`);
const offboard = (who: Person, body: object = {}, by = admin) => by.api('POST', `/v1/addon-users/${who.id}/offboard`, body);
const read = async (id: string): Promise<Shown> => (await expectStatus(200, admin.api('GET', `/v1/offboardings/${id}`))).json;
const ended = (id: string) =>
  until(async () => {
    await host.fire('plan-polls');
    const run = await read(id);
    return run.state === 'running' ? undefined : run;
  });
const stepOf = (run: Shown, name: string) => run.steps.find((step: Shown) => step.name === name);
const subjects = async (contact: string, person = jun) =>
  (await expectStatus(200, person.api('GET', `/v1/contacts/${contact}/messages`))).json.items.map(({ subject }: Shown) => subject);
const lastMail = async (to: Person) => {
  const mail = (await host.outbox()).findLast(({ destinations }) => destinations.includes(to.email));
  return (await mail?.raw())?.replace(/=\r?\n/g, '') ?? '';
};

/** Somebody with a mailbox on a server, and a contact of their own. */
async function leaver(email: string, incoming: object, type = 'public') {
  const person = await join(host, admin, email);
  const contact = (await expectStatus(201, person.api('POST', '/v1/contacts', { name: { last: 'Customer' }, addresses: [`of-${email}`] })))
    .json.id;
  const form = { ...mailAccount(++nth), incoming };
  const account = (await expectStatus(201, person.api('POST', '/v1/mail-accounts', form))).json.id;
  await share(person, account, type);
  return { person, contact, account };
}

const share = (person: Person, activeMailbox: string, type: string) => expectStatus(200, saveSharing(person, activeMailbox, type));
const saveSharing = (person: Person, activeMailbox: string, type: string) =>
  person.api('PUT', '/v1/mail-settings', {
    activeMailbox,
    fromAddress: person.email,
    sharing: { type },
    dropboxVisibility: 'record',
    gather: null,
  });
const ownServer = () => ({ host: server.host, port: server.port, security: 'none', userName: 'taro', password: 'open sesame' });
const deadServer = () => mailAccount(++nth).incoming;

async function setAttribute(pk: string, sk: string, path: string[], value: string): Promise<void> {
  const names = Object.fromEntries(path.map((name, i) => [`#n${i}`, name]));
  const answer = await callAws(host.endpoints.dynamodb, 'DynamoDB_20120810.UpdateItem', {
    TableName: TABLE,
    Key: { pk: { S: pk }, sk: { S: sk } },
    UpdateExpression: `SET ${Object.keys(names).join('.')} = :value`,
    ExpressionAttributeNames: names,
    ExpressionAttributeValues: { ':value': { S: value } },
  });
  if (!answer.ok) throw new Error(await answer.text());
}

describe('one request does all of it', () => {
  test('LCK-2, GEN-9, BKP-8: locked, polled, deactivated, backed up, handed over; colleagues go on', async () => {
    const { person: mika, contact, account } = await leaver('mika@example.com', ownServer());
    const customer = 'of-mika@example.com';
    await untilPolled(host, { tenant, member: mika.id, account }, async () => {
      return (await mika.api('GET', `/v1/mail-accounts/${account}`)).json.state === 'ok';
    });
    await untilDone(host, 'polls');
    await fetchMail(host, mika, rawMail({ From: customer, To: mika.email, Subject: 'Long ago' }));
    // It lies on the server; nobody has looked since.
    server.add(reached(new Date(), { From: customer, To: mika.email, Subject: 'At the last moment' }));

    expect((await expectStatus(200, admin.api('GET', `/v1/addon-users/${mika.id}/offboard/check?successor=${jun.id}`))).json).toEqual({
      eligible: true,
      reasons: [],
      kind: 'backup',
    });
    const begun = await expectStatus(202, offboard(mika, { successor: jun.id, reason: 'Leaves in March' }));
    expect(begun.headers.get('location')).toBe(`/v1/offboardings/${begun.json.id}`);
    expect((await expectStatus(202, offboard(mika, { scope: 'all-records' }, second))).json.id).toBe(begun.json.id);
    const run = await ended(begun.json.id);
    expect(run).toMatchObject({ state: 'completed', member: mika.id, startedBy: admin.id, successor: jun.id, scope: 'shared' });
    expect(run.steps.map(({ name, state }: Shown) => `${name} ${state}`)).toEqual([
      'lock done',
      'last-poll done',
      'deactivate done',
      'back-up done',
      'hand-over done',
    ]);
    expect([stepOf(run, 'last-poll').counts, stepOf(run, 'back-up').counts.mails, stepOf(run, 'hand-over').counts]).toEqual([
      { mails: 1 },
      2,
      { records: 1, left: 0 },
    ]);

    expect(await subjects(contact)).toEqual(['At the last moment', 'Long ago']);
    expect((await jun.api('GET', `/v1/contacts/${contact}`)).json.ownerId).toBe(jun.id);
    expect(code(await mika.api('GET', '/v1/me'))).toBe('401 unauthorised');
    expect((await admin.api('GET', `/v1/addon-users/${mika.id}`)).json).toMatchObject({
      status: 'deactivated',
      locked: { reason: 'Leaves in March' },
      backup: { last: { state: 'completed', mails: 2 } },
    });
    expect(await until(async () => /Reason: Leaves in March/.exec(await lastMail(mika)))).toBeTruthy();
    expect(
      await until(async () => /off-boarding of mika is complete[\s\S]*Records handed over: done/.exec(await lastMail(admin))),
    ).toBeTruthy();
    expect((await host.outbox()).filter(({ destinations }) => destinations.includes(admin.email))).toHaveLength(1);
    const audit = (await admin.api('GET', '/v1/audit?limit=100')).json.items as {
      action: string;
      subject: string;
      after?: { step?: string };
    }[];
    const noted = audit.filter(({ subject, action }) => subject === `member:${mika.id}` && action.startsWith('offboarding.'));
    expect(noted.map(({ action, after }) => `${action} ${after?.step ?? ''}`.trim()).sort()).toEqual(
      [
        'offboarding.start',
        'offboarding.complete',
        ...['lock', 'last-poll', 'deactivate', 'back-up', 'hand-over'].map((step) => `offboarding.step ${step}`),
      ].sort(),
    );
  });

  test('a mail server that is dead keeps nobody active: it goes on when the time is over, and says so', async () => {
    const { person: ken, contact, account } = await leaver('ken@example.com', deadServer());
    await fetchMail(host, ken, rawMail({ From: 'of-ken@example.com', To: ken.email, Subject: 'Known' }));
    const { json } = await expectStatus(202, offboard(ken));
    await until(async () => stepOf(await read(json.id), 'last-poll').state === 'running');
    await until(async () => {
      await host.fire('plan-polls');
      return (await ken.api('GET', `/v1/mail-accounts/${account}`)).json.lastError?.code === 'unreachable';
    });
    expect((await read(json.id)).state).toBe('running');
    // The quarter of an hour is over. Between two looks: what a worker has in hand it writes back.
    await until(async () => {
      await setAttribute(`T#${tenant}#Q`, json.id, ['steps', 'last-poll', 'memo', 'poll', 'until'], new Date().toISOString());
      return stepOf(await read(json.id), 'last-poll').state === 'done';
    });
    const run = await ended(json.id);
    expect(run.state).toBe('completed');
    expect(stepOf(run, 'last-poll')).toMatchObject({
      warning: { code: 'mail-server-failed', words: { en: expect.any(String), ja: expect.any(String) } },
    });
    expect(await subjects(contact)).toEqual(['Known']);
  });
});

test('cancelled while their mail server is waited for: they stay, and it says how the lock is undone; all of them are listed', async () => {
  const { person: ryo } = await leaver('ryo@example.com', deadServer());
  const { json } = await expectStatus(202, offboard(ryo));
  await until(async () => stepOf(await read(json.id), 'last-poll').state === 'running');
  const asked = await expectStatus(202, second.api('POST', `/v1/offboardings/${json.id}/cancel`));
  expect(asked.json.cancel).toMatchObject({ by: second.id });
  const run = await ended(json.id);
  expect(run.steps.map(({ state, undo }: Shown) => [state, undo !== undefined])).toEqual([
    ['done', true],
    ['cancelled', false],
    ['cancelled', false],
    ['cancelled', false],
    ['skipped', false],
  ]);
  expect(run.state).toBe('cancelled');
  expect((await ryo.api('GET', '/v1/me')).status).toBe(200);
  expect(await until(async () => /off-boarding of ryo was cancelled[\s\S]*To undo it: Unlock/.exec(await lastMail(admin)))).toBeTruthy();
  expect(code(await admin.api('POST', `/v1/offboardings/${json.id}/cancel`))).toBe('409 not-running');
  const { items } = (await expectStatus(200, admin.api('GET', '/v1/offboardings?limit=100'))).json;
  expect(items[0]).toEqual(run);
  expect(items.map(({ startedAt }: Shown) => startedAt)).toEqual(
    items
      .map(({ startedAt }: Shown) => startedAt)
      .sort()
      .reverse(),
  );
  expect(code(await jun.api('GET', '/v1/offboardings'))).toBe('403 administrators-only');
  expect((await (await newTenant(host)).admin.api('GET', '/v1/offboardings')).json.items).toEqual([]);
});

describe('refused', () => {
  test('LCK-3, LCK-4, BKP-3: every reason with its cure; nothing is changed', async () => {
    const { person: ann, account } = await leaver('ann@example.com', deadServer(), 'private');
    // The first look into the mailbox, which is shown here too.
    await untilDone(host, 'polls');
    const before = (await admin.api('GET', `/v1/addon-users/${ann.id}`)).text;
    const answer = await offboard(ann, { successor: ann.id });
    expect([code(answer), answer.json.reasons.map(({ code: each }: Shown) => each)]).toEqual([
      '409 private-account',
      ['private-account', 'successor-is-leaver'],
    ]);
    expect(answer.json.reasons[0].cure.ja).toMatch(/保存/);
    expect((await admin.api('GET', `/v1/addon-users/${ann.id}/offboard/check?successor=${ann.id}`)).json.reasons).toEqual(
      answer.json.reasons,
    );
    expect((await admin.api('GET', `/v1/addon-users/${ann.id}`)).text).toBe(before);
    expect((await ann.api('GET', '/v1/me')).status).toBe(200);
    expect(code(await offboard(ann, {}, jun))).toBe('403 administrators-only');
    expect(code(await offboard(second, {}, second))).toBe('409 own-lock');
    await share(ann, account, 'custom');
    expect((await admin.api('GET', `/v1/addon-users/${ann.id}/offboard/check`)).json.eligible).toBe(true);
  });
});

describe('the rules behind it', () => {
  test('LCK-2: a locked member cannot go private, so that a backup stays possible', async () => {
    const { person: leo, contact, account } = await leaver('leo@example.com', deadServer());
    await fetchMail(host, leo, rawMail({ From: 'of-leo@example.com', To: leo.email, Subject: 'To be kept' }));
    await expectStatus(200, admin.api('POST', `/v1/addon-users/${leo.id}/lock`, { reason: 'Leaves' }));
    expect(code(await saveSharing(leo, account, 'private'))).toBe('423 locked');
    const policy = { mailPolicy: { allowedSharing: ['private'], defaultSharing: 'private' } };
    expect(code(await admin.api('PATCH', '/v1/organisation', policy))).toBe('409 members-locked');
    await expectStatus(200, admin.api('PATCH', `/v1/members/${leo.id}`, { status: 'deactivated' }));
    const { json } = await expectStatus(202, admin.api('POST', `/v1/addon-users/${leo.id}/backup`, {}));
    await until(async () => (await admin.api('GET', `/v1/backups/${json.id}`)).json.state === 'completed');
    expect(await subjects(contact)).toEqual(['To be kept']);
  });

  test('LBK-4: those who are ticked in the list get their latest backup, each for itself', async () => {
    const back = await leaver('back@example.com', deadServer());
    const gone = await leaver('gone@example.com', deadServer());
    const setStatus = (who: Person, status: string) => expectStatus(200, admin.api('PATCH', `/v1/members/${who.id}`, { status }));
    await setStatus(back.person, 'deactivated');
    await setStatus(back.person, 'active');
    await share(back.person, back.account, 'public');
    await fetchMail(host, back.person, rawMail({ From: 'of-back@example.com', To: back.person.email, Subject: 'Lately' }));
    for (const { person } of [back, gone]) await setStatus(person, 'deactivated');
    const { admin: stranger } = await newTenant(host);
    const list = (await expectStatus(200, admin.api('GET', '/v1/addon-users?status=deactivated&limit=100'))).json.items as Shown[];
    const offer = (id: string) => list.find((row) => row.id === id).backup.latestBackup.eligible;
    expect([offer(back.person.id), offer(gone.person.id)]).toEqual([true, false]);

    const members = [gone.person.id, back.person.id, stranger.id, 'none', back.person.id];
    const { items } = (await expectStatus(200, admin.api('POST', '/v1/addon-users/latest-backup', { members }))).json;
    expect(items.map(({ member, outcome, code: each }: Shown) => [member, outcome, each])).toEqual([
      [gone.person.id, 'refused', 'not-reactivated'],
      [back.person.id, 'started', undefined],
      [stranger.id, 'refused', 'not-found'],
      ['none', 'refused', 'not-found'],
    ]);
    expect(items[0].reasons).toMatchObject([{ code: 'not_reactivated', cure: expect.any(String) }]);
    expect({ ...items[2], member: '' }).toEqual({ ...items[3], member: '' });
    await until(async () => (await admin.api('GET', `/v1/backups/${items[1].backup}`)).json.state === 'completed');
    expect(await subjects(back.contact)).toEqual(['Lately']);
    expect(code(await jun.api('POST', '/v1/addon-users/latest-backup', { members }))).toBe('403 administrators-only');
    const ticked = (count: number) => ({ members: Array.from({ length: count }, (_, i) => `nobody ${i}`) });
    const most = await expectStatus(200, admin.api('POST', '/v1/addon-users/latest-backup', ticked(MAX_BACKUPS_AT_ONCE)));
    expect(most.json.items).toHaveLength(MAX_BACKUPS_AT_ONCE);
    expect(code(await admin.api('POST', '/v1/addon-users/latest-backup', ticked(MAX_BACKUPS_AT_ONCE + 1)))).toBe('422 invalid-body');
  });
});
