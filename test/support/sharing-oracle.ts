/**
 * Who may see what, said once more: straight from the rules (truth table 2.1, R-5, R-6, R-16, R-31, R-40, R-41, GEN-9), mail by mail and
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
export type OracleMail = { id: string; from: string[]; to: string[]; cc: string[]; thread: string; subject: string; text: string };
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
  /** `mail holder record` of what backups have made visible. */
  backedUp: Set<string>;
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

/** Why the viewer sees one copy on one record, as a word; undefined is "no". What a backup has shown stays so, whatever is set. */
function cell(world: OracleWorld, viewer: string, copy: OracleCopy, record: string): string | undefined {
  const owner = world.members.get(copy.holder) as OracleMember;
  if (copy.holder === viewer) return 'own';
  if (copy.channel === 'dropbox' && owner.dropboxVisibility !== 'sharing') return 'filed-on-record';
  const shared = owner.active ? shares(world, owner, copy, record, isAdministrator(world, viewer)) : undefined;
  if (shared) return shared;
  return copy.channel === 'mailbox' && world.backedUp.has(`${copy.mail} ${copy.holder} ${record}`) ? 'backed-up' : undefined;
}

/** The cell of truth table 2.1 for one copy on one record. */
function shares(world: OracleWorld, owner: OracleMember, copy: OracleCopy, record: string, toAdministrator: boolean): string | undefined {
  const type = typeInForce(world, owner);
  if (type === 'private' || isExcludedByPolicy(world, copy)) return undefined;
  if (type === 'custom') return world.ticks.has(`${record} ${copy.holder}`) ? 'ticked' : undefined;
  if (type === 'admin') return toAdministrator ? 'administrators' : undefined;
  return isExcludedByOwner(world, owner, copy) ? undefined : 'public';
}

/** R-1, and what the organisation allows. */
function typeInForce({ policy }: OracleWorld, { sharing }: OracleMember): string {
  const type = sharing?.type ?? policy?.defaultSharing ?? 'private';
  return policy && !policy.allowedSharing.includes(type) ? 'private' : type;
}

const isAdministrator = (world: OracleWorld, member: string) =>
  world.profiles.get(world.members.get(member)?.profile ?? '')?.administrator === true;

/** the sender of what was received, everybody in To and CC of what was sent. */
function othersOf(world: OracleWorld, copy: OracleCopy): string[] {
  const mail = world.mails.get(copy.mail) as OracleMail;
  return copy.direction === 'received' ? mail.from : [...mail.to, ...mail.cc];
}

const isExcludedByPolicy = (world: OracleWorld, copy: OracleCopy) =>
  othersOf(world, copy).some(
    (address) => isIn(address, world.policy?.excludedDomains ?? []) || world.policy?.excludedAddresses.includes(address),
  );

const isExcludedByOwner = (world: OracleWorld, { sharing }: OracleMember, copy: OracleCopy) =>
  sharing?.type === 'public' && othersOf(world, copy).some((address) => isIn(address, sharing.excludedDomains));

/** BKP-1, BKP-3, R-14: of who is deactivated and shares by record or everything. */
export function oracleMayBackUp(world: OracleWorld, owner: string): boolean {
  const member = world.members.get(owner) as OracleMember;
  return !member.active && ['custom', 'public'].includes(typeInForce(world, member));
}

/** BKP-6, R-16: mail of the mailbox on its records: what the sharing in force shows anybody, or all of it but what is excluded. */
export function oracleBackUp(world: OracleWorld, owner: string, scope: 'shared' | 'all-records'): void {
  const member = world.members.get(owner) as OracleMember;
  for (const copy of world.copies.filter(({ holder, channel }) => holder === owner && channel === 'mailbox')) {
    for (const record of copy.ties) {
      const isCovered =
        scope === 'shared'
          ? shares(world, member, copy, record, false) !== undefined
          : !isExcludedByPolicy(world, copy) && !isExcludedByOwner(world, member, copy);
      if (isCovered) world.backedUp.add(`${copy.mail} ${owner} ${record}`);
    }
  }
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

/** Whether a row of the mail is what is looked for: in the subject, the sender, the first two recipients, the beginning of the text. */
export function oracleMatches({ subject, from, to, text }: OracleMail, { q, from: sender }: { q?: string; from?: string }): boolean {
  const [shown = ''] = from;
  if (sender && !(sender.startsWith('@') ? shown.endsWith(sender) : shown === sender)) return false;
  const row = [subject, shown, ...to.slice(0, 2).map((address) => address.slice(0, 80)), text.slice(0, 150)].join(' ').toLowerCase();
  return (q ?? '').split(' ').every((word) => row.includes(word.toLowerCase()));
}

/** What becomes visible and hidden, and to whom, when the owner chooses otherwise. */
export function oraclePreview(world: OracleWorld, owner: string, change: Pick<OracleMember, 'sharing' | 'dropboxVisibility'>) {
  const changed = { ...world, members: new Map(world.members).set(owner, { ...(world.members.get(owner) as OracleMember), ...change }) };
  const sides = { becomeVisible: { mails: 0, people: new Set<string>() }, becomeHidden: { mails: 0, people: new Set<string>() } };
  for (const mail of world.mails.keys()) {
    const [before, after] = [oracleAudience(world, owner, mail), oracleAudience(changed, owner, mail)];
    const note = (side: { mails: number; people: Set<string> }, who: string[]) => {
      if (who.length > 0) side.mails++;
      for (const one of who) side.people.add(one);
    };
    note(
      sides.becomeVisible,
      after.filter((one) => !before.includes(one)),
    );
    note(
      sides.becomeHidden,
      before.filter((one) => !after.includes(one)),
    );
  }
  const told = ({ mails, people }: { mails: number; people: Set<string> }) => ({ mails, people: people.size });
  return { becomeVisible: told(sides.becomeVisible), becomeHidden: told(sides.becomeHidden), complete: true };
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
