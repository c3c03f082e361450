import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../support/host.ts';
import { insideOnly } from '../support/stage.ts';

const { test } = insideOnly('it starts a stage apart itself');

/** A system that runs apart from this test, as a deployed one does: known by its address and a token alone. */
let apart: ChildProcess;
const dir = mkdtempSync(join(tmpdir(), 'apart-'));
const ports = ['--port', '0', '--smtp-port', '0', '--outbox-port', '0'];

beforeAll(async () => {
  apart = spawn(process.execPath, ['bin/local.ts', '--dir', dir, '--quiet', ...ports], { stdio: ['ignore', 'ignore', 'inherit'] });
  await until(() => existsSync(join(dir, 'demo.json')));
});
afterAll(async () => {
  apart.kill('SIGTERM');
  if (apart.exitCode === null) await once(apart, 'exit');
  rmSync(dir, { recursive: true });
});

test('the suite runs against a stage named by BASE_URL, TOKEN and SMTP_URL, without a host of its own', async () => {
  const { apiUrl, smtpPort } = JSON.parse(readFileSync(join(dir, 'host.json'), 'utf8'));
  const administrator = ['--admin-name', 'Anna', '--admin-email', 'anna@example.com'];
  const [, created] = await run(['bin/tenant-create.ts', '--dir', dir, '--name', 'Stage', ...administrator]);
  const { token } = JSON.parse(created) as { token: string };
  const stage = { BASE_URL: `${apiUrl}/`, TOKEN: token, SMTP_URL: `smtp://127.0.0.1:${smtpPort}` };
  const [code, said] = await suite('test/e2e', stage);
  // Every file: one that starts a host of its own fails, and each test that is left out says why.
  expect([code, said.failed]).toEqual([0, []]);
  expect(said.passed.length).toBeGreaterThan(12);
  expect(said.skipped.length).toBeGreaterThan(300);
  expect(said.skipped.filter((title) => !/\[not on a stage apart: .+\]/.test(title))).toEqual([]);

  // What it made is there: it was this stage that it asked, and handed mail in to.
  const leads = await fetch(`${apiUrl}/v1/leads?address=hanako@prospect.example`, { headers: { authorization: `Bearer ${token}` } });
  expect(((await leads.json()) as { items: object[] }).items).toHaveLength(1);
}, 600_000);

test('without SMTP_URL what needs mail is left out, and says so; with a wrong token nothing passes', async () => {
  const { apiUrl } = JSON.parse(readFileSync(join(dir, 'host.json'), 'utf8'));
  const { token } = JSON.parse(readFileSync(join(dir, 'demo.json'), 'utf8')) as { token: string };
  const [code, said] = await suite('test/e2e/journey', { BASE_URL: apiUrl, TOKEN: token });
  expect([code, said.failed, said.passed]).toEqual([0, [], []]);
  expect(said.skipped).toContainEqual(
    expect.stringMatching(/^BCC-3, .*\[not on a stage apart: without SMTP_URL no mail can be handed in\]$/),
  );
  const [failed, { passed }] = await suite('test/e2e/records', { BASE_URL: apiUrl, TOKEN: 'wrong' });
  expect([failed, passed]).toEqual([1, []]);
}, 900_000);

type Said = Record<'passed' | 'failed' | 'skipped', string[]>;

/** Runs files of the suite as `npm test` does; answers the exit code and the titles of its tests by what became of them. */
async function suite(path: string, env: Record<string, string>): Promise<[number | null, Said]> {
  const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
  const [code, json] = await run([...jest, '--ci', '-i', '--json', path], env);
  const { testResults } = JSON.parse(json) as { testResults: { assertionResults: { fullName: string; status: string }[] }[] };
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults);
  const titled = (status: string) => tests.filter((each) => each.status === status).map(({ fullName }) => fullName);
  return [code, { passed: titled('passed'), failed: titled('failed'), skipped: titled('pending') }];
}

async function run(args: string[], env: Record<string, string> = {}): Promise<[number | null, string, string]> {
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const said: [string, string] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (said[0] += chunk));
  child.stderr.on('data', (chunk: Buffer) => (said[1] += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return [code, ...said];
}
