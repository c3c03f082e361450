import { MODULES, type Module } from '../../core/record/module.ts';
import type { Route } from '../../functions/api/route.ts';
import { operationNames } from '../../functions/api/routes/records.ts';

/** Those with a good token: two Standard members, one whose profile has no right at all, and two tenants' administrators. */
export type Caller = 'mika' | 'other' | 'outsider' | 'administrator' | 'stranger';
export const CALLERS: readonly Caller[] = ['mika', 'other', 'outsider', 'administrator', 'stranger'];

/** Those whose things are asked for. */
export type Owner = 'mika' | 'other' | 'stranger';
export const OWNERS: readonly Owner[] = ['mika', 'other', 'stranger'];

/** What an id can name. `matrix-world.ts` knows how to make each. */
export type Thing =
  | 'token'
  | 'member'
  | 'invited'
  | 'profile'
  | 'sender'
  | 'unverified'
  | 'held'
  | 'lead'
  | 'contact'
  | 'deal'
  | 'mail'
  | 'import'
  | 'mail account'
  | 'add-on user'
  | 'held add-on user'
  | 'locked add-on user'
  | 'leaver'
  | 'backup'
  | 'exported backup'
  | 'running export'
  | 'running backup'
  | 'off-boarding'
  | 'running off-boarding'
  | 'failed off-boarding';

/** Who sees a thing. Never anybody of another tenant. */
export type Seen =
  /** Its owner alone. */
  | 'owner'
  /** Every member of the tenant. */
  | 'tenant'
  /** Whoever's profile has the module: its default is `everyone`. */
  | 'module'
  /** The owner and administrators; also a module whose default is `owner-and-admins`. */
  | 'owner-and-administrators';

/** What the matrix must know of a route beside the contract itself. */
export type Cell = {
  /** What the id in the path names, and who sees it. A route without an id has none. */
  thing?: Thing;
  seen?: Seen;
  /** Further parameters of the path. */
  path?: Record<string, string>;
  /** Its query, where one must be given. */
  query?: string;
  /** A body that is taken, another one each time. */
  body?: (nth: number) => unknown;
  /** Its media type when it is not JSON. */
  type?: string;
  /** Callers whom the operation itself refuses, and the code. */
  refuses?: Partial<Record<Caller, string>>;
  /** Success uses the thing up: each needs one of its own. */
  spends?: true;
};

/** Leads are kept to owners and administrators in this world, contacts and deals are everyone's. */
const SEEN: Record<Module, Seen> = { leads: 'owner-and-administrators', contacts: 'module', deals: 'module' };
const THING: Record<Module, Thing> = { leads: 'lead', contacts: 'contact', deals: 'deal' };

/** With an address that is nobody's: so that no caller changes what the next one finds. */
const mailSettings = {
  activeMailbox: null,
  fromAddress: 'nobody@example.com',
  sharing: { type: 'private' },
  dropboxVisibility: 'record',
  gather: null,
};

/** THE CELLS, by operation. A route of the contract without a row here fails the matrix. */
export const cells: Record<string, Cell> = {
  readOpenapi: {},
  readMe: {},
  listTokens: {},
  createToken: { body: (n) => ({ name: `token ${n}` }) },
  revokeToken: { thing: 'token', seen: 'owner', spends: true },
  confirmMember: { body: () => ({ code: 'wrong' }), refuses: everybody('bad-code') },
  listMembers: {},
  inviteMember: { body: (n) => ({ name: 'Invited', email: `invited-${n}@example.com` }) },
  readMember: { thing: 'member', seen: 'tenant' },
  patchMember: { thing: 'member', seen: 'tenant', body: (n) => ({ name: `Renamed ${n}` }) },
  inviteAgain: { thing: 'invited', seen: 'tenant' },
  listProfiles: {},
  createProfile: { body: (n) => ({ name: `Profile ${n}` }) },
  readProfile: { thing: 'profile', seen: 'tenant' },
  patchProfile: { thing: 'profile', seen: 'tenant', body: (n) => ({ name: `Changed ${n}` }) },
  readOrganisation: {},
  patchOrganisation: { body: () => ({ timeZone: 'Asia/Tokyo' }) },
  listAudit: {},
  readDropbox: {},
  patchDropbox: { body: () => ({ severalRecords: 'all' }) },
  regenerateDropbox: {},
  readVcard: {},
  listSenders: {},
  addSender: { body: (n) => ({ address: `sender-${n}@example.com` }) },
  sendCodeAgain: { thing: 'unverified', seen: 'owner' },
  verifySender: { thing: 'sender', seen: 'owner', body: () => ({ code: '00000000' }) },
  removeSender: { thing: 'sender', seen: 'owner', spends: true },
  listActivity: {},
  listHeld: {},
  readHeld: { thing: 'held', seen: 'owner' },
  downloadHeld: { thing: 'held', seen: 'owner' },
  // While a replay is at work the mail cannot be discarded: the next route gets another one.
  replayHeld: { thing: 'held', seen: 'owner', spends: true },
  discardHeld: { thing: 'held', seen: 'owner', spends: true },
  ...Object.assign({}, ...Object.keys(MODULES).map((module) => moduleCells(module as Module))),
  readImport: { thing: 'import', seen: 'owner-and-administrators' },
  listImportReport: { thing: 'import', seen: 'owner-and-administrators' },
  listOwnMail: {},
  readMailSettings: {},
  saveMailSettings: { body: () => mailSettings, refuses: everybody('not-your-address') },
  previewMailSettings: { body: () => ({ sharing: { type: 'public' }, dropboxVisibility: 'record' }) },
  shareLeadsMail: { thing: 'lead', seen: SEEN.leads, body: () => ({ shared: true }) },
  shareContactsMail: { thing: 'contact', seen: SEEN.contacts, body: () => ({ shared: true }) },
  explainVisibility: { thing: 'mail', seen: SEEN.leads },
  listLeadsMessages: { thing: 'lead', seen: SEEN.leads },
  listContactsMessages: { thing: 'contact', seen: SEEN.contacts },
  countLeadsMessages: { thing: 'lead', seen: SEEN.leads },
  countContactsMessages: { thing: 'contact', seen: SEEN.contacts },
  readLeadsBackfill: { thing: 'lead', seen: SEEN.leads },
  readContactsBackfill: { thing: 'contact', seen: SEEN.contacts },
  // The mails of this world hang on leads, so they are seen by who sees those.
  readMessage: { thing: 'mail', seen: SEEN.leads },
  readThread: { thing: 'mail', seen: SEEN.leads },
  downloadRaw: { thing: 'mail', seen: SEEN.leads },
  listMailAccounts: {},
  createMailAccount: { body: (n) => mailAccount(n) },
  createHostedMailbox: { body: (n) => ({ name: `Hosted ${n}`, localPart: `hosted.${n}` }) },
  readMailAccount: { thing: 'mail account', seen: 'owner' },
  patchMailAccount: { thing: 'mail account', seen: 'owner', body: (n) => ({ name: `Renamed ${n}` }) },
  removeMailAccount: { thing: 'mail account', seen: 'owner', spends: true },
  changeIncomingPassword: { thing: 'mail account', seen: 'owner', body: () => ({ password: 'another one' }) },
  changeOutgoingPassword: { thing: 'mail account', seen: 'owner', body: () => ({ password: 'another one' }) },
  activateMailAccount: { thing: 'mail account', seen: 'owner' },
  makeMailAccountMain: { thing: 'mail account', seen: 'owner' },
  listMailProviders: {},
  discoverMailServers: { query: '?address=mika@gmail.com' },
  testMailServers: { body: (n) => mailAccount(n) },
  testMailAccount: { thing: 'mail account', seen: 'owner' },
  // Asked for again within a minute it is 429: each needs one of its own.
  pollMailAccount: { thing: 'mail account', seen: 'owner', spends: true },
  listPolls: { thing: 'mail account', seen: 'owner' },
  listFromAddresses: {},
  // One's own addresses differ from caller to caller.
  chooseFromAddress: { body: () => ({ address: 'nobody@example.com' }), refuses: everybody('not-your-address') },
  listAddonUsers: {},
  downloadAddonUsers: {},
  readAddonUser: { thing: 'add-on user', seen: 'tenant' },
  lockAddonUser: { thing: 'add-on user', seen: 'tenant', body: () => ({ reason: 'Leaves soon' }), spends: true },
  holdAddonUserMail: { thing: 'add-on user', seen: 'tenant', body: () => ({ reason: 'Lawsuit' }), spends: true },
  releaseAddonUserMail: { thing: 'held add-on user', seen: 'tenant', spends: true },
  unlockAddonUser: { thing: 'locked add-on user', seen: 'tenant', body: () => ({}), spends: true },
  // Of one member one backup runs at a time: each needs a member of its own.
  startBackup: { thing: 'leaver', seen: 'tenant', body: () => ({ scope: 'shared' }), spends: true },
  startLatestBackup: { thing: 'leaver', seen: 'tenant', body: () => ({ scope: 'all-records' }), spends: true },
  // Of nobody there is: each is answered for itself. `backup.test.ts` names those of another tenant.
  startLatestBackups: { body: () => ({ members: ['none'] }) },
  checkOffboarding: { thing: 'leaver', seen: 'tenant' },
  startOffboarding: { thing: 'leaver', seen: 'tenant', body: () => ({ scope: 'shared' }), spends: true },
  listOffboardings: {},
  readOffboarding: { thing: 'off-boarding', seen: 'tenant' },
  resumeOffboarding: { thing: 'failed off-boarding', seen: 'tenant', spends: true },
  cancelOffboarding: { thing: 'running off-boarding', seen: 'tenant', spends: true },
  listBackups: { thing: 'member', seen: 'tenant' },
  readBackup: { thing: 'backup', seen: 'tenant' },
  downloadBackupManifest: { thing: 'backup', seen: 'tenant' },
  startBackupExport: { thing: 'exported backup', seen: 'tenant', body: () => ({ format: 'zip' }) },
  readBackupExport: { thing: 'exported backup', seen: 'tenant', path: { format: 'zip' } },
  downloadBackupExport: { thing: 'exported backup', seen: 'tenant', path: { format: 'zip', file: '1' } },
  cancelBackupExport: { thing: 'running export', seen: 'tenant', path: { format: 'zip' }, spends: true },
  cancelBackup: { thing: 'running backup', seen: 'tenant', spends: true },
  downloadAttachment: { thing: 'mail', seen: SEEN.leads, path: { index: '0' } },
};

/** What is wrong with the table of cells, in words that say what to do; empty when each route has its cells. */
export function missingCells(routes: readonly Route[], table: Record<string, Cell> = cells): string[] {
  const known = new Set(routes.map(({ operation }) => operation));
  return [
    ...routes.flatMap((route) => problemsOf(route, table[route.operation])),
    ...Object.keys(table)
      .filter((operation) => !known.has(operation))
      .map((operation) => `cells.${operation}: no route has this operation any more. Take the row out.`),
  ];
}

function problemsOf({ operation, method, path, body }: Route, cell: Cell | undefined): string[] {
  const say = (text: string) => [`${method} ${path}: ${text} (test/support/matrix-cells.ts, cells.${operation})`];
  const needed = `{${path.includes('{') ? " thing: what its id names, seen: who sees another's," : ''}${body ? ' body: one that is taken' : ''} }`;
  if (!cell) return say(`has no cells. Add ${needed}`);
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '');
  const told = parameters.filter((name) => cell.path?.[name] !== undefined).length + (cell.thing ? 1 : 0);
  if (told !== parameters.length || Boolean(cell.thing) !== Boolean(cell.seen))
    return say(`its cells do not fit its path. They need ${needed}`);
  if (Boolean(body) !== Boolean(cell.body)) return say(`its cells do not fit its body. They need ${needed}`);
  return [];
}

function moduleCells(module: Module): Record<string, Cell> {
  const names = operationNames(module);
  const refuses = { outsider: 'no-permission' } as const;
  const record = { thing: THING[module], seen: SEEN[module] };
  const isDeal = module === 'deals';
  const lines = isDeal ? 'title,contactId\nImported,00000000000000000000000000\n' : 'last name\nImported\n';
  return {
    [names.list]: { refuses },
    [names.create]: isDeal
      ? // Of another tenant's contact, of a hidden one and of none a deal cannot be made; `isolation.test.ts` makes real ones.
        { body: () => ({ title: 'Deal', contactId: 'none' }), refuses: { ...everybody('unknown-contact'), ...refuses } }
      : { body: (n) => ({ name: { last: `New ${n}` } }), refuses },
    [names.read]: record,
    [names.patch]: { ...record, body: (n) => ({ custom: { turn: n } }) },
    ...(isDeal ? {} : { [names.detach]: { ...record, path: { address: 'nobody@example.com' } } }),
    [names.remove]: { ...record, spends: true },
    [names.import]: { body: () => lines, type: 'text/csv', refuses },
  };
}

/** A form of a mail account, each for another mailbox, on a server that nobody reaches. */
export function mailAccount(nth: number, name = 'Mailbox') {
  const outgoing = { host: 'smtp.example.invalid', sameCredentials: true };
  return {
    name,
    address: `mailbox-${nth}@example.com`,
    incoming: { host: 'pop.example.invalid', userName: `mailbox-${nth}`, password: 'secret' },
    outgoing,
  };
}

function everybody(code: string): Record<Caller, string> {
  return Object.fromEntries(CALLERS.map((caller) => [caller, code])) as Record<Caller, string>;
}
