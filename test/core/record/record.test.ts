import {
  MAX_CUSTOM_BYTES,
  MAX_CUSTOM_FIELDS,
  MAX_FIELD_CHARS,
  MAX_FIRST_NAME_CHARS,
  MAX_NAME_CHARS,
  MAX_RECORD_ADDRESSES,
} from '../../../core/limits.ts';
import { MODULES, type Module } from '../../../core/record/module.ts';
import { recordExample, recordInput, recordPatch, recordReturned, returned, type StoredRecord } from '../../../core/record/record.ts';

const takes = (body: object, module: Module = 'leads') => recordInput[module].safeParse(body).success;
const name = { last: 'Doe' };
const repeat = (n: number, make: (i: number) => string) => Array.from({ length: n }, (_, i) => make(i));
const custom = (n: number) => Object.fromEntries(repeat(n, (i) => `field ${i}`).map((field) => [field, 1]));

describe('the limits of a record', () => {
  test.each([
    ['addresses', (n: number) => ({ name, addresses: repeat(n, (i) => `a${i}@example.com`) }), MAX_RECORD_ADDRESSES],
    ['custom fields', (n: number) => ({ name, custom: custom(n) }), MAX_CUSTOM_FIELDS],
    ['characters of a field', (n: number) => ({ name, custom: { a: 'x'.repeat(n) } }), MAX_FIELD_CHARS],
    ['characters of a last name', (n: number) => ({ name: { last: 'x'.repeat(n) } }), MAX_NAME_CHARS],
    ['characters of a first name', (n: number) => ({ name: { ...name, first: 'x'.repeat(n) } }), MAX_FIRST_NAME_CHARS],
    ['characters of a company', (n: number) => ({ name, company: 'x'.repeat(n) }), MAX_NAME_CHARS],
    ["characters of a field's name", (n: number) => ({ name, custom: { ['x'.repeat(n)]: 1 } }), 64],
  ])('%s: at the limit taken, one past it refused', (_, body, limit) => {
    expect([takes(body(limit)), takes(body(limit + 1))]).toEqual([true, false]);
  });

  test('numbers that DynamoDB would round or refuse are refused', () => {
    const number = (value: number) => takes({ name, custom: { value } });
    expect([number(0.1), number(-1e15), number(0), number(1e-50)]).toEqual([true, true, true, true]);
    expect([number(2 ** 53), number(1e300), number(1e-120), number(Number.NaN)]).toEqual([false, false, false, false]);
  });
});

describe('the body of a record', () => {
  test('has its addresses in one spelling, each once, the first one first', () => {
    const body = recordInput.leads.parse({ name, addresses: [' B@Example.COM ', 'a@example.com', 'b@example.com'] });
    expect(body).toMatchObject({ addresses: ['b@example.com', 'a@example.com'] });
    expect(takes({ name, addresses: ['a#b@example.com'] })).toBe(false);
  });

  test('is refused with what it must not have, or without what it must', () => {
    expect([takes({}), takes({ name: {} }), takes({ name, titel: 'x' }), takes({ name: { last: ' ' } })]).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect([takes({ name: { last: 'a\u0000b' } }), takes({ name, ownerId: '' }), takes({ name, id: 'x' })]).toEqual([false, false, false]);
    const deal = { title: 'Supply', contactId: 'x' };
    expect(recordInput.deals.parse(deal)).toEqual({ ...deal, stage: 'open' });
    for (const bad of [{ stage: 'perhaps' }, { closeDate: '2027-02-30' }, { addresses: [] }, { contactId: undefined }]) {
      expect(takes({ ...deal, ...bad }, 'deals')).toBe(false);
    }
  });

  test('of a change may empty what may be empty, and nothing else', () => {
    const takesPatch = (patch: object, module: Module = 'leads') => recordPatch[module].safeParse(patch).success;
    expect([takesPatch({}), takesPatch({ company: null }), takesPatch({ custom: { a: null } })]).toEqual([true, true, true]);
    expect([takesPatch({ name: null }), takesPatch({ addresses: null }), takesPatch({ version: 2 })]).toEqual([false, false, false]);
    expect([takesPatch({ amount: null }, 'deals'), takesPatch({ stage: null }, 'deals'), takesPatch({ contactId: null }, 'deals')]).toEqual(
      [true, false, false],
    );
  });

  test.each(Object.keys(MODULES) as Module[])('of %s: the example of the documentation is taken', (module) => {
    expect(recordInput[module].safeParse(recordExample(module)).error).toBeUndefined();
  });
});

test('an answer names what the contract names, and no more', () => {
  const record: StoredRecord & { secret: string } = {
    id: 'x',
    module: 'leads',
    name: 'Jane Doe',
    person: { first: 'Jane', last: 'Doe' },
    addresses: ['a@example.com'],
    owner: 'mika',
    fields: { company: 'Example' },
    custom: { a: 1 },
    createdAt: '2026-01-01T00:00:00.000Z',
    updatedAt: '2026-01-01T00:00:00.000Z',
    version: 1,
    createdBy: { way: 'mail', messageId: 'm' },
    possibleDuplicateOf: 'y',
    children: 3,
    secret: 'x',
  };
  const { person: _, children: __, secret: ___, owner, fields: ____, possibleDuplicateOf: _____, ...rest } = record;
  expect(recordReturned.leads.parse(returned(record))).toEqual({
    ...rest,
    name: { first: 'Jane', last: 'Doe', display: 'Jane Doe' },
    ownerId: owner,
    company: 'Example',
    addressHistory: [],
  });
  expect(recordReturned.leads.parse(returned(record, { module: 'contacts', id: 'y' }))).toMatchObject({
    possibleDuplicateOf: { module: 'contacts', id: 'y' },
  });
});

test('MAX_CUSTOM_BYTES of custom fields are taken together, one more is refused', () => {
  const fields = (bytes: number) => {
    const empty = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`f${i}`, '']));
    let left = bytes - JSON.stringify(empty).length;
    return Object.fromEntries(
      Object.keys(empty).map((name) => {
        const length = Math.min(left, MAX_FIELD_CHARS);
        left -= length;
        return [name, 'x'.repeat(length)];
      }),
    );
  };
  expect(JSON.stringify(fields(MAX_CUSTOM_BYTES))).toHaveLength(MAX_CUSTOM_BYTES);
  const taken = (bytes: number) => recordInput.leads.safeParse({ name: { last: 'x' }, custom: fields(bytes) }).success;
  expect([taken(MAX_CUSTOM_BYTES), taken(MAX_CUSTOM_BYTES + 1)]).toEqual([true, false]);
});
