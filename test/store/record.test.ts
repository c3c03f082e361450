import { Problem } from '../../core/errors.ts';
import { newId, stableId, type TenantId } from '../../core/ids.ts';
import { MAX_CUSTOM_FIELDS, MAX_DETACHED_ADDRESSES, MAX_RECORD_ADDRESSES, MAX_RECORDS_PER_ADDRESS } from '../../core/limits.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import { matchAddress, readClaims } from '../../core/record/address-store.ts';
import { findByAddress, listChildren, listRecords, searchRecords } from '../../core/record/list-store.ts';
import type { RecordInput, RecordPatch, StoredRecord } from '../../core/record/record.ts';
import { createFromMail, createRecord, deleteRecord, detachAddress, findRecord, updateRecord } from '../../core/record/record-store.ts';
import type { Table } from '../../core/table/client.ts';
import { auditPartition, memberKey, recordAddressKey } from '../../core/table/keys.ts';
import { aTenant, viewerOf } from '../core/record/viewers.ts';
import { startTable } from '../support/engine.ts';

const NOW = new Date('2026-11-22T10:00:00.000Z');
let table: Table;
let end: () => Promise<void>;
let tenant: TenantId;
let mika: Viewer;
let boss: Viewer;

beforeAll(async () => {
  ({ table, end } = await startTable());
});
afterAll(() => end());

beforeEach(async () => {
  tenant = aTenant();
  mika = viewerOf(tenant);
  boss = viewerOf(tenant, { member: 'boss', administrator: true });
  await table.put({ ...memberKey(tenant, 'noor'), id: 'noor', status: 'active' });
  await table.put({ ...memberKey(tenant, 'gone'), id: 'gone', status: 'deactivated' });
});

const ownOnly = (member = 'mika') =>
  viewerOf(tenant, { member, recordAccess: { leads: 'owner-and-admins', contacts: 'owner-and-admins' } });

let ids = 0;
function create(input: RecordInput, viewer = mika, module: 'leads' | 'contacts' | 'deals' = 'leads') {
  const how = { id: newId(new Date(NOW.getTime() + ids++)), now: NOW, createdBy: { way: 'api' as const, memberId: viewer.member } };
  return createRecord(table, viewer, module, input, how);
}
const lead = (address: string, more: RecordInput = {}) => ({ name: { last: 'Doe' }, addresses: [address], ...more });
const change = (id: string, patch: RecordPatch, viewer = mika, ifMatch?: number) =>
  updateRecord(table, viewer, 'leads', id, patch, { now: NOW, ifMatch });
const remove = (id: string, viewer = mika, ifMatch?: number) => deleteRecord(table, viewer, 'leads', id, { now: NOW, ifMatch });
const problem = (promise: Promise<unknown>) =>
  promise.then(
    () => {
      throw new Error('it was not refused');
    },
    (error) => {
      if (!(error instanceof Problem)) throw error;
      return { status: error.status, code: error.code, ...error.extra };
    },
  );
const linked = async (address: string) =>
  (await matchAddress(table, tenant, address, { consistent: true })).records.map((link) => link.record);
const claimed = async (address: string) => (await readClaims(table, tenant, 'leads', [address])).get(address);
const audited = async () => (await table.all<{ action: string }>({ pk: auditPartition(tenant, '2026-11') })).map((entry) => entry.action);

describe('one record per address and module', () => {
  test('a second lead with the address is refused with the first, and nothing of it is written', async () => {
    const first = await create(lead('a@example.com'));
    const before = await table.all({ pk: auditPartition(tenant, '2026-11') });
    expect(await problem(create(lead('a@example.com', { name: { last: 'Other' } })))).toMatchObject({
      status: 409,
      code: 'duplicate-address',
      existing: { module: 'leads', id: first.id },
    });
    expect((await listRecords(table, mika, 'leads', { limit: 10 })).items).toHaveLength(1);
    expect(await table.all({ pk: auditPartition(tenant, '2026-11') })).toEqual(before);
  });

  test('a contact may have the address of a lead', async () => {
    await create(lead('a@example.com'));
    await create(lead('a@example.com'), mika, 'contacts');
    expect(await linked('a@example.com')).toHaveLength(2);
  });

  test('R-41: a record the caller may not see is not named in the refusal', async () => {
    await create(lead('a@example.com'), boss);
    const answer = await problem(create(lead('a@example.com'), ownOnly()));
    expect(answer).toEqual({ status: 409, code: 'duplicate-address', address: 'a@example.com' });
  });

  test('of 50 at once with the same address one is created', async () => {
    const results = await Promise.allSettled(Array.from({ length: 50 }, () => create(lead('a@example.com'))));
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    expect(await linked('a@example.com')).toHaveLength(1);
    expect((await listRecords(table, mika, 'leads', { limit: 100 })).items).toHaveLength(1);
  });

  test('with allowDuplicate records share an address, and the claim passes on as they are deleted', async () => {
    const first = await create(lead('a@example.com'));
    const second = await create(lead('a@example.com', { allowDuplicate: true }));
    const third = await create(lead('a@example.com', { allowDuplicate: true }));
    expect(await claimed('a@example.com')).toBe([first.id, second.id, third.id].join(' '));

    await remove(first.id);
    expect(await claimed('a@example.com')).toBe([second.id, third.id].join(' '));
    expect(await problem(create(lead('a@example.com')))).toMatchObject({ code: 'duplicate-address' });
    await remove(third.id);
    await remove(second.id);
    expect(await claimed('a@example.com')).toBeUndefined();
    await create(lead('a@example.com'));
  });

  test('deletions, creations and duplicates that meet leave exactly one claim for those that remain', async () => {
    const first = await create(lead('a@example.com'));
    const settled = await Promise.allSettled([
      remove(first.id),
      ...Array.from({ length: 6 }, () => create(lead('a@example.com', { allowDuplicate: true }))),
    ]);
    const left = await linked('a@example.com');
    expect((await claimed('a@example.com'))?.split(' ').sort()).toEqual([...left].sort());
    const made = settled.slice(1).filter((result) => result.status === 'fulfilled').length;
    expect(left).toHaveLength(made + (settled[0]?.status === 'fulfilled' ? 0 : 1));
  });

  test(`${MAX_RECORDS_PER_ADDRESS} records may share an address, and not one more`, async () => {
    for (let i = 0; i < MAX_RECORDS_PER_ADDRESS; i++) await create(lead('a@example.com', { allowDuplicate: true }));
    expect(await problem(create(lead('a@example.com', { allowDuplicate: true })))).toMatchObject({ code: 'too-many-duplicates' });
  });
});

describe('a record that changes', () => {
  test('takes its links, claims and words along in one step', async () => {
    const record = await create({ name: { first: 'Jane', last: 'Doe' }, addresses: ['a@example.com', 'b@example.com'] });
    await table.update(recordAddressKey(tenant, 'b@example.com', 'leads', record.id), {
      update: 'ADD holders :h',
      values: { ':h': new Set(['mika']) },
    });
    const changed = await change(record.id, {
      name: { first: 'Jane', last: 'Roe' },
      addresses: ['b@example.com', 'c@example.com'],
      ownerId: 'noor',
      detach: true,
    });
    expect(changed).toMatchObject({ name: 'Jane Roe', owner: 'noor', version: 2 });
    expect(await linked('a@example.com')).toEqual([]);
    expect(await claimed('a@example.com')).toBeUndefined();
    expect(await claimed('c@example.com')).toBe(record.id);
    const [kept] = (await matchAddress(table, tenant, 'b@example.com')).records;
    expect(kept).toMatchObject({ name: 'Jane Roe', owner: 'noor', holders: new Set(['mika']) });
    expect((await searchRecords(table, mika, 'leads', 'doe', { limit: 9 })).items).toEqual([]);
    expect((await searchRecords(table, mika, 'leads', 'ro', { limit: 9 })).items).toHaveLength(1);
    expect(await audited()).toEqual(expect.arrayContaining(['lead.create', 'lead.change']));
  });

  test('refuses an address another has, and then changes nothing', async () => {
    const other = await create(lead('a@example.com'));
    const record = await create(lead('b@example.com'));
    expect(await problem(change(record.id, { addresses: ['a@example.com'], name: { last: 'New' } }))).toMatchObject({
      code: 'duplicate-address',
      existing: { id: other.id },
    });
    expect(await findRecord(table, mika, 'leads', record.id)).toEqual(record);
    expect(await change(record.id, { addresses: ['a@example.com'], allowDuplicate: true })).toMatchObject({ version: 2 });
    expect(await claimed('a@example.com')).toBe(`${other.id} ${record.id}`);
  });

  test('answers 412 to a version that is no longer its own, and to one that never was', async () => {
    const record = await create(lead('a@example.com'));
    await change(record.id, { company: 'Example' }, mika, 1);
    expect(await problem(change(record.id, { company: 'Other' }, mika, 1))).toMatchObject({ status: 412 });
    expect(await problem(remove(record.id, mika, 1))).toMatchObject({ status: 412 });
    await remove(record.id, mika, 2);
  });

  test('by many at once loses no change', async () => {
    const record = await create(lead('a@example.com'));
    const done = await Promise.allSettled(Array.from({ length: 4 }, (_, i) => change(record.id, { custom: { [`f${i}`]: i } })));
    const { custom } = await findRecord(table, mika, 'leads', record.id);
    const written = done.flatMap((result, i) => (result.status === 'fulfilled' ? [`f${i}`] : []));
    expect(Object.keys(custom).sort()).toEqual(written);
    expect(written.length).toBeGreaterThan(0);
  });

  test('null empties a field, what is left out stays, and no change is no write', async () => {
    const record = await create(lead('a@example.com', { company: 'Example', custom: { one: 1, two: true } }));
    const changed = await change(record.id, { company: null, custom: { one: null, three: 'x' } });
    expect(changed).toMatchObject({ fields: {}, custom: { two: true, three: 'x' }, version: 2 });
    expect(await change(record.id, { name: { last: 'Doe' }, custom: { one: null } })).toEqual(changed);
  });

  test('may be given to active members alone', async () => {
    const record = await create(lead('a@example.com'));
    for (const ownerId of ['gone', 'nobody'])
      expect(await problem(change(record.id, { ownerId }))).toMatchObject({ code: 'unknown-owner' });
    expect(await problem(create(lead('b@example.com', { ownerId: 'gone' })))).toMatchObject({ code: 'unknown-owner' });
    expect(await create(lead('b@example.com', { ownerId: 'noor' }))).toMatchObject({ owner: 'noor' });
  });

  test('at every limit at once fits its transaction', async () => {
    const addresses = (domain: string) => Array.from({ length: MAX_RECORD_ADDRESSES }, (_, i) => `a${i}.b${i}.c${i}@${domain}`);
    const custom = Object.fromEntries(Array.from({ length: MAX_CUSTOM_FIELDS }, (_, i) => [`field ${i}`, '字'.repeat(90)]));
    const record = await create({
      name: { first: 'a b c d e', last: 'f g h i' },
      addresses: addresses('one.example'),
      company: 'j k l',
      custom,
    });
    const changed = await change(record.id, {
      name: { first: 'A1 B1 C1 D1', last: 'E1 F1' },
      addresses: addresses('two.example'),
      detach: true,
      ownerId: 'noor',
      custom: Object.fromEntries(Object.keys(custom).map((name) => [name, '文'.repeat(90)])),
    });
    expect(changed.addresses).toHaveLength(MAX_RECORD_ADDRESSES);
    expect(await problem(change(record.id, { custom: { another: 1 } }))).toMatchObject({ code: 'too-many-custom-fields' });
    await remove(record.id);
    expect(await linked('a0.b0.c0@two.example')).toEqual([]);
  });
});

describe('R-9, ASC-3: an address that is changed', () => {
  const past = (record: StoredRecord, address: string) => record.history?.[address];

  test('stays as a former one: last in the list, found, claimed, and with the day it became one', async () => {
    const record = await create(lead('old@example.com'));
    const changed = await change(record.id, { addresses: ['new@example.com'] });
    expect(changed.addresses).toEqual(['new@example.com', 'old@example.com']);
    expect(past(changed, 'old@example.com')).toEqual({ version: 1, since: NOW.toISOString(), formerSince: NOW.toISOString() });
    expect(await linked('old@example.com')).toEqual([record.id]);
    expect(await problem(create(lead('old@example.com')))).toMatchObject({ code: 'duplicate-address', existing: { id: record.id } });
    expect((await change(record.id, { addresses: ['newer@example.com'] })).addresses).toEqual([
      'newer@example.com',
      'new@example.com',
      'old@example.com',
    ]);
  });

  test('is a present one again when it is listed again', async () => {
    const record = await create(lead('old@example.com'));
    await change(record.id, { addresses: ['new@example.com'] });
    const changed = await change(record.id, { addresses: ['old@example.com', 'new@example.com'] });
    expect(past(changed, 'old@example.com')).toEqual({ version: 1, since: NOW.toISOString() });
  });

  test('is free for others once it is detached, which leaves the other former ones as they are', async () => {
    const record = await create(lead('one@example.com'));
    await change(record.id, { addresses: ['two@example.com'] });
    await change(record.id, { addresses: ['three@example.com'] });
    const detached = await detachAddress(table, mika, 'leads', record.id, 'one@example.com', { now: NOW });
    expect(detached.addresses).toEqual(['three@example.com', 'two@example.com']);
    expect(past(detached, 'one@example.com')).toMatchObject({ version: 4, detachedAt: NOW.toISOString() });
    expect(past(detached, 'two@example.com')?.formerSince).toBe(NOW.toISOString());
    await create(lead('one@example.com'));
    expect(await detachAddress(table, mika, 'leads', record.id, 'one@example.com', { now: NOW })).toEqual(detached);
  });

  test('at most so many, former ones included, and so many detached ones are remembered', async () => {
    const record = await create(lead('a@example.com'));
    const many = Array.from({ length: MAX_RECORD_ADDRESSES }, (_, i) => `n${i}@example.com`);
    expect(await problem(change(record.id, { addresses: many }))).toMatchObject({ code: 'too-many-addresses' });
    for (let turn = 0; turn < 4; turn++) await change(record.id, { addresses: many.map((one) => `${turn}${one}`), detach: true });
    const { history } = await findRecord(table, mika, 'leads', record.id);
    expect(Object.keys(history ?? {})).toHaveLength(MAX_RECORD_ADDRESSES + MAX_DETACHED_ADDRESSES);
    expect(history?.['a@example.com']).toBeUndefined();
  });
});

describe('deals belong to contacts', () => {
  test('a deal needs a contact the caller may see, and a contact with deals cannot be deleted', async () => {
    const contact = await create(lead('a@example.com'), mika, 'contacts');
    const deal = await create({ title: 'Supply', contactId: contact.id, stage: 'open' }, mika, 'deals');
    expect((await listChildren(table, mika, 'deals', { module: 'contacts', id: contact.id }, { limit: 9 })).items).toEqual([deal]);
    const removeContact = () => deleteRecord(table, mika, 'contacts', contact.id, { now: NOW });
    expect(await problem(removeContact())).toMatchObject({ status: 409, code: 'has-deals' });
    expect(await findRecord(table, mika, 'contacts', contact.id)).toMatchObject({ version: 1 });
    await deleteRecord(table, mika, 'deals', deal.id, { now: NOW });
    await removeContact();
  });

  test('a lead, a hidden contact and nothing are no contact', async () => {
    const aLead = await create(lead('a@example.com'));
    const hidden = await create(lead('a@example.com'), boss, 'contacts');
    for (const contactId of [aLead.id, hidden.id, 'nothing']) {
      const viewer = viewerOf(tenant, { recordAccess: { contacts: 'owner-and-admins' } });
      expect(await problem(create({ title: 'Supply', contactId }, viewer, 'deals'))).toMatchObject({ code: 'unknown-contact' });
    }
  });

  test('a deal can move to another contact', async () => {
    const [one, two] = [await create(lead('a@example.com'), mika, 'contacts'), await create(lead('b@example.com'), mika, 'contacts')];
    const deal = await create({ title: 'Supply', contactId: one.id }, mika, 'deals');
    await updateRecord(table, mika, 'deals', deal.id, { contactId: two.id }, { now: NOW });
    await deleteRecord(table, mika, 'contacts', one.id, { now: NOW });
    expect(await problem(deleteRecord(table, mika, 'contacts', two.id, { now: NOW }))).toMatchObject({ code: 'has-deals' });
  });

  test('a contact deleted and a deal made in the same moment never leave a deal without its contact', async () => {
    for (let i = 0; i < 5; i++) {
      const contact = await create(lead(`a${i}@example.com`), mika, 'contacts');
      const [deleted, made] = await Promise.allSettled([
        deleteRecord(table, mika, 'contacts', contact.id, { now: NOW }),
        create({ title: 'Supply', contactId: contact.id }, mika, 'deals'),
      ]);
      expect([deleted?.status, made?.status].sort()).toEqual(['fulfilled', 'rejected']);
    }
  });
});

describe('R-41: records of others under owner-and-admins', () => {
  test('are in no list, search or lookup, and answer 404 to all that names them', async () => {
    const hidden = await create(lead('a@example.com', { name: { last: 'Hidden' } }), boss);
    const viewer = ownOnly();
    expect(await listRecords(table, viewer, 'leads', { limit: 9 })).toEqual({ items: [] });
    expect(await searchRecords(table, viewer, 'leads', 'hid', { limit: 9 })).toEqual({ items: [] });
    expect(await findByAddress(table, viewer, 'leads', 'a@example.com')).toEqual([]);
    for (const answer of [findRecord(table, viewer, 'leads', hidden.id), change(hidden.id, {}, viewer), remove(hidden.id, viewer)]) {
      expect(await problem(answer)).toMatchObject({ status: 404 });
    }
    expect((await listRecords(table, boss, 'leads', { limit: 9 })).items).toHaveLength(1);
  });

  test('neither shorten a page nor show by an empty one after it', async () => {
    for (let i = 0; i < 30; i++) await create(lead(`a${i}@example.com`, { name: { last: `Doe${i}` } }), i % 10 === 0 ? mika : boss);
    const viewer = ownOnly();
    const first = await listRecords(table, viewer, 'leads', { limit: 2 });
    expect(first.items.map((record) => record.name)).toEqual(['Doe20', 'Doe10']);
    const second = await listRecords(table, viewer, 'leads', { limit: 2, cursor: first.next });
    expect(second).toEqual({ items: [expect.objectContaining({ name: 'Doe0' })] });
    expect((await listRecords(table, viewer, 'leads', { limit: 3 })).next).toBeUndefined();

    const found = await searchRecords(table, viewer, 'leads', 'doe', { limit: 2 });
    expect(found.items).toHaveLength(2);
    expect(await searchRecords(table, viewer, 'leads', 'doe', { limit: 2, cursor: found.next })).toEqual({ items: [expect.anything()] });
  });

  test('a permission that is not granted is 403 for the module as a whole', async () => {
    const viewer = viewerOf(tenant, { grants: { leads: { view: false, create: false } } });
    expect(await problem(listRecords(table, viewer, 'leads', { limit: 1 }))).toMatchObject({ status: 403, code: 'no-permission' });
    expect(await problem(create(lead('a@example.com'), viewer))).toMatchObject({ status: 403, code: 'no-permission' });
    const reader = viewerOf(tenant, { grants: { leads: { edit: false } } });
    const record = await create(lead('a@example.com'));
    expect(await problem(change(record.id, {}, reader))).toMatchObject({ status: 403 });
    expect(await problem(remove(record.id, reader))).toMatchObject({ status: 403 });
  });

  test('another tenant sees and claims nothing here', async () => {
    const record = await create(lead('a@example.com'));
    const stranger = viewerOf(aTenant(), { administrator: true });
    expect(await problem(findRecord(table, stranger, 'leads', record.id))).toMatchObject({ status: 404 });
    await create(lead('a@example.com'), stranger);
    expect(await linked('a@example.com')).toEqual([record.id]);
  });
});

describe('lists and searches', () => {
  test('go through all pages, newest first, each record once', async () => {
    const made = [];
    for (let i = 0; i < 7; i++) made.push((await create(lead(`a${i}@example.com`))).id);
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await listRecords(table, mika, 'leads', { limit: 3, cursor });
      seen.push(...page.items.map((record) => record.id));
      cursor = page.next;
    } while (cursor);
    expect(seen).toEqual(made.reverse());
  });

  test('a cursor of another filter is refused, not taken for a fault', async () => {
    for (let i = 0; i < 2; i++) await create(lead(`a${i}@example.com`, { name: { last: 'Zed' } }));
    const listed = await listRecords(table, mika, 'leads', { limit: 1 });
    const found = await searchRecords(table, mika, 'leads', 'zed', { limit: 1 });
    for (const wrong of [
      listRecords(table, mika, 'leads', { limit: 1, cursor: found.next }),
      searchRecords(table, mika, 'leads', 'zed', { limit: 1, cursor: listed.next }),
      searchRecords(table, mika, 'leads', 'exa', { limit: 1, cursor: found.next }),
    ]) {
      expect(await problem(wrong)).toEqual({ status: 422, code: 'bad-cursor' });
    }
  });

  test('a record with several words that match is found once, over all pages', async () => {
    for (let i = 0; i < 4; i++) {
      await create({ name: { first: 'Jane', last: `Jan${i}` }, addresses: [`janet${i}@jan.example`], company: 'Janus' });
    }
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await searchRecords(table, mika, 'leads', 'jan', { limit: 1, cursor });
      seen.push(...page.items.map((record) => record.id));
      cursor = page.next;
    } while (cursor);
    expect(seen).toHaveLength(4);
    expect(new Set(seen).size).toBe(4);
  });

  test('every word of the text must begin a word of the record; Japanese and addresses too', async () => {
    const jane = await create({ name: { first: 'Jane', last: 'Doe' }, addresses: ['jane.d@example.com'], company: '例示商事' });
    await create({ name: { first: 'Jane', last: 'Roe' }, addresses: ['r@example.com'] });
    const taro = await create({ name: { first: '太郎', last: '山田' } });
    const search = async (text: string) => (await searchRecords(table, mika, 'leads', text, { limit: 9 })).items.map((record) => record.id);
    expect(await search('jane do')).toEqual([jane.id]);
    expect(await search('DO JAN')).toEqual([jane.id]);
    expect(await search('例示')).toEqual([jane.id]);
    expect(await search('jane.d@ex')).toEqual([jane.id]);
    expect(await search('山')).toEqual([]);
    expect(await search('山田')).toEqual([taro.id]);
    expect(await search('太')).toEqual([]);
    expect(await search('太郎 山')).toEqual([taro.id]);
    expect(await search('%%')).toEqual([]);
  });
});

describe('records made by mail', () => {
  const mail = (over: object = {}) => ({
    tenant,
    module: 'leads' as const,
    address: 'new@example.com',
    name: 'Doe, Jane',
    owner: 'mika',
    message: 'message1',
    id: stableId(NOW, 'message1', 'new@example.com'),
    at: NOW.toISOString(),
    ...over,
  });

  test('BCC-16, R-21: have the address and the name of the header, and say which mail made them', async () => {
    const link = await createFromMail(table, mail({ possibleDuplicateOf: 'other' }));
    const record = await findRecord(table, mika, 'leads', link.record);
    expect(record).toMatchObject({
      person: { first: 'Jane', last: 'Doe' },
      addresses: ['new@example.com'],
      owner: 'mika',
      createdBy: { way: 'mail', messageId: 'message1' },
      possibleDuplicateOf: 'other',
    });
    expect(link).toMatchObject({ address: 'new@example.com', module: 'leads', createdBy: 'message1' });
    expect(await table.all({ pk: auditPartition(tenant, '2026-11') })).toMatchObject([{ action: 'lead.create', actor: 'mail:message1' }]);
  });

  test('BCC-12: 50 first mails at once make one lead', async () => {
    const links = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        createFromMail(table, mail({ message: `m${i}`, id: stableId(NOW, `m${i}`, 'new@example.com') })),
      ),
    );
    expect(new Set(links.map((link) => link.record)).size).toBe(1);
    expect(new Set(links.map((link) => link.createdBy)).size).toBe(1);
    expect((await listRecords(table, mika, 'leads', { limit: 100 })).items).toHaveLength(1);
    expect(await audited()).toEqual(['lead.create']);
  });

  test('the same mail again makes none, also when the record has changed since', async () => {
    const first = await createFromMail(table, mail());
    expect(await createFromMail(table, mail())).toMatchObject({ record: first.record, createdBy: 'message1' });
    await change(first.record, { addresses: ['moved@example.com'] });
    expect(await createFromMail(table, mail())).toMatchObject({ record: first.record, createdBy: 'message1' });
    expect((await listRecords(table, mika, 'leads', { limit: 9 })).items).toHaveLength(1);
  });

  test('an address that was claimed meanwhile answers the record that has it', async () => {
    const existing = await create(lead('new@example.com'));
    expect(await createFromMail(table, mail())).toMatchObject({ record: existing.id, createdBy: undefined });
  });

  test("R-4: a member's address is told apart", async () => {
    await table.put({ ...recordAddressKey(tenant, 'm@example.com', 'leads', 'x'), sk: 'U', member: 'mika' });
    expect(await matchAddress(table, tenant, 'm@example.com')).toEqual({
      address: 'm@example.com',
      members: [expect.any(String)],
      records: [],
    });
  });

  test('R-24: several records of an address come newest first', async () => {
    const older = await create(lead('a@example.com'));
    const newer = await create(lead('a@example.com', { allowDuplicate: true }));
    expect(await linked('a@example.com')).toEqual([newer.id, older.id]);
  });
});
