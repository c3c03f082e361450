import { parse } from 'tldts-icann';
import { invalid } from '../errors.ts';
import { normaliseDomain } from '../message/address.ts';

/**
 * A domain as it is compared, from what people type (`@example.com`, `*.example.com`). Undefined for what is no domain,
 * and for a public suffix (`co.jp`): it would exclude half the world.
 */
function readDomain(text: string): string | undefined {
  const domain = normaliseDomain(text.trim().replace(/^@|^\*\./, ''));
  // example.com has a registrable domain, co.jp has none; an unlisted name such as corp.local counts as one.
  return domain && parse(domain).domain ? domain : undefined;
}

/** All of them normalised, sorted, once each. Throws `invalid-domain` naming those that are none. */
export function normaliseDomains(domains: string[]): string[] {
  const bad = domains.filter((domain) => readDomain(domain) === undefined);
  if (bad.length > 0) {
    throw invalid(
      'invalid-domain',
      'Give domains such as example.com. Public suffixes such as co.jp are refused: they cover other companies.',
      {
        domains: bad,
      },
    );
  }
  return [...new Set(domains.map((domain) => readDomain(domain) as string))].sort();
}
