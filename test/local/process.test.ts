import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createTransport } from 'nodemailer';
import { root } from '../../lib/bundle.ts';
import { signed } from '../../lib/local/engine.ts';
import { rows } from '../fixtures/host/manifest.ts';
import { startHost, until, untilDone } from '../support/host.ts';

const bundles = join(root, '.build', 'fixture-host');
const script = join(root, 'test/fixtures/host/run.ts');
let dir: string;

beforeAll(async () => {
  // Builds once, so that the processes below start at once.
  await (await startHost({ manifest: rows, bundles })).end();
});

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'host-'));
});

afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

type Running = {
  pid: number;
  pids: { engine: number; functions: number[] };
  smtpPort: number;
  apiUrl: string;
  endpoints: Record<string, string>;
};

async function run(command: string, args: string[], env = process.env): Promise<{ child: ChildProcess; host: Running }> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], env });
  const [line] = (await once(createInterface(child.stdout!), 'line')) as [string];
  return { child, host: JSON.parse(line) as Running };
}
const runHost = () => run(process.execPath, [script, dir, bundles]);

const alive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
const reachable = (url: string) =>
  fetch(url).then(
    () => true,
    () => false,
  );
const allGone = async ({ pid, pids, endpoints }: Running) =>
  ![pid, pids.engine, ...pids.functions].some(alive) && !(await reachable(endpoints.dynamodb!));

test('Ctrl-C ends everything', async () => {
  const { child, host } = await runHost();
  child.kill('SIGINT');
  const [code] = (await once(child, 'exit')) as [number];
  expect(code).toBe(0);
  await until(() => allGone(host));
});

test('killed with SIGKILL, the host takes engine, DynamoDB and functions with it', async () => {
  const { child, host } = await runHost();
  expect(host.pids.functions.length).toBeGreaterThan(0);
  // Caught in a loop, this one hears nothing.
  fetch(`${host.apiUrl}/open/x?do=spin`).catch(() => {});
  await new Promise((done) => setTimeout(done, 300));
  child.kill('SIGKILL');
  await until(() => allGone(host));
});

test('when npm is killed with SIGKILL the host ends too', async () => {
  const quoted = [process.execPath, script, dir, bundles].map((word) => `'${word}'`).join(' ');
  // npm runs a script below a shell; the shell of this test stands for npm.
  const env = { ...process.env, npm_lifecycle_event: 'start', COMMAND: quoted };
  const { child, host } = await run('/bin/sh', ['-c', 'sh -c "$COMMAND; true"; true'], env);
  child.kill('SIGKILL');
  await until(() => allGone(host));
});

test('when the engine dies the host says so and ends', async () => {
  const { child, host } = await runHost();
  process.kill(host.pids.engine, 'SIGKILL');
  const [code] = (await once(child, 'exit')) as [number];
  expect(code).toBe(1);
  await until(() => allGone(host));
});

test('every mail that was accepted before a kill -9 is delivered after the next start', async () => {
  const { child, host } = await runHost();
  const transport = createTransport({ host: '127.0.0.1', port: host.smtpPort, ignoreTLS: true, pool: true, maxConnections: 5 });
  const accepted: string[] = [];
  const sending = Array.from({ length: 200 }, async (_, i) => {
    await transport.sendMail({
      envelope: { from: 'a@example.org', to: 'x@dropbox.example.com' },
      raw: `Subject: mail-${i}\r\n\r\nbody\r\n`,
    });
    if (accepted.push(`mail-${i}`) === 60) child.kill('SIGKILL');
  });
  await Promise.allSettled(sending);
  transport.close();

  const again = await startHost({ dir, manifest: rows, bundles });
  const arrived = async () => {
    const list = await (await fetch(`${again.endpoints.s3}/mail?list-type=2&prefix=t/arrived/`, { headers: signed() })).text();
    const keys = [...list.matchAll(/<Key>([^<]+)/g)].map(([, key]) => key);
    const notices = await Promise.all(
      keys.map(async (key) => (await fetch(`${again.endpoints.s3}/mail/${key}`, { headers: signed() })).json()),
    );
    return (notices as { mail: { commonHeaders: { subject: string } } }[]).map(({ mail }) => mail.commonHeaders.subject);
  };
  await untilDone(again, 'inbound');
  const subjects = new Set(await arrived());
  expect(accepted.filter((subject) => !subjects.has(subject))).toEqual([]);
  expect(accepted.length).toBeLessThan(200);
  await again.end();
});
