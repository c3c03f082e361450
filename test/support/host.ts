import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTransport } from 'nodemailer';
import type { SentMail } from '../../lib/local/engine/mails.ts';
import { callAws } from '../../lib/local/engine.ts';
import { type Host, type HostOptions, start } from '../../lib/local/host.ts';

export type TestHost = Host & {
  /** `fetch` for a path of the API with a member's token; objects are sent as JSON. */
  api: (token?: string) => (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;
  /** Hands a mail to the host over SMTP and answers once it was accepted; throws what the server says when it was not. */
  sendMail: (mail: { from: string; rcpt: string | string[]; raw: string | Buffer }) => Promise<void>;
  /** What went out so far, oldest first; `raw` fetches one mail's source. */
  outbox: () => Promise<(SentMail & { raw: () => Promise<string> })[]>;
};

// biome-ignore lint/suspicious/noExplicitAny: a test says what it expects by looking into it.
export type Answer = { status: number; headers: Headers; text: string; json: any };

/** A test that fails in the middle leaves its host behind: Jest would wait for it for ever. */
const running = new Set<() => Promise<void>>();
afterAll(async () => {
  for (const end of running) await end();
});

/** What a stage on AWS may take, where a poller waits for its batch and functions start cold, and what a busy machine may. */
const PATIENCE_SECONDS = 180;

/**
 * The whole system in a directory of its own with ports of its own, built when a source is newer; `end()` removes it all. Its timetable
 * is fired by hand: a poll of its own accord, a minute after the start, would come between two steps of some test on a slow machine.
 */
export async function startHost(options: Partial<HostOptions> = {}): Promise<TestHost> {
  if (process.env.BASE_URL) throw new Error('BASE_URL names a stage that runs apart: a test with a host of its own says insideOnly(...)');
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'host-'));
  const host = await start({ quiet: true, schedules: 'by-hand', ports: { api: 0, smtp: 0, outbox: 0 }, ...options, dir });
  const end = async () => {
    running.delete(end);
    await host.end();
    if (!options.dir) rmSync(dir, { recursive: true });
  };
  return {
    ...host,
    end,
    api: (token) => caller(host.apiUrl, token),
    sendMail: (mail) => sendMail(host.smtpPort, mail),
    outbox: () => outbox(host),
  };
}

/** Asks one API as one caller. */
export const caller =
  (apiUrl: string, token?: string) =>
  async (method: string, path: string, body?: unknown, extra: Record<string, string> = {}): Promise<Answer> => {
    const headers: Record<string, string> = token ? { authorization: `Bearer ${token}`, ...extra } : { ...extra };
    const asJson = body !== undefined && typeof body !== 'string' && !Buffer.isBuffer(body);
    if (asJson) headers['content-type'] ??= 'application/json';
    const sent = asJson ? JSON.stringify(body) : (body as string | undefined);
    const answer = await fetch(apiUrl + path, { method, headers, body: sent, redirect: 'manual' });
    const text = await answer.text();
    const isJson = /json/.test(answer.headers.get('content-type') ?? '');
    return { status: answer.status, headers: answer.headers, text, json: isJson && text ? JSON.parse(text) : undefined };
  };

async function sendMail(port: number, { from, rcpt, raw }: { from: string; rcpt: string | string[]; raw: string | Buffer }): Promise<void> {
  const transport = createTransport({ host: '127.0.0.1', port, secure: false, ignoreTLS: true });
  try {
    const sent = await transport.sendMail({ envelope: { from, to: rcpt }, raw });
    if (sent.rejected.length > 0) throw new Error(`refused: ${sent.rejected.join(', ')}`);
  } finally {
    transport.close();
  }
}

async function outbox({ outboxUrl }: Host) {
  const sent = (await (await fetch(`${outboxUrl}/outbox`)).json()) as SentMail[];
  return sent.map((mail) => ({ ...mail, raw: async () => (await fetch(`${outboxUrl}/outbox/${mail.id}`)).text() }));
}

/**
 * Asks until there is an answer (anything but undefined, null and false) and gives it back. Throws after `seconds`, with the
 * last error if asking failed.
 */
export async function until<T>(ask: () => T | Promise<T>, seconds = PATIENCE_SECONDS): Promise<NonNullable<T>> {
  const deadline = Date.now() + seconds * 1000;
  let last: unknown;
  for (;;) {
    try {
      last = undefined;
      const answer = await ask();
      if (answer !== undefined && answer !== null && answer !== false) return answer as NonNullable<T>;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw last ?? new Error(`nothing came within ${seconds} s`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/**
 * Until nothing waits in these queues of a host, and nobody has anything of them in hand: what was begun there is through. What is
 * kept for later by its sender is not waited for.
 */
export async function untilDone({ endpoints }: { endpoints: { sqs: string } }, ...queues: string[]): Promise<void> {
  const lying = async (QueueUrl: string) => {
    const answer = await callAws(endpoints.sqs, 'AmazonSQS.GetQueueAttributes', { QueueUrl, AttributeNames: ['All'] });
    const { Attributes } = (await answer.json()) as { Attributes: Record<string, string> };
    return ['', 'NotVisible'].some((which) => Attributes[`ApproximateNumberOfMessages${which}`] !== '0');
  };
  await until(async () => !(await Promise.all(queues.map(lying))).includes(true));
}
