/**
 * True when `domain` is one of `excluded` or a subdomain of one. Both sides normalised. As many steps as the domain has labels, however
 * many are excluded.
 */
export function isExcluded(domain: string, excluded: ReadonlySet<string>): boolean {
  for (let rest = domain; ; ) {
    if (excluded.has(rest)) return true;
    const dot = rest.indexOf('.');
    if (dot === -1) return false;
    rest = rest.slice(dot + 1);
  }
}
