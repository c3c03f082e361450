import { SendMessageBatchCommand, SendMessageCommand, type SQSClient } from '@aws-sdk/client-sqs';

/** What SQS takes in one request. */
const BATCH = 10;

/** A queue of jobs: what is sent is done at least once, so it must be safe to do twice. */
export class JobQueue {
  private readonly sqs: SQSClient;
  private readonly url: string;

  constructor(sqs: SQSClient, url: string) {
    this.sqs = sqs;
    this.url = url;
  }

  /** With `delaySeconds`, up to 900, nobody is given it before. */
  async send(job: object, delaySeconds?: number): Promise<void> {
    await this.sqs.send(new SendMessageCommand({ QueueUrl: this.url, MessageBody: JSON.stringify(job), DelaySeconds: delaySeconds }));
  }

  /** Sends small jobs, ten to a request. Throws when one of them was not taken; those before it were. */
  async sendAll(jobs: readonly object[]): Promise<void> {
    for (let start = 0; start < jobs.length; start += BATCH) {
      const Entries = jobs.slice(start, start + BATCH).map((job, i) => ({ Id: String(i), MessageBody: JSON.stringify(job) }));
      const { Failed } = await this.sqs.send(new SendMessageBatchCommand({ QueueUrl: this.url, Entries }));
      if (Failed?.[0]) throw new Error(`the queue refused a job: ${Failed[0].Code}`);
    }
  }
}
