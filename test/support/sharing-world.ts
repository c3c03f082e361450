import { ingestMailbox } from '../../core/account/ingest-mailbox.ts';
import { readBackup, startBackup } from '../../core/backup/backup-store.ts';
import { type BackupRoom, runBackup } from '../../core/backup/run-backup.ts';
import { ingest } from '../../core/dropbox/ingest.ts';
import { Problem } from '../../core/errors.ts';
import { newId, newTenantId, sha256, stableId, type TenantId } from '../../core/ids.ts';
import { builtInProfiles, permissions } from '../../core/member/profile.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import type { Mailroom } from '../../core/message/mailroom.ts';
import type { ParsedMail } from '../../core/message/parsed-mail.ts';
import type { Table } from '../../core/table/client.ts';
import {
  dropboxKey,
  mailAccountKey,
  mailSettingsKey,
  memberAddressKey,
  memberKey,
  profileKey,
  recordAddressKey,
  recordKey,
  tenantKey,
  tickKey,
} from '../../core/table/keys.ts';
import { readViewer } from '../../core/tenant/tenant-store.ts';
import { delivery, MAIL_DOMAIN, mail, START } from './dropbox-world.ts';
import {
  type OracleCopy,
  type OracleMember,
  type OraclePolicy,
  type OracleRecord,
  type OracleWorld,
  oracleBackUp,
  oracleMayBackUp,
  oracleTies,
} from './sharing-oracle.ts';

/** Random numbers that a seed brings back. */
export class Dice {
  private state: number;
  constructor(seed: number) {
    this.state = seed >>> 0;
  }
  /** 0 to n - 1 (mulberry32). */
  below(n: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  }
  chance = (percent: number) => this.below(100) < percent;
  one = <T>(from: readonly T[]): T => from[this.below(from.length)] as T;
  some = <T>(from: readonly T[], percent: number): T[] => from.filter(() => this.chance(percent));
  /** At least one of them. */
  several = <T>(from: readonly T[], percent: number): T[] => {
    const chosen = this.some(from, percent);
    return chosen.length > 0 ? chosen : [this.one(from)];
  };
}

/** Domains that are one another's parents, that only end alike, that are not ASCII, and the organisation's own. */
const DOMAINS = ['a.example', 'mail.a.example', 'x.mail.a.example', 'nota.example', 'b.example', 'xn--r8jz45g.example', 'example.com'];
/** Longer than a list shows. */
const LONG = `${'long-'.repeat(12)}@${'sub-'.repeat(8)}x.a.example`;
const ADDRESSES = [...DOMAINS.slice(0, -1).flatMap((domain) => [`taro@${domain}`, `aya@${domain}`]), LONG];
const OFFICE = 'office@example.com';
const TYPES = ['private', 'custom', 'public', 'admin'] as const;

/** A tenant that chance made, twice: as the product's items, written by its own code where mail is concerned, and as the oracle's. */
export class SharingWorld {
  readonly tenant: TenantId = newTenantId();
  readonly oracle: OracleWorld = {
    profiles: new Map(),
    access: { leads: 'everyone', contacts: 'everyone' },
    unmatchedDomains: [],
    members: new Map(),
    records: new Map(),
    ticks: new Set(),
    mails: new Map(),
    copies: [],
    backedUp: new Set(),
  };
  private readonly table: Table;
  private readonly dice: Dice;
  private readonly dropboxes = new Map<string, { address: string; senders: string[] }>();
  private readonly parsed = new Map<string, ParsedMail>();
  private readonly room: Mailroom;
  private clock = Date.parse(START);
  private count = 0;

  constructor(table: Table, dice: Dice) {
    this.table = table;
    this.dice = dice;
    this.room = {
      table,
      mailDomain: MAIL_DOMAIN,
      readRaw: async (key) => Buffer.from(key),
      readMail: async (raw) => this.parsed.get(raw.toString()),
      backfills: { send: async () => {} },
    };
  }

  /** People, records and settings. */
  async settle(): Promise<void> {
    const { dice, oracle } = this;
    if (dice.chance(30)) oracle.unmatchedDomains = [dice.one(['b.example', 'mail.a.example'])];
    for (const id of ['administrator', 'standard', 'selling']) {
      oracle.profiles.set(id, { administrator: id === 'administrator', view: { leads: true, contacts: true } });
    }
    for (let n = 0; n < 4 + dice.below(4); n++) await this.addMember(n);
    for (let n = 0; n < 3 + dice.below(4); n++) await this.addRecord(n);
    await this.changeSettings();
  }

  /** Everything that decides who sees what, rolled anew: for all members, or one of them. */
  async changeSettings(): Promise<void> {
    const { dice, oracle } = this;
    const people = [...oracle.members.values()];
    oracle.policy = dice.chance(40) ? undefined : this.somePolicy();
    oracle.access = { leads: this.someAccess(), contacts: this.someAccess() };
    for (const id of ['standard', 'selling']) {
      oracle.profiles.set(id, { administrator: false, view: { leads: dice.chance(85), contacts: dice.chance(85) } });
    }
    for (const member of people) {
      member.active = dice.chance(85);
      member.profile = dice.one(['administrator', 'standard', 'standard', 'selling']);
      member.dropboxVisibility = dice.one([undefined, 'record', 'sharing', 'sharing']);
      member.sharing = this.someSharing();
    }
    for (const record of oracle.records.values()) {
      if (dice.chance(30)) record.owner = dice.one(people).id;
      for (const { id } of people) {
        const tick = `${record.id} ${id}`;
        if (dice.chance(50)) oracle.ticks.add(tick);
        else oracle.ticks.delete(tick);
      }
    }
    await this.write();
  }

  /** A mail to or from customers, as it reaches all who hold it. Some answer an earlier one. */
  async exchange(): Promise<void> {
    const { dice, oracle } = this;
    const people = [...oracle.members.values()];
    const way = dice.one(['received', 'received', 'sent', 'sent', 'dropbox', 'dropbox', 'both'] as const);
    const holders = dice.several(people, 35);
    const isShared = dice.chance(50);
    const from = way === 'received' ? [dice.one(ADDRESSES)] : [isShared ? OFFICE : (holders[0] as OracleMember).email];
    if (way === 'received' && dice.chance(10)) from.push(dice.one(ADDRESSES));
    const isToNobody = dice.chance(10);
    const to = way === 'received' ? holders.map(({ email }) => email) : isToNobody ? [] : this.someRecipients();
    const cc = isToNobody || dice.chance(40) ? this.someRecipients() : [];
    const id = this.addMail([...new Set(from)], to, cc);
    for (const holder of holders) {
      if (way !== 'dropbox') await this.fetch(id, holder);
    }
    const senders = holders.filter(({ active, email }) => active && from.every((address) => address === OFFICE || address === email));
    if (way === 'dropbox' || way === 'both') await this.sendToDropboxes(id, senders);
  }

  /** A customer who writes to one member all the time, in one conversation or in many: more than a page's share of a record's mail. */
  async chatter(): Promise<void> {
    const { dice, oracle } = this;
    const holder = dice.one([...oracle.members.values()]);
    const customer = dice.one([...oracle.records.values()].flatMap(({ addresses }) => addresses));
    const thread = dice.chance(50) ? `chatter-${++this.count}@${this.tenant}` : undefined;
    for (let n = dice.one([8, 17, 40]); n > 0; n--) await this.fetch(this.addMail([customer], [holder.email], [], thread), holder);
  }

  /** An administrator backs up somebody's mail, most often as they leave; answers whether it was refused when, and only when, it should be. */
  async backUp(): Promise<{ refused: boolean; expected: boolean } | undefined> {
    const { dice, oracle, tenant, table } = this;
    const administrator = (await this.viewers()).find(({ profile }) => profile.administrator);
    const others = [...oracle.members.values()].filter(({ id }) => id !== administrator?.member);
    if (!administrator) return undefined;
    const owner = dice.one(others);
    // Most of those who are backed up have just left.
    if (dice.chance(70)) owner.active = false;
    await this.write();
    const expected = !oracleMayBackUp(oracle, owner.id);
    const scope = dice.one(['shared', 'all-records'] as const);
    await table.put({ ...mailAccountKey(tenant, owner.id, 'acc'), id: 'acc', address: owner.email, protocol: 'pop3' });
    await table.put({ ...mailSettingsKey(tenant, owner.id), active: 'acc', savedAt: START, version: 1 });
    const now = new Date(this.tickClock());
    const room = this.backupRoom();
    const id = newId(now);
    const started = startBackup(room, administrator, owner.id, 'backup', { scope, id, now }).then(() => true);
    const refused = !(await started.catch((error) => (error instanceof Problem ? false : Promise.reject(error))));
    if (refused) return { refused, expected };
    while ((await readBackup(table, tenant, id))?.state === 'running') await runBackup(room, tenant, id, new Date(this.clock + 1));
    oracleBackUp(oracle, owner.id, scope);
    return { refused, expected };
  }

  private backupRoom(): BackupRoom {
    return {
      table: this.table,
      queue: { send: async () => {} },
      files: { write: async () => {}, digest: async () => ({ sha256: '', bytes: 1 }) },
      tell: async () => {},
      publicUrl: 'https://crm.example.com',
      clock: () => new Date(this.clock),
      pageMails: 7,
    };
  }

  /** One more copy of a mail that is there already, for somebody else: answers it, unless they hold it so already. */
  async alsoHeld(mailId: string): Promise<OracleCopy | undefined> {
    const holder = this.dice.one([...this.oracle.members.values()]);
    if (this.oracle.copies.some(({ mail: held, holder: by, channel }) => held === mailId && by === holder.id && channel === 'mailbox'))
      return undefined;
    await this.fetch(mailId, holder);
    return this.oracle.copies.at(-1);
  }

  /** Those who may ask at all, as the API's authoriser finds them. */
  async viewers(): Promise<Viewer[]> {
    const found = await Promise.all([...this.oracle.members.keys()].map((id) => readViewer(this.table, this.tenant, id)));
    return found.flatMap((viewer) => viewer ?? []);
  }

  private addMail(from: string[], to: string[], cc: string[], conversation?: string): string {
    const { dice, oracle, tenant } = this;
    const named = (addresses: string[]) => addresses.map((address) => ({ address, name: '' }));
    const messageId = `${++this.count}@${tenant}`;
    const earlier = [...oracle.mails.values()];
    const root = conversation ?? (earlier.length > 0 && dice.chance(50) ? dice.one(earlier).thread : undefined);
    // Automatic, so that the dropbox makes no records: whom it makes is another oracle's business.
    const automatic = 'list';
    const mails = { messageId, references: root ? [root] : [], from: named(from), to: named(to), cc: named(cc), automatic } as const;
    const [subject, text] = [`${dice.one(['Offer', 'Ihr Angebot', '見積'])} ${this.count}`, dice.one(['Dear Taro', 'Terms of delivery'])];
    const parsed = mail({ ...mails, references: [...mails.references], subject, text, attachments: [] });
    const id = sha256(tenant, 'header', messageId, parsed.dateHeader ?? '', from[0] ?? '').slice(0, 40);
    this.parsed.set(id, parsed);
    oracle.mails.set(id, { id, from, to, cc, thread: root ?? messageId, subject, text });
    return id;
  }

  private async fetch(id: string, holder: OracleMember): Promise<void> {
    const { oracle, tenant, table } = this;
    const { from, to, cc } = oracle.mails.get(id) as NonNullable<ReturnType<OracleWorld['mails']['get']>>;
    // Half of the mailboxes are the office's, whose mail several read.
    const address = Number(holder.email[1]) % 2 === 0 ? OFFICE : holder.email;
    await table.put({ ...mailAccountKey(tenant, holder.id, 'acc'), id: 'acc', address });
    await this.ingestFetched(id, holder);
    const direction = from.some((one) => one === address || one === holder.email) ? 'sent' : 'received';
    const ties = oracleTies(oracle, holder.id, 'mailbox', direction === 'sent' ? [...to, ...cc] : from, [address]);
    oracle.copies.push({ mail: id, holder: holder.id, channel: 'mailbox', direction, ties });
  }

  private async ingestFetched(id: string, holder: OracleMember): Promise<void> {
    const seen = sha256(id, holder.id);
    const outcome = await ingestMailbox(this.room, {
      tenant: this.tenant,
      member: holder.id,
      account: 'acc',
      seen,
      rawKey: id,
      rawSize: id.length,
      receivedAt: this.tickClock(),
    });
    if (outcome !== 'filed') throw new Error(`a fetched mail was ${outcome}`);
  }

  private async sendToDropboxes(id: string, holders: OracleMember[]): Promise<void> {
    const { oracle } = this;
    const { to, cc } = oracle.mails.get(id) as { to: string[]; cc: string[] };
    for (const holder of holders) {
      const { address, senders } = this.dropboxes.get(holder.id) as { address: string; senders: string[] };
      const [outcome] = await ingest(this.room, delivery([address], { rawKey: id, receivedAt: this.tickClock() }));
      const ties = oracleTies(oracle, holder.id, 'dropbox', [...to, ...cc], senders);
      const expected = ties.length > 0 ? 'filed' : 'held';
      if (outcome?.outcome !== expected) throw new Error(`a dropbox mail was ${outcome?.outcome} ${outcome?.reason}, not ${expected}`);
      if (ties.length > 0) oracle.copies.push({ mail: id, holder: holder.id, channel: 'dropbox', direction: 'sent', ties });
    }
  }

  private tickClock(): string {
    this.clock += 60_000;
    return new Date(this.clock).toISOString();
  }

  /** One to sixty: most mails go to a few, and customers stand anywhere among the others. */
  private someRecipients(): string[] {
    const { dice } = this;
    const known = dice.several([...ADDRESSES, 'm1@example.com', 'boss@example.com'], dice.one([3, 8, 20]));
    const others = dice.chance(20) ? Array.from({ length: dice.one([2, 30, 47, 48, 49, 50, 56]) }, (_, n) => `p${n}@others.example`) : [];
    const at = dice.below(others.length + 1);
    return [...new Set([...others.slice(0, at), ...known, ...others.slice(at)])].slice(0, 60);
  }

  someSharing(): OracleMember['sharing'] {
    const type = this.dice.one([undefined, 'public', 'public', ...TYPES] as const);
    if (type === 'public') return { type, excludedDomains: this.dice.chance(40) ? [] : this.dice.some(DOMAINS, 20).slice(0, 5) };
    return type && { type };
  }

  private somePolicy(): OraclePolicy {
    const { dice } = this;
    return {
      defaultSharing: dice.one(['private', 'custom', 'admin']),
      allowedSharing: dice.chance(60) ? [...TYPES] : dice.several(TYPES, 60),
      excludedDomains: dice.chance(50) ? [] : dice.some(DOMAINS, 15),
      excludedAddresses: dice.chance(50) ? [] : dice.some(ADDRESSES, 10),
    };
  }

  private someAccess = () => (this.dice.chance(70) ? 'everyone' : 'owner-and-admins');

  private async addMember(n: number): Promise<void> {
    const { oracle, tenant, table, dice } = this;
    const id = stableId(new Date(this.clock), tenant, `member ${n}`);
    const email = `m${n}@example.com`;
    oracle.members.set(id, { id, email, profile: 'standard', active: true, confirmed: dice.chance(95) });
    await table.put({ ...memberAddressKey(tenant, email), member: id });
    this.dropboxes.set(id, { address: `${sha256(tenant, id).slice(0, 26)}@${MAIL_DOMAIN}`, senders: [email, OFFICE] });
  }

  private async addRecord(n: number): Promise<void> {
    const { oracle, tenant, table, dice } = this;
    const id = stableId(new Date(this.clock + n), tenant, String(n));
    const addresses = dice.several(ADDRESSES, 15).slice(0, 4);
    const record: OracleRecord = { id, module: dice.one(['leads', 'contacts']), owner: dice.one([...oracle.members.keys()]), addresses };
    oracle.records.set(id, record);
    for (const address of addresses) await table.put({ ...recordAddressKey(tenant, address, record.module, id), ...linkOf(record) });
  }

  /** The oracle's settings as the product keeps them. */
  private async write(): Promise<void> {
    const { oracle, tenant, table } = this;
    const { policy, access, unmatchedDomains } = oracle;
    const organisation = {
      id: tenant,
      name: 'Example',
      timeZone: 'UTC',
      recordAccess: access,
      excludedDomains: unmatchedDomains,
      createdAt: START,
    };
    await table.put({
      ...tenantKey(tenant),
      ...organisation,
      version: 1,
      ...(policy ? { mailPolicy: { ...policy, storeOnlyRecordMail: false } } : {}),
    });
    const [administrator, standard] = builtInProfiles();
    for (const [id, { administrator: isAdmin, view }] of oracle.profiles) {
      const modules = permissions({ leads: { view: view.leads }, contacts: { view: view.contacts } }, true);
      await table.put({ ...profileKey(tenant, id), ...(isAdmin ? administrator : { ...standard, modules }), id });
    }
    for (const { id, email, profile, active, confirmed, sharing, dropboxVisibility } of oracle.members.values()) {
      const status = active ? 'active' : 'deactivated';
      const { address, senders } = this.dropboxes.get(id) as { address: string; senders: string[] };
      await table.put({
        ...memberKey(tenant, id),
        id,
        name: id,
        email,
        profile,
        status,
        confirmed,
        createdAt: START,
        version: 1,
        sharing,
        dropboxVisibility,
      });
      await table.put({ ...dropboxKey(sha256(address)), ...dropboxOf(tenant, id, profile, address, senders) });
    }
    for (const record of oracle.records.values()) {
      await table.put({ ...recordKey(tenant, record.id), ...linkOf(record), ...record });
      for (const address of record.addresses) {
        await table.update(recordAddressKey(tenant, address, record.module, record.id), {
          update: 'SET #owner = :owner',
          names: { '#owner': 'owner' },
          values: { ':owner': record.owner },
        });
      }
      for (const id of oracle.members.keys()) {
        const key = tickKey(tenant, record.id, id);
        if (oracle.ticks.has(`${record.id} ${id}`)) await table.put({ ...key, owner: id, at: START });
        else await table.delete(key);
      }
    }
  }
}

const linkOf = ({ id, module, owner }: OracleRecord) => ({ record: id, module, owner, name: id, createdAt: START });

const dropboxOf = (tenant: TenantId, member: string, profile: string, address: string, senders: string[]) => ({
  hash: sha256(address),
  tenant,
  member,
  profile,
  pattern: 'contacts-then-leads',
  createIn: 'leads',
  severalRecords: 'all',
  senders: senders.map((sender, i) => ({ id: String(i), address: sender, addedAt: START, verifiedAt: START })),
  createdAt: START,
  version: 1,
});
