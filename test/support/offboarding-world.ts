import type { Pop3Account } from '../../core/account/account.ts';
import type { PollJob } from '../../core/account/poll-job.ts';
import { tellOfLock } from '../../core/addon-user/lock-notice-store.ts';
import { readBackup } from '../../core/backup/backup-store.ts';
import { newId } from '../../core/ids.ts';
import type { Member } from '../../core/member/member.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import type { Offboarding, OffboardingJob } from '../../core/offboarding/offboarding.ts';
import { readOffboarding, resumeOffboarding, startOffboarding } from '../../core/offboarding/offboarding-store.ts';
import { runOffboarding } from '../../core/offboarding/run-offboarding.ts';
import type { OffboardingRoom } from '../../core/offboarding/step.ts';
import { readRecord } from '../../core/record/record-store.ts';
import type { Table } from '../../core/table/client.ts';
import { auditPartition, mailAccountKey, memberKey } from '../../core/table/keys.ts';
import { BackupWorld } from './backup-world.ts';

type Queued = { at: number; job: OffboardingJob };

/** A member who leaves, with a mailbox, two records and a successor; an organisation around them, its queues and its clock. */
export class OffboardingWorld extends BackupWorld {
  successor!: Viewer;
  second!: Viewer;
  readonly words: Queued[] = [];
  readonly polls: PollJob[] = [];
  /** What the mail server does when it is polled: brings a mail, or cannot be reached. */
  server: 'well' | 'down' = 'well';

  static async make(table: Table, type: 'public' | 'private' | 'custom' | 'admin' = 'public', organisation: object = {}) {
    const world = new OffboardingWorld(table);
    const sharing = type === 'public' ? { type, excludedDomains: [] } : { type };
    await world.begin(sharing as never, { mailAddOn: 'everyone', administrators: 2, ...organisation });
    world.successor = await world.world.addMember(newId(world.tick()), 'successor@example.com');
    world.second = await world.world.addMember(newId(world.tick()), 'second@example.com', { profile: 'administrator' });
    await world.account({
      slot: 'R5#0#0',
      sync: { found: 0, fetched: 0, filed: 0, skipped: 0, bytes: 0, doneAt: world.now.toISOString() },
    });
    return world;
  }

  wordQueue(): { send: (job: OffboardingJob, delaySeconds?: number) => Promise<void> } {
    return { send: async (job, delay = 0) => void this.words.push({ at: this.now.getTime() + delay * 1000, job }) };
  }

  offboard(more: { successor?: string; scope?: 'shared' | 'all-records'; actor?: Viewer } = {}): Promise<Offboarding> {
    const now = this.tick();
    const { actor = this.admin, scope = 'shared', successor } = more;
    const given = { id: newId(now), scope, successor, reason: 'Leaves in March', now };
    return startOffboarding({ table: this.table, queue: this.wordQueue() }, actor, this.leaver.member, given);
  }

  resume(id: string, actor = this.second): Promise<Offboarding> {
    return resumeOffboarding({ table: this.table, queue: this.wordQueue() }, actor, id, this.tick());
  }

  offboardingRoom(more: Partial<OffboardingRoom> = {}): OffboardingRoom {
    return {
      table: this.table,
      queue: this.wordQueue(),
      polls: { send: async (job) => void this.polls.push(job) },
      backups: { send: async (job) => void this.jobs.push(job) },
      tell: async (notice) => void this.told.push(notice),
      publicUrl: 'https://crm.example.com',
      clock: () => this.now,
      ...more,
    };
  }

  /** A poll as it leaves its traces: the one mail there is filed, the first time; and the account back at its usual place. */
  async pollMailbox(): Promise<void> {
    const account = await this.readAccount();
    if (!account?.active || account.ownerDeactivatedAt) return;
    const at = this.tick().toISOString();
    const isWell = this.server === 'well';
    const brings = isWell && account.totals.filed === 0;
    if (brings) await this.fetched('last');
    await this.table.update(mailAccountKey(this.leaver.tenant, this.leaver.member, 'acc'), {
      update: isWell ? 'SET lastSuccessAt = :at, slot = :slot, totals = :totals' : 'SET lastError = :error',
      values: isWell
        ? { ':at': at, ':slot': 'R5#0#0', ':totals': { ...account.totals, filed: 1 } }
        : { ':error': { at, code: 'unreachable' } },
    });
  }

  /** Does what is in the queues until nothing is left, or it is as wished: time goes by. */
  async untilQuiet(more: Partial<OffboardingRoom> = {}, isThere: () => Promise<boolean> = async () => false): Promise<void> {
    while (this.words.length + this.polls.length + this.jobs.length > 0 && !(await isThere())) {
      if (this.polls.splice(0).length > 0) await this.pollMailbox();
      await this.work();
      const next = this.words.toSorted((a, b) => a.at - b.at)[0];
      if (!next) continue;
      this.words.splice(this.words.indexOf(next), 1);
      this.now = new Date(Math.max(this.now.getTime(), next.at));
      if ('lockNotice' in next.job) await tellOfLock(this.offboardingRoom(more), next.job.lockNotice, this.now);
      else await runOffboarding(this.offboardingRoom(more), this.leaver.tenant, next.job.offboarding, new Date(this.now.getTime() + 1));
    }
  }

  async readRun(id: string): Promise<Offboarding> {
    return (await readOffboarding(this.table, this.leaver.tenant, id)) as Offboarding;
  }

  readAccount() {
    return this.table.get<Pop3Account>(mailAccountKey(this.leaver.tenant, this.leaver.member, 'acc'));
  }

  async readLeaver(): Promise<Member> {
    return (await this.table.get<Member>(memberKey(this.leaver.tenant, this.leaver.member))) as Member;
  }

  async owners(): Promise<(string | undefined)[]> {
    return Promise.all([this.contact, this.lead].map(async (id) => (await readRecord(this.table, this.leaver.tenant, id))?.owner));
  }

  readBackupOf(run: Offboarding) {
    return readBackup(this.table, this.leaver.tenant, run.steps['back-up'].memo?.backup ?? '');
  }

  /** Every action noted in the audit, sorted; with the step where there is one. */
  async audited(): Promise<string[]> {
    const entries = await this.table.all<{ action: string; after?: { step?: string; state?: string } }>({
      pk: auditPartition(this.leaver.tenant, '2026-03'),
    });
    return entries.map(({ action, after }) => [action, after?.step, after?.step && after.state].filter(Boolean).join(' ')).sort();
  }
}
