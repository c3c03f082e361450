import { displayName, parseDisplayName } from '../../../core/record/display-name.ts';

const ADDRESS = 'someone@example.com';

describe('R-21: first and last name out of a display name', () => {
  test.each([
    ['Jane Doe', 'Jane', 'Doe'],
    ['Doe, Jane', 'Jane', 'Doe'],
    ['"Doe, Jane"', 'Jane', 'Doe'],
    ["'Jane Doe'", 'Jane', 'Doe'],
    ['  Jane   Doe  ', 'Jane', 'Doe'],
    ['Doe, Jane (Example Ltd)', 'Jane', 'Doe'],
    ['Jane Doe [Example]', 'Jane', 'Doe'],
    ['Dr. Jane Doe', 'Jane', 'Doe'],
    ['Jane Mary Doe', 'Jane Mary', 'Doe'],
    ['Jane van der Doe', 'Jane', 'van der Doe'],
    ['Van Morrison', 'Van', 'Morrison'],
    ['John Doe Jr.', 'John', 'Doe Jr.'],
    ['John Doe, Jr.', 'John', 'Doe, Jr.'],
    ['DUPONT Jean', 'Jean', 'DUPONT'],
    ['Jean DUPONT', 'Jean', 'DUPONT'],
    ['JANE DOE', 'JANE', 'DOE'],
    ['Jane Doe via Sales', 'Jane', 'Doe'],
    ['Jane Doe someone@example.com', 'Jane', 'Doe'],
    ['山田 太郎', '太郎', '山田'],
    ['山田　太郎', '太郎', '山田'],
    ['"山田　太郎"', '太郎', '山田'],
    ['山田 太郎様', '太郎', '山田'],
    ['山田 太郎 様', '太郎', '山田'],
    ['山田 太郎（例示商事株式会社）', '太郎', '山田'],
    ['株式会社例示 山田 太郎', '太郎', '山田'],
    ['山田 太郎 / 例示商事', '太郎', '山田'],
    ['やまだ はなこ', 'はなこ', 'やまだ'],
    ['김 철수', '철수', '김'],
    ['ジョン・スミス', 'ジョン', 'スミス'],
  ])('%s', (text, first, last) => {
    expect(parseDisplayName(text, ADDRESS)).toEqual({ first, last });
  });

  test.each([
    ['Jane', 'Jane'],
    ['Example Trading Ltd', 'Example Trading Ltd'],
    ['Example Trading, Inc.', 'Example Trading, Inc.'],
    ['Doe, Jane, Mary', 'Doe, Jane, Mary'],
    ['株式会社例示', '株式会社例示'],
    ['株式会社例示 営業部', '株式会社例示 営業部'],
    ['山田太郎', '山田太郎'],
  ])('one name alone is the last name: %s', (text, last) => {
    expect(parseDisplayName(text, ADDRESS)).toEqual({ last });
  });

  test.each(['', '   ', '""', '-', ADDRESS, ADDRESS.toUpperCase(), `<${ADDRESS}>`, '\u200b', 'other@example.net'])(
    'without a usable name the last name is the whole address: %j',
    (text) => {
      expect(parseDisplayName(text, ADDRESS)).toEqual({ last: ADDRESS });
    },
  );

  test('a name of a megabyte, of brackets or of half characters is cut, and quickly', () => {
    for (const text of [
      'x '.repeat(500_000),
      '('.repeat(1_000_000),
      '"'.repeat(100_000),
      '\ud83d'.repeat(1000),
      `${'a'.repeat(199)}😀 b`,
    ]) {
      const { first = '', last } = parseDisplayName(text, ADDRESS);
      expect(first.length).toBeLessThanOrEqual(100);
      expect(last.length).toBeLessThanOrEqual(200);
      expect((first + last).isWellFormed()).toBe(true);
    }
  });

  test('a name is shown in the order its people write it', () => {
    expect(displayName({ first: 'Jane', last: 'Doe' })).toBe('Jane Doe');
    expect(displayName({ first: '太郎', last: '山田' })).toBe('山田 太郎');
    expect(displayName({ first: 'ジョン', last: 'スミス' })).toBe('ジョン スミス');
    expect(displayName({ last: 'Example Ltd' })).toBe('Example Ltd');
  });
});
