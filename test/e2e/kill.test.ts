import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { createTransport } from 'nodemailer';
import { isFresh, root } from '../../lib/bundle.ts';
import { firstStart } from '../../lib/local/demo.ts';
import { startHost, until, untilDone } from '../support/host.ts';
import { insideOnly } from '../support/stage.ts';

const { test } = insideOnly('it kills processes');

type Demo = { member: string; dropbox: string; contact: string };
type Serving = { apiUrl: string; smtpPort: number; endpoints: { sqs: string }; demo: Demo };
type Running = Serving & { child: ChildProcess; pid: number };

const bundles = join(root, '.build', 'functions');
// A machine that is busy with other tests needs longer than the usual minute.
jest.setTimeout(900_000);

let dir: string;
const groups = new Set<number>();

beforeAll(async () => {
  // Builds once, so that the processes below start at once.
  if (!isFresh(bundles)) await (await startHost()).end();
});
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'kill-'));
});
afterEach(() => {
  for (const group of groups) killGroup(group);
  groups.clear();
  rmSync(dir, { recursive: true, force: true });
});

/** `npm start` as a user types it, in a process group of its own. Answers once the welcome is printed. */
async function npmStart(): Promise<Running> {
  const args = ['start', '--', '--dir', dir, '--port', '0', '--smtp-port', '0', '--outbox-port', '0'];
  const child = spawn('npm', args, { cwd: root, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  groups.add(child.pid as number);
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk) => {
      said += chunk;
    });
  await until(() => {
    if (child.exitCode !== null) throw new Error(`npm start ended: ${said}`);
    return said.includes('Try it');
  });
  const { pid, apiUrl, smtpPort, endpoints } = JSON.parse(readFileSync(join(dir, 'host.json'), 'utf8'));
  return { child, pid, apiUrl, smtpPort, endpoints, demo: readDemo() };
}

const readDemo = () => JSON.parse(readFileSync(join(dir, 'demo.json'), 'utf8')) as Demo;

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // All of them are gone already.
  }
}

/** Starts sending 200 mails to the contact over five connections. `accepted` are those that got their 250; `at` is told how many. */
function send(host: Serving, at: (count: number) => void) {
  const transport = createTransport({ host: '127.0.0.1', port: host.smtpPort, ignoreTLS: true, pool: true, maxConnections: 5 });
  const accepted: string[] = [];
  const mails = Array.from({ length: 200 }, async (_, n) => {
    const subject = `mail-${n}`;
    const raw = `From: mika@example.com\r\nTo: taro@customer.example\r\nSubject: ${subject}\r\nMessage-ID: <${n}@example.com>\r\n\r\nDear Taro\r\n`;
    await transport.sendMail({ envelope: { from: 'mika@example.com', to: host.demo.dropbox }, raw });
    at(accepted.push(subject));
  });
  const done = Promise.allSettled(mails).then(() => transport.close());
  return { accepted, done };
}

async function listAll(host: Serving, path: string): Promise<Record<string, string>[]> {
  const items: Record<string, string>[] = [];
  let cursor = '';
  do {
    const response = await fetch(`${host.apiUrl}${path}?limit=100${cursor}`, { headers: { authorization: `Bearer ${host.demo.member}` } });
    if (!response.ok) throw new Error(`${path} answered ${response.status}`);
    const page = (await response.json()) as { items: Record<string, string>[]; next?: string };
    items.push(...page.items);
    cursor = page.next ? `&cursor=${encodeURIComponent(page.next)}` : '';
  } while (cursor);
  return items;
}

const subjectsOf = (items: Record<string, string>[]) => items.map(({ subject = '' }) => subject).sort();

/** All that was accepted is on the contact, nothing twice, and the owner's activity tells the same. */
async function expectEachOnce(host: Serving, accepted: readonly string[]): Promise<void> {
  const timeline = () => listAll(host, `/v1/contacts/${host.demo.contact}/messages`);
  await until(async () => {
    const there = new Set(subjectsOf(await timeline()));
    return accepted.every((subject) => there.has(subject));
  });
  // What was not accepted may be there all the same, once: let it arrive, then look.
  await untilDone(host, 'inbound');
  const subjects = subjectsOf(await timeline());
  expect(subjects).toEqual([...new Set(subjects)]);
  const filed = (await listAll(host, '/v1/activity')).filter(({ outcome }) => outcome === 'filed');
  expect(subjectsOf(filed)).toEqual(subjects);
}

const alive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** Processes below this one, by the kernel's own list. */
function childrenOf(pid: number): { pid: number; command: string }[] {
  const ids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return ids.map((id) => ({ pid: id, command: readFileSync(`/proc/${id}/cmdline`, 'utf8').replaceAll('\0', ' ') }));
}

async function endedGracefully({ child, pid }: Running): Promise<void> {
  process.kill(pid, 'SIGTERM');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

test('kill -9 of npm start and all its processes while 200 mails come: every accepted one is there once', async () => {
  const host = await npmStart();
  const { accepted, done } = send(host, (count) => count === 60 && killGroup(host.child.pid as number));
  await done;
  expect(accepted.length).toBeLessThan(200);
  const again = await npmStart();
  await expectEachOnce(again, accepted);
  await endedGracefully(again);
});

test('kill -9 of npm alone: the host ends with it, and every accepted mail is there once', async () => {
  const host = await npmStart();
  const { accepted, done } = send(host, (count) => count === 20 && process.kill(host.child.pid as number, 'SIGKILL'));
  await done;
  await until(() => !alive(host.pid));
  const again = await npmStart();
  await expectEachOnce(again, accepted);
  await endedGracefully(again);
});

test('kill -9 of the engine: the host says so and ends, and every accepted mail is there once', async () => {
  const host = await npmStart();
  const engine = childrenOf(host.pid).find(({ command }) => command.includes('engine/process'));
  const { accepted, done } = send(host, (count) => count === 60 && process.kill(engine?.pid as number, 'SIGKILL'));
  await done;
  await until(() => !alive(host.pid));
  const again = await npmStart();
  await expectEachOnce(again, accepted);
  await endedGracefully(again);
});

test('kill -9 of the mail function at work: the batch comes again, and every mail is there once', async () => {
  // As it is on AWS: what a dead function had in hand comes again when its visibility timeout is over, here sooner. Too soon it must
  // not be: what lives and is slow would be delivered again and again, and then be a dead letter.
  const started = await startHost({ dir, firstStart, queueVisibility: 20 });
  const host = { ...started, demo: readDemo() };
  let killed = 0;
  const { accepted, done } = send(host, (count) => {
    if (![10, 60, 110].includes(count)) return;
    for (const { pid, command } of childrenOf(process.pid)) {
      if (command.includes('ingest-mail') && command.includes(bundles)) killed += Number(process.kill(pid, 'SIGKILL'));
    }
  });
  await done;
  expect(killed).toBeGreaterThan(0);
  expect(accepted).toHaveLength(200);
  await expectEachOnce(host, accepted);
  await started.end();
});
