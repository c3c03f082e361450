import { randomUUID } from 'node:crypto';
import { note } from './calls.ts';
import type { Queues } from './queues.ts';
import { type Answer, demand, type Grants, queryService, Refusal } from './server.ts';

/** Each topic and the queue that is subscribed to it. */
export type TopicConfig = Record<string, { arn: string; queue: string }>;

const MAX_BYTES = 256 * 1024;

/** SNS: Publish to a topic puts one notification, in SNS's envelope (not raw), into the queue that is subscribed. */
export function topicService(topics: TopicConfig, queues: Queues, grants: Grants): Answer {
  return queryService('http://sns.amazonaws.com/doc/2010-03-31/', (caller, action, form) => {
    const [name, topic] = Object.entries(topics).find(([, { arn }]) => arn === form.get('TopicArn')) ?? [];
    note(caller, `sns:${action}`, name ?? '');
    demand(grants, caller, name ?? '', action);
    if (action !== 'Publish') throw new Refusal(400, 'InvalidAction', `The local SNS does not know ${action}.`);
    if (!topic) throw new Refusal(404, 'NotFound', 'Topic does not exist');
    const Message = form.get('Message') ?? '';
    if (Message === '' || Buffer.byteLength(Message) > MAX_BYTES) {
      throw new Refusal(400, 'InvalidParameter', 'A message has 1 to 262144 bytes.');
    }
    const MessageId = randomUUID();
    const Subject = form.get('Subject') ?? undefined;
    const Timestamp = new Date().toISOString();
    const unsigned = { SignatureVersion: '1', Signature: 'none', SigningCertURL: '', UnsubscribeURL: '' };
    queues.send(
      topic.queue,
      JSON.stringify({ Type: 'Notification', MessageId, TopicArn: topic.arn, Subject, Message, Timestamp, ...unsigned }),
    );
    return `<MessageId>${MessageId}</MessageId>`;
  });
}
