import type { Route } from '../../functions/api/route.ts';
import { routes } from '../../functions/api/routes.ts';
import { callAws, TABLE } from '../../lib/local/engine.ts';
import { fetchMail } from '../support/fetched-mail.ts';
import { type Answer, startHost, type TestHost, until, untilDone } from '../support/host.ts';
import { expectStatus, rawMailWithFile } from '../support/matrix-people.ts';
import { insideOnly } from '../support/stage.ts';
import { join, newTenant, type Person, rawMail } from '../support/tenant.ts';

const { describe, test } = insideOnly('it has several tenants and members');

/** What members and tenants must not notice of each other: cursors, repeated requests, and mail they may not see. */
let host: TestHost;
let admin: Person;
let mika: Person;
let other: Person;
let outsider: Person;
let stranger: Person;

beforeAll(async () => {
  host = await startHost({ throttle: { rate: 100_000, burst: 100_000 } });
  ({ admin } = await newTenant(host));
  ({ admin: stranger } = await newTenant(host));
  const { json: noRights } = await expectStatus(201, admin.api('POST', '/v1/profiles', { name: 'No rights' }));
  mika = await join(host, admin, 'mika@example.com');
  other = await join(host, admin, 'other@example.com');
  outsider = await join(host, admin, 'outsider@example.com', noRights.id);
});
afterAll(() => host.end());

const dropboxOf = async (person: Person): Promise<string> => (await expectStatus(200, person.api('GET', '/v1/dropbox'))).json.address;
/** A row of the lists that are read here. */
type Item = { id: string; subject?: string; outcome?: string; message?: string; held?: string };
const itemsOf = async (person: Person, path: string) => (await expectStatus(200, person.api('GET', path))).json.items as Item[];
const create = async (person: Person, module: string, address?: string) =>
  (
    await expectStatus(
      201,
      person.api('POST', `/v1/${module}`, { name: { last: `Of ${person.email}` }, addresses: address ? [address] : [] }),
    )
  ).json.id as string;

/** Sends a mail to the person's dropbox and waits until it has ended as `outcome`, and all that follows from it: it is told before it is shown. */
async function file(person: Person, to: string, subject: string, more: { outcome?: string; from?: string; headers?: object } = {}) {
  const from = more.from ?? person.email;
  const raw = rawMailWithFile({ From: from, To: to, Subject: subject, ...more.headers }, 'offer.txt');
  await host.sendMail({ from, rcpt: await dropboxOf(person), raw });
  const ended = await until(async () => {
    const entries = await itemsOf(person, '/v1/activity');
    return entries.find((entry) => entry.subject === subject && entry.outcome === (more.outcome ?? 'filed'));
  });
  await untilDone(host, 'inbound');
  return ended;
}

/** A mail account with two polls in its history, as the poller writes them. */
async function accountWithPolls(person: Person): Promise<string> {
  for (const { api } of [admin, stranger]) await expectStatus(200, api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' }));
  const incoming = { host: 'pop.example.com', port: 995, security: 'implicit', userName: person.email, password: 'secret' };
  const { json: account } = await expectStatus(
    201,
    person.api('POST', '/v1/mail-accounts', { name: 'Own', address: person.email, incoming }),
  );
  const [tenant] = person.token.split('_').slice(-4);
  for (const id of ['01', '02']) {
    const Item = {
      pk: { S: `T#${tenant}#X#${account.id}` },
      sk: { S: `P#${id}` },
      id: { S: id },
      at: { S: '2026-03-01T09:00:00.000Z' },
      ...Object.fromEntries(['took', 'found', 'fetched', 'skipped', 'deleted', 'bytes'].map((count) => [count, { N: '1' }])),
    };
    await callAws(host.endpoints.dynamodb, 'DynamoDB_20120810.PutItem', { TableName: TABLE, Item });
  }
  return account.id as string;
}

/** Somebody who has left, and so many backups of their mail, one after the other. */
async function backedUp(email: string, times: number): Promise<{ member: string; backup: string }> {
  await expectStatus(200, admin.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' }));
  const left = await join(host, admin, email);
  const incoming = { host: 'pop.example.com', port: 995, security: 'implicit', userName: email, password: 'secret' };
  const sharing = { type: 'custom' };
  await expectStatus(201, left.api('POST', '/v1/mail-accounts', { name: 'Own', address: email, incoming, sharing }));
  await expectStatus(200, admin.api('PATCH', `/v1/members/${left.id}`, { status: 'deactivated' }));
  let backup = '';
  for (let i = 0; i < times; i++) {
    const { json } = await expectStatus(202, admin.api('POST', `/v1/addon-users/${left.id}/backup`, { scope: 'all-records' }));
    await until(async () => (await admin.api('GET', `/v1/backups/${json.id}`)).json.state === 'completed');
    backup = json.id;
  }
  return { member: left.id, backup };
}

/** Somebody who has left, off-boarded in one go. */
async function offboarded(email: string): Promise<string> {
  const left = await join(host, admin, email);
  const incoming = { host: 'pop.example.com', port: 995, security: 'implicit', userName: email, password: 'secret' };
  const sharing = { type: 'custom' };
  await expectStatus(201, left.api('POST', '/v1/mail-accounts', { name: 'Own', address: email, incoming, sharing }));
  await expectStatus(200, admin.api('PATCH', `/v1/members/${left.id}`, { status: 'deactivated' }));
  const { json } = await expectStatus(202, admin.api('POST', `/v1/addon-users/${left.id}/offboard`, {}));
  await until(async () => (await admin.api('GET', `/v1/offboardings/${json.id}`)).json.state === 'completed');
  return json.id;
}

async function exported(backup: string): Promise<string> {
  await expectStatus(202, admin.api('POST', `/v1/backups/${backup}/export`, { format: 'zip' }));
  await until(async () => (await admin.api('GET', `/v1/backups/${backup}/export/zip`)).json.state === 'completed');
  return backup;
}

describe('a cursor is of one member and one list', () => {
  let lists: { operation: string; path: string; of: Person }[];

  beforeAll(async () => {
    const contacts = [await create(mika, 'contacts', 'cursor@customer.example'), await create(mika, 'contacts')];
    const leads = [await create(mika, 'leads', 'cursor@lead.example'), await create(mika, 'leads')];
    for (const title of ['One', 'Two']) await expectStatus(201, mika.api('POST', '/v1/deals', { title, contactId: contacts[0] }));
    await expectStatus(200, mika.api('PATCH', '/v1/dropbox', { pattern: 'contacts' }));
    for (const subject of ['first', 'second']) await file(mika, 'cursor@customer.example', `contact ${subject}`);
    await expectStatus(200, mika.api('PATCH', '/v1/dropbox', { pattern: 'leads' }));
    for (const subject of ['first', 'second']) await file(mika, 'cursor@lead.example', `lead ${subject}`);
    for (const subject of ['first', 'second']) {
      await file(mika, 'cursor@lead.example', `held ${subject}`, { from: 'unknown@example.org', outcome: 'held' });
    }
    for (const subject of ['first', 'second']) {
      await fetchMail(host, mika, rawMail({ From: 'x@elsewhere.example', To: mika.email, Subject: `fetched ${subject}` }));
    }
    const { json: job } = await expectStatus(
      202,
      mika.api('POST', '/v1/leads/import', 'last name\nA\nB\n', { 'content-type': 'text/csv' }),
    );
    await until(async () => (await mika.api('GET', `/v1/imports/${job.id}`)).json.state === 'done');
    const account = await accountWithPolls(mika);
    // Two of them use the add-on, so that their list has a second page.
    await accountWithPolls(other);
    const { member: left } = await backedUp('left-early@example.com', 2);
    for (const email of ['left-first@example.com', 'left-second@example.com']) await offboarded(email);
    const paths: Record<string, string> = {
      listBackups: `/v1/addon-users/${left}/backups`,
      listPolls: `/v1/mail-accounts/${account}/polls`,
      listLeadsMessages: `/v1/leads/${leads[0]}/messages`,
      listContactsMessages: `/v1/contacts/${contacts[0]}/messages`,
      listImportReport: `/v1/imports/${job.id}/report`,
    };
    lists = routes
      .filter((route) => route.query && 'cursor' in route.query.shape)
      .map(({ operation, path, who }) => ({ operation, path: paths[operation] ?? path, of: who === 'administrator' ? admin : mika }));
  });

  const page = (person: Person, path: string, cursor: string) => person.api('GET', `${path}?limit=1&cursor=${encodeURIComponent(cursor)}`);

  test('each goes on in its own list, and is refused from others, elsewhere, and when it was touched', async () => {
    expect(lists.length).toBeGreaterThan(8);
    const cursors = new Map<string, string>();
    for (const { operation, path, of } of lists) {
      const { next } = (await expectStatus(200, of.api('GET', `${path}?limit=1`))).json;
      expect({ operation, next }).toEqual({ operation, next: expect.stringMatching(/^[\w-]{30,}$/) });
      cursors.set(operation, next);
    }
    for (const { operation, path, of } of lists) {
      const cursor = cursors.get(operation) as string;
      await expectStatus(200, page(of, path, cursor));
      const refused: [string, Promise<Answer>][] = [other, stranger, of === admin ? mika : admin]
        .filter((person) => of !== admin || person === stranger)
        .map((person) => [person.email, page(person, path, cursor)]);
      for (const elsewhere of lists) {
        if (elsewhere.operation === operation) continue;
        refused.push([elsewhere.operation, page(elsewhere.of, elsewhere.path, cursor)]);
      }
      const middle = Math.floor(cursor.length / 2);
      const flipped = cursor.slice(0, middle) + (cursor[middle] === 'A' ? 'B' : 'A') + cursor.slice(middle + 1);
      for (const touched of [flipped, cursor.slice(0, -4), `${cursor}AAAA`, 'x', '0'.repeat(26), ''])
        refused.push([touched, page(of, path, touched)]);
      for (const [why, asking] of refused) {
        const { status, json } = await asking;
        expect({ operation, why, status, code: json.code }).toEqual({ operation, why, status: 422, code: 'bad-cursor' });
      }
    }
  });

  test('nor does it go on in the same list of another record', async () => {
    const contact = await create(mika, 'contacts', 'second-cursor@customer.example');
    const { next } = (await mika.api('GET', `${lists.find(({ operation }) => operation === 'listContactsMessages')?.path}?limit=1`)).json;
    expect((await page(mika, `/v1/contacts/${contact}/messages`, next)).json.code).toBe('bad-cursor');
  });
});

describe('an Idempotency-Key', () => {
  const key = { 'idempotency-key': 'the same for everybody' };

  test("is its member's own: two members with the same key and body each get what they asked for", async () => {
    const made = await Promise.all([mika, other, stranger].map(({ api }) => api('POST', '/v1/tokens', { name: 'laptop' }, key)));
    expect(made.map(({ status }) => status)).toEqual([201, 201, 201]);
    expect(new Set(made.map(({ json }) => json.token)).size).toBe(3);
    expect((await host.api(made[1]?.json.token)('GET', '/v1/me')).json.member.id).toBe(other.id);
    const again = await mika.api('POST', '/v1/tokens', { name: 'laptop' }, key);
    expect(again.text).toBe(made[0]?.text);
  });

  test('is of one request: another body, query or route with it is refused', async () => {
    const lead = { name: { last: 'Once' } };
    await expectStatus(201, mika.api('POST', '/v1/leads', lead, { 'idempotency-key': 'k' }));
    for (const [path, body] of [
      ['/v1/leads', { name: { last: 'Twice' } }],
      ['/v1/contacts', lead],
    ] as const) {
      const refused = await mika.api('POST', path, body, { 'idempotency-key': 'k' });
      expect(refused).toMatchObject({ status: 422, json: { code: 'idempotency-key-reused' } });
    }
  });

  test('sent many times at once it is done once', async () => {
    const send = () => mika.api('POST', '/v1/contacts', { name: { last: 'At once' } }, { 'idempotency-key': 'at once' });
    const answers = await Promise.all([1, 2, 3, 4, 5].map(send));
    expect(answers.every(({ status, json }) => status === 201 || json.code === 'still-running')).toBe(true);
    expect(new Set(answers.filter(({ status }) => status === 201).map(({ text }) => text)).size).toBe(1);
    expect(await itemsOf(mika, '/v1/contacts?q=once')).toHaveLength(1);
  });

  test('has 1 to 200 characters', async () => {
    const status = async (text: string) =>
      (await mika.api('POST', '/v1/leads', { name: { last: 'Key' } }, { 'idempotency-key': text })).status;
    expect([await status('k'.repeat(200)), await status('k'.repeat(201)), await status('')]).toEqual([201, 422, 422]);
  });

  test('no longer answers what was refused: a right taken away holds at once', async () => {
    const { json: profile } = await expectStatus(
      201,
      admin.api('POST', '/v1/profiles', { name: 'Brief', modules: { leads: { view: true, create: true } } }),
    );
    const brief = await join(host, admin, 'brief@example.com', profile.id);
    const send = () => brief.api('POST', '/v1/leads', { name: { last: 'Brief' } }, { 'idempotency-key': 'brief' });
    await expectStatus(201, send());
    await expectStatus(200, admin.api('PATCH', `/v1/members/${brief.id}`, { status: 'deactivated' }));
    expect((await send()).status).toBe(401);
  });
});

describe('R-42: mail that somebody may not see changes no byte of any answer to them', () => {
  let known: Record<string, string[]>;
  const viewers = () => [other, outsider, admin, stranger];

  beforeAll(async () => {
    await expectStatus(200, mika.api('PATCH', '/v1/dropbox', { visibility: 'record', pattern: 'contacts' }));
    const contact = await create(mika, 'contacts', 'shared@customer.example');
    const lead = await create(other, 'leads', 'others@lead.example');
    const { message } = await file(mika, 'shared@customer.example', 'Seen by all', { headers: { 'Message-ID': '<seen@example.com>' } });
    const { held } = await file(other, 'x@customer.example', 'Held', { from: 'unknown@example.org', outcome: 'held' });
    const { json: job } = await expectStatus(202, other.api('POST', '/v1/leads/import', 'last name\nC\n', { 'content-type': 'text/csv' }));
    await until(async () => (await other.api('GET', `/v1/imports/${job.id}`)).json.state === 'done');
    const { json: deal } = await expectStatus(201, mika.api('POST', '/v1/deals', { title: 'Deal', contactId: contact }));
    await expectStatus(200, admin.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' }));
    const incoming = { host: 'pop.example.com', port: 995, security: 'implicit', userName: 'other', password: 'secret' };
    const { json: account } = await expectStatus(
      201,
      other.api('POST', '/v1/mail-accounts', { name: 'Own', address: other.email, incoming }),
    );
    const { json: me } = await other.api('GET', '/v1/me');
    known = {
      '/v1/leads/{recordId}': [lead],
      '/v1/contacts/{recordId}': [contact],
      '/v1/deals/{recordId}': [deal.id],
      '/v1/messages/{messageId}': [message as string],
      '/v1/held/{heldId}': [held as string],
      '/v1/imports/{importId}': [job.id],
      '/v1/mail-accounts/{accountId}': [account.id],
      '/v1/members/{memberId}': [me.member.id, mika.id],
      '/v1/addon-users/{memberId}': [me.member.id, mika.id],
      '/v1/backups/{backupId}': [await exported((await backedUp('left-late@example.com', 1)).backup)],
      '/v1/offboardings/{offboardingId}': [await offboarded('left-at-once@example.com')],
      '/v1/profiles/{profileId}': ['standard', me.profile.id],
    };
    for (const path of [`/v1/contacts/${contact}`, `/v1/leads/${lead}`]) {
      await until(async () => (await admin.api('GET', `${path}/mail-backfill`)).json.state === 'finished');
    }
    // What is begun is over: first looks into mailboxes, words to the administrator, the audit of what was completed.
    await untilDone(host, 'polls', 'inbound', 'backfills', 'backups', 'exports', 'offboardings');
    // Dropboxes are made when they are first looked at.
    for (const viewer of viewers()) await everything(viewer);
  });

  /** Every GET of the contract with every id there is, and searches too: what the viewer is told, by path. */
  async function everything(viewer: Person, ids: string[] = []): Promise<Map<string, unknown>> {
    // A download stands in the audit: asking for it would itself change what an administrator is told next.
    const asked = routes.filter(({ method, operation }) => method === 'GET' && !operation.startsWith('downloadBackup'));
    const gets = asked.flatMap((route) => pathsOf(route, ids));
    const searches = [
      '/v1/contacts?address=shared%40customer.example',
      '/v1/leads?address=shared%40customer.example',
      '/v1/contacts?q=of',
      '/v1/contacts?q=hidden',
      ...(known['/v1/contacts/{recordId}'] ?? []).flatMap((id) =>
        ['?q=hidden', '/count?q=hidden', '?from=shared@customer.example', '/count?direction=sent'].map(
          (query) => `/v1/contacts/${id}/messages${query}`,
        ),
      ),
    ];
    const told = new Map<string, unknown>();
    for (const path of [...gets, ...searches]) told.set(path, shown(await viewer.api('GET', path)));
    return told;
  }

  function pathsOf(route: Route, ids: string[]): string[] {
    const [all, one] = [route.path.replace('{index}', '0').replace('{format}', 'zip'), /^.*?\{\w+\}/.exec(route.path)?.[0]];
    const query = route.query && 'limit' in route.query.shape ? ['?limit=100', '?limit=1'] : [''];
    const some = one ? [...(known[one] ?? []), ...ids] : [''];
    if (one && some.length === ids.length) throw new Error(`${route.path}: no id is known here. Add one to \`known\``);
    return some.flatMap((id) => query.map((text) => (one ? all.replace(one, one.replace(/\{\w+\}/, id)) : all) + text));
  }

  /** An answer without what differs each time: request ids, dates, nonces of cursors, signatures of links, and the order in
   * which DynamoDB gives back the fields of an object. */
  function shown({ status, text, headers, json }: Answer) {
    const kept = [...headers].filter(([name]) => !['date', 'apigw-requestid', 'location'].includes(name));
    const location = headers.get('location')?.split('?')[0];
    const next = json?.next && `cursor of ${json.next.length} characters`;
    return { status, kept, location, bytes: text.length, body: json ? { ...json, next } : text };
  }

  test.each([
    ['a mail to a shared contact', {}],
    ['an answer in a thread they see', { 'In-Reply-To': '<seen@example.com>', References: '<seen@example.com>' }],
    [
      'the same Message-ID as a mail they see, but another mail',
      { 'Message-ID': '<seen@example.com>', Date: 'Mon, 02 Mar 2026 09:00:00 +0900' },
    ],
  ])('%s', async (what, headers) => {
    await expectStatus(200, mika.api('PATCH', '/v1/dropbox', { visibility: 'record' }));
    await expectStatus(200, mika.api('PATCH', '/v1/dropbox', { visibility: 'sharing', pattern: 'contacts' }));
    // Hidden with the same setting before and after: what is compared is the mail alone.
    const before = new Map<Person, Map<string, unknown>>();
    for (const viewer of viewers()) before.set(viewer, await everything(viewer));

    const { message } = await file(mika, 'shared@customer.example', `hidden: ${what}`, { headers });
    expect((await mika.api('GET', `/v1/messages/${message}`)).status).toBe(200);
    const { held } = await file(mika, 'shared@customer.example', `hidden and held: ${what}`, {
      from: 'unknown@example.org',
      outcome: 'held',
    });

    for (const viewer of viewers()) {
      expect([viewer.email, await everything(viewer)]).toEqual([viewer.email, before.get(viewer)]);
      // By its id it is not there either, exactly as one that never was.
      for (const [path, id] of [
        [`/v1/messages/`, message],
        [`/v1/held/`, held],
      ] as const) {
        const [hidden, unknown] = [await viewer.api('GET', path + id), await viewer.api('GET', path + '0'.repeat(id?.length ?? 0))];
        expect(hidden.status).toBe(404);
        expect(hidden.text.replace(id as string, '')).toBe(unknown.text.replace(/0{20,}/, ''));
      }
    }
  });

  test.each<[string, Record<string, string>]>([
    ['received from a contact', { From: 'shared@customer.example', To: 'mika@example.com' }],
    ['sent to it', { From: 'mika@example.com', To: 'shared@customer.example' }],
    ['that they hold themselves', { From: 'shared@customer.example', To: 'mika@example.com', 'Message-ID': '<held-by-both@example.com>' }],
  ])('a mail of a mailbox %s', async (what, headers) => {
    const subject = `fetched and hidden: ${what}`;
    const raw = rawMail({ ...headers, Subject: subject });
    if (headers['Message-ID']) await fetchMail(host, other, raw);
    const before = new Map<Person, Map<string, unknown>>();
    for (const viewer of viewers()) before.set(viewer, await everything(viewer));
    const id = await fetchMail(host, mika, raw);
    for (const viewer of viewers()) {
      expect([viewer.email, await everything(viewer)]).toEqual([viewer.email, before.get(viewer)]);
      expect((await viewer.api('GET', `/v1/messages/${id}`)).status).toBe(headers['Message-ID'] && viewer === other ? 200 : 404);
    }
  });

  test('and the comparison can fail: a mail they may see is told', async () => {
    await expectStatus(200, mika.api('PATCH', '/v1/dropbox', { visibility: 'record' }));
    const before = await everything(other);
    await file(mika, 'shared@customer.example', 'one more for all');
    expect(await everything(other)).not.toEqual(before);
  });

  test('R-40: what is set to follow the sharing type vanishes for others with the next request, and comes back', async () => {
    const subjects = async (person: Person) =>
      (await itemsOf(person, `/v1/contacts/${known['/v1/contacts/{recordId}']?.[0]}/messages`)).map(({ subject }) => subject);
    expect(await subjects(other)).toContain('Seen by all');
    await expectStatus(200, mika.api('PATCH', '/v1/dropbox', { visibility: 'sharing' }));
    expect(await subjects(other)).not.toContain('Seen by all');
    expect(await subjects(admin)).toEqual([]);
    expect(await subjects(mika)).toContain('Seen by all');
    await expectStatus(200, mika.api('PATCH', '/v1/dropbox', { visibility: 'record' }));
    expect(await subjects(other)).toContain('Seen by all');
  });
});

test('the dropbox address of a member is in no answer to another', async () => {
  const secret = (await dropboxOf(mika)).split('@')[0] as string;
  const contact = await create(mika, 'contacts', 'secret@customer.example');
  await expectStatus(200, mika.api('PATCH', '/v1/dropbox', { visibility: 'record', pattern: 'contacts' }));
  const raw = rawMail({
    From: mika.email,
    To: 'secret@customer.example',
    Subject: 'secret',
    Bcc: `${secret}@dropbox.example.com`,
    'X-Original-To': `${secret}@dropbox.example.com`,
  });
  await host.sendMail({ from: mika.email, rcpt: await dropboxOf(mika), raw });
  const mail = await until(async () => (await itemsOf(other, `/v1/contacts/${contact}/messages`))[0]);
  for (const person of [other, admin]) {
    const paths = [
      `/v1/contacts/${contact}/messages`,
      `/v1/messages/${mail.id}`,
      `/v1/messages/${mail.id}/thread`,
      '/v1/members',
      `/v1/members/${mika.id}`,
    ];
    for (const path of paths) expect((await expectStatus(200, person.api('GET', path))).text).not.toContain(secret);
    const { headers } = await expectStatus(302, person.api('GET', `/v1/messages/${mail.id}/raw`));
    const source = await (await fetch(headers.get('location') as string)).text();
    expect(source).toContain('Subject: secret');
    expect(source).not.toContain(secret);
  }
  expect((await expectStatus(200, admin.api('GET', '/v1/audit'))).text).not.toContain(secret);
});

describe('one mail of several mailboxes', () => {
  const raw = rawMail({
    From: 'Sender <other@example.com>',
    To: 'x@customer.example',
    Subject: 'Blind',
    'Message-ID': '<blind@example.com>',
  });
  const sent = raw.replace(
    'Subject:',
    'Delivered-To: hidden-alias@example.com\r\nBcc: secret@elsewhere.example,\r\n third@elsewhere.example\r\nSubject:',
  );

  test("RFC 5322 3.6.3: who received it learns nothing of the sender's BCC, though the bytes stored are the sender's", async () => {
    const id = await fetchMail(host, other, sent);
    await fetchMail(host, mika, raw);
    const seen = async (person: Person) => {
      const { location } = Object.fromEntries((await person.api('GET', `/v1/messages/${id}/raw`)).headers);
      return (await person.api('GET', `/v1/messages/${id}`)).text + (await (await fetch(location ?? '')).text());
    };
    expect((await seen(other)).match(/secret@|third@/g)?.length).toBe(4);
    expect(await seen(other)).toContain('Delivered-To');
    expect(await seen(mika)).toContain('Blind');
    expect(await seen(mika)).not.toMatch(/secret|third|\bbcc\b|delivered-to|hidden-alias/i);
  });
});
