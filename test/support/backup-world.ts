import type { MailAccount } from '../../core/account/account.ts';
import { ingestMailbox } from '../../core/account/ingest-mailbox.ts';
import type { Backup, BackupJob, BackupStanding } from '../../core/backup/backup.ts';
import { readBackup, type StartRoom, startBackup } from '../../core/backup/backup-store.ts';
import type { BackupKind } from '../../core/backup/eligibility.ts';
import type { Export, ExportFormat, ExportJob } from '../../core/backup/export.ts';
import { type ExportStartRoom, readExport, startExport } from '../../core/backup/export-store.ts';
import { type BackupRoom, runBackup } from '../../core/backup/run-backup.ts';
import { type ExportRoom, runExport } from '../../core/backup/run-export.ts';
import type { BackupScope } from '../../core/backup/scope.ts';
import { ingest } from '../../core/dropbox/ingest.ts';
import { newId, sha256 } from '../../core/ids.ts';
import { patchMember } from '../../core/member/member-store.ts';
import { builtInProfiles } from '../../core/member/profile.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import type { Mailroom } from '../../core/message/mailroom.ts';
import type { ParsedMail } from '../../core/message/parsed-mail.ts';
import { listTimeline } from '../../core/message/timeline-store.ts';
import type { ProductMail } from '../../core/outbound/send.ts';
import type { Sharing } from '../../core/sharing/sharing.ts';
import type { Table } from '../../core/table/client.ts';
import { backupStandingKey, hostedAddressKey, mailAccountKey, mailSettingsKey, memberKey } from '../../core/table/keys.ts';
import { delivery, dropboxWorld, existing, MAIL_DOMAIN, mail, type World } from './dropbox-world.ts';

export const NINE = new Date('2026-03-02T09:00:00.000Z');
export const TARO = 'taro@customer.example';
export const FRIEND = 'friend@partner.example';
const profiles = new Map(builtInProfiles().map((profile) => [profile.id, profile]));

/** A member who leaves, their mailbox, two records, a colleague and an administrator; S3, the queue and the clock around them. */
export class BackupWorld {
  readonly table: Table;
  world!: World;
  leaver!: Viewer;
  admin!: Viewer;
  colleague!: Viewer;
  contact = '';
  lead = '';
  now = NINE;
  readonly files = new Map<string, Uint8Array>();
  readonly jobs: BackupJob[] = [];
  readonly exportJobs: ExportJob[] = [];
  /** Uploads that were begun, and neither completed nor aborted. */
  readonly uploads = new Set<string>();
  readonly told: ProductMail[] = [];
  private readonly parsed = new Map<string, ParsedMail>();
  private count = 0;

  constructor(table: Table) {
    this.table = table;
  }

  async begin(sharing: Sharing = { type: 'public', excludedDomains: [] }, organisation: object = {}): Promise<this> {
    this.world = await dropboxWorld(this.table, { organisation });
    const member = (email: string, more: object = {}) => this.world.addMember(newId(this.tick()), email, more);
    this.leaver = await member('leaver@example.com', { sharing });
    this.admin = await member('admin@example.com', { profile: 'administrator' });
    this.colleague = await member('colleague@example.com');
    this.contact = await existing(this.table, this.world, 'contacts', TARO, this.leaver.member);
    this.lead = await existing(this.table, this.world, 'leads', FRIEND, this.leaver.member);
    await this.account({});
    await this.saveSettings();
    return this;
  }

  /** A second passes. */
  tick(seconds = 1): Date {
    this.now = new Date(this.now.getTime() + seconds * 1000);
    return this.now;
  }

  /** The leaver's mailbox, as a poll would find it. */
  async account(more: Partial<MailAccount> | undefined): Promise<void> {
    const { tenant, member } = this.leaver;
    if (!more) return this.table.delete(mailAccountKey(tenant, member, 'acc'));
    const at = NINE.toISOString();
    const account = {
      id: 'acc',
      tenant,
      member,
      name: 'Work',
      address: 'leaver@example.com',
      protocol: 'pop3',
      incoming: { host: 'pop.example.com', port: 995, security: 'implicit', userName: 'leaver' },
      incomingPassword: 'sealed',
      deletion: { policy: 'leave' },
      since: at,
      createdAt: at,
      version: 1,
      credentials: 1,
      active: true,
      state: 'ok',
      stateSince: at,
      authFailures: 0,
      connectFailures: 0,
      sync: { found: 0, fetched: 0, filed: 0, skipped: 0, bytes: 0 },
      totals: { filed: 0, deleted: 0 },
      ...more,
    };
    await this.table.put({ ...mailAccountKey(tenant, member, 'acc'), ...account });
  }

  /** The leaver saves their mail settings in person. */
  async saveSettings(sharing?: Sharing): Promise<void> {
    const { tenant, member } = this.leaver;
    await this.table.put({ ...mailSettingsKey(tenant, member), active: 'acc', savedAt: this.tick().toISOString(), version: 1 });
    if (sharing) await this.share(sharing);
  }

  async share(sharing: Sharing): Promise<void> {
    await this.table.update(memberKey(this.leaver.tenant, this.leaver.member), {
      update: 'SET sharing = :sharing',
      values: { ':sharing': sharing },
    });
  }

  /** A mail that a poll of a mailbox has fetched; its raw bytes are its subject. */
  async fetched(subject: string, more: Partial<ParsedMail> = {}, owner: Viewer = this.leaver): Promise<string> {
    const { rawKey, file } = this.fetching(subject, owner, more);
    await file(this.table);
    return rawKey;
  }

  /** The same, still to be filed: each call is a try of the same delivery. */
  fetching(subject: string, owner: Viewer = this.leaver, more: Partial<ParsedMail> = {}) {
    const parsed = mail({ subject, from: [{ address: TARO, name: '' }], to: [{ address: 'leaver@example.com', name: '' }], ...more });
    const receivedAt = this.tick().toISOString();
    const account = owner === this.leaver ? 'acc' : `acc-${owner.member}`;
    const rawKey = `t/${owner.tenant}/mail/${account}/${sha256(subject)}.eml`;
    this.files.set(rawKey, Buffer.from(subject));
    const seen = sha256(String(++this.count), subject);
    this.parsed.set(rawKey, parsed);
    const arrived = { tenant: owner.tenant, member: owner.member, account, seen, rawKey, rawSize: subject.length, receivedAt };
    return { rawKey, file: (table: Table) => ingestMailbox({ ...this.mailroom(), table }, arrived) };
  }

  /** The leaver has a hosted mailbox in place of the other one. */
  async hosted(address: string): Promise<void> {
    const { tenant, member } = this.leaver;
    await this.table.put({ ...hostedAddressKey(sha256(address)), tenant, member, account: 'acc' });
    const item = { id: 'acc', tenant, member, name: 'Here', address, protocol: 'hosted', active: true, version: 1 };
    await this.table.put({ ...mailAccountKey(tenant, member, 'acc'), ...item });
  }

  /** A mail from a customer that SES took for that mailbox; its raw bytes are its subject. */
  async received(subject: string, address: string): Promise<void> {
    const arrived = delivery([address], { source: TARO, receivedAt: this.tick().toISOString() });
    this.files.set(arrived.rawKey, Buffer.from(subject));
    this.parsed.set(arrived.rawKey, mail({ subject, from: [{ address: TARO, name: '' }], to: [{ address, name: '' }] }));
    await ingest(this.mailroom(), arrived);
  }

  private mailroom(): Mailroom {
    return {
      table: this.table,
      mailDomain: MAIL_DOMAIN,
      readRaw: async (key) => this.files.get(key),
      readMail: async (raw) => [...this.parsed.values()].find((one) => one.subject === Buffer.from(raw).toString()),
      backfills: { send: async () => {} },
    };
  }

  async setStatus(status: 'active' | 'deactivated') {
    return patchMember(this.table, this.admin, profiles, this.leaver.member, { status }, this.tick());
  }

  startRoom(): StartRoom {
    return { table: this.table, queue: { send: async (job) => void this.jobs.push(job) } };
  }

  start(kind: BackupKind = 'backup', scope: BackupScope = 'shared', viewer = this.admin): Promise<Backup> {
    const now = this.tick();
    return startBackup(this.startRoom(), viewer, this.leaver.member, kind, { scope, id: newId(now), now });
  }

  room(more: Partial<BackupRoom> = {}): BackupRoom {
    return {
      ...this.startRoom(),
      files: {
        write: async (key, bytes) => void this.files.set(key, bytes),
        digest: async (key) => {
          const bytes = this.files.get(key);
          return bytes && { sha256: sha256(bytes), bytes: bytes.length };
        },
      },
      tell: async (notice) => void this.told.push(notice),
      publicUrl: 'https://crm.example.com',
      clock: () => this.now,
      ...more,
    };
  }

  /** Works until the queue is empty; each turn does a page. */
  async work(more: Partial<BackupRoom> = {}): Promise<void> {
    for (let job = this.jobs.shift(); job; job = this.jobs.shift()) {
      await runBackup(this.room(more), this.leaver.tenant, job.backup, new Date(this.now.getTime() + 1));
      this.tick();
    }
  }

  /** From its start to its end. */
  async backUp(kind: BackupKind = 'backup', scope: BackupScope = 'shared'): Promise<Backup> {
    const { id } = await this.start(kind, scope);
    this.tick();
    await this.work();
    return this.read(id);
  }

  async read(id: string): Promise<Backup> {
    return (await readBackup(this.table, this.leaver.tenant, id)) as Backup;
  }

  async standing(): Promise<BackupStanding | undefined> {
    return this.table.get<BackupStanding>(backupStandingKey(this.leaver.tenant, this.leaver.member));
  }

  /** Subjects a viewer sees on a record, newest first. */
  async seen(record = this.contact, viewer = this.colleague): Promise<string[]> {
    return (await listTimeline(this.table, viewer, record, { limit: 100 })).items.map(({ subject }) => subject);
  }

  async manifest(id: string) {
    const bytes = this.files.get(`t/${this.leaver.tenant}/backups/${id}/manifest.json`);
    return bytes && JSON.parse(Buffer.from(bytes).toString());
  }

  exportStartRoom(): ExportStartRoom {
    return { table: this.table, queue: { send: async (job) => void this.exportJobs.push(job) } };
  }

  startExport(backup: string, format: ExportFormat = 'zip', viewer = this.admin): Promise<Export> {
    const now = this.tick();
    return startExport(this.exportStartRoom(), viewer, backup, { format, id: newId(now), now });
  }

  exportRoom(more: Partial<ExportRoom> = {}): ExportRoom {
    return {
      ...this.exportStartRoom(),
      files: { read: async (key) => this.files.get(key), write: async (key, bytes) => void this.files.set(key, bytes) },
      uploads: {
        begin: async (key) => {
          const id = String(++this.count);
          this.uploads.add(id);
          return { key, id };
        },
        finish: async ({ key, id }, bytes) => {
          const pieces: Uint8Array[] = [];
          for await (const piece of bytes) pieces.push(piece);
          if (!this.uploads.delete(id)) throw new Error('NoSuchUpload');
          const content = Buffer.concat(pieces);
          this.files.set(key, content);
          return { bytes: content.length, sha256: sha256(content) };
        },
        abort: async ({ id }) => void this.uploads.delete(id),
      },
      mailDomain: MAIL_DOMAIN,
      tell: async (notice) => void this.told.push(notice),
      publicUrl: 'https://crm.example.com',
      clock: () => this.now,
      ...more,
    };
  }

  /** Works until the queue is empty; each turn makes a volume. */
  async workExports(more: Partial<ExportRoom> = {}): Promise<void> {
    for (let job = this.exportJobs.shift(); job; job = this.exportJobs.shift()) {
      await runExport(this.exportRoom(more), this.leaver.tenant, job, new Date(this.now.getTime() + 60_000));
      this.tick();
    }
  }

  async readExport(backup: string, format: ExportFormat = 'zip'): Promise<Export> {
    return (await readExport(this.table, this.leaver.tenant, backup, format)) as Export;
  }
}
