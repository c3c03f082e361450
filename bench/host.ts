import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTransport } from 'nodemailer';
import { functions } from '../functions/manifest.ts';
import { root } from '../lib/bundle.ts';
import { atMost, type Figure, median, percentile, plain } from './figures.ts';

type Demo = { member: string; dropbox: string; contact: string };
type Serving = { child: ChildProcess; readyMs: number; apiUrl: string; smtpPort: number; demo: Demo };

const PER_SECOND = 10;
const SECONDS = 20;

/** `npm start` once anew and once more with the state there; how long mail takes through it; what loading each bundle takes. */
export async function benchHost(bundles: string): Promise<{ start: Figure[]; latency: Figure[] }> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-host-'));
  try {
    const first = await start(dir);
    await end(first);
    const second = await start(dir);
    const latency = await latencyThenEnd(second);
    const ready = [
      plain('first start, demo made', first.readyMs / 1000, ' s'),
      atMost('start, built and with its state', second.readyMs / 1000, 5, ' s'),
    ];
    return { start: [...ready, ...(await initTimes(bundles, dir))], latency };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Ready is when the welcome is printed. */
async function start(dir: string): Promise<Serving> {
  const began = performance.now();
  const args = [join(root, 'bin/local.ts'), '--dir', dir, '--port', '0', '--smtp-port', '0', '--outbox-port', '0'];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    said += chunk;
    if (said.includes('Try it')) break;
  }
  if (!said.includes('Try it')) throw new Error(`the host did not start: ${said}`);
  const readyMs = performance.now() - began;
  const { apiUrl, smtpPort } = JSON.parse(readFileSync(join(dir, 'host.json'), 'utf8'));
  return { child, readyMs, apiUrl, smtpPort, demo: JSON.parse(readFileSync(join(dir, 'demo.json'), 'utf8')) };
}

async function end({ child }: Serving): Promise<void> {
  child.kill('SIGTERM');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

async function latencyThenEnd(host: Serving): Promise<Figure[]> {
  try {
    return await mailLatency(host);
  } finally {
    await end(host);
  }
}

/** From the 250 of SMTP to the first list of the API that has the mail, ten mails a second. */
async function mailLatency(host: Serving): Promise<Figure[]> {
  const accepted = new Map<string, number>();
  const visible = new Map<string, number>();
  const total = PER_SECOND * SECONDS;
  const watching = watch(host, visible, total);
  const transport = createTransport({ host: '127.0.0.1', port: host.smtpPort, ignoreTLS: true, pool: true, maxConnections: 4 });
  const sending: Promise<unknown>[] = [];
  const began = performance.now();
  for (let n = 0; n < total; n++) {
    await sleep(Math.max(0, began + (n * 1000) / PER_SECOND - performance.now()));
    const raw = `From: mika@example.com\r\nTo: taro@customer.example\r\nSubject: mail-${n}\r\nMessage-ID: <${n}@example.com>\r\n\r\nDear Taro\r\n`;
    const sent = transport.sendMail({ envelope: { from: 'mika@example.com', to: host.demo.dropbox }, raw });
    sending.push(sent.then(() => accepted.set(`mail-${n}`, performance.now())));
  }
  await Promise.all(sending);
  transport.close();
  await watching;
  // Seen before its 250 was heard: no time at all.
  const waits = [...accepted].map(([subject, at]) => Math.max(0, (visible.get(subject) as number) - at) / 1000);
  return [
    plain('mails', waits.length, '', 0),
    atMost('accepted to visible, p50', percentile(waits, 0.5), 1, ' s'),
    atMost('accepted to visible, p99', percentile(waits, 0.99), 3, ' s'),
  ];
}

async function watch({ apiUrl, demo }: Serving, visible: Map<string, number>, total: number): Promise<void> {
  const giveUp = performance.now() + (SECONDS + 60) * 1000;
  while (visible.size < total) {
    if (performance.now() > giveUp) throw new Error(`only ${visible.size} of ${total} mails became visible`);
    const headers = { authorization: `Bearer ${demo.member}` };
    const answer = await fetch(`${apiUrl}/v1/contacts/${demo.contact}/messages?limit=50`, { headers });
    if (!answer.ok) throw new Error(`the list answered ${answer.status}`);
    const { items } = (await answer.json()) as { items: { subject: string }[] };
    const now = performance.now();
    for (const { subject } of items) if (!visible.has(subject)) visible.set(subject, now);
    await sleep(20);
  }
}

/** Forking the runtime until the bundle is loaded, beside the runtime with nothing to load. */
async function initTimes(bundles: string, dir: string): Promise<Figure[]> {
  const bare = join(dir, 'bare.mjs');
  writeFileSync(bare, 'export const handler = () => {};');
  const files = {
    'bare Node': bare,
    ...Object.fromEntries(Object.keys(functions).map((name) => [name, join(bundles, name, 'handler.mjs')])),
  };
  const times = new Map<string, number[]>();
  for (let round = 0; round < 5; round++) {
    for (const [name, file] of Object.entries(files)) times.set(name, [...(times.get(name) ?? []), await initTime(file)]);
  }
  return [...times].map(([name, each]) => plain(`init of ${name}`, median(each), ' ms', 0));
}

async function initTime(file: string): Promise<number> {
  const began = performance.now();
  const child = fork(join(root, 'lib/local/runtime.ts'), [file], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
    env: { AWS_REGION: 'eu-west-1' },
    stdio: 'ignore',
  });
  const [answer] = (await once(child, 'message')) as [{ ready?: true }];
  const took = performance.now() - began;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
  if (!answer.ready) throw new Error(`${file} does not load: ${JSON.stringify(answer)}`);
  return took;
}
