import type { Rows } from '../bundle.ts';
import { callAws, REGION } from './engine.ts';
import type { Outcome } from './functions.ts';

type Received = {
  MessageId: string;
  ReceiptHandle: string;
  Body: string;
  MD5OfBody: string;
  Attributes: Record<string, string>;
  MessageAttributes: Record<string, unknown>;
};
type Invoke = (name: string, event: unknown) => Promise<Outcome>;

/** For tests: what SQS may do and seldom does. Each batch is shuffled, and run a second time with this probability. */
export type Chaos = { duplicate: number; random?: () => number };

/** Batches of one function at once: as many as it has processes. */
const MAX_BATCHES = 4;

/**
 * Feeds the functions behind queues as Lambda's event source mappings do: batches, at least once, in no certain order. What
 * a function does not report as failed is deleted; the rest comes again when its visibility ends, or goes to the
 * dead-letter queue.
 */
export class Pollers {
  private readonly endpoint: string;
  private readonly invoke: Invoke;
  private readonly chaos: Chaos | undefined;
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>[] = [];

  constructor(rows: Rows, endpoint: string, invoke: Invoke, chaos?: Chaos) {
    this.endpoint = endpoint;
    this.invoke = invoke;
    this.chaos = chaos;
    for (const [name, { trigger }] of Object.entries(rows)) {
      if (trigger.kind !== 'queue') continue;
      const lanes = Math.min(MAX_BATCHES, trigger.maxConcurrency);
      for (let lane = 0; lane < lanes; lane++) this.running.push(this.poll(name, trigger.queue, Math.min(10, trigger.batchSize)));
    }
  }

  /** Takes no further messages; settles when the batches in hand are through. */
  async end(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.running);
  }

  private async poll(name: string, queue: string, batchSize: number): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const messages = await this.receive(queue, batchSize);
      if (messages.length > 0) await this.deliver(name, queue, messages);
    }
  }

  private async receive(queue: string, max: number): Promise<Received[]> {
    try {
      const input = { QueueUrl: queue, MaxNumberOfMessages: max, WaitTimeSeconds: 20 };
      const answer = await callAws(this.endpoint, 'AmazonSQS.ReceiveMessage', input, this.stopping.signal);
      return ((await answer.json()) as { Messages?: Received[] }).Messages ?? [];
    } catch {
      // The engine is gone or we are ending; the host decides which, this only must not spin.
      if (!this.stopping.signal.aborted) await new Promise((done) => setTimeout(done, 500));
      return [];
    }
  }

  private async deliver(name: string, queue: string, messages: Received[]): Promise<void> {
    const random = this.chaos?.random ?? Math.random;
    const batch = this.chaos ? shuffled(messages, random) : messages;
    const event = { Records: batch.map((message) => recordOf(message, queue)) };
    if (this.chaos && random() < this.chaos.duplicate) await this.invoke(name, event);
    const failed = failedIds(await this.invoke(name, event), new Set(batch.map(({ MessageId }) => MessageId)));
    const done = batch.filter(({ MessageId }) => !failed.has(MessageId));
    if (done.length === 0) return;
    const Entries = done.map(({ ReceiptHandle }, i) => ({ Id: String(i), ReceiptHandle }));
    // When this fails the messages come again: at least once, as promised.
    await callAws(this.endpoint, 'AmazonSQS.DeleteMessageBatch', { QueueUrl: queue, Entries }).catch(() => undefined);
  }
}

/** Which messages a function did not get through with. An answer Lambda cannot read counts as a failure of the whole batch. */
export function failedIds(outcome: Outcome, all: Set<string>): Set<string> {
  if ('error' in outcome) return all;
  const answer = JSON.parse(outcome.answer) as { batchItemFailures?: unknown } | null;
  const failures = answer?.batchItemFailures ?? [];
  if (!Array.isArray(failures)) return all;
  const ids = failures.map((failure: { itemIdentifier?: unknown } | null) => failure?.itemIdentifier);
  if (ids.some((id) => typeof id !== 'string' || !all.has(id))) return all;
  return new Set(ids as string[]);
}

const recordOf = (message: Received, queue: string) => ({
  messageId: message.MessageId,
  receiptHandle: message.ReceiptHandle,
  body: message.Body,
  attributes: message.Attributes,
  messageAttributes: Object.fromEntries(
    Object.entries(message.MessageAttributes).map(([name, value]) => [name, lowerCased(value as object)]),
  ),
  md5OfBody: message.MD5OfBody,
  eventSource: 'aws:sqs',
  eventSourceARN: `arn:aws:sqs:${REGION}:000000000000:${queue}`,
  awsRegion: REGION,
});

const lowerCased = (value: object) =>
  Object.fromEntries(Object.entries(value).map(([key, part]) => [key[0]?.toLowerCase() + key.slice(1), part]));

function shuffled<T>(items: T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
