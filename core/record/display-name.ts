import { MAX_FIRST_NAME_CHARS, MAX_NAME_CHARS } from '../limits.ts';
import type { PersonName } from './record.ts';

const EAST_ASIAN = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}]/gu;
const QUOTES = /^["'“”‘’「『](.+)["'“”‘’」』]$/u;
const BRACKETED_END = /^(.*?\S)\s*(?:\([^()]*\)|（[^（）]*）|\[[^[\]]*\]|【[^【】]*】|<[^<>]*>)$/u;
const SUFFIX = /^(?:jr|sr|ii|iii|iv|ph\.?d|m\.?d|mba|esq)\.?$/i;
const LEGAL_FORM = /^(?:inc|ltd|llc|l\.l\.c|co|corp|gmbh|ag|s\.?a|s\.?r\.?l|k\.?k|plc|b\.?v|kg|limited)\.?$/i;
const SALUTATION = /^(?:mr|mrs|ms|miss|dr|prof|herr|frau|mme)\.?$/i;
const PARTICLE = /^(?:van|von|vom|zu|de|der|den|del|della|di|da|das|do|dos|du|la|le|ter|ten|bin|ibn|al|el|st\.?)$/i;
const COMPANY_EAST_ASIAN = /株式会社|有限会社|合同会社|合資会社|一般社団法人|一般財団法人|㈱|㈲|\(株\)|（株）|\(有\)|（有）/u;
const HONORIFIC = /(?<=.)(?:\s+|(?<=\p{L}))(?:様|さま|さん|殿|氏|先生)$/u;

/** Beyond this a display name is no name; cut before any pattern looks at it. */
const MAX_DISPLAY_NAME_CHARS = 400;

/**
 * First and last name out of the display name of a mail header: "First Last", "Last, First", East Asian names
 * with the family name first, quotes, a company in brackets at the end. Without a usable name the last name is the
 * whole address, for a record must have one. Never throws.
 */
export function parseDisplayName(displayName: string, address: string): PersonName {
  const name = tidy(displayName, address);
  if (name === '') return { last: cut(address, MAX_NAME_CHARS) };
  const { first, last } = EAST_ASIAN.test(name) ? eastAsianName(name) : westernName(name);
  return { ...(first ? { first: cut(first, MAX_FIRST_NAME_CHARS) } : {}), last: cut(last, MAX_NAME_CHARS) };
}

/** A name as it is shown: the family name first where people write it so. */
export function displayName({ first, last }: PersonName): string {
  if (!first) return last;
  // A middle dot separates foreign names in Japanese, given name first; such names come here in two parts of katakana.
  const familyFirst = EAST_ASIAN.test(last + first) && !/^[\p{Script=Katakana}ー]+$/u.test(first + last);
  return familyFirst ? `${last} ${first}` : `${first} ${last}`;
}

function tidy(displayName: string, address: string): string {
  let name = spaced(cut(displayName, MAX_DISPLAY_NAME_CHARS).normalize('NFC'));
  for (let before = ''; before !== name; ) {
    before = name;
    name = spaced(name.replace(QUOTES, '$1').replace(BRACKETED_END, '$1'));
  }
  // "Jane Doe via Sales" is how list servers rewrite From.
  name = name.replace(/\s+via\s+.+$/i, '');
  name = spaced(name.replace(/\S*[^\s,]@[^\s,]\S*/gu, ' '));
  return name.toLowerCase() === address || !/[\p{L}\p{N}]/u.test(name) ? '' : name;
}

function westernName(name: string): PersonName {
  const [left = '', right = '', ...more] = name.split(/\s*,\s*/).filter((part) => part !== '');
  if (more.length > 0 || LEGAL_FORM.test(right)) return { last: name };
  if (right && SUFFIX.test(right)) {
    const person = westernName(left);
    return { ...person, last: `${person.last}, ${right}` };
  }
  if (right) return { first: right, last: left };

  const words = left.split(' ').filter((word) => word !== '');
  while (words.length > 1 && SALUTATION.test(words[0] ?? '')) words.shift();
  if (LEGAL_FORM.test(words.at(-1) ?? '')) return { last: words.join(' ') };
  if (words.length < 2) return { last: words.join(' ') || name };

  // "DUPONT Jean": capitals mark the family name where only it has them.
  const capitals = words.findIndex((word) => !isCapitals(word));
  if (capitals > 0) return { first: words.slice(capitals).join(' '), last: words.slice(0, capitals).join(' ') };

  let start = words.length - 1;
  if (SUFFIX.test(words[start] ?? '') && start > 1) start--;
  while (start > 1 && PARTICLE.test(words[start - 1] ?? '')) start--;
  return { first: words.slice(0, start).join(' '), last: words.slice(start).join(' ') };
}

function eastAsianName(name: string): PersonName {
  // "山田 太郎 / 例示商事", "山田 太郎＠例示商事": what follows is where the person works.
  const [before = name] = name.split(/\s*[/／|｜＠]\s*/u).filter((part) => part !== '');
  const words = before
    .replace(HONORIFIC, '')
    .split(/\s*[,，、]\s*|\s+/u)
    .filter((word) => word !== '');
  const people = words.length > 2 ? words.filter((word) => !COMPANY_EAST_ASIAN.test(word)) : words;
  const [family, given, ...more] = people;
  if (family && given && more.length === 0 && !COMPANY_EAST_ASIAN.test(family + given)) return { first: given, last: family };
  const [foreignGiven, foreignFamily, ...others] = before.split('・');
  if (words.length === 1 && foreignGiven && foreignFamily && others.length === 0) return { first: foreignGiven, last: foreignFamily };
  return { last: words.join(' ') || name };
}

const isCapitals = (word: string) => /\p{Lu}{2}/u.test(word) && word === word.toUpperCase();

const spaced = (text: string) => text.replace(INVISIBLE, ' ').replace(/\s+/gu, ' ').trim();

/** The first `max` UTF-16 units, never half a character. */
const cut = (text: string, max: number) => (text.length <= max ? text : text.slice(0, max).toWellFormed().replace(/�$/u, ''));
