import { until } from '../support/host.ts';
import { openStage, type Stage } from '../support/stage.ts';

let stage: Stage;
let api: Stage['administrator']['api'];

beforeAll(async () => {
  stage = await openStage();
  ({ api } = stage.administrator);
});
afterAll(() => stage.end());

const jane = { name: { first: 'Jane', last: 'Doe' }, addresses: ['Jane@Example.com'], company: 'Example', custom: { segment: 'retail' } };

test('a lead is added, found, changed by its ETag, and deleted', async () => {
  const made = await api('POST', '/v1/leads', jane);
  expect(made).toMatchObject({ status: 201, json: { module: 'leads', addresses: ['jane@example.com'], company: 'Example', version: 1 } });
  const path = made.headers.get('location') ?? '';
  expect((await api('GET', path)).json).toEqual(made.json);
  for (const query of ['q=jan%20do', 'address=JANE%40example.com']) {
    expect((await api('GET', `/v1/leads?${query}`)).json).toEqual({ items: [made.json] });
  }
  // Other files of the suite make leads of the same tenant meanwhile, when it is that of a stage.
  expect((await api('GET', '/v1/leads')).json.items).toContainEqual(made.json);

  const etag = made.headers.get('etag') ?? '';
  const changed = await api('PATCH', path, { company: null, custom: { segment: null, size: 3 } }, { 'if-match': etag });
  expect(changed).toMatchObject({ status: 200, json: { custom: { size: 3 }, version: 2 } });
  expect(changed.json.company).toBeUndefined();
  expect(await api('PATCH', path, { company: 'Other' }, { 'if-match': etag })).toMatchObject({ status: 412, json: { code: 'stale' } });
  expect((await api('DELETE', path, undefined, { 'if-match': etag })).status).toBe(412);
  expect((await api('DELETE', path)).status).toBe(204);
  expect((await api('GET', path)).status).toBe(404);
});

test('R-9: an address is detached by its path, whatever it holds: %, what looks like an escape, a slash, a plus, other letters', async () => {
  const odd = [
    '50%off@example.com',
    'a%41b@example.com',
    'c/d/e@example.com',
    '/s=x/@example.com',
    'plus+tag@example.com',
    '山田@example.com',
  ];
  const { id } = (await api('POST', '/v1/contacts', { name: { last: 'Odd' }, addresses: ['plain@odd.example', ...odd] })).json;
  for (const [done, address] of odd.entries()) {
    const { status, json } = await api('DELETE', `/v1/contacts/${id}/addresses/${encodeURIComponent(address)}`);
    expect([address, status, json.addresses]).toEqual([address, 200, ['plain@odd.example', ...odd.slice(done + 1)]]);
  }
  for (const none of ['%25zz', '%2F', '%00', 'no-address', '%E3%81%82']) {
    expect(await api('DELETE', `/v1/contacts/${id}/addresses/${none}`)).toMatchObject({ status: 422, json: { code: 'invalid-address' } });
  }
  expect((await api('DELETE', `/v1/contacts/${id}/addresses/%zz`)).status).toBe(400);
});

test('a second record with the address is refused with the first, and taken when that is meant', async () => {
  const first = await api('POST', '/v1/contacts', { name: { last: 'Roe' }, addresses: ['roe@example.com'] });
  const second = { name: { last: 'Roe again' }, addresses: ['ROE@example.com'] };
  expect(await api('POST', '/v1/contacts', second)).toMatchObject({
    status: 409,
    json: { code: 'duplicate-address', existing: { module: 'contacts', id: first.json.id } },
  });
  expect((await api('POST', '/v1/contacts', { ...second, allowDuplicate: true })).status).toBe(201);
});

test('deals are found by their contact, page by page', async () => {
  const contact = await api('POST', '/v1/contacts', { name: { last: 'Buyer' } });
  for (const title of ['One', 'Two', 'Three']) await api('POST', '/v1/deals', { title, contactId: contact.json.id, amount: 5 });
  const first = await api('GET', `/v1/deals?contactId=${contact.json.id}&limit=2`);
  expect(first.json.items).toHaveLength(2);
  const second = await api('GET', `/v1/deals?contactId=${contact.json.id}&limit=2&cursor=${encodeURIComponent(first.json.next)}`);
  expect(second.json).toEqual({ items: [expect.objectContaining({ title: 'Three', stage: 'open', contactId: contact.json.id })] });
  expect(await api('DELETE', `/v1/contacts/${contact.json.id}`)).toMatchObject({ status: 409, json: { code: 'has-deals' } });
  expect(await api('GET', `/v1/deals?contactId=${contact.json.id}&q=one`)).toMatchObject({ status: 422, json: { code: 'one-filter' } });
});

test('what does not fit is refused with the reason, and no id is too strange', async () => {
  const bad = await api('POST', '/v1/leads', { name: { first: 'Jane' }, addresses: ['nobody'], colour: 'red' });
  expect(bad.status).toBe(422);
  expect(bad.json.errors.map((error: { at: string }) => error.at)).toEqual(expect.arrayContaining(['name.last', 'addresses.0']));
  for (const id of ['x', '%23', 'a'.repeat(5000), '%00', '..%2f..']) {
    expect((await api('GET', `/v1/leads/${id}`)).status).toBe(404);
    expect((await api('GET', `/v1/imports/${id}`)).status).toBe(404);
  }
  expect(await api('POST', '/v1/deals', { title: 'x', contactId: '#' })).toMatchObject({ status: 422, json: { code: 'unknown-contact' } });
});

test("a cursor is its list's own: of another filter it is refused", async () => {
  for (const last of ['Zed', 'Zebra']) await api('POST', '/v1/leads', { name: { last } });
  const { next } = (await api('GET', '/v1/leads?limit=1')).json;
  expect(await api('GET', `/v1/leads?limit=1&q=ze&cursor=${encodeURIComponent(next)}`)).toMatchObject({
    status: 422,
    json: { code: 'bad-cursor' },
  });
});

test('an import tells what became of each line', async () => {
  const csv =
    'First name,Last name,Email,Region\r\nKen,Ito,ken@import.example,East\r\nNo,Address,nonsense,\r\nKen,Again,KEN@import.example,\r\n';
  const started = await api('POST', '/v1/leads/import', csv, { 'content-type': 'text/csv; charset=utf-8' });
  expect(started).toMatchObject({ status: 202, json: { state: 'running', total: 3 } });
  const path = started.headers.get('location') ?? '';
  const state = await until(async () => {
    const { json } = await api('GET', path);
    return json.state !== 'running' && json;
  });
  expect(state).toMatchObject({ state: 'done', handled: 3, created: 1, duplicates: 1, invalid: 1 });
  const first = await api('GET', `${path}/report?limit=2`);
  const second = await api('GET', `${path}/report?limit=2&cursor=${encodeURIComponent(first.json.next)}`);
  expect([...first.json.items, ...second.json.items]).toMatchObject([
    { line: 2, outcome: 'created' },
    { line: 3, outcome: 'invalid' },
    { line: 4, outcome: 'duplicate', existing: first.json.items[0].id },
  ]);
  const found = await api('GET', `/v1/leads/${first.json.items[0].id}`);
  expect(found.json).toMatchObject({ name: { display: 'Ken Ito' }, custom: { Region: 'East' }, createdBy: { way: 'import' } });
  expect(await api('POST', '/v1/leads/import', csv, { 'content-type': 'application/json' })).toMatchObject({ status: 415 });
});
