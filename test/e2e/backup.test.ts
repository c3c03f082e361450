import { createHash } from 'node:crypto';
import { fetchMail } from '../support/fetched-mail.ts';
import { type Answer, startHost, type TestHost, until } from '../support/host.ts';
import { mailAccount } from '../support/matrix-cells.ts';
import { expectStatus } from '../support/matrix-people.ts';
import { insideOnly } from '../support/stage.ts';
import { join, newTenant, type Person, rawMail } from '../support/tenant.ts';

const { describe, test } = insideOnly('it hands mail in where a poll does, and has several members');

/** Somebody leaves, and colleagues go on with their mail, as administrators do it: with requests alone. */
let host: TestHost;
let admin: Person;
let leaver: Person;
let jun: Person;
let contact: string;
let account: string;

const TARO = 'taro@customer.example';

beforeAll(async () => {
  host = await startHost({ throttle: { rate: 10_000, burst: 10_000 } });
  ({ admin } = await newTenant(host));
  await expectStatus(200, admin.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' }));
  leaver = await join(host, admin, 'leaver@example.com');
  jun = await join(host, admin, 'jun@example.com');
  contact = (await expectStatus(201, jun.api('POST', '/v1/contacts', { name: { last: 'Taro' }, addresses: [TARO] }))).json.id;
  account = (await expectStatus(201, leaver.api('POST', '/v1/mail-accounts', mailAccount(1)))).json.id;
});
afterAll(() => host.end());

const save = (type: string) =>
  expectStatus(
    200,
    leaver.api('PUT', '/v1/mail-settings', {
      activeMailbox: account,
      fromAddress: leaver.email,
      sharing: { type },
      dropboxVisibility: 'record',
      gather: null,
    }),
  );
const setStatus = (status: string) => expectStatus(200, admin.api('PATCH', `/v1/members/${leaver.id}`, { status }));
const receive = (subject: string) => fetchMail(host, leaver, rawMail({ From: TARO, To: leaver.email, Subject: subject }));
const subjects = async (person = jun) =>
  ((await expectStatus(200, person.api('GET', `/v1/contacts/${contact}/messages`))).json.items as { id: string; subject: string }[]).map(
    ({ subject }) => subject,
  );
const code = ({ status, json }: Answer) => `${status} ${json?.code}`;
const start = (kind: string, person = admin) => person.api('POST', `/v1/addon-users/${leaver.id}/${kind}`, { scope: 'shared' });
const finished = async (answer: Answer) => {
  expect(answer.headers.get('location')).toBe(`/v1/backups/${answer.json.id}`);
  return until(async () => {
    const { json } = await admin.api('GET', answer.headers.get('location') as string);
    return json.state === 'running' ? undefined : json;
  });
};

describe('off and back again', () => {
  test('GEN-3, GEN-4, GEN-9, BKP-1..9, LBK-1..5: the whole way', async () => {
    await save('public');
    await receive('first');
    await receive('second');
    expect(await subjects()).toEqual(['second', 'first']);
    expect(code(await start('backup'))).toBe('409 user-active');

    await setStatus('deactivated');
    expect(await subjects()).toEqual([]);
    expect(code(await start('backup', jun))).toBe('403 administrators-only');
    expect(code(await start('latest-backup'))).toBe('409 not-reactivated');

    const begun = await expectStatus(202, start('backup'));
    expect(begun.json).toMatchObject({ state: 'running', kind: 'backup', scope: 'shared', member: leaver.id, startedBy: admin.id });
    const first = await finished(begun);
    expect(first).toMatchObject({ state: 'completed', progress: { done: 2, total: 2, errors: 0 }, result: { mails: 2, known: 0 } });
    expect(await subjects()).toEqual(['second', 'first']);
    const [, oldest] = (await jun.api('GET', `/v1/contacts/${contact}/messages`)).json.items;
    expect((await expectStatus(200, jun.api('GET', `/v1/messages/${oldest.id}`))).json.subject).toBe('first');
    expect((await jun.api('GET', `/v1/messages/${oldest.id}/visibility`)).json.because).toMatchObject([{ code: 'backed-up' }]);
    const told = await until(async () => (await host.outbox()).find(({ destinations }) => destinations.includes(admin.email)));
    expect((await told.raw()).replace(/=\r?\n/g, '')).toContain(`/v1/backups/${first.id}`);

    const link = await expectStatus(302, admin.api('GET', `/v1/backups/${first.id}/export/manifest`));
    const manifest = await (await fetch(link.headers.get('location') as string)).text();
    expect(createHash('sha256').update(manifest).digest('hex')).toBe(first.manifestSha256);
    expect(JSON.parse(manifest)).toMatchObject({ scope: 'shared', startedBy: admin.id, result: { mails: 2 } });
    await jun.api('GET', `/v1/messages/${oldest.id}/raw`);
    const audit = (await admin.api('GET', '/v1/audit?limit=100')).json.items as { actor: string; action: string }[];
    const noted = audit.filter(({ action }) => action.startsWith('backup.')).map(({ actor, action }) => `${actor} ${action}`);
    expect(noted.sort()).toEqual(
      [`${admin.id} backup.start`, `${admin.id} backup.complete`, `${admin.id} backup.download`, `${jun.id} backup.read`].sort(),
    );

    await setStatus('active');
    await receive('third');
    await setStatus('deactivated');
    expect(code(await start('latest-backup'))).toBe('409 settings-not-saved');
    await setStatus('active');
    await save('private');
    await setStatus('deactivated');
    expect((await start('latest-backup')).json).toMatchObject({ code: 'private-account', reasons: [{ code: 'private_account' }] });
    expect(await subjects()).toEqual(['second', 'first']);

    await setStatus('active');
    await save('public');
    await setStatus('deactivated');
    const latest = await finished(await expectStatus(202, start('latest-backup')));
    expect(latest).toMatchObject({ state: 'completed', kind: 'latest-backup', result: { mails: 1, known: 2 } });
    expect(await subjects()).toEqual(['third', 'second', 'first']);
    const { items } = (await expectStatus(200, admin.api('GET', `/v1/addon-users/${leaver.id}/backups`))).json;
    expect(items.map(({ id }: { id: string }) => id)).toEqual([latest.id, first.id]);
    expect(code(await admin.api('POST', `/v1/backups/${latest.id}/cancel`))).toBe('409 not-running');
  });
});
