import { callAws } from '../../lib/local/engine.ts';
import { type TestHost, until } from './host.ts';
import type { Pop3Server } from './pop3-server.ts';
import { newTenant, type Person, rawMail } from './tenant.ts';

// biome-ignore lint/suspicious/noExplicitAny: a test says what it expects by looking into it.
type Shown = any;

/** A mail account of a new tenant's administrator, on a server of this machine, and what a test does with it. */
export type Mailbox = {
  tenant: string;
  owner: Person;
  account: string;
  read: () => Promise<Shown>;
  /** Has it polled now, and waits until this is to be seen. */
  poll: (seen: (account: Shown) => unknown) => Promise<Shown>;
};

/** Sets one up on a server on which `taro` has the password `open sesame`. The host must allow local mail servers. */
export async function newMailbox(host: TestHost, server: Pop3Server, more: object = {}): Promise<Mailbox> {
  const { id: tenant, admin } = await newTenant(host, 'With a mailbox');
  await admin.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' });
  const incoming = { host: server.host, port: server.port, security: 'none', userName: 'taro', password: 'open sesame' };
  const made = await admin.api('POST', '/v1/mail-accounts', { name: 'Work', address: 'taro@example.com', incoming, ...more });
  if (made.status !== 201) throw new Error(made.text);
  const account = made.json.id as string;
  const read = async () => (await admin.api('GET', `/v1/mail-accounts/${account}`)).json;
  const poll: Mailbox['poll'] = (seen) =>
    untilPolled(host, { tenant, member: admin.id, account }, async () => {
      const shown = await read();
      return seen(shown) ? shown : undefined;
    });
  return { tenant, owner: admin, account, read, poll };
}

/**
 * Has the account polled until there is an answer. One word is not enough: a poll that finds the mailbox in the hands of another,
 * which the timetable began, leaves it to that one.
 */
export function untilPolled<T>(host: TestHost, poll: { tenant: string; member: string; account: string }, ask: () => Promise<T>) {
  let saidAt = Number.NEGATIVE_INFINITY;
  return until(async () => {
    if (performance.now() - saidAt >= AGAIN_MS) {
      await sendJob(host, 'polls', { poll });
      saidAt = performance.now();
    }
    return ask();
  }, 600);
}
const AGAIN_MS = 3000;

/** Puts a job into a queue, as one of the functions would. */
export const sendJob = (host: TestHost, QueueUrl: string, job: object) =>
  callAws(host.endpoints.sqs, 'AmazonSQS.SendMessage', { QueueUrl, MessageBody: JSON.stringify(job) });

/** A mail as bytes, which reached its server then. */
export const reached = (at: Date, headers: Record<string, string>, body?: string) =>
  `Received: by x; ${at.toUTCString()}\r\n${rawMail(headers, body)}`;
