import type { TestHost } from './host.ts';
import { until } from './host.ts';

export type Person = { id: string; token: string; email: string; api: ReturnType<TestHost['api']> };

/** A new tenant with its first administrator, made as an operator makes it. */
export async function newTenant(host: TestHost, name = 'Example'): Promise<{ id: string; admin: Person }> {
  const email = `admin-${Math.random().toString(36).slice(2)}@example.com`;
  const created = await host.invoke('create-tenant', { name, administrator: { name: 'Admin', email } });
  if ('error' in created) throw new Error(created.error.errorMessage);
  const { tenant, member, token } = JSON.parse(created.answer) as { tenant: string; member: string; token: string };
  return { id: tenant, admin: { id: member, token, email, api: host.api(token) } };
}

/** Invites somebody and confirms with the code that was mailed to them. */
export async function join(host: TestHost, admin: Person, email: string, profile = 'standard'): Promise<Person> {
  const invited = await admin.api('POST', '/v1/members', { name: email.split('@')[0], email, profile });
  if (invited.status !== 201) throw new Error(invited.text);
  const code = await mailedCode(host, email, /^([0-9a-z]{26})\r?$/m);
  const confirmed = await host.api()('POST', '/v1/confirmations', { code });
  if (confirmed.status !== 201) throw new Error(confirmed.text);
  const { token } = confirmed.json as { token: string };
  return { id: invited.json.id, token, email, api: host.api(token) };
}

/** The newest code mailed to an address. */
export function mailedCode(host: TestHost, email: string, pattern = /^(\d{8})\r?$/m): Promise<string> {
  return until(async () => {
    const mail = (await host.outbox()).findLast(({ destinations }) => destinations.includes(email));
    return mail && pattern.exec(await mail.raw())?.[1];
  });
}

/** A simple mail as bytes. */
export function rawMail(headers: Record<string, string>, body = 'Hello\r\n'): string {
  const lines = Object.entries({
    'Message-ID': `<${Math.random().toString(36).slice(2)}@example.com>`,
    Date: 'Sun, 01 Mar 2026 09:00:00 +0900',
    ...headers,
  });
  return `${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`;
}
