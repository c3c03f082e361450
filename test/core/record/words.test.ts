import { MAX_RECORD_WORDS } from '../../../core/limits.ts';
import { prefixesOf, wordsOf } from '../../../core/record/words.ts';

const words = (name: string, addresses: string[] = [], company?: string) =>
  wordsOf({ module: 'leads', name, addresses, fields: company ? { company } : {} });

describe('the words a record is found by', () => {
  test('are those of its name, its firm and its addresses', () => {
    expect(words("Jane O'Doe-Smith", ['j.doe@example.com'], 'Example Trading')).toEqual([
      'jane',
      'o',
      'doe',
      'smith',
      'example',
      'trading',
      'j.doe@example.com',
      'j',
      'com',
    ]); // prettier-ignore
  });

  test('are the same in full and half width, upper and lower case', () => {
    expect(words('ＪＡＮＥ ﾔﾏﾀﾞ')).toEqual(['jane', 'ヤマダ']);
    expect(prefixesOf('ｊａｎｅ ヤマ')).toEqual(['jane', 'ヤマ']);
  });

  test(`end at ${MAX_RECORD_WORDS}, the limit of a transaction`, () => {
    const many = (n: number) => Array.from({ length: n }, (_, i) => `w${i}`).join(' ');
    expect(words(many(MAX_RECORD_WORDS))).toHaveLength(MAX_RECORD_WORDS);
    expect(words(many(MAX_RECORD_WORDS + 1))).toHaveLength(MAX_RECORD_WORDS);
  });

  test('an address in the search text stays whole, and nothing parts a key', () => {
    expect(prefixesOf('doe@exam')).toEqual(['doe@exam']);
    expect(prefixesOf('a#b doe#@x')).toEqual(['doe@x', 'a', 'b']);
    expect(prefixesOf(' -- ')).toEqual([]);
  });
});
