import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../support/host.ts';

/** A system that runs apart from this test, as a deployed one does: known by its address and a token alone. */
let apart: ChildProcess;
const dir = mkdtempSync(join(tmpdir(), 'apart-'));
const ports = ['--port', '0', '--smtp-port', '0', '--outbox-port', '0'];

beforeAll(async () => {
  apart = spawn(process.execPath, ['bin/local.ts', '--dir', dir, '--quiet', ...ports], { stdio: ['ignore', 'ignore', 'inherit'] });
  await until(() => existsSync(join(dir, 'demo.json')), 60);
});
afterAll(async () => {
  apart.kill('SIGTERM');
  if (apart.exitCode === null) await once(apart, 'exit');
  rmSync(dir, { recursive: true });
});

test('the suite runs against a stage named by BASE_URL and TOKEN, without a host of its own', async () => {
  const { apiUrl } = JSON.parse(readFileSync(join(dir, 'host.json'), 'utf8'));
  const administrator = ['--admin-name', 'Anna', '--admin-email', 'anna@example.com'];
  const [, created] = await run(['bin/tenant-create.ts', '--dir', dir, '--name', 'Stage', ...administrator]);
  const { token } = JSON.parse(created) as { token: string };
  const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js', '--ci', '-i'];
  const [code, , said] = await run([...jest, 'test/e2e/records.test.ts'], { BASE_URL: `${apiUrl}/`, TOKEN: token });
  expect([code, /Tests: .*/.exec(said)?.[0]]).toEqual([0, expect.stringMatching(/^Tests: +\d+ passed, \d+ total$/)]);

  // What it made is there: it was this stage that it asked.
  const leads = await fetch(`${apiUrl}/v1/contacts`, { headers: { authorization: `Bearer ${token}` } });
  expect(((await leads.json()) as { items: object[] }).items.length).toBeGreaterThan(0);
  const [failed] = await run([...jest, 'test/e2e/records.test.ts'], { BASE_URL: apiUrl, TOKEN: 'wrong' });
  expect(failed).toBe(1);
}, 120_000);

async function run(args: string[], env: Record<string, string> = {}): Promise<[number | null, string, string]> {
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const said: [string, string] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (said[0] += chunk));
  child.stderr.on('data', (chunk: Buffer) => (said[1] += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return [code, ...said];
}
