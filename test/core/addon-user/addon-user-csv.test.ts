import type { AddonUserRow } from '../../../core/addon-user/addon-user.ts';
import { addonUsersCsv } from '../../../core/addon-user/addon-user-csv.ts';

const row = (more: Partial<AddonUserRow>): AddonUserRow => ({
  id: '1',
  name: 'Mika',
  email: 'mika@example.com',
  administrator: false,
  status: 'active',
  sharing: { inForce: 'custom' },
  ...more,
});
const nameIn = (name: string) =>
  /^1,(.*),mika@/s.exec(
    addonUsersCsv([row({ name })])
      .split('\r\n')
      .slice(1)
      .join('\r\n'),
  )?.[1];

test.each([
  ['佐藤 ミカ', '佐藤 ミカ'],
  ['Sato, "Mika"', '"Sato, ""Mika"""'],
  ['two\nlines', '"two\nlines"'],
])('ADM-2: %j stands in the table so that any program reads it back', (name, cell) => {
  expect(nameIn(name)).toBe(cell);
});

test.each(['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1'])('a cell that begins like %j is no formula to a spreadsheet', (name) => {
  expect(nameIn(name)?.replace(/^"/, '').startsWith(`'${name}`)).toBe(true);
});

test('a line for each user under the names of the columns, with a byte order mark', () => {
  const locked = { by: { id: '9', name: '=cmd' }, since: '2026-03-01T09:00:00.000Z', reason: 'Leaves' };
  const lines = addonUsersCsv([row({}), row({ locked, settingsSavedSince: false })]).split('\r\n');
  expect(lines).toHaveLength(4);
  expect(lines[0]).toMatch(/^\ufeffid,name,email,/);
  expect(lines[2]).toContain(",'=cmd,2026-03-01T09:00:00.000Z,,Leaves,");
  expect(lines[2]).toMatch(/,,false,,,,$/);
});
