import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { startHost, type TestHost } from '../support/host.ts';
import { mailAccount } from '../support/matrix-cells.ts';
import { newTenant } from '../support/tenant.ts';

let host: TestHost;
beforeAll(async () => {
  host = await startHost();
});
afterAll(() => host.end());

test('npm run rotate-key: a new key for one tenant; the API, which has the old one in mind, reads on', async () => {
  const { id, admin } = await newTenant(host);
  await admin.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' });
  expect((await admin.api('POST', '/v1/mail-accounts', mailAccount(1))).status).toBe(201);
  const { address } = (await admin.api('GET', '/v1/dropbox')).json;
  const { next } = (await admin.api('GET', '/v1/members?limit=1')).json;

  expect(await command(id)).toMatchObject({ code: 0, said: { version: 2, resealed: 2, unreadable: 0, complete: true, older: [1] } });
  expect((await admin.api('GET', '/v1/dropbox')).json.address).toBe(address);
  expect((await admin.api('POST', '/v1/dropbox/regenerate')).status).toBe(200);
  expect((await admin.api('GET', `/v1/members?limit=1&cursor=${next}`)).json).toMatchObject({ items: [] });
  expect(await command(id)).toMatchObject({ code: 0, said: { version: 2, older: [1] } });
  expect((await admin.api('GET', '/v1/audit')).json.items.map(({ action }: { action: string }) => action)).toContain('data-key.rotate');

  for (const unknown of ['0000000000000000', 'nothing'])
    expect(await command(unknown)).toMatchObject({ code: 1, said: { error: 'unknown-tenant' } });
});

/** What the command printed. Not waited for in one go: the host it asks runs in this process. */
async function command(tenant: string): Promise<{ code: number; said: unknown }> {
  const args = ['bin/rotate-key.ts', tenant, '--dir', host.dir];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk));
  const [code] = (await once(child, 'close')) as [number];
  return { code, said: JSON.parse(said) };
}
