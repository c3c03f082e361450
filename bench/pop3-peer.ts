import { readFileSync } from 'node:fs';
import Pop3Command from 'node-pop3';
import { openPop3 } from '../core/account/pop3-client.ts';

/** What one process is to download. `to`: the last mail's number. */
export type Errand = {
  client: 'ours' | 'node-pop3';
  port: number;
  tls: boolean;
  caFile: string;
  user: string;
  password: string;
  to: number;
  pipelining: boolean;
};

/** `ms` from connecting to QUIT, `mailMs` of the mails alone; what hung is taken out of both. */
export type Downloaded = { ms: number; mailMs: number; cpuMs: number; mails: number; bytes: number; hung: number; peakMB: number };

const HANG_MS = 3000;
const errand: Errand = JSON.parse(process.argv[2] as string);
const ca = readFileSync(errand.caFile, 'utf8');

const { user: userBefore, system: systemBefore } = process.cpuUsage();
const started = (userBefore + systemBefore) / 1000;
const began = performance.now();
const found = errand.client === 'ours' ? await ours(errand) : await nodePop3(errand);
const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
const cpuMs = (userCPUTime + systemCPUTime) / 1000 - started;
process.stdout.write(
  JSON.stringify({
    ...found,
    cpuMs,
    ms: performance.now() - began - found.hung * HANG_MS,
    mailMs: found.mailMs - found.hung * HANG_MS,
    peakMB: maxRSS / 1024,
  }),
);
process.exit();

async function ours({ port, tls, user, password, to, pipelining }: Errand) {
  const security = tls ? 'implicit' : 'none';
  const login = { userName: user, password };
  const session = await openPop3({ host: 'localhost', address: '127.0.0.1', port, security, login, ca, pipelining });
  await session.list();
  const logged = performance.now();
  let bytes = 0;
  let next = 1;
  // As a poll does it: a fixed number of hands, each with one mail at a time, so that memory does not grow with the mailbox.
  const hand = async () => {
    while (next <= to) bytes += (await session.retr(next++, 64 * 1024 * 1024)).length;
  };
  await Promise.all(Array.from({ length: session.window }, hand));
  const mailMs = performance.now() - logged;
  await session.quit();
  return { mails: to, bytes, hung: 0, mailMs };
}

/** What hangs is counted, taken out of the time, and goes on with a new connection. */
async function nodePop3({ port, tls, user, password, to }: Errand) {
  const options = { host: 'localhost', port, tls, user, password, tlsOptions: { ca }, servername: 'localhost' };
  let client = new Pop3Command(options);
  await client.LIST();
  const logged = performance.now();
  let bytes = 0;
  let hung = 0;
  for (let number = 1; number <= to; number++) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), HANG_MS);
    });
    const mail = await Promise.race([client.RETR(number), late]);
    clearTimeout(timer);
    if (mail === undefined) {
      hung++;
      (client as unknown as { _socket: { destroy: () => void } })._socket.destroy();
      client = new Pop3Command(options);
    }
    bytes += mail?.length ?? 0;
  }
  const mailMs = performance.now() - logged;
  await client.QUIT();
  return { mails: to, bytes, hung, mailMs };
}
