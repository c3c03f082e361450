import { ingest } from '../../core/dropbox/ingest.ts';
import type { RawMail } from '../../core/dropbox/sweep-store.ts';
import { sha256 } from '../../core/ids.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import type { Deletion, DeletionJob } from '../../core/retention/deletion.ts';
import { beginDeletions, readDeletion } from '../../core/retention/deletion-store.ts';
import { type DeletionRoom, runDeletion } from '../../core/retention/run-deletion.ts';
import { hiddenMailKey, memberKey } from '../../core/table/keys.ts';
import { BackupWorld, TARO } from './backup-world.ts';
import { delivery, MAIL_DOMAIN, mail } from './dropbox-world.ts';

export const DAY = 86_400;

/** A member who left, with the worker that deletes their hidden mail around them, S3 and queues included. */
export class RetentionWorld extends BackupWorld {
  readonly words: DeletionJob[] = [];
  readonly forgotten: string[] = [];

  /** They leave, the days pass, and administrators are told a week before: all but the deletion itself. */
  async leave(days = 90): Promise<void> {
    await this.setStatus('deactivated');
    this.tick((days - 7) * DAY);
    await this.warned();
    this.tick(7 * DAY);
  }

  async warned(): Promise<void> {
    await this.table.update(hiddenMailKey(this.leaver.tenant, this.leaver.member), {
      update: 'SET warnedAt = :now',
      values: { ':now': this.now.toISOString() },
    });
  }

  /** What the daily round does. Other organisations of the same table are left alone. */
  async daily(): Promise<number> {
    const queue = { send: async (job: DeletionJob) => void (job.tenant === this.leaver.tenant && this.words.push(job)) };
    return (await beginDeletions({ table: this.table, queue }, this.now)).begun;
  }

  deletionRoom(more: Partial<DeletionRoom> = {}): DeletionRoom {
    return {
      table: this.table,
      files: {
        delete: async (key) => void this.files.delete(key),
        list: async (prefix) => ({
          objects: [...this.files.keys()].filter((key) => key.startsWith(prefix)).map((key) => ({ key, modified: '' })),
          more: false,
        }),
        readBeginning: async (key) => this.files.get(key),
      },
      queue: { send: async (job) => void this.words.push(job) },
      polls: { send: async ({ forget }) => void this.forgotten.push(forget.account) },
      tell: async (notice) => void this.told.push(notice),
      clock: () => this.now,
      pageMails: 2,
      ...more,
    };
  }

  rawMail(): RawMail {
    return { read: async (key) => this.files.get(key), delete: async (key) => void this.files.delete(key) };
  }

  /** One turn of the worker. */
  turn(more: Partial<DeletionRoom> = {}, until = new Date(this.now.getTime() + 1)) {
    return runDeletion(this.deletionRoom(more), this.leaver.tenant, this.leaver.member, until);
  }

  /** The worker until its queue is empty. */
  async deletePages(more: Partial<DeletionRoom> = {}): Promise<void> {
    for (let job = this.words.shift(); job; job = this.words.shift()) {
      await this.turn(more);
    }
  }

  /** From the daily round to the end, with the round of the next days for what remains. */
  async deleteAll(): Promise<void> {
    await this.daily();
    await this.deletePages();
    this.tick(DAY + 1);
    await this.daily();
    await this.deletePages();
  }

  deletion(): Promise<Deletion | undefined> {
    return readDeletion(this.table, this.leaver.tenant, this.leaver.member);
  }

  /** The leaver's dropbox mail, filed on TARO's contact; whether it is hidden depends on this setting. */
  async dropped(subject: string, visibility: 'record' | 'sharing' = 'sharing', owner: Viewer = this.leaver): Promise<string> {
    const { address } = await this.world.addDropbox(owner.member, [owner.email], { pattern: 'contacts' });
    await this.table.update(memberKey(owner.tenant, owner.member), {
      update: 'SET dropboxVisibility = :visibility',
      values: { ':visibility': visibility },
    });
    const id = sha256(subject, owner.member).slice(0, 40);
    const rawKey = `raw/${id}`;
    const received = `Received: from x by inbound-smtp.eu-west-1.amazonaws.com with SMTP id ${id} for ${address}; ${this.tick().toUTCString()}`;
    this.files.set(rawKey, Buffer.from(`${received}\r\n\r\n${subject}`));
    const parsed = mail({ subject, from: [{ address: owner.email, name: '' }], to: [{ address: TARO, name: '' }] });
    const room = {
      table: this.table,
      mailDomain: MAIL_DOMAIN,
      readRaw: async (key: string) => this.files.get(key),
      readMail: async () => parsed,
      backfills: { send: async () => {} },
    };
    await ingest(room, delivery([address], { id, rawKey, receivedAt: this.now.toISOString(), source: owner.email }));
    return rawKey;
  }
}
