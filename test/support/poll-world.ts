import type { Pop3Account } from '../../core/account/account.ts';
import { Lane } from '../../core/account/lane.ts';
import type { MailboxDelivery } from '../../core/account/mailbox-delivery.ts';
import { planPolls } from '../../core/account/plan-polls-store.ts';
import { type PollResult, type PollRoom, poll } from '../../core/account/poll.ts';
import type { PollJob } from '../../core/account/poll-job.ts';
import { settleSeen } from '../../core/account/seen-mail-store.ts';
import { moveTo, nextOf, slotOf } from '../../core/account/slot.ts';
import { asTenantId, newTenantId } from '../../core/ids.ts';
import type { ProductMail } from '../../core/outbound/send.ts';
import { Table } from '../../core/table/client.ts';
import { accountPartition, mailAccountKey, memberKey } from '../../core/table/keys.ts';
import { MemoryDynamo } from './memory-dynamo.ts';
import { ModelMaildrop } from './pop3-model.ts';

export const NOON = new Date('2026-03-02T12:00:00.000Z');

/** A member with one mail account, its maildrop, and the queues and the clock around it; filing is a settled line. */
export class PollWorld {
  readonly table: Table;
  readonly drop = new ModelMaildrop();
  readonly tenant = newTenantId();
  readonly member = 'mika';
  readonly id: string;
  now = NOON;
  password = 'right';
  readonly inbound: MailboxDelivery[] = [];
  readonly polls: PollJob[] = [];
  /** What nobody is given before its time. */
  readonly delayed: { job: PollJob; at: number }[] = [];
  readonly told: ProductMail[] = [];
  readonly raw = new Map<string, Uint8Array>();
  /** Commands to the table, when it is the one in memory. */
  readonly writes: string[] = [];
  readonly reads: string[] = [];
  /** Opens sessions in another way than the maildrop does. */
  opens: PollRoom['open'] | undefined;

  constructor(table: Table, id = 'acc1') {
    this.table = table;
    this.id = id;
  }

  async begin(more: Partial<Pop3Account> = {}): Promise<this> {
    const at = this.now.toISOString();
    const account: Pop3Account = {
      id: this.id,
      tenant: asTenantId(this.tenant),
      member: this.member,
      name: 'Work',
      address: 'mika@mail.example',
      protocol: 'pop3',
      incoming: { host: 'pop.mail.example', port: 995, security: 'implicit', userName: 'mika' },
      incomingPassword: 'sealed',
      deletion: { policy: 'leave' },
      since: '2026-02-01T00:00:00.000Z',
      createdAt: at,
      version: 1,
      credentials: 1,
      active: true,
      state: 'never-synced',
      stateSince: at,
      authFailures: 0,
      connectFailures: 0,
      sync: { found: 0, fetched: 0, filed: 0, skipped: 0, bytes: 0 },
      totals: { filed: 0, deleted: 0 },
      ...more,
    };
    const slot = { at: new Date(this.now.getTime() + 60_000).toISOString() };
    await this.table.put({ ...memberKey(this.tenant, this.member), id: this.member, email: 'mika@example.com', status: 'active' });
    await this.table.transact([
      { put: { ...mailAccountKey(this.tenant, this.member, this.id), ...account, slot: slotOf(account, slot) } },
      ...moveTo(account, slot),
    ]);
    return this;
  }

  room(more: Partial<PollRoom> = {}): PollRoom {
    return {
      table: this.table,
      storeRaw: async (key, bytes) => void this.raw.set(key, bytes),
      inbound: { send: async (job) => void this.inbound.push((job as { mailbox: MailboxDelivery }).mailbox) },
      polls: {
        send: async (job, delaySeconds) => {
          if (delaySeconds) this.delayed.push({ job, at: this.now.getTime() + delaySeconds * 1000 });
          else this.polls.push(job);
        },
      },
      tell: async (mail) => void this.told.push(mail),
      open: (account) => this.opens?.(account) ?? this.drop.open(this.password, this.now),
      isEnabled: async () => true,
      clock: () => this.now,
      memory: new Lane(2 ** 30),
      ...more,
    };
  }

  /** Looks now, wherever the account stands. */
  poll(more: Partial<PollRoom> = {}, seconds = 100): Promise<PollResult> {
    const job = { tenant: this.tenant, member: this.member, account: this.id };
    return poll(this.room(more), job, new Date(this.now.getTime() + seconds * 1000));
  }

  /** A minute passes: the planner runs, and then what it planned, and what polls left in the queue. Answers what they came to. */
  async tick(minutes = 1): Promise<PollResult[]> {
    this.now = new Date(this.now.getTime() + minutes * 60_000);
    await planPolls({ table: this.table, polls: { sendAll: async (jobs) => void this.polls.push(...(jobs as PollJob[])) } }, this.now);
    return this.work();
  }

  /** As long as it takes until the account is due, and then its poll; nothing else would be planned meanwhile. */
  async nextTurn(): Promise<PollResult[]> {
    const { slot } = await this.account();
    this.now = new Date(Math.max(Date.parse(nextOf(slot as string, this.now)), this.now.getTime() + 60_000));
    this.polls.push({ poll: { tenant: this.tenant, member: this.member, account: this.id, slot } });
    return this.work();
  }

  async work(): Promise<PollResult[]> {
    const results: PollResult[] = [];
    for (let job = this.nextJob(); job; job = this.nextJob()) {
      if ('poll' in job) results.push(await poll(this.room(), job.poll, new Date(this.now.getTime() + 100_000)));
    }
    return results;
  }

  /** Some seconds pass, with no planner: what was delayed is done. */
  after(seconds: number): Promise<PollResult[]> {
    this.now = new Date(this.now.getTime() + seconds * 1000);
    return this.work();
  }

  private nextJob(): PollJob | undefined {
    const due = this.delayed.findIndex(({ at }) => at <= this.now.getTime());
    if (due >= 0) this.polls.push(...this.delayed.splice(due, 1).map(({ job }) => job));
    return this.polls.shift();
  }

  /** Files what stands in the queue. */
  async file(outcome: Parameters<typeof settleSeen>[2] = 'filed'): Promise<void> {
    for (const delivery of this.inbound.splice(0)) await settleSeen(this.table, delivery, outcome);
  }

  /** Until the first sync is done, a minute at a time. */
  async sync(): Promise<void> {
    for (let minute = 0; minute < 60; minute++) {
      await this.tick();
      await this.file();
      if ((await this.account()).sync.doneAt) return;
    }
    throw new Error('the first sync is not done within an hour');
  }

  async account(): Promise<Pop3Account> {
    return (await this.table.get<Pop3Account>(mailAccountKey(this.tenant, this.member, this.id))) as Pop3Account;
  }

  /** As somebody else would change it: without asking. `undefined` removes. */
  async change(more: Partial<Pop3Account>): Promise<void> {
    await this.table.put({ ...(await this.account()), ...mailAccountKey(this.tenant, this.member, this.id), ...more });
  }

  history() {
    return this.table.all({ pk: accountPartition(this.tenant, this.id), begins: 'P#' });
  }

  ledger() {
    return this.table.all<{ sk: string; outcome?: string; receivedAt?: string; deletedAt?: string }>({
      pk: accountPartition(this.tenant, this.id),
      begins: 'Y#',
    });
  }
}

/** One on a table in memory, which tells its commands. */
export async function newPollWorld(more: Partial<Pop3Account> = {}): Promise<PollWorld> {
  const dynamo = new MemoryDynamo();
  const client = dynamo.newClient((when, command) => {
    if (when === 'before') (/^(Get|BatchGet|Query)/.test(command) ? world.reads : world.writes).push(command);
  });
  const world = new PollWorld(new Table(client, 'memory'));
  return world.begin(more);
}

/** What the server was asked, of this kind. */
export const askedOf = ({ drop }: PollWorld, kind: RegExp) => drop.commands.filter((command) => kind.test(command));

/** A mail as bytes, which reached its server then. */
export const mailOf = (subject: string, reached = NOON.toUTCString(), body = 'Hello') =>
  `Received: from a by b; ${reached}\r\nSubject: ${subject}\r\nMessage-ID: <${subject}@example.com>\r\nFrom: a@customer.example\r\n\r\n${body}\r\n`;
