/** The one table: every entity by `pk` and `sk`, expiry by `ttl` (seconds). Both hosts create it from this page. */
export const tableDefinition = {
  partitionKey: 'pk',
  sortKey: 'sk',
  ttlAttribute: 'ttl',
} as const;
