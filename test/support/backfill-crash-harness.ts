import { ingestMailbox } from '../../core/account/ingest-mailbox.ts';
import type { MailboxDelivery } from '../../core/account/mailbox-delivery.ts';
import { stableId } from '../../core/ids.ts';
import type { BackfillJob } from '../../core/message/backfill.ts';
import { backfillMail, backfillPage } from '../../core/message/backfill-store.ts';
import type { OwnMailEntry, TimelineEntry } from '../../core/message/message.ts';
import { readMessage } from '../../core/message/message-store.ts';
import type { ParsedMail } from '../../core/message/parsed-mail.ts';
import type { StoredRecord } from '../../core/record/record.ts';
import { createRecord, detachAddress, readRecord, updateRecord } from '../../core/record/record-store.ts';
import { Table } from '../../core/table/client.ts';
import { ownMailPartition, recordPartition, timelinesPrefix } from '../../core/table/keys.ts';
import { randomOf } from './crash-harness.ts';
import { dropboxWorld, MAIL_DOMAIN, mail, START, type World } from './dropbox-world.ts';
import { MemoryDynamo } from './memory-dynamo.ts';

/** What a kill looks like from inside: nobody catches it, and nothing of this worker runs after it. */
class Killed extends Error {}

/** Kill at the n-th write of the workers, all together. */
export type Kill = { write: number; when: 'before' | 'after' };
export type Run = { faults: string[]; writes: number };

const ADDRESSES = ['a@x.example', 'b@x.example'];
const MEMBERS = ['mika', 'jun'];
const MAILS = 6;
const CHANGES = 7;

/**
 * One life of two records under a schedule of kills: their addresses come and go, while mail of two mailboxes with those addresses is
 * filed, delivered twice and in any order, and workers bring the records' mail up to their addresses, two mails to a page. Who is
 * killed leaves its job to the queue. In the end each mail must stand on exactly the records that have an address of its other side.
 */
export async function runLife(seed: number, kills: Kill[]): Promise<Run> {
  return new Life(seed, kills).run();
}

type Job = { file: MailboxDelivery } | BackfillJob;

class Life {
  writes = 0;
  private readonly random: () => number;
  private readonly dynamo = new MemoryDynamo();
  private readonly table = new Table(this.dynamo.client, 'memory');
  private readonly mails = new Map<string, ParsedMail>();
  private readonly queue: Job[] = [];
  private readonly records: string[] = [];
  private readonly kills: Kill[];
  private world!: World;

  constructor(seed: number, kills: Kill[]) {
    this.random = randomOf(seed);
    this.kills = [...kills];
  }

  async run(): Promise<Run> {
    this.world = await dropboxWorld(this.table);
    await this.world.addMember('jun', 'jun@example.com');
    const deliveries = Array.from({ length: MAILS }, (_, i) => this.delivery(i));
    const some = deliveries.filter(() => this.random() < 0.5);
    for (const file of some) this.queue.push({ file });
    await this.work();
    for (const file of [...deliveries.filter((one) => !some.includes(one)), ...some.filter(() => this.random() < 0.3)]) {
      this.queue.push({ file });
    }
    await Promise.all([this.work(), this.work(), this.changeAddresses()]);
    // Whoever asks how far it is leaves word again of what is waiting.
    this.kills.length = 0;
    for (const record of this.records) this.queue.push({ backfill: { tenant: this.world.tenant, record } });
    await this.work();
    return { faults: await this.judge(), writes: this.writes };
  }

  private delivery(i: number): MailboxDelivery {
    const member = this.pick(MEMBERS);
    const others = ADDRESSES.filter(() => this.random() < 0.6).map((address) => ({ address, name: '' }));
    const own = [{ address: `${member}@example.com`, name: '' }];
    const seen = `seen${i}`;
    const sides = others.length === 1 ? { from: others, to: own } : { from: own, to: others };
    this.mails.set(seen, mail({ ...sides, messageId: `m${i}@x.example` }));
    const receivedAt = new Date(Date.parse(START) + i * 1000).toISOString();
    return { tenant: this.world.tenant, member, account: 'acc', seen, rawKey: seen, rawSize: 1, receivedAt };
  }

  /** As members do through the API; word of a change is lost now and then, with whoever was to leave it. */
  private async changeAddresses(): Promise<void> {
    const { viewer, tenant } = this.world;
    for (let n = 0; n < CHANGES; n++) {
      await this.pause();
      const at = new Date(Date.parse(START) + n * 1000);
      const how = { now: at };
      const [id, address] = [this.records[Math.floor(this.random() * 2)], this.pick(ADDRESSES)];
      let changed: StoredRecord;
      if (!id) {
        const given = { name: { last: 'X' }, addresses: ADDRESSES.filter(() => this.random() < 0.5), allowDuplicate: true };
        changed = await createRecord(this.table, viewer, 'contacts', given, { ...how, id: stableId(at, 'r'), createdBy: { way: 'api' } });
        this.records.push(changed.id);
      } else if (this.random() < 0.5) changed = await detachAddress(this.table, viewer, 'contacts', id, address, how);
      else changed = await updateRecord(this.table, viewer, 'contacts', id, { addresses: [address], allowDuplicate: true }, how);
      if (this.random() < 0.8) this.queue.push({ backfill: { tenant, record: changed.id } });
    }
  }

  private async work(): Promise<void> {
    for (let idle = 0; idle < 20; ) {
      const next = this.queue.splice(Math.floor(this.random() * this.queue.length), 1)[0];
      if (!next) {
        idle++;
        await this.pause();
        continue;
      }
      idle = 0;
      try {
        await this.handle(next, this.newTable());
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
        this.queue.push(next);
      }
    }
  }

  private async handle(job: Job, table: Table): Promise<void> {
    const queue = { send: async (one: BackfillJob) => void this.queue.push(one) };
    if ('file' in job) {
      const readMail = async (raw: Uint8Array) => this.mails.get(Buffer.from(raw).toString());
      const readRaw = async (key: string) => Buffer.from(key);
      await ingestMailbox({ table, mailDomain: MAIL_DOMAIN, readRaw, readMail, backfills: queue }, job.file);
      return;
    }
    const { record, mail: one } = job.backfill;
    const room = { table, mailDomain: MAIL_DOMAIN, queue, pageMails: 2 };
    if (one) await backfillMail(room, this.world.tenant, record, one);
    else await backfillPage(room, this.world.tenant, record);
  }

  /** The table of a worker that is dead once it was killed. */
  private newTable(): Table {
    let isDead = false;
    const client = this.dynamo.newClient((when, command) => {
      if (isDead) throw new Killed();
      if (/^(Get|BatchGet|Query)/.test(command)) return;
      if (when === 'before') this.writes++;
      const at = this.kills.findIndex((kill) => kill.write === this.writes && kill.when === when);
      if (at < 0) return;
      this.kills.splice(at, 1);
      isDead = true;
      throw new Killed();
    });
    return new Table(client, 'memory');
  }

  private async judge(): Promise<string[]> {
    const { tenant } = this.world;
    const records = await Promise.all(this.records.map((id) => readRecord(this.table, tenant, id)));
    const shown = new Map<string, string[]>();
    for (const id of this.records) {
      for (const { message, owner } of await this.table.all<TimelineEntry>({ pk: recordPartition(tenant, id), begins: timelinesPrefix })) {
        const key = `${message} ${owner}`;
        shown.set(key, [...(shown.get(key) ?? []), id].sort());
      }
    }
    const faults: string[] = [];
    let rows = 0;
    for (const member of MEMBERS) {
      for (const row of await this.table.all<OwnMailEntry>({ pk: ownMailPartition(tenant, member) })) {
        rows++;
        const copy = (await readMessage(this.table, tenant, row.message))?.copies.find((one) => one.member === member);
        const due = records
          .filter((record) => record?.addresses.some((one) => copy?.counterparts?.includes(one)))
          .map((record) => record?.id);
        const [want, onCopy, onRow] = [due, copy?.records.map(({ id }) => id), row.records.map(({ id }) => id)].map((ids) =>
          ids?.sort().join(),
        );
        const onTimelines = (shown.get(`${row.message} ${member}`) ?? []).join();
        if (onCopy !== want) faults.push(`copy of ${row.message}: on ${onCopy} instead of ${want}`);
        if (onRow !== want) faults.push(`row of ${row.message}: on ${onRow} instead of ${want}`);
        if (onTimelines !== want) faults.push(`timelines of ${row.message}: ${onTimelines} instead of ${want}`);
      }
    }
    if (rows !== MAILS) faults.push(`${rows} rows of ${MAILS} mails`);
    return faults;
  }

  private pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.random() * from.length)] as T;
  }

  private async pause(): Promise<void> {
    for (let steps = Math.floor(this.random() * 60); steps > 0; steps--) await Promise.resolve();
  }
}
