import { createHash, randomUUID } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { note } from './calls.ts';
import { type Answer, demand, type Grants, jsonService, Refusal } from './server.ts';

export type QueueConfig = Record<string, { visibility: number; maxReceives: number }>;

/** SQS takes messages of 1 MiB, alone or as the sum of a batch. */
const MAX_BYTES = 1024 * 1024;

/** Characters XML 1.0 cannot carry: SQS refuses them, so must we. */
const UNFIT = /(?![\t\n\r\u{7F}-\u{9F}])[\p{Cc}\p{Cs}\u{FFFE}\u{FFFF}]/u;

type Row = {
  id: string;
  body: string;
  attributes: string;
  message_group: string | null;
  sent: number;
  receives: number;
  first_received: number | null;
};

/** Queues in SQLite: a message that was accepted is in the file, and leaves it when it is deleted. */
export class Queues {
  readonly config: QueueConfig;
  private readonly db: DatabaseSync;
  private waiting = new Map<string, Set<() => void>>();

  constructor(db: DatabaseSync, config: QueueConfig) {
    this.db = db;
    this.config = config;
    db.exec(`
      CREATE TABLE IF NOT EXISTS messages (
        seq INTEGER PRIMARY KEY, id TEXT UNIQUE, queue TEXT, body TEXT, attributes TEXT, message_group TEXT,
        sent INTEGER, visible_at INTEGER, receives INTEGER DEFAULT 0, first_received INTEGER, receipt TEXT);
      CREATE INDEX IF NOT EXISTS messages_by_queue ON messages (queue, visible_at);
      CREATE UNIQUE INDEX IF NOT EXISTS messages_by_receipt ON messages (receipt);`);
    // Whoever held a message went down with the engine. It is free at once, and that try does not count against it.
    db.exec('UPDATE messages SET visible_at = 0, receipt = NULL, receives = receives - 1 WHERE receipt IS NOT NULL');
  }

  has(queue: string): boolean {
    return queue in this.config || (queue.endsWith('-dead') && queue.slice(0, -5) in this.config);
  }

  send(queue: string, body: string, options: { delay?: number; attributes?: object; group?: string } = {}): string {
    const id = randomUUID();
    const now = Date.now();
    const delay = (options.delay ?? 0) * 1000;
    this.db
      .prepare('INSERT INTO messages (id, queue, body, attributes, message_group, sent, visible_at) VALUES (?, ?, ?, ?, ?, ?, ?)')
      .run(id, queue, body, JSON.stringify(options.attributes ?? {}), options.group ?? null, now, now + delay);
    if (delay === 0) this.wake(queue);
    return id;
  }

  /** Takes up to `max` messages; one that was taken too often goes to the dead-letter queue instead, in the same step. */
  receive(queue: string, max: number, visibility: number): (Row & { receipt: string })[] {
    const now = Date.now();
    const taken: (Row & { receipt: string })[] = [];
    const maxReceives = this.config[queue]?.maxReceives ?? Number.POSITIVE_INFINITY;
    this.db.exec('BEGIN IMMEDIATE');
    const due = this.db
      .prepare('SELECT * FROM messages WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, seq LIMIT 100')
      .all(queue, now) as Row[];
    for (const row of due) {
      if (taken.length === max) break;
      if (row.receives >= maxReceives) this.bury(row.id, queue);
      else taken.push(this.take(row, now, visibility));
    }
    this.db.exec('COMMIT');
    return taken;
  }

  private take(row: Row, now: number, visibility: number): Row & { receipt: string } {
    const receipt = randomUUID();
    const first = row.first_received ?? now;
    this.db
      .prepare('UPDATE messages SET receipt = ?, receives = receives + 1, first_received = ?, visible_at = ? WHERE id = ?')
      .run(receipt, first, now + visibility * 1000, row.id);
    return { ...row, receipt, receives: row.receives + 1, first_received: first };
  }

  private bury(id: string, queue: string): void {
    this.db.prepare('UPDATE messages SET queue = ?, receipt = NULL, visible_at = 0, receives = 0 WHERE id = ?').run(`${queue}-dead`, id);
    this.wake(`${queue}-dead`);
  }

  /** Only who took the message last can delete it; SQS answers the same either way. */
  delete(queue: string, receipt: string): void {
    this.db.prepare('DELETE FROM messages WHERE queue = ? AND receipt = ?').run(queue, receipt);
  }

  /** False when nobody holds the message by this receipt any more. */
  changeVisibility(queue: string, receipt: string, seconds: number): boolean {
    const now = Date.now();
    const { changes } = this.db
      .prepare('UPDATE messages SET visible_at = ? WHERE queue = ? AND receipt = ? AND visible_at > ?')
      .run(now + seconds * 1000, queue, receipt, now);
    if (changes && seconds === 0) this.wake(queue);
    return Number(changes) > 0;
  }

  names(): string[] {
    return Object.keys(this.config).flatMap((name) => [name, `${name}-dead`]);
  }

  /** Messages of one queue go to another, as new ones: nobody has taken them there. Answers how many. */
  move(from: string, to: string): number {
    const { changes } = this.db
      .prepare('UPDATE messages SET queue = ?, receipt = NULL, visible_at = 0, receives = 0, first_received = NULL WHERE queue = ?')
      .run(to, from);
    this.wake(to);
    return Number(changes);
  }

  counts(queue: string): { visible: number; inFlight: number; delayed: number } {
    const now = Date.now();
    const count = (where: string, ...values: number[]) =>
      Number((this.db.prepare(`SELECT count(*) AS n FROM messages WHERE queue = ? AND ${where}`).get(queue, ...values) as { n: number }).n);
    return {
      visible: count('visible_at <= ?', now),
      inFlight: count('visible_at > ? AND receipt IS NOT NULL', now),
      delayed: count('visible_at > ? AND receipt IS NULL', now),
    };
  }

  /** When the queue's next hidden message shows again. */
  nextVisible(queue: string): number | undefined {
    const row = this.db.prepare('SELECT min(visible_at) AS at FROM messages WHERE queue = ? AND visible_at > ?').get(queue, Date.now());
    return (row as { at: number | null }).at ?? undefined;
  }

  /** Settles when a message may have come, or after the time. */
  wait(queue: string, ms: number, gone: AbortSignal): Promise<void> {
    return new Promise((done) => {
      const waiters = this.waiting.get(queue) ?? new Set();
      this.waiting.set(queue, waiters);
      const end = () => {
        clearTimeout(timer);
        waiters.delete(end);
        gone.removeEventListener('abort', end);
        done();
      };
      const next = this.nextVisible(queue);
      const timer = setTimeout(end, Math.max(0, Math.min(ms, next === undefined ? ms : next - Date.now())));
      waiters.add(end);
      gone.addEventListener('abort', end);
    });
  }

  private wake(queue: string): void {
    for (const end of this.waiting.get(queue) ?? []) end();
  }
}

type Entry = { Id: string; MessageBody?: string; DelaySeconds?: number; MessageAttributes?: object; MessageGroupId?: string };
type Input = Entry & {
  QueueUrl: string;
  QueueName?: string;
  QueueNamePrefix?: string;
  SourceArn?: string;
  DestinationArn?: string;
  Entries?: (Entry & { ReceiptHandle?: string })[];
  ReceiptHandle?: string;
  MaxNumberOfMessages?: number;
  WaitTimeSeconds?: number;
  VisibilityTimeout?: number;
};

/** SQS's calls, as far as this system makes them. */
export function queueService(queues: Queues, grants: Grants, url: () => string): Answer {
  return async (request, response) => {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const answer = jsonService('1.0', (caller, action, input: Input) => run(caller, action, input, gone.signal));
    return answer(request, response);
  };

  async function run(caller: string, action: string, input: Input, gone: AbortSignal): Promise<object> {
    const queue = (input.QueueUrl ?? input.QueueName ?? input.SourceArn ?? '').split(/[/:]/).at(-1) ?? '';
    note(caller, `sqs:${action.replace(/Batch$/, '')}`, queue);
    demand(grants, caller, queue, action.replace(/Batch$/, ''));
    if (action === 'ListQueues') {
      const found = queues.names().filter((name) => name.startsWith(input.QueueNamePrefix ?? ''));
      return { QueueUrls: found.map((name) => `${url()}/000000000000/${name}`) };
    }
    if (!queues.has(queue)) throw new Refusal(400, 'QueueDoesNotExist', 'The specified queue does not exist.');
    switch (action) {
      case 'SendMessage':
        return send(queue, input);
      case 'SendMessageBatch': {
        const entries = batch(input);
        const size = entries.reduce((sum, entry) => sum + Buffer.byteLength(entry.MessageBody ?? ''), 0);
        if (size > MAX_BYTES) throw new Refusal(400, 'BatchRequestTooLong', 'The batch has more than 1048576 bytes.');
        return each(entries, (entry) => send(queue, entry));
      }
      case 'ReceiveMessage':
        return receive(queue, input, gone);
      case 'DeleteMessage':
        queues.delete(queue, input.ReceiptHandle ?? '');
        return {};
      case 'DeleteMessageBatch':
        return each(batch(input), (entry) => {
          queues.delete(queue, entry.ReceiptHandle ?? '');
          return {};
        });
      case 'ChangeMessageVisibility':
        if (!queues.changeVisibility(queue, input.ReceiptHandle ?? '', input.VisibilityTimeout ?? 0)) {
          throw new Refusal(400, 'MessageNotInflight', 'The message is not in flight.');
        }
        return {};
      case 'StartMessageMoveTask': {
        const to = input.DestinationArn?.split(':').at(-1) ?? '';
        if (!queues.has(to)) throw new Refusal(400, 'ResourceNotFoundException', 'The destination does not exist.');
        queues.move(queue, to);
        return { TaskHandle: queue };
      }
      case 'GetQueueUrl':
        return { QueueUrl: `${url()}/000000000000/${queue}` };
      case 'GetQueueAttributes': {
        const { visible, inFlight, delayed } = queues.counts(queue);
        return {
          Attributes: {
            QueueArn: `arn:aws:sqs:local:000000000000:${queue}`,
            ApproximateNumberOfMessages: String(visible),
            ApproximateNumberOfMessagesNotVisible: String(inFlight),
            ApproximateNumberOfMessagesDelayed: String(delayed),
          },
        };
      }
      default:
        throw new Refusal(400, 'UnsupportedOperation', `The local SQS does not know ${action}.`);
    }
  }

  function send(queue: string, { MessageBody, DelaySeconds, MessageAttributes, MessageGroupId }: Entry): object {
    if (!MessageBody) throw new Refusal(400, 'MissingParameter', 'The request must contain the parameter MessageBody.');
    if (Buffer.byteLength(MessageBody) > MAX_BYTES)
      throw new Refusal(400, 'InvalidParameterValue', 'The message has more than 1048576 bytes.');
    if (UNFIT.test(MessageBody)) throw new Refusal(400, 'InvalidMessageContents', 'The message holds characters outside the allowed set.');
    if (DelaySeconds !== undefined && (DelaySeconds < 0 || DelaySeconds > 900)) {
      throw new Refusal(400, 'InvalidParameterValue', 'DelaySeconds must be between 0 and 900.');
    }
    const MessageId = queues.send(queue, MessageBody, { delay: DelaySeconds, attributes: MessageAttributes, group: MessageGroupId });
    return { MessageId, MD5OfMessageBody: md5(MessageBody) };
  }

  async function receive(queue: string, input: Input, gone: AbortSignal): Promise<object> {
    const max = input.MaxNumberOfMessages ?? 1;
    const wait = (input.WaitTimeSeconds ?? 0) * 1000;
    if (max < 1 || max > 10) throw new Refusal(400, 'InvalidParameterValue', 'MaxNumberOfMessages must be between 1 and 10.');
    if (wait < 0 || wait > 20_000) throw new Refusal(400, 'InvalidParameterValue', 'WaitTimeSeconds must be between 0 and 20.');
    const visibility = input.VisibilityTimeout ?? queues.config[queue]?.visibility ?? 30;
    const until = Date.now() + wait;
    for (;;) {
      // A caller that hung up must not take messages with it into the void.
      const rows = gone.aborted ? [] : queues.receive(queue, max, visibility);
      const left = until - Date.now();
      if (rows.length > 0) return { Messages: rows.map(asMessage) };
      if (left <= 0 || gone.aborted) return {};
      await queues.wait(queue, left, gone);
    }
  }
}

const asMessage = (row: Row & { receipt: string }) => ({
  MessageId: row.id,
  ReceiptHandle: row.receipt,
  MD5OfBody: md5(row.body),
  Body: row.body,
  Attributes: {
    SenderId: '000000000000',
    SentTimestamp: String(row.sent),
    ApproximateReceiveCount: String(row.receives),
    ApproximateFirstReceiveTimestamp: String(row.first_received),
    ...(row.message_group ? { MessageGroupId: row.message_group } : {}),
  },
  MessageAttributes: JSON.parse(row.attributes) as object,
});

function batch(input: Input) {
  const entries = input.Entries ?? [];
  if (entries.length === 0) throw new Refusal(400, 'EmptyBatchRequest', 'The batch holds no entries.');
  if (entries.length > 10) throw new Refusal(400, 'TooManyEntriesInBatchRequest', 'The batch holds more than 10 entries.');
  if (entries.some(({ Id }) => !/^[\w-]{1,80}$/.test(Id)))
    throw new Refusal(400, 'InvalidBatchEntryId', 'A batch entry id has 1 to 80 letters, digits, hyphens and underscores.');
  if (new Set(entries.map(({ Id }) => Id)).size < entries.length) {
    throw new Refusal(400, 'BatchEntryIdsNotDistinct', 'Two entries of the batch have the same id.');
  }
  return entries;
}

function each<T extends { Id: string }>(entries: T[], run: (entry: T) => object): object {
  const Successful: object[] = [];
  const Failed: object[] = [];
  for (const entry of entries) {
    try {
      Successful.push({ Id: entry.Id, ...run(entry) });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      Failed.push({ Id: entry.Id, Code: error.code, Message: error.message, SenderFault: true });
    }
  }
  return { Successful, Failed };
}

const md5 = (text: string) => createHash('md5').update(text).digest('hex');
