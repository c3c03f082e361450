import { MAX_RECORD_WORDS } from '../limits.ts';
import { moduleRow } from './module.ts';
import type { StoredRecord } from './record.ts';

/** Longer words are cut, in records and in what is searched alike. */
const MAX_WORD_CHARS = 40;

/**
 * The words the text search finds a record by: of its name, its searched fields and its addresses, each address also
 * as a whole. In upper or lower case, full or half width, it is the same word. At most MAX_RECORD_WORDS.
 */
export function wordsOf(record: Pick<StoredRecord, 'module' | 'name' | 'addresses' | 'fields'>): string[] {
  const searched = Object.entries(moduleRow(record.module).fields).filter(([, row]) => row.kind === 'text' && row.searched);
  const texts = [record.name, ...searched.map(([field]) => record.fields[field])];
  const words = [
    ...texts.flatMap((text) => (typeof text === 'string' ? wordsIn(text) : [])),
    ...record.addresses.map(cut),
    ...record.addresses.flatMap(wordsIn),
  ];
  return [...new Set(words)].slice(0, MAX_RECORD_WORDS);
}

/** The beginnings of words that a search text asks for, the longest first; an address stays whole. Empty when it has none. */
export function prefixesOf(text: string): string[] {
  const prefixes = text
    .normalize('NFKC')
    .toLowerCase()
    .split(/\s+/u)
    .flatMap((part) => (part.includes('@') ? [cut(part.replaceAll('#', ''))] : wordsIn(part)));
  return [...new Set(prefixes)].filter((prefix) => prefix !== '').sort((a, b) => b.length - a.length);
}

// NFKC also turns half-width kana and full-width letters into the ordinary ones.
function wordsIn(text: string): string[] {
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{N}\p{M}ー]+/gu) ?? []
  ).map(cut);
}

const cut = (word: string) => Array.from(word).slice(0, MAX_WORD_CHARS).join('');
