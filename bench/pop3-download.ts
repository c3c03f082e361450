import { type ChildProcess, execFile, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../lib/bundle.ts';
import { type Dovecot, hasDovecot, startDovecot } from '../test/support/dovecot.ts';
import { atLeast, atMost, type Figure, median, plain } from './figures.ts';
import type { Downloaded, Errand } from './pop3-peer.ts';

const MAILS = 5000;
const MAIL_BYTES = 20_200;
const LARGE_BYTES = 40 * 1024 * 1024;
/** Mails of the mailbox that has the large one. */
const AMONG = 200;
const ROUND_TRIP_MS = 40;
/** One request after the other over a long line takes 40 ms a mail: so many mails tell enough. */
const LOCKSTEP_FAR = 100;
const ROUNDS = 3;
const PASSWORD = 'open sesame';

const run = promisify(execFile);

/**
 * Downloads of a mailbox from Dovecot, side by side with node-pop3 and mpop: over TLS on this machine, and as far as 40 ms away.
 * Each in a process of its own. A smaller `mails` is for a quick look. Without Dovecot there is nothing to measure.
 */
export async function benchPop3(mails = MAILS): Promise<Figure[]> {
  if (!hasDovecot()) return [{ name: 'skipped: dovecot-pop3d is not installed', value: '' }];
  const dir = mkdtempSync(join(tmpdir(), 'bench-pop3-'));
  const dovecot = await startDovecot({ taro: PASSWORD, large: PASSWORD });
  const proxy = fork(join(root, 'bench/delay-proxy.ts'), [String(dovecot.tlsPort), String(ROUND_TRIP_MS)]);
  try {
    const [farPort] = (await once(proxy, 'message')) as [number];
    fill(dovecot, mails);
    const caFile = join(dir, 'ca.pem');
    writeFileSync(caFile, dovecot.ca);
    const errand = { caFile, user: 'taro', password: PASSWORD, tls: true, client: 'ours', to: mails, pipelining: true } as const;
    const near = await compared('TLS, this machine', { ...errand, port: dovecot.tlsPort }, mails);
    const far = await compared(`TLS, ${ROUND_TRIP_MS} ms away`, { ...errand, port: farPort }, Math.min(mails, LOCKSTEP_FAR));
    const plainly = await compared('plain, this machine', { ...errand, port: dovecot.port, tls: false }, mails);
    const large = await download({ ...errand, port: dovecot.tlsPort, user: 'large', to: AMONG });
    return [
      plain('mails', mails, '', 0),
      ...near.figures,
      ...plainly.figures,
      ...far.figures,
      ...(far.mpop ? [atLeast('  pipelining / mpop', far.pipelined / far.mpop, 0.9, ' x')] : []),
      atLeast('  pipelining / lockstep', far.pipelined / far.lockstep, 20, ' x', 1),
      atMost('peak memory, a mail of 40 MB among others', large.peakMB, 150, ' MB', 0),
    ];
  } finally {
    await endOf(proxy);
    await dovecot.end();
    rmSync(dir, { recursive: true });
  }
}

function fill(dovecot: Dovecot, mails: number): void {
  for (let n = 0; n < mails; n++) dovecot.addMail('taro', mailOf(n, MAIL_BYTES));
  for (let n = 0; n < AMONG; n++) dovecot.addMail('large', mailOf(n, n === AMONG / 2 ? LARGE_BYTES : MAIL_BYTES));
}

/** Mostly base64, as mail is; some lines begin with a dot. */
function mailOf(n: number, bytes: number): string {
  const line = `${n % 10 === 0 ? '.' : ''}${'VGhhbmsgeW91IGZvciB5b3VyIHRpbWUgb24gdGhlIHBob25lLg'.repeat(2).slice(0, 76)}\r\n`;
  const head = `From: a@example.com\r\nSubject: mail ${n}\r\nMessage-ID: <${n}@example.com>\r\n\r\n`;
  return head + line.repeat(Math.ceil((bytes - head.length) / line.length));
}

/** Turn by turn, three times, and the best of each: what else the machine does only ever makes them slower. */
async function compared(where: string, errand: Errand, inLockstep: number) {
  const found: Record<'pipelined' | 'lockstep' | 'peer' | 'mpop', number> = { pipelined: 0, lockstep: 0, peer: 0, mpop: 0 };
  const cpuRatios: number[] = [];
  let hung = 0;
  for (let round = 0; round < ROUNDS; round++) {
    found.pipelined = Math.max(found.pipelined, rateOf(await download(errand)));
    found.mpop = Math.max(found.mpop, (await mpopRate(errand)) ?? 0);
    const lockstep = await download({ ...errand, pipelining: false, to: inLockstep });
    found.lockstep = Math.max(found.lockstep, mailRateOf(lockstep));
    const peer = await download({ ...errand, client: 'node-pop3', to: inLockstep });
    found.peer = Math.max(found.peer, mailRateOf(peer));
    hung += peer.hung;
    cpuRatios.push(lockstep.cpuMs / peer.cpuMs);
  }
  const figures = [
    plain(`${where}: ours, pipelining`, found.pipelined, '/s', 0),
    found.mpop > 0
      ? plain(`${where}: mpop, pipelining`, found.mpop, '/s', 0)
      : { name: `${where}: mpop skipped, not installed`, value: '' },
    plain(`${where}: ours, lockstep`, found.lockstep, '/s', 0),
    plain(`${where}: node-pop3${hung > 0 ? ` (${hung} of ${ROUNDS * inLockstep} mails never ended)` : ''}`, found.peer, '/s', 0),
    atLeast('  lockstep / node-pop3', found.lockstep / found.peer, 1, ' x'),
    plain('  its CPU / that of node-pop3', median(cpuRatios), ' x'),
  ];
  return { ...found, figures };
}

const rateOf = ({ mails, ms }: Downloaded) => (mails / ms) * 1000;
/** Without the login, in which we ask for the capabilities and node-pop3 does not. */
const mailRateOf = ({ mails, mailMs }: Downloaded) => (mails / mailMs) * 1000;

async function download(errand: Errand): Promise<Downloaded> {
  const { stdout } = await run(process.execPath, [join(root, 'bench/pop3-peer.ts'), JSON.stringify(errand)]);
  return JSON.parse(stdout);
}

/** Mails a second, or undefined where there is no mpop. */
async function mpopRate({ port, tls, caFile, user, password, to }: Errand): Promise<number | undefined> {
  try {
    execFileSync('mpop', ['--version'], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  const args = ['--host=127.0.0.1', `--port=${port}`, `--user=${user}`, '--auth=user', `--passwordeval=echo ${password}`];
  const secure = tls ? ['--tls=on', '--tls-starttls=off', `--tls-trust-file=${caFile}`] : ['--tls=off'];
  const keep = ['--keep=on', '--only-new=off', `--uidls-file=${caFile}.uidls`, '--received-header=off', '--delivery=mbox,/dev/null'];
  const began = performance.now();
  await run('mpop', [...args, ...secure, ...keep, '--pipelining=auto', '--quiet']);
  return (to / (performance.now() - began)) * 1000;
}

async function endOf(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.disconnect();
  await gone;
}
