/**
 * Who may see what, said once more: straight from the rules (truth table 2.1, R-5, R-6, R-31, R-40, R-41, GEN-9), mail by mail and
 * viewer by viewer, over plain data. It imports nothing of the product, so that no mistake can be in both.
 */
export type Grants = { leads: boolean; contacts: boolean };
export type OracleSharing = { type: 'private' | 'custom' | 'admin' } | { type: 'public'; excludedDomains: string[] };
export type OracleMember = {
  id: string;
  email: string;
  profile: string;
  active: boolean;
  confirmed: boolean;
  sharing?: OracleSharing;
  dropboxVisibility?: 'record' | 'sharing';
};
export type OracleRecord = { id: string; module: 'leads' | 'contacts'; owner: string; addresses: string[] };
export type OraclePolicy = { defaultSharing: string; allowedSharing: string[]; excludedDomains: string[]; excludedAddresses: string[] };
export type OracleMail = { id: string; from: string[]; to: string[]; cc: string[]; thread: string };
/** Who holds a mail, how it came to them, and the records it was tied to then. */
export type OracleCopy = { mail: string; holder: string; channel: 'dropbox' | 'mailbox'; direction: 'sent' | 'received'; ties: string[] };
export type OracleWorld = {
  profiles: Map<string, { administrator: boolean; view: Grants }>;
  access: { leads: 'everyone' | 'owner-and-admins'; contacts: 'everyone' | 'owner-and-admins' };
  policy?: OraclePolicy;
  /** never matched. */
  unmatchedDomains: string[];
  members: Map<string, OracleMember>;
  records: Map<string, OracleRecord>;
  /** `record owner` of each tick. */
  ticks: Set<string>;
  mails: Map<string, OracleMail>;
  copies: OracleCopy[];
};
export type Sight = { owner: string; because: string; record?: string };

/** */
export function oracleReads(world: OracleWorld, viewer: string, record: OracleRecord): boolean {
  const profile = world.profiles.get(world.members.get(viewer)?.profile ?? '');
  if (!profile) return false;
  if (profile.administrator) return true;
  if (!profile.view[record.module]) return false;
  return world.access[record.module] === 'everyone' || record.owner === viewer;
}

/** The cell of truth table 2.1 for one copy on one record, as a word; undefined is "no". */
function cell(world: OracleWorld, viewer: string, copy: OracleCopy, record: string): string | undefined {
  const owner = world.members.get(copy.holder) as OracleMember;
  if (copy.holder === viewer) return 'own';
  if (copy.channel === 'dropbox' && owner.dropboxVisibility !== 'sharing') return 'filed-on-record';
  if (!owner.active) return undefined;
  const { policy } = world;
  const type = owner.sharing?.type ?? policy?.defaultSharing ?? 'private';
  if (policy && !policy.allowedSharing.includes(type)) return undefined;
  const mail = world.mails.get(copy.mail) as OracleMail;
  const others = copy.direction === 'received' ? mail.from : [...mail.to, ...mail.cc];
  if (policy && others.some((address) => isIn(address, policy.excludedDomains) || policy.excludedAddresses.includes(address)))
    return undefined;
  if (type === 'custom') return world.ticks.has(`${record} ${copy.holder}`) ? 'ticked' : undefined;
  if (type === 'admin') return world.profiles.get(world.members.get(viewer)?.profile ?? '')?.administrator ? 'administrators' : undefined;
  if (type !== 'public') return undefined;
  const excluded = owner.sharing?.type === 'public' ? owner.sharing.excludedDomains : [];
  return others.some((address) => isIn(address, excluded)) ? undefined : 'public';
}

/** a domain stands for its subdomains, too. */
function isIn(address: string, domains: string[]): boolean {
  const labels = address.split('@')[1]?.split('.') ?? [];
  return labels.some((_, i) => domains.includes(labels.slice(i).join('.')));
}

/** Every way in which the viewer sees a mail, none when they do not (R-31, SHR-22). */
export function oracleSights(world: OracleWorld, viewer: string, mail: string): Sight[] {
  const sights: Sight[] = [];
  for (const copy of world.copies.filter((one) => one.mail === mail)) {
    const on: Sight[] = [];
    for (const id of copy.ties) {
      const record = world.records.get(id);
      if (!record || !oracleReads(world, viewer, record)) continue;
      const because = cell(world, viewer, copy, id);
      if (because) on.push({ owner: copy.holder, because, record: id });
    }
    if (on.length === 0 && copy.holder === viewer) on.push({ owner: viewer, because: 'own' });
    sights.push(...on);
  }
  return sights;
}

/** Whose copies show the mail on one record. */
export function oracleHoldersOn(world: OracleWorld, viewer: string, record: string, mail: string): Set<string> {
  return new Set(oracleSights(world, viewer, mail).flatMap((sight) => (sight.record === record ? sight.owner : [])));
}

/** Which colleagues see a mail through this owner's own copies. */
export function oracleAudience(world: OracleWorld, owner: string, mail: string): string[] {
  const colleagues = [...world.members.values()].filter(({ id, active, confirmed }) => id !== owner && active && confirmed);
  return colleagues.filter(({ id }) => oracleSights(world, id, mail).some((sight) => sight.owner === owner)).map(({ id }) => id);
}

/**
 * The records a mail is tied to for one holder: those with an address of the other side (ASC-1) that the holder may read. The
 * dropbox takes contacts before leads, address by address (BCC-13, BCC-14). Never by a colleague's address or one of a domain
 * that is not matched, nor by the fifty-first.
 */
export function oracleTies(world: OracleWorld, holder: string, channel: OracleCopy['channel'], others: string[], own: string[]): string[] {
  const colleagues = new Set([...world.members.values()].map(({ email }) => email));
  const looked = [...new Set(others)].filter((address) => !own.includes(address) && !isIn(address, world.unmatchedDomains)).slice(0, 50);
  const tied = looked.flatMap((address) => {
    if (colleagues.has(address)) return [];
    const found = [...world.records.values()].filter(({ addresses }) => addresses.includes(address));
    const contacts = found.filter(({ module }) => module === 'contacts');
    return channel === 'dropbox' && contacts.length > 0 ? contacts : found;
  });
  return [...new Set(tied.filter((record) => oracleReads(world, holder, record)).map(({ id }) => id))];
}
