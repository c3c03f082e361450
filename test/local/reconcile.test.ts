import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { signed } from '../../lib/local/engine.ts';
import { startHost, type TestHost, until } from '../support/host.ts';
import { newTenant, rawMail } from '../support/tenant.ts';

let host: TestHost;
beforeAll(async () => {
  host = await startHost();
});
afterAll(() => host.end());

test('npm run reconcile: a mail whose notification was lost is on its record a moment later', async () => {
  const { admin } = await newTenant(host);
  const contact = (await admin.api('POST', '/v1/contacts', { name: { last: 'Yamada' }, addresses: ['taro@customer.example'] })).json.id;
  const { address } = (await admin.api('GET', '/v1/dropbox')).json;
  const id = 'lost0000000000000000000000000000000000a1';
  const received = `Received: from x by inbound-smtp.eu-west-1.amazonaws.com with SMTP id ${id} for ${address};\r\n ${new Date().toUTCString()}`;
  const mail = rawMail({ From: admin.email, To: 'taro@customer.example', Subject: 'Lost' });
  const body = `Return-Path: <${admin.email}>\r\n${received}\r\nX-SES-Spam-Verdict: PASS\r\nX-SES-Virus-Verdict: PASS\r\n${mail}`;
  expect((await fetch(`${host.endpoints.s3}/mail/raw/${id}`, { method: 'PUT', headers: signed(), body })).status).toBe(200);

  expect(await command('--minutes', '0')).toEqual({ looked: 1, healed: 1, unknown: [], complete: true });
  const [found] = await until(async () => {
    const { items } = (await admin.api('GET', `/v1/contacts/${contact}/messages`)).json;
    return items.length > 0 ? items : undefined;
  });
  expect(found).toMatchObject({ subject: 'Lost', to: ['taro@customer.example'] });
  expect(await command('--minutes', '0')).toMatchObject({ looked: 0, healed: 0 });
});

test('a mail nobody can reconcile is told by its key, and counted in the log where the alarm looks', async () => {
  const id = 'lost0000000000000000000000000000000000b2';
  const received = `Received: from x by inbound-smtp.eu-west-1.amazonaws.com with SMTP id ${id};\r\n ${new Date().toUTCString()}`;
  const body = `Return-Path: <a@example.com>\r\n${received}\r\n${rawMail({ From: 'a@example.com', Subject: 'Lost' })}`;
  expect((await fetch(`${host.endpoints.s3}/mail/raw/${id}`, { method: 'PUT', headers: signed(), body })).status).toBe(200);
  expect(await command('--minutes', '0')).toMatchObject({ healed: 0, unknown: [`raw/${id}`] });
  const lines = readFileSync(join(host.dir, 'log', 'reconcile-raw-mail.log'), 'utf8')
    .trim()
    .split('\n');
  const counted = lines.filter((line) => line.includes('raw mail reconciled')).map((line) => JSON.parse(line.slice(line.indexOf('{'))));
  expect(counted.at(-1)).toMatchObject({ unknown: 1 });
});

/** What the command printed. Not waited for in one go: the host it asks runs in this process. */
async function command(...args: string[]): Promise<unknown> {
  const child = spawn(process.execPath, ['bin/reconcile.ts', '--dir', host.dir, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk));
  await once(child, 'close');
  return JSON.parse(said);
}
