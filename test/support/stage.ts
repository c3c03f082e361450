import { basename } from 'node:path';
import { createTransport } from 'nodemailer';
import { caller, startHost, type TestHost } from './host.ts';
import { newTenant, type Person } from './tenant.ts';

/**
 * A running system with a tenant that is empty. BASE_URL and TOKEN name one that runs apart, deployed wherever it may be, by its
 * API and its administrator's token; SMTP_URL says where mail for its domain is handed in. Without them it is a local host of
 * the test's own, and `host` is there to look inside.
 */
export type Stage = {
  administrator: Person;
  sendMail: TestHost['sendMail'];
  host?: TestHost;
  end: () => Promise<void>;
};

const { BASE_URL, TOKEN, SMTP_URL } = process.env;
const isApart = BASE_URL !== undefined;

export async function openStage(): Promise<Stage> {
  if (isApart) return { administrator: await administratorOf(BASE_URL.replace(/\/$/, ''), TOKEN ?? ''), sendMail, end: async () => {} };
  const host = await startHost();
  const { admin } = await newTenant(host);
  return { administrator: admin, sendMail: host.sendMail, host, end: host.end };
}

async function administratorOf(url: string, token: string): Promise<Person> {
  const api = caller(url, token);
  const { status, json, text } = await api('GET', '/v1/me');
  if (status !== 200) throw new Error(`${url} does not know the TOKEN: ${text}`);
  return { id: json.member.id, email: json.member.email, token, api };
}

/** As the servers of senders do: over TLS where the stage offers it, and AWS takes nothing without. */
async function sendMail({ from, rcpt, raw }: Parameters<TestHost['sendMail']>[0]): Promise<void> {
  const transport = createTransport(SMTP_URL);
  try {
    const sent = await transport.sendMail({ envelope: { from, to: rcpt }, raw });
    if (sent.rejected.length > 0) throw new Error(`refused: ${sent.rejected.join(', ')}`);
  } finally {
    transport.close();
  }
}

type Title = Parameters<typeof test>[0];
type Body = Parameters<typeof test>[1];

/** `describe` and `test` for a file that cannot do without its own local host: on a stage apart each is skipped, with the reason. */
export function insideOnly(reason: string): { describe: typeof describe; test: typeof test } {
  if (!isApart) return { describe, test };
  // Of a file that is left out as a whole, Jest's summary says but its name.
  process.stderr.write(`${basename(expect.getState().testPath ?? '')}: not on a stage apart: ${reason}\n`);
  const because = (title: unknown) => `${String(title)} [not on a stage apart: ${reason}]`;
  const skipping = <T extends typeof test.skip | typeof describe.skip>(skip: T) =>
    Object.assign((title: never, body: never) => skip(because(title) as never, body), {
      each: (rows: never) => (title: never, body: never) => skip.each(rows)(because(title) as never, body),
    });
  return { describe: skipping(describe.skip) as unknown as typeof describe, test: skipping(test.skip) as unknown as typeof test };
}

/** A test that looks inside the local host, for the reason given. */
export const insideTest = (reason: string, title: Title, body: Body) => insideOnly(reason).test(title, body);

/** A test that hands mail in: on a stage apart it needs SMTP_URL. */
export const mailTest = (title: Title, body: Body) =>
  isApart && !SMTP_URL ? insideOnly('without SMTP_URL no mail can be handed in').test(title, body) : test(title, body);
