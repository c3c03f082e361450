import { sha256 } from '../../core/ids.ts';
import { BUCKET, callAws, signed } from '../../lib/local/engine.ts';
import { type TestHost, until } from './host.ts';
import type { Person } from './tenant.ts';

/**
 * Hands a mail in as the poll of a person's mailbox does, stored and queued, and waits until it stands in their own list, with so
 * many others as are there then. Answers its id.
 */
export async function fetchMail(host: TestHost, person: Person, raw: string, receivedAt = new Date().toISOString()): Promise<string> {
  const [tenant = '', member = ''] = person.token.split('_').slice(-4);
  const seen = sha256(raw, receivedAt);
  const account = 'account-of-a-test';
  const rawKey = `t/${tenant}/mail/${account}/${seen}.eml`;
  await fetch(`${host.endpoints.s3}/${BUCKET}/${rawKey}`, { method: 'PUT', headers: signed(), body: raw });
  const mailbox = { tenant, member, account, seen, rawKey, rawSize: raw.length, receivedAt };
  const QueueUrl = `${host.endpoints.sqs}/000000000000/inbound`;
  await callAws(host.endpoints.sqs, 'AmazonSQS.SendMessage', { QueueUrl, MessageBody: JSON.stringify({ mailbox }) });
  const subject = /^Subject: (.*)\r$/m.exec(raw)?.[1];
  return until(async () => {
    const { items } = (await person.api('GET', '/v1/mail')).json as { items: { id: string; subject: string }[] };
    return items.find((item) => item.subject === subject)?.id;
  });
}
