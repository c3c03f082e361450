import { fetchMail } from '../support/fetched-mail.ts';
import { startHost, type TestHost, until } from '../support/host.ts';
import { expectStatus } from '../support/matrix-people.ts';
import { insideOnly } from '../support/stage.ts';
import { join, newTenant, type Person, rawMail } from '../support/tenant.ts';

const { test } = insideOnly('it has several members');

let host: TestHost;
let mika: Person;
let other: Person;
beforeAll(async () => {
  host = await startHost({ throttle: { rate: 10_000, burst: 10_000 } });
  const { admin } = await newTenant(host);
  mika = await join(host, admin, 'mika@example.com');
  other = await join(host, admin, 'other@example.com');
});
afterAll(() => host.end());

const get = async (person: Person, path: string) => (await expectStatus(200, person.api('GET', path))).json;
const subjects = async (person: Person, path: string) =>
  (await get(person, `${path}/messages`)).items.map(({ subject }: { subject: string }) => subject);
const finished = (path: string) =>
  until(async () => {
    const progress = await get(mika, `${path}/mail-backfill`);
    return progress.state === 'finished' && progress;
  });
const add = async (module: string, addresses: string[]): Promise<string> => {
  const { json } = await expectStatus(201, mika.api('POST', `/v1/${module}`, { name: { last: 'Sato' }, addresses }));
  return `/v1/${module}/${json.id}`;
};

test.each(['leads', 'contacts'])('ASC-1, R-9, ASC-3: the mail of %s follows their addresses', async (module) => {
  const [old, now] = [`old@${module}.example`, `now@${module}.example`];
  await fetchMail(host, mika, rawMail({ From: old, To: mika.email, Subject: `${module} earlier` }));
  await fetchMail(host, other, rawMail({ From: old, To: other.email, Subject: `${module} of another` }));
  const path = await add(module, [old]);
  expect(await finished(path)).toEqual({
    state: 'finished',
    addresses: [{ address: old, task: 'add', state: 'finished', found: 1, tied: 1 }],
  });
  expect(await subjects(mika, path)).toEqual([`${module} earlier`]);
  expect(await subjects(other, path)).toEqual([`${module} of another`]);

  const { json: changed } = await expectStatus(200, mika.api('PATCH', path, { addresses: [now] }));
  expect(changed).toMatchObject({
    addresses: [now, old],
    addressHistory: [{ address: now }, { address: old, formerSince: expect.any(String) }],
  });
  await fetchMail(host, mika, rawMail({ From: old, To: mika.email, Subject: `${module} later` }));
  await finished(path);
  expect(await subjects(mika, path)).toEqual([`${module} later`, `${module} earlier`]);

  const { json: detached } = await expectStatus(200, mika.api('DELETE', `${path}/addresses/${encodeURIComponent(old.toUpperCase())}`));
  expect(detached).toMatchObject({ addresses: [now], addressHistory: [{ address: now }, { detachedAt: expect.any(String) }] });
  await finished(path);
  for (const person of [mika, other]) expect(await subjects(person, path)).toEqual([]);

  await expectStatus(200, mika.api('PATCH', path, { addresses: [now, old] }));
  await finished(path);
  expect(await subjects(mika, path)).toEqual([`${module} later`, `${module} earlier`]);
});

test('SHR-22, R-42: search and count tell of what the caller sees', async () => {
  const path = await add('contacts', ['search@customer.example']);
  await finished(path);
  for (const subject of ['Offer 1', 'Offer 2', 'Other']) {
    await fetchMail(host, mika, rawMail({ From: 'search@customer.example', To: mika.email, Subject: subject }));
  }
  await fetchMail(host, mika, rawMail({ From: mika.email, To: 'search@customer.example', Subject: 'My offer' }));
  const found = async (person: Person, query: string) =>
    (await get(person, `${path}/messages?${query}`)).items.map(({ subject }: { subject: string }) => subject);
  expect(await found(mika, 'q=OFFER')).toEqual(['My offer', 'Offer 2', 'Offer 1']);
  expect(await found(mika, 'q=offer&direction=received')).toEqual(['Offer 2', 'Offer 1']);
  expect(await found(mika, 'from=%40example.com')).toEqual(['My offer']);
  const first = await get(mika, `${path}/messages?q=offer&limit=2`);
  expect(await found(mika, `q=offer&limit=2&cursor=${encodeURIComponent(first.next)}`)).toEqual(['Offer 1']);
  expect(await get(mika, `${path}/messages/count?q=offer`)).toEqual({ count: 3, atLeast: false });
  expect(await get(mika, `${path}/messages/count`)).toEqual({ count: 4, atLeast: false });
  expect(await found(other, 'q=offer')).toEqual([]);
  expect(await get(other, `${path}/messages/count`)).toEqual({ count: 0, atLeast: false });
});

test('imported records and such as a mail made have their earlier mail, too', async () => {
  await fetchMail(host, mika, rawMail({ From: 'imported@customer.example', To: mika.email, Subject: 'Before the import' }));
  const body = 'last name,email\nImported,imported@customer.example\n';
  await expectStatus(202, mika.api('POST', '/v1/contacts/import', body, { 'content-type': 'text/csv' }));
  const found = async (address: string) =>
    (await get(mika, `/v1/contacts?address=${encodeURIComponent(address)}`)).items[0] as { id: string } | undefined;
  const imported = await until(() => found('imported@customer.example'));
  await until(async () => (await subjects(mika, `/v1/contacts/${imported.id}`)).includes('Before the import'));

  await fetchMail(host, mika, rawMail({ From: 'made@customer.example', To: mika.email, Subject: 'Before the dropbox' }));
  await expectStatus(200, mika.api('PATCH', '/v1/dropbox', { pattern: 'contacts' }));
  const { address } = await get(mika, '/v1/dropbox');
  await host.sendMail({
    from: mika.email,
    rcpt: address,
    raw: rawMail({ From: mika.email, To: 'made@customer.example', Subject: 'Making' }),
  });
  const made = await until(() => found('made@customer.example'));
  await until(async () => (await subjects(mika, `/v1/contacts/${made.id}`)).includes('Before the dropbox'));
});
