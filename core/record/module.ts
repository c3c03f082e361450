/** The kinds of records. Recruit's candidates and clients are two more rows. */
export const MODULES = {
  leads: { singular: 'lead', addresses: true },
  contacts: { singular: 'contact', addresses: true },
  deals: { singular: 'deal', addresses: false },
} as const satisfies Record<string, { singular: string; addresses: boolean }>;

export type Module = keyof typeof MODULES;
