import { SendMessageCommand, type SQSClient } from '@aws-sdk/client-sqs';

/** A queue of jobs: what is sent is done at least once, so it must be safe to do twice. */
export class JobQueue {
  private readonly sqs: SQSClient;
  private readonly url: string;

  constructor(sqs: SQSClient, url: string) {
    this.sqs = sqs;
    this.url = url;
  }

  async send(job: object): Promise<void> {
    await this.sqs.send(new SendMessageCommand({ QueueUrl: this.url, MessageBody: JSON.stringify(job) }));
  }
}
