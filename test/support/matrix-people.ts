import { type Answer, type TestHost, until } from './host.ts';

export type Api = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;

/** A member as a test holds them. */
export type Person = { id: string; email: string; token: string; api: Api };

/** A tenant with its first administrator, made as an operator makes it. */
export async function newTenant(host: TestHost, name: string, email: string): Promise<Person & { tenant: string }> {
  const created = await host.invoke('create-tenant', { name, administrator: { name: `Administrator of ${name}`, email } });
  if ('error' in created) throw new Error(created.error.errorMessage);
  const { tenant, member, token } = JSON.parse(created.answer) as { tenant: string; member: string; token: string };
  return { tenant, id: member, email, token, api: host.api(token) };
}

/** Invites a person and takes the invitation up with the code that was mailed. */
export async function join(
  host: TestHost,
  administrator: Person,
  email: string,
  more: { name?: string; profile?: string } = {},
): Promise<Person> {
  const invited = await expectStatus(
    201,
    administrator.api('POST', '/v1/members', { name: more.name ?? email, email, profile: more.profile }),
  );
  const confirmed = await expectStatus(201, host.api()('POST', '/v1/confirmations', { code: await invitationCode(host, email) }));
  return { id: invited.json.id, email, token: confirmed.json.token, api: host.api(confirmed.json.token) };
}

/** The code of the newest invitation mailed to this address. */
export const invitationCode = (host: TestHost, email: string) => mailed(host, email, /^([0-9a-z]{26})\r?$/m);

/** The code of the newest mail that verifies a sending address. */
export const senderCode = (host: TestHost, email: string) => mailed(host, email, /^(\d{8})\r?$/m);

async function mailed(host: TestHost, email: string, code: RegExp): Promise<string> {
  return until(async () => {
    const mail = (await host.outbox()).findLast(({ destinations }) => destinations.includes(email));
    return mail && code.exec(await mail.raw())?.[1];
  });
}

/** The answer, if it has this status; else an error that shows it. */
export async function expectStatus(status: number, asking: Promise<Answer>): Promise<Answer> {
  const answer = await asking;
  if (answer.status !== status) throw new Error(`expected ${status}, got ${answer.status}: ${answer.text.slice(0, 500)}`);
  return answer;
}

let mails = 0;

/** A small mail, each with a Message-ID of its own. */
export function rawMail(mail: { from: string; to: string; subject: string; text?: string; headers?: string[] }): string {
  return [
    `From: <${mail.from}>`,
    `To: <${mail.to}>`,
    `Subject: ${mail.subject}`,
    `Date: Sun, 1 Mar 2026 09:00:00 +0000`,
    `Message-ID: <${++mails}.${process.pid}.${Date.now()}@example.com>`,
    ...(mail.headers ?? []),
    '',
    mail.text ?? 'Dear customer',
    '',
  ].join('\r\n');
}

/** The same with one attachment. */
export function rawMailWithFile(mail: { from: string; to: string; subject: string; filename: string }): string {
  const text = ['--cut', 'Content-Type: text/plain', '', 'See the file', '--cut', 'Content-Type: text/plain'];
  const file = [`Content-Disposition: attachment; filename="${mail.filename}"`, '', 'content of the file', '--cut--'];
  return rawMail({
    ...mail,
    headers: ['MIME-Version: 1.0', 'Content-Type: multipart/mixed; boundary=cut'],
    text: [...text, ...file].join('\r\n'),
  });
}
