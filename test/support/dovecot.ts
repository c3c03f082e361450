import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export type Dovecot = {
  host: '127.0.0.1';
  /** Plain POP3 that offers STLS, and POP3 over TLS. */
  port: number;
  tlsPort: number;
  /** The authority that signed its certificate (PEM), which names `localhost` and `127.0.0.1`. */
  ca: string;
  /** Delivers a mail into a user's mailbox; later mails come later in its listing. Bytes are kept as they are. */
  addMail: (user: string, raw: string | Buffer) => void;
  /** Mails in a user's mailbox. */
  count: (user: string) => number;
  end: () => Promise<void>;
};

const DOVECOT = '/usr/sbin/dovecot';

/** How long it may take to answer: on a busy machine, several times the second it takes as a rule. */
const START_MS = 60_000;

/** 2.3 is what Debian 12 and Ubuntu up to 24.04 have; 2.4 has another language of configuration. */
export const hasDovecot = (): boolean => existsSync(DOVECOT) && /^2\.3\./.test(execFileSync(DOVECOT, ['--version'], { encoding: 'utf8' }));

/** `describe`, or `describe.skip` with a line that says so, where there is no Dovecot. */
export function describeWithDovecot(name: string, tests: () => void): void {
  if (hasDovecot()) describe(name, tests);
  else describe.skip(`${name} (skipped: dovecot-pop3d 2.3 is not installed)`, tests);
}

/** A test that fails in the middle leaves its server behind. */
const running = new Set<() => Promise<void>>();
if (typeof afterAll === 'function') {
  afterAll(async () => {
    for (const end of running) await end();
  });
}

/** A Dovecot of our own: on free ports of loopback, in a directory of its own, with the rights of whoever starts it. */
export async function startDovecot(users: Record<string, string> = { taro: 'open sesame' }): Promise<Dovecot> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnFreePorts(users);
    } catch (error) {
      // Between finding free ports and taking them another process can be faster.
      if (attempt === 5 || !String(error).includes('already in use')) throw error;
    }
  }
}

async function startOnFreePorts(users: Record<string, string>): Promise<Dovecot> {
  const dir = mkdtempSync(join(tmpdir(), 'dovecot-'));
  const [port = 0, tlsPort = 0] = await freePorts(2);
  const ca = certify(dir);
  writeFileSync(
    join(dir, 'users'),
    Object.entries(users)
      .map(([user, password]) => `${user}:{PLAIN}${password}\n`)
      .join(''),
    { mode: 0o644 },
  );
  makeMaildirs(dir, Object.keys(users));
  const config = join(dir, 'dovecot.conf');
  writeFileSync(config, configuration(dir, port, tlsPort));
  const child = spawn(DOVECOT, ['-F', '-c', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  let hasEnded = false;
  // Not at its exit: what it said of the reason may come after that.
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve())).then(() => {
    hasEnded = true;
  });
  const end = async () => {
    running.delete(end);
    if (child.exitCode === null) child.kill('SIGTERM');
    await gone;
    rmSync(dir, { recursive: true, force: true });
  };
  running.add(end);
  await answering(port, () => (hasEnded ? said : undefined)).catch(async (error: unknown) => {
    await end();
    throw error;
  });
  const arrived = new Map<string, number>();
  return {
    host: '127.0.0.1',
    port,
    tlsPort,
    ca,
    end,
    addMail: (user, raw) => {
      const number = (arrived.get(user) ?? 0) + 1;
      arrived.set(user, number);
      // Maildir: whole before it is seen; names in the order of arrival, or the listing has another.
      const name = `${1_700_000_000 + number}.M${number}.localhost`;
      writeFileSync(join(maildir(dir, user, 'tmp'), name), raw);
      renameSync(join(maildir(dir, user, 'tmp'), name), join(maildir(dir, user, 'new'), name));
    },
    count: (user) => readdirSync(maildir(dir, user, 'new')).length + readdirSync(maildir(dir, user, 'cur')).length,
  };
}

const maildir = (dir: string, user: string, folder: string) => join(dir, 'mail', user, folder);

function makeMaildirs(dir: string, users: readonly string[]): void {
  const { uid, gid } = identities().mail;
  chmodSync(dir, 0o711);
  for (const user of users) {
    for (const folder of ['new', 'cur', 'tmp']) mkdirSync(maildir(dir, user, folder), { recursive: true });
    for (const folder of ['', 'new', 'cur', 'tmp']) chownSync(maildir(dir, user, folder), uid, gid);
  }
}

function configuration(dir: string, port: number, tlsPort: number): string {
  const { internal, login, group, mail } = identities();
  return `
base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = ${dir}/log
listen = 127.0.0.1
protocols = pop3
ssl = yes
ssl_cert = <${dir}/server.pem
ssl_key = <${dir}/server-key.pem
disable_plaintext_auth = no
auth_mechanisms = plain
auth_failure_delay = 0
default_internal_user = ${internal}
default_internal_group = ${group}
default_login_user = ${login}
first_valid_uid = 1
first_valid_gid = 1
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u ${dir}/users
}
userdb {
  driver = static
  args = uid=${mail.uid} gid=${mail.gid} home=${dir}/mail/%u
}
mail_location = maildir:${dir}/mail/%u
mail_fsync = never
pop3_no_flag_updates = yes
pop3_lock_session = yes
# By default, one user has ten connections.
mail_max_userip_connections = 100
service pop3-login {
  chroot =
  inet_listener pop3 {
    port = ${port}
  }
  inet_listener pop3s {
    port = ${tlsPort}
  }
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
`;
}

/** Whoever starts it owns all of it. Root may not: Dovecot refuses to serve as root, so there the package's own users serve. */
function identities() {
  const id = (...args: string[]) => execFileSync('id', args, { encoding: 'utf8' }).trim();
  const { username, uid, gid } = userInfo();
  if (uid !== 0) return { internal: username, login: username, group: id('-gn'), mail: { uid, gid } };
  return {
    internal: 'dovecot',
    login: 'dovenull',
    group: 'dovecot',
    mail: { uid: Number(id('-u', 'dovecot')), gid: Number(id('-g', 'dovecot')) },
  };
}

/** An authority for this one server, and the server's certificate by it. */
function certify(dir: string): string {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...newKey, '-days', '2', '-subj', '/CN=Test authority', '-keyout', 'ca-key.pem', '-out', 'ca.pem');
  openssl('req', ...newKey, '-subj', '/CN=localhost', '-keyout', 'server-key.pem', '-out', 'server.csr');
  writeFileSync(join(dir, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
  const sign = ['-CA', 'ca.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial', '-days', '2', '-extfile', 'names'];
  openssl('x509', '-req', '-in', 'server.csr', ...sign, '-out', 'server.pem');
  chmodSync(join(dir, 'server-key.pem'), 0o600);
  return readFileSync(join(dir, 'ca.pem'), 'utf8');
}

/** Ports that are free now; taken all at once, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Waits for the greeting. `failed` says why it will never come. */
async function answering(port: number, failed: () => string | undefined): Promise<void> {
  const deadline = Date.now() + START_MS;
  while (Date.now() < deadline) {
    const reason = failed();
    if (reason !== undefined) throw new Error(`Dovecot did not start: ${reason}`);
    const greets = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1').setTimeout(1000, () => socket.destroy());
      socket
        .once('data', () => resolve(true))
        .once('error', () => resolve(false))
        .once('close', () => resolve(false));
      socket.once('data', () => socket.destroy());
    });
    if (greets) return;
    await sleep(50);
  }
  throw new Error('Dovecot does not answer');
}
