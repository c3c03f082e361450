import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle } from '../../lib/bundle.ts';
import { startHost, type TestHost } from '../support/host.ts';
import { insideOnly } from '../support/stage.ts';
import { newTenant, type Person } from '../support/tenant.ts';

const { test } = insideOnly('it plants a fault in the code');

/**
 * The product with a mistake planted in the key builder: records of every tenant are looked for under one tenant's keys. The
 * code would show them, and write over them; IAM, which the local host enforces as AWS does, does not let it.
 */
let host: TestHost;
let bundles: string;
let dir: string;
let ours: { id: string; admin: Person };
let theirs: { id: string; admin: Person };
let lead: string;

beforeAll(async () => {
  bundles = mkdtempSync(join(tmpdir(), 'planted-'));
  dir = mkdtempSync(join(tmpdir(), 'planted-state-'));
  await bundle(bundles);
  const sound = await startHost({ dir, bundles });
  theirs = await newTenant(sound, 'Theirs');
  ours = await newTenant(sound, 'Ours');
  lead = (await theirs.admin.api('POST', '/v1/leads', { name: { last: 'Secret' }, addresses: ['secret@example.com'] })).json.id;
  expect(lead).toMatch(/^[0-9a-z]{26}$/);
  await sound.end();
  plant(join(bundles, 'api', 'handler.mjs'), theirs.id);
  host = await startHost({ dir, bundles });
});
afterAll(async () => {
  await host.end();
  for (const each of [bundles, dir]) rmSync(each, { recursive: true });
});

test('a request that reaches for another tenant fails as a whole, and shows nothing of it', async () => {
  const api = host.api(ours.admin.token);
  const read = await api('GET', `/v1/leads/${lead}`);
  expect(read).toMatchObject({ status: 500, json: { code: 'internal' } });
  expect(read.text).not.toContain('Secret');
  const made = await api('POST', '/v1/leads', { name: { last: 'Foreign' } });
  expect(made.status).toBe(500);
  const log = readFileSync(join(dir, 'log', 'api.log'), 'utf8');
  expect(log).toContain('AccessDeniedException');
});

test('what keeps to its own tenant goes on, theirs included', async () => {
  expect((await host.api(ours.admin.token)('GET', '/v1/members')).json.items).toHaveLength(1);
  expect((await host.api(theirs.admin.token)('GET', `/v1/leads/${lead}`)).json).toMatchObject({ name: { last: 'Secret' } });
});

/** Whatever tenant it is given, the builder of a record's partition takes this one. */
function plant(file: string, tenant: string): void {
  const sound = readFileSync(file, 'utf8');
  const faulty = sound.replaceAll(/`T#\$\{\w+\}#R#\$\{/g, `\`T#${tenant}#R#\${`);
  expect(faulty).not.toBe(sound);
  writeFileSync(file, faulty);
}
