/** True when `domain` is one of `excluded` or a subdomain of one. Both sides normalised. */
export function isExcluded(domain: string, excluded: readonly string[]): boolean {
  return excluded.some((entry) => domain === entry || domain.endsWith(`.${entry}`));
}
