import { Aws, Duration } from 'aws-cdk-lib';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { SqsSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { type Queue as QueueRow, resources } from '../../functions/manifest.ts';
import { logicalName } from './logical-name.ts';

type Kind = (typeof resources)[keyof typeof resources]['kind'];
type Named<K extends Kind> = {
  [N in keyof typeof resources]: (typeof resources)[N] extends { kind: K } ? N : never;
}[keyof typeof resources];
export type QueueName = Named<'queue'>;
export type TopicName = Named<'topic'>;

/** Each queue of the manifest with its dead-letter queue, and the topics that feed them. */
export class Queues extends Construct {
  readonly queues = {} as Record<QueueName, Queue>;
  readonly dead = {} as Record<QueueName, Queue>;
  readonly topics = {} as Record<TopicName, Topic>;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    for (const [name, resource] of Object.entries(resources)) if (resource.kind === 'queue') this.addQueue(name as QueueName, resource);
    for (const [name, resource] of Object.entries(resources))
      if (resource.kind === 'topic') this.addTopic(name as TopicName, resource.queue);
  }

  private addQueue(name: QueueName, { visibility, maxReceives }: QueueRow) {
    // A message keeps the age it has when it moves over, so the dead-letter queue must keep longer than the queue's 4 days.
    const dead = new Queue(this, `${logicalName(name)}Dead`, { ...encrypted, retentionPeriod: Duration.days(14) });
    this.dead[name] = dead;
    this.queues[name] = new Queue(this, logicalName(name), {
      ...encrypted,
      retentionPeriod: Duration.days(4),
      visibilityTimeout: Duration.seconds(visibility),
      deadLetterQueue: { queue: dead, maxReceiveCount: maxReceives },
    });
  }

  private addTopic(name: TopicName, queue: QueueName) {
    const topic = new Topic(this, logicalName(name), { enforceSSL: true });
    topic.addToResourcePolicy(
      new PolicyStatement({
        principals: [new ServicePrincipal('ses.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
        // Without it any AWS customer could have SES announce mail of theirs here (the confused deputy).
        conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
      }),
    );
    // Not raw: the local host delivers SNS's envelope too. What SNS cannot deliver is kept, as it stands for a mail.
    topic.addSubscription(new SqsSubscription(this.queues[queue], { rawMessageDelivery: false, deadLetterQueue: this.dead[queue] }));
    this.topics[name] = topic;
  }
}

const encrypted = { encryption: QueueEncryption.SQS_MANAGED, enforceSSL: true };
