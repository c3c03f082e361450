/**
 * The kinds of records there are, as data: a further one (Recruit's candidates and clients) is a further row.
 * Routes, schemas, search, import and permissions are made from these rows.
 */
export type ModuleRow = {
  /** One of them, as it stands in texts. */
  singular: string;
  title: string;
  /** True: a person or firm with a name and mail addresses. False: a thing with a title. */
  addresses: boolean;
  /** Whether the BCC dropbox matches and creates them (BCC-8). */
  dropbox: boolean;
  /** Fields of their own, beside those all records have. */
  fields: Record<string, FieldRow>;
};

export type FieldRow =
  | { kind: 'text'; about: string /** Found by the text search. */; searched?: true; example: string }
  | { kind: 'amount'; about: string; example: number }
  | { kind: 'date'; about: string; example: string }
  | { kind: 'choice'; about: string; choices: readonly [string, ...string[]]; initially: string }
  /** The record it belongs to: it must exist, and cannot be deleted before. One per module at most. */
  | { kind: 'parent'; about: string; module: 'contacts' };

export const MODULES = {
  leads: {
    singular: 'lead',
    title: 'Leads',
    addresses: true,
    dropbox: true,
    fields: { company: { kind: 'text', about: 'The firm the lead works for', searched: true, example: 'Example Trading' } },
  },
  contacts: {
    singular: 'contact',
    title: 'Contacts',
    addresses: true,
    dropbox: true,
    fields: { account: { kind: 'text', about: 'The customer firm', searched: true, example: 'Example Trading' } },
  },
  deals: {
    singular: 'deal',
    title: 'Deals',
    addresses: false,
    dropbox: false,
    fields: {
      contactId: { kind: 'parent', about: 'The contact the deal is made with', module: 'contacts' },
      stage: { kind: 'choice', about: 'Where the deal stands', choices: ['open', 'won', 'lost'], initially: 'open' },
      amount: { kind: 'amount', about: 'What it is worth', example: 12000 },
      closeDate: { kind: 'date', about: 'When it is to be closed', example: '2027-03-31' },
    },
  },
} as const satisfies Record<string, ModuleRow>;

export type Module = keyof typeof MODULES;

/** The row of a module, in its general type. */
export const moduleRow = (module: Module): ModuleRow => MODULES[module];

export const hasAddresses = (module: Module): boolean => moduleRow(module).addresses;

/** The field that names the record it belongs to, if the module has one. */
export function parentField(module: Module): { field: string; module: Module } | undefined {
  for (const [field, row] of Object.entries(moduleRow(module).fields)) if (row.kind === 'parent') return { field, module: row.module };
  return undefined;
}
