import type { Pop3Account } from '../../core/account/account.ts';
import { ingestMailbox } from '../../core/account/ingest-mailbox.ts';
import { Lane } from '../../core/account/lane.ts';
import { noteFetched } from '../../core/account/ledger-store.ts';
import type { MailboxDelivery } from '../../core/account/mailbox-delivery.ts';
import { type PollRoom, poll } from '../../core/account/poll.ts';
import type { PollJob } from '../../core/account/poll-job.ts';
import type { Pop3Session } from '../../core/account/pop3.ts';
import { moveTo, nextOf, slotOf } from '../../core/account/slot.ts';
import { messageIdOf } from '../../core/message/identity.ts';
import type { Mailroom } from '../../core/message/mailroom.ts';
import type { ParsedMail } from '../../core/message/parsed-mail.ts';
import { Table } from '../../core/table/client.ts';
import { copyKey, mailAccountKey, messageKey, ownMailPartition, slotKey } from '../../core/table/keys.ts';
import { randomOf } from './crash-harness.ts';
import { dropboxWorld, MAIL_DOMAIN, mail as parsedMail } from './dropbox-world.ts';
import { MemoryDynamo } from './memory-dynamo.ts';
import { ModelMaildrop, type StoredMail } from './pop3-model.ts';

/** What a kill looks like from inside: nobody catches it, and nothing of this worker runs after it. */
class Killed extends Error {}

/** Kill at the n-th step of the run: a write, a send, a command to the server, the storing of a mail. */
export type Kill = { step: number; when: 'before' | 'after' };
export type Schedule = { seed: number; kills: Kill[] };
export type Verdict = { lost: string[]; doubled: string[]; early: string[]; wrong: string[] };
export type Run = Verdict & { steps: number };

const START = Date.parse('2026-03-02T12:00:00.000Z');
const ROUND_MS = 6 * 60_000;
const ROUNDS = 13;
/** The last ones, in which nobody is killed any more: everything must come to its end by itself. */
const CALM_ROUNDS = 4;
/** Rounds in which the world is unkind; then it lets everything come to its end. */
const UNKIND_ROUNDS = 5;
/** Before each of the last rounds: days of grace are over by then. */
const DAYS_MS = 2 * 86_400_000;
const MEMBER = 'mika';

/**
 * One life of a mailbox under a schedule of kills: a first sync, mail that comes, mail that another client takes away, copies with
 * one id, a server that drops connections, loses answers, is in use and numbers everything anew; jobs that come twice and in any
 * order, one or two workers. Polls, files with the product's own filing, deletes. Answers what went wrong; nothing, if all is well.
 */
export async function runMailbox({ seed, kills }: Schedule, order: 'ledger-last' | 'ledger-first' = 'ledger-last'): Promise<Run> {
  const life = await new Life(seed, kills, order).begin();
  for (let round = 0; round < ROUNDS; round++) await life.round(round);
  return { ...(await life.judge()), steps: life.steps };
}

export const isClean = ({ lost, doubled, early, wrong }: Verdict) => lost.length + doubled.length + early.length + wrong.length === 0;

class Life {
  steps = 0;
  private readonly random: () => number;
  private readonly dynamo = new MemoryDynamo();
  private readonly table = new Table(this.dynamo.client, 'memory');
  private readonly drop = new ModelMaildrop();
  private readonly raw = new Map<string, Uint8Array>();
  private readonly mails = new Map<string, { parsed: ParsedMail; message: string; isTaken?: boolean }>();
  private readonly queue: ({ mailbox: MailboxDelivery } | PollJob)[] = [];
  /** What is for the next round: all delays are shorter. */
  private readonly delayed: PollJob[] = [];
  private readonly told: string[] = [];
  private readonly verdict: Verdict = { lost: [], doubled: [], early: [], wrong: [] };
  private readonly kills: Kill[];
  private readonly killsAtAll: number;
  private readonly order: 'ledger-last' | 'ledger-first';
  private readonly workers: Worker[];
  private readonly renumbersAt: number;
  private readonly plan: { deletion: Pop3Account['deletion']; server: { hasTop: boolean; window: number; loginDelay: number } };
  private tenant!: Pop3Account['tenant'];
  private now = new Date(START);
  private nextMail = 0;
  private isUnkind = true;

  constructor(seed: number, kills: Kill[], order: 'ledger-last' | 'ledger-first') {
    this.random = randomOf(seed);
    this.kills = [...kills];
    this.killsAtAll = kills.length;
    this.order = order;
    this.workers = Array.from({ length: this.random() < 0.5 ? 1 : 2 }, () => new Worker(this.dynamo, () => this.killPoint()));
    this.renumbersAt = this.random() < 0.25 ? 1 + Math.floor(this.random() * UNKIND_ROUNDS) : -1;
    const policies = [{ policy: 'leave' }, { policy: 'delete-at-once' }, { policy: 'delete-after-days', days: 1 }] as const;
    this.plan = {
      deletion: policies[Math.floor(this.random() * 3)] as Pop3Account['deletion'],
      server: { hasTop: this.random() < 0.8, window: this.random() < 0.5 ? 1 : 4, loginDelay: this.random() < 0.2 ? 300 : 0 },
    };
  }

  async begin(): Promise<this> {
    const world = await dropboxWorld(this.table);
    this.tenant = world.tenant;
    Object.assign(this.drop, this.plan.server);
    this.drop.onDelete = (mail) => this.requireDurable(mail);
    const account = {
      id: 'acc1',
      tenant: this.tenant,
      member: MEMBER,
      name: 'Work',
      address: 'mika@mail.example',
      protocol: 'pop3',
      incoming: { host: 'pop.mail.example', port: 995, security: 'implicit', userName: 'mika' },
      incomingPassword: 'sealed',
      deletion: this.plan.deletion,
      since: new Date(START - 7 * 86_400_000).toISOString(),
      createdAt: this.now.toISOString(),
      version: 1,
      credentials: 1,
      active: true,
      state: 'never-synced',
      stateSince: this.now.toISOString(),
      authFailures: 0,
      connectFailures: 0,
      sync: { found: 0, fetched: 0, filed: 0, skipped: 0, bytes: 0 },
      totals: { filed: 0, deleted: 0 },
    } satisfies Pop3Account;
    const first = { at: this.now.toISOString() };
    const key = mailAccountKey(this.tenant, MEMBER, account.id);
    await this.table.transact([{ put: { ...key, ...account, slot: slotOf(account, first) } }, ...moveTo(account, first)]);
    for (let i = Math.floor(this.random() * 4); i > 0; i--) this.arrive();
    if (this.random() < 0.3) this.arrive('old');
    return this;
  }

  /** Some minutes: things happen on the server, the planner plans, and the workers do what stands in the queue. */
  async round(round: number): Promise<void> {
    this.isUnkind = round < UNKIND_ROUNDS;
    this.passTime(round);
    if (this.isUnkind) this.unkind(round);
    else {
      this.drop.isInUse = false;
      this.drop.breaks.length = 0;
      this.drop.withheld.clear();
    }
    const { id, tenant, slot } = this.account();
    this.queue.push({ poll: { tenant, member: MEMBER, account: id, slot } }, ...this.delayed.splice(0));
    await Promise.all(this.workers.map((worker) => this.work(worker)));
  }

  /** Minutes, or as long as it takes until the mailbox is due; the planner has nothing else to plan. */
  private passTime(round: number): void {
    const { slot } = this.account();
    const due = slot ? Date.parse(nextOf(slot, this.now)) : 0;
    this.now = new Date(Math.max(due, this.now.getTime() + ROUND_MS) + (round >= ROUNDS - CALM_ROUNDS ? DAYS_MS : 0));
    if (round >= ROUNDS - CALM_ROUNDS) this.kills.length = 0;
  }

  private account(): Pop3Account {
    return this.dynamo.peek(mailAccountKey(this.tenant, MEMBER, 'acc1')) as Pop3Account;
  }

  private unkind(round: number): void {
    if (this.random() < 0.5) this.arrive();
    if (this.random() < 0.15) this.arrive('twin');
    this.drop.isInUse = this.random() < 0.1;
    if (this.random() < 0.5) {
      this.drop.breaks.push({ command: 1 + Math.floor(this.random() * 12), when: this.random() < 0.5 ? 'before' : 'after' });
    }
    const [withheld] = this.random() < 0.2 ? this.drop.mails.slice(-1) : [];
    if (withheld) this.drop.withheld.add(withheld.uid);
    if (round === this.renumbersAt) this.drop.renumber();
    if (this.random() < 0.15) {
      const [taken] = this.drop.mails.splice(Math.floor(this.random() * this.drop.mails.length), 1);
      if (taken) this.known(taken.bytes).isTaken = true;
    }
  }

  /** A mail reaches the server; a `twin` is the same bytes under the same id, an `old` one had reached it long before `since`. */
  private arrive(kind?: 'twin' | 'old'): void {
    const last = this.drop.mails.at(-1);
    if (kind === 'twin' && last) {
      this.drop.mails.push({ ...last });
      return;
    }
    const n = this.nextMail++;
    const at = new Date(kind === 'old' ? START - 30 * 86_400_000 : this.now.getTime()).toUTCString();
    const bytes = Buffer.from(`Received: by x; ${at}\r\nSubject: ${n}\r\nX-Kind: ${kind ?? 'new'}\r\n\r\nMail ${n}\r\n`);
    const parsed = parsedMail({
      messageId: `m${n}@customer.example`,
      subject: `${n}`,
      from: [{ address: 'a@customer.example', name: '' }],
      to: [],
    });
    this.mails.set(bytes.toString(), { parsed, message: messageIdOf(this.tenant, parsed, bytes), isTaken: kind === 'old' });
    this.drop.mails.push({ uid: `uid-${n}`, bytes });
  }

  private known(bytes: Uint8Array) {
    return this.mails.get(Buffer.from(bytes).toString()) as { parsed: ParsedMail; message: string; isTaken?: boolean };
  }

  private async work(worker: Worker): Promise<void> {
    // Lets the other worker go some steps ahead.
    for (let steps = Math.floor(this.random() * 40); steps > 0; steps--) await Promise.resolve();
    while (this.queue.length > 0) {
      const [job] = this.queue.splice(Math.floor(this.random() * this.queue.length), 1);
      if (!job) return;
      if (this.isUnkind && this.random() < 0.2) this.queue.push(job);
      if (!(await worker.live(() => this.does(worker, job)))) this.queue.push(job);
    }
  }

  private async does(worker: Worker, job: { mailbox: MailboxDelivery } | PollJob): Promise<void> {
    if ('mailbox' in job) return void (await ingestMailbox(this.mailroom(worker), job.mailbox));
    // Now and then time is over before anything is fetched.
    const hasTime = !this.isUnkind || this.random() < 0.9;
    if ('poll' in job) await poll(this.pollRoom(worker), job.poll, new Date(this.now.getTime() + (hasTime ? 100_000 : 0)));
  }

  private mailroom(worker: Worker): Mailroom {
    return {
      table: worker.table,
      mailDomain: MAIL_DOMAIN,
      readRaw: async (key) => this.raw.get(key),
      readMail: async (raw) => this.known(raw).parsed,
      backfills: { send: async () => {} },
    };
  }

  private pollRoom(worker: Worker): PollRoom {
    return {
      table: worker.table,
      storeRaw: (key, bytes) => worker.step(() => void this.raw.set(key, bytes)),
      inbound: {
        send: async (job) => {
          const given = job as { mailbox: MailboxDelivery };
          if (this.order === 'ledger-first') await noteFetched(worker.table, given.mailbox, given.mailbox.rawSize);
          await worker.step(() => void this.queue.push(given));
        },
      },
      polls: {
        send: (job, delaySeconds) => worker.step(() => void (delaySeconds ? this.delayed : this.queue).push(job)),
      },
      tell: (mail) => worker.step(() => void this.told.push(mail.subject)),
      open: () => worker.session(() => this.drop.open('right', this.now)),
      isEnabled: async () => true,
      clock: () => this.now,
      memory: new Lane(2 ** 30),
    };
  }

  private killPoint(): (when: Kill['when']) => boolean {
    const step = ++this.steps;
    return (when) => {
      const at = this.kills.findIndex((kill) => kill.step === step && kill.when === when);
      if (at >= 0) this.kills.splice(at, 1);
      return at >= 0;
    };
  }

  /** when the server deletes a mail it is filed, and its days are over. */
  private requireDurable({ bytes, uid }: StoredMail): void {
    const { message } = this.known(bytes);
    const stored = this.dynamo.peek(messageKey(this.tenant, message));
    const copy = this.dynamo.peek(copyKey(this.tenant, message, MEMBER, 'mailbox'));
    if (!stored || !copy || !this.raw.has(stored.rawKey as string)) this.verdict.early.push(`${uid} before it was filed`);
    const { deletion } = this.plan;
    const days = deletion.policy === 'delete-after-days' ? deletion.days : 0;
    if (deletion.policy === 'leave') this.verdict.early.push(`${uid} though all are to be left`);
    if (this.now.getTime() < Date.parse(copy?.receivedAt as string) + days * 86_400_000)
      this.verdict.early.push(`${uid} before its days were over`);
  }

  async judge(): Promise<Verdict> {
    const { verdict } = this;
    const own = await this.table.all<{ message: string }>({ pk: ownMailPartition(this.tenant, MEMBER) });
    for (const { message, parsed, isTaken } of this.mails.values()) {
      const found = own.filter((entry) => entry.message === message).length;
      if (found === 0 && !isTaken) verdict.lost.push(parsed.subject);
      if (found > 1) verdict.doubled.push(parsed.subject);
      const stored = this.dynamo.peek(messageKey(this.tenant, message));
      if (stored && !this.raw.has(stored.rawKey as string)) verdict.lost.push(`the bytes of ${parsed.subject}`);
    }
    const account = this.account();
    const place = slotKey(account.slot ?? 'none', `${account.tenant}#${MEMBER}#${account.id}`);
    if (!this.dynamo.peek(place)) verdict.lost.push('its place in the timetable');
    if (!account.sync.doneAt || account.state !== 'ok') verdict.wrong.push(`at the end the account is ${account.state}`);
    const notices = this.told.filter((subject) => subject.includes('first sync')).length;
    if (notices === 0) verdict.lost.push('the notice of the first sync');
    // A worker killed between sending a mail and noting it: that window nobody can close.
    if (notices > 1 + this.killsAtAll) verdict.doubled.push('the notice of the first sync');
    const left = this.drop.mails.filter(({ bytes }) => !this.known(bytes).isTaken);
    if (this.plan.deletion.policy !== 'leave' && left.length > 0) verdict.wrong.push(`${left.length} mails were never deleted`);
    return verdict;
  }
}

/** One process: its calls stop at a kill, all of them, and another one takes its place. */
class Worker {
  readonly table: Table;
  private readonly next: () => (when: Kill['when']) => boolean;
  private isDead = false;
  private connection: Pop3Session | undefined;

  constructor(dynamo: MemoryDynamo, next: () => (when: Kill['when']) => boolean) {
    this.next = next;
    // Reads are no steps, but a dead process reads nothing either.
    const open: ((when: Kill['when']) => void)[] = [];
    const client = dynamo.newClient((when, command) => {
      if (/^(Get|BatchGet|Query)/.test(command)) return this.requireLife();
      if (when === 'before') open.push(this.point());
      (when === 'before' ? open.at(-1) : open.pop())?.(when);
    });
    this.table = new Table(client, 'memory');
  }

  /** Runs until it is done, or killed: then false, and nothing of it goes on. */
  async live(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      // Its connection ends with it, and what it had under way meets its end before the next process begins.
      this.connection?.destroy();
      await new Promise((done) => setImmediate(done));
      this.isDead = false;
      return false;
    }
  }

  async step<T>(effect: () => T | Promise<T>): Promise<T> {
    const at = this.point();
    at('before');
    const result = await effect();
    at('after');
    return result;
  }

  /** A connection that ends with the process. */
  async session(open: () => Promise<Pop3Session>): Promise<Pop3Session> {
    const session = await this.step(async () => {
      this.connection = await open();
      return this.connection;
    });
    const wrapped = { ...session, capabilities: session.capabilities, window: session.window } as Pop3Session;
    for (const name of ['stat', 'list', 'uidl', 'uidlOf', 'top', 'retr', 'dele', 'noop', 'quit'] as const) {
      const ask = session[name] as (...given: unknown[]) => Promise<unknown>;
      Object.assign(wrapped, { [name]: (...given: unknown[]) => this.step(() => ask(...given)) });
    }
    return wrapped;
  }

  private point(): (when: Kill['when']) => void {
    this.requireLife();
    const kills = this.next();
    return (when) => {
      this.requireLife();
      if (!kills(when)) return;
      this.isDead = true;
      throw new Killed();
    };
  }

  private requireLife(): void {
    if (this.isDead) throw new Killed();
  }
}
