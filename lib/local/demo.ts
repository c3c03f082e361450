import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from './host.ts';

/** What is kept of the demo, so that the welcome can be printed again at the next start. */
type Demo = { administrator: string; member: string; dropbox: string; contact: string };

const ADMINISTRATOR = { name: 'Aiko Tanaka', email: 'aiko@example.com' };
const MEMBER = { name: 'Mika Sato', email: 'mika@example.com' };

/** Makes the demo tenant unless this state has it: a first start that was killed half way makes it at the next one. */
export async function firstStart(host: Host): Promise<void> {
  if (existsSync(noteOf(host))) return;
  const demo = await createDemo(host);
  writeFileSync(`${noteOf(host)}.new`, JSON.stringify(demo, null, 2), { mode: 0o600 });
  renameSync(`${noteOf(host)}.new`, noteOf(host));
}

/** The way a customer would: through the operator's function and the API, the code read from the outbox. */
async function createDemo(host: Host): Promise<Demo> {
  const created = await host.invoke('create-tenant', { name: 'Example Trading', timeZone: 'Asia/Tokyo', administrator: ADMINISTRATOR });
  if ('error' in created) throw new Error(`the demo tenant could not be made: ${created.error.errorMessage}`);
  const { token: administrator } = JSON.parse(created.answer) as { token: string };
  const admin = client(host.apiUrl, administrator);
  await admin('PATCH', '/v1/organisation', { mailAddOn: 'everyone' });
  await admin('POST', '/v1/members', { ...MEMBER, profile: 'standard' });
  const code = await codeMailedTo(host, MEMBER.email);
  const { token: member } = await admin('POST', '/v1/confirmations', { code });
  const mika = client(host.apiUrl, member as string);

  await mika('POST', '/v1/leads', { name: { first: 'Ken', last: 'Ito' }, addresses: ['ken@lead.example'], company: 'Lead Works' });
  const contact = await mika('POST', '/v1/contacts', {
    name: { first: 'Taro', last: 'Yamada' },
    addresses: ['taro@customer.example', 'yamada.taro@customer.example'],
    account: 'Customer Industries',
  });
  await mika('POST', '/v1/contacts', { name: { first: 'Hanako', last: 'Suzuki' }, addresses: ['hanako@customer.example'] });
  await mika('POST', '/v1/deals', { title: 'First order', contactId: contact.id, amount: 12000, stage: 'open' });
  const { address } = await mika('GET', '/v1/dropbox');
  return { administrator, member: member as string, dropbox: address as string, contact: contact.id as string };
}

/** What a person needs next: where things are, and three lines to copy that send a mail and show it. */
export function welcome(host: Host): string[] {
  const demo = JSON.parse(readFileSync(noteOf(host), 'utf8')) as Demo;
  return `
  CRM mail add-on, running on this machine only. Ctrl-C stops it; --fresh begins anew.

  API              ${host.apiUrl}
  Documentation    ${host.apiUrl}/docs
  Mail in (SMTP)   127.0.0.1:${host.smtpPort}
  Mail out         ${host.outboxUrl}/outbox

  Administrator    ${ADMINISTRATOR.name} <${ADMINISTRATOR.email}>
    token          ${demo.administrator}
  Member           ${MEMBER.name} <${MEMBER.email}>
    token          ${demo.member}
    dropbox        ${demo.dropbox}

  Try it: send a mail to a customer with the dropbox in BCC, then see it on the customer's record.

printf 'From: Mika <${MEMBER.email}>\\r\\nTo: Taro <taro@customer.example>\\r\\nSubject: Our offer\\r\\nDate: %s\\r\\nMessage-ID: <%s@example.com>\\r\\n\\r\\nDear Taro, here it is.\\r\\n' "$(date -R)" "$(date +%s)" > mail.eml
curl -s --url smtp://127.0.0.1:${host.smtpPort} --mail-from ${MEMBER.email} --mail-rcpt ${demo.dropbox} --upload-file mail.eml && sleep 2
curl -s -H 'Authorization: Bearer ${demo.member}' ${host.apiUrl}/v1/contacts/${demo.contact}/messages
`.split('\n');
}

function client(apiUrl: string, token: string) {
  return async (method: string, path: string, body?: object): Promise<Record<string, unknown>> => {
    const response = await fetch(apiUrl + path, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`the demo could not be made: ${method} ${path} answered ${response.status} ${text}`);
    return JSON.parse(text);
  };
}

/** The code in the newest mail to this address; a line of its own, as the invitation has it. */
async function codeMailedTo(host: Host, address: string): Promise<string> {
  for (let tries = 0; tries < 50; tries++) {
    const outbox = (await (await fetch(`${host.outboxUrl}/outbox`)).json()) as { id: string; destinations: string[] }[];
    const mail = outbox.findLast(({ destinations }) => destinations.includes(address));
    const raw = mail && (await (await fetch(`${host.outboxUrl}/outbox/${mail.id}`)).text());
    const code = raw && /^([0-9a-z]{26})\r?$/m.exec(raw)?.[1];
    if (code) return code;
    await sleep(100);
  }
  throw new Error(`no code was mailed to ${address}`);
}

const noteOf = (host: Host) => join(host.dir, 'demo.json');
