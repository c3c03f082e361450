import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';

const fixture = (name: string) => readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url), 'utf8');
/** Of `localhost` and `127.0.0.1`, signed by itself: trusted by who is given `LOCALHOST_CERT` as `ca`. */
export const LOCALHOST_CERT = fixture('localhost.pem');
export const EXPIRED_CERT = fixture('localhost-expired.pem');
const KEY = fixture('localhost-key.pem');

export type StoredMail = { uid: string; raw: Buffer };

/** What a client said: its line, and which of its kind it is, counted over all sessions from 1. `GREETING` is a new connection. */
export type Said = { verb: string; argument: string; nth: number; session: number };

/**
 * What becomes of an answer: other bytes, cuts between packets (at these offsets, or after every byte), a pause between them, and
 * what happens behind it. `drop` ends the connection with FIN, `reset` with RST, `stall` never says anything again.
 */
export type Twist = {
  answer?: string | Buffer | ((faithful: Buffer) => string | Buffer);
  cuts?: readonly number[] | 'every-byte';
  pauseMs?: number;
  ending?: 'drop' | 'reset' | 'stall';
  /** The command never reached the server: it has no effect, and of itself no answer. */
  unheard?: boolean;
};

export type Pop3ServerOptions = {
  /** Passwords by user name; `taro` with `open sesame` when left out. */
  users?: Record<string, string>;
  /** Access tokens by user name, for XOAUTH2. */
  tokens?: Record<string, string>;
  /** The mailbox of the first user, oldest first. */
  mails?: readonly (string | Buffer)[];
  /** `starttls` lists STLS, and with `requireTls` takes no login without it. */
  security?: 'none' | 'starttls' | 'implicit';
  requireTls?: boolean;
  cert?: string;
  /** What CAPA does not list is not there either: by default TOP, UIDL, USER, RESP-CODES, AUTH-RESP-CODE, PIPELINING. Null: no CAPA. */
  capabilities?: readonly string[] | null;
  /** Seconds between two logins (RFC 2449 6.5); `clock` in milliseconds. */
  loginDelaySeconds?: number;
  clock?: () => number;
  /** Undefined: the faithful answer. May be replaced while the server runs. */
  script?: (said: Said) => Twist | string | Buffer | undefined;
};

export type Pop3Server = {
  port: number;
  host: '127.0.0.1';
  /** The first user's mailbox as it is now; tests may change it, a session sees what was there at its login. */
  mails: StoredMail[];
  mailbox: (user: string) => StoredMail[];
  add: (raw: string | Buffer, uid?: string) => StoredMail;
  /** Connections so far, those that are open, logins that succeeded and that did not. */
  counts: { sessions: number; open: number; logins: number; refused: number };
  /** Every line that clients sent, secrets included. */
  received: string[];
  script: Pop3ServerOptions['script'];
  end: () => Promise<void>;
};

const DEFAULT_CAPABILITIES = ['TOP', 'UIDL', 'USER', 'RESP-CODES', 'AUTH-RESP-CODE', 'PIPELINING'];

/** A test that fails in the middle leaves its server behind: Jest would wait for it for ever. */
const running = new Set<() => Promise<void>>();
if (typeof afterAll === 'function') {
  afterAll(async () => {
    for (const end of running) await end();
  });
}

/** A POP3 server (RFC 1939, 2449, 2595, 3206, 5034) on a free port of loopback, faithful but for what its script twists. */
export async function startPop3Server(options: Pop3ServerOptions = {}): Promise<Pop3Server> {
  const users = options.users ?? { taro: 'open sesame' };
  const boxes = new Map([...Object.keys(users), ...Object.keys(options.tokens ?? {})].map((user) => [user, [] as StoredMail[]]));
  const sockets = new Set<Socket>();
  const drops: Maildrops = { users, boxes, locked: new Set(), lastLogin: new Map() };
  const mails = [...boxes.values()][0] as StoredMail[];
  let added = 0;
  const server: Server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    new Session(self, options, drops, socket).begin();
  });
  const self: Pop3Server = {
    port: 0,
    host: '127.0.0.1',
    mails,
    mailbox: (user) => boxes.get(user) as StoredMail[],
    add: (raw, uid = `uid-${++added}`) => {
      const mail = { uid, raw: Buffer.from(raw as string) };
      mails.push(mail);
      return mail;
    },
    counts: { sessions: 0, open: 0, logins: 0, refused: 0 },
    received: [],
    script: options.script,
    end: async () => {
      running.delete(self.end);
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  for (const raw of options.mails ?? []) self.add(raw);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  self.port = (server.address() as AddressInfo).port;
  running.add(self.end);
  return self;
}

type Maildrops = {
  users: Record<string, string>;
  boxes: Map<string, StoredMail[]>;
  /** Users with a session: RFC 1939 4 gives a maildrop to one at a time. */
  locked: Set<string>;
  lastLogin: Map<string, number>;
};

const nth = new WeakMap<Pop3Server, Map<string, number>>();

/** One connection, in RFC 1939's states: before the login, with a maildrop, and over. */
class Session {
  private readonly server: Pop3Server;
  private readonly options: Pop3ServerOptions;
  private readonly drops: Maildrops;
  private readonly number: number;
  private socket: Socket;
  private secure = false;
  private heard = Buffer.alloc(0);
  private said = Promise.resolve();
  private mute = false;
  private userName = '';
  private user?: string;
  private maildrop: StoredMail[] = [];
  private readonly deleted = new Set<StoredMail>();
  /** Takes the next line when it is no command but the response to a challenge. */
  private challenged?: (response: string) => string;

  constructor(server: Pop3Server, options: Pop3ServerOptions, drops: Maildrops, socket: Socket) {
    this.server = server;
    this.options = options;
    this.drops = drops;
    this.socket = socket;
    this.number = ++server.counts.sessions;
    server.counts.open++;
    socket.on('error', () => {});
    socket.on('close', () => this.over());
  }

  begin(): void {
    if (this.options.security === 'implicit') this.protect();
    this.listen();
    this.said = this.say('GREETING', '', () => '+OK POP3 server ready');
  }

  private listen(): void {
    this.socket.on('data', (chunk: Buffer) => this.hear(chunk));
    this.socket.on('error', () => {});
  }

  private protect(): void {
    this.socket.removeAllListeners('data');
    const cert = this.options.cert ?? LOCALHOST_CERT;
    this.socket = new TLSSocket(this.socket, { isServer: true, key: KEY, cert });
    this.secure = true;
  }

  private over(): void {
    this.mute = true;
    this.server.counts.open--;
    if (this.user !== undefined) this.drops.locked.delete(this.user);
  }

  private hear(chunk: Buffer): void {
    this.heard = Buffer.concat([this.heard, chunk]);
    for (let end = this.heard.indexOf('\r\n'); end !== -1; end = this.heard.indexOf('\r\n')) {
      const line = this.heard.subarray(0, end).toString('utf8');
      this.heard = this.heard.subarray(end + 2);
      this.server.received.push(line);
      this.said = this.said.then(() => this.heed(line));
    }
  }

  /** Lines are heard at once, and heeded one after the other: what comes behind a lost answer is never heeded. */
  private async heed(line: string): Promise<void> {
    if (this.mute || this.socket.destroyed) return;
    const { challenged } = this;
    this.challenged = undefined;
    if (challenged) return this.say('RESPONSE', line, () => challenged(line));
    const [, word = '', argument = ''] = /^(\S*) ?(.*)$/s.exec(line) ?? [];
    const verb = word.toUpperCase();
    if (verb === 'STLS' && this.offers('STLS') && !this.secure) return this.startTls(argument);
    return this.say(verb, argument, () => this.answer(verb, argument), verb === 'QUIT' ? 'drop' : undefined);
  }

  private async startTls(argument: string): Promise<void> {
    await this.say('STLS', argument, () => '+OK begin TLS');
    if (this.mute || this.socket.destroyed) return;
    this.protect();
    this.heard = Buffer.alloc(0);
    this.listen();
  }

  private async say(verb: string, argument: string, faithful: () => string | Buffer, ending?: Twist['ending']): Promise<void> {
    const twist = this.twistOf(verb, argument);
    const answer = twist.unheard ? '' : faithful();
    await this.send(Buffer.isBuffer(answer) ? answer : Buffer.from(`${answer}\r\n`), {
      ending,
      ...(twist.unheard && { answer: '' }),
      ...twist,
    });
  }

  private twistOf(verb: string, argument: string): Twist {
    const seen = nth.get(this.server) ?? new Map<string, number>();
    nth.set(this.server, seen.set(verb, (seen.get(verb) ?? 0) + 1));
    const twist = this.server.script?.({ verb, argument, nth: seen.get(verb) as number, session: this.number }) ?? {};
    return typeof twist === 'string' || Buffer.isBuffer(twist) ? { answer: twist } : twist;
  }

  private async send(faithful: Buffer, { answer = faithful, cuts = [], pauseMs = 0, ending }: Twist): Promise<void> {
    if (this.mute || this.socket.destroyed) return;
    const bytes = Buffer.from((typeof answer === 'function' ? answer(faithful) : answer) as string);
    const ends = cuts === 'every-byte' ? [...bytes.keys()].slice(1) : cuts.filter((cut) => cut < bytes.length);
    let from = 0;
    for (const end of [...ends, bytes.length]) {
      if (this.socket.destroyed) return;
      if (end > from) await this.write(bytes.subarray(from, end));
      from = end;
      // Without a turn of the event loop the kernel would join the packets again.
      if (ends.length > 0) await (pauseMs > 0 ? sleep(pauseMs) : new Promise(setImmediate));
    }
    if (ending) this.mute = true;
    if (ending === 'drop') this.socket.end();
    if (ending === 'reset') this.socket.resetAndDestroy();
  }

  private write(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.socket.once('close', resolve);
      this.socket.write(bytes, () => {
        this.socket.off('close', resolve);
        resolve();
      });
    });
  }

  private answer(verb: string, argument: string): string | Buffer {
    if (verb === 'CAPA') return this.options.capabilities === null ? '-ERR unknown command' : listing('+OK', this.capabilities());
    if (verb === 'QUIT') return this.quit();
    return this.user === undefined ? this.beforeLogin(verb, argument) : this.withMaildrop(verb, argument);
  }

  private capabilities(): string[] {
    const listed = [...(this.options.capabilities ?? DEFAULT_CAPABILITIES)];
    if (this.options.security === 'starttls' && !this.secure) listed.push('STLS');
    if (this.options.tokens && !listed.some((each) => each.startsWith('SASL'))) listed.push('SASL PLAIN XOAUTH2');
    if (this.options.loginDelaySeconds) listed.push(`LOGIN-DELAY ${this.options.loginDelaySeconds}`);
    return listed;
  }

  private offers(name: string): boolean {
    return this.options.capabilities === null || this.capabilities().some((each) => each.split(' ')[0] === name);
  }

  private beforeLogin(verb: string, argument: string): string {
    if (['USER', 'PASS', 'AUTH'].includes(verb) && this.options.requireTls && !this.secure) return '-ERR TLS is needed before the login';
    if (verb === 'USER' && this.offers('USER')) {
      this.userName = argument;
      return '+OK send the password';
    }
    if (verb === 'PASS' && this.userName) return this.logIn(this.userName, this.drops.users[this.userName] === argument);
    if (verb === 'AUTH') return this.authenticate(argument);
    return '-ERR unknown command';
  }

  private authenticate(argument: string): string {
    const [mechanism = '', response] = argument.split(' ');
    const checks: Record<string, (response: string) => string> = {
      PLAIN: (said) => this.plain(said),
      XOAUTH2: (said) => this.xoauth2(said),
    };
    const check = checks[mechanism.toUpperCase()];
    if (!check || !this.capabilities().some((each) => each.startsWith('SASL') && each.includes(mechanism))) return '-ERR no such mechanism';
    if (response !== undefined) return check(response);
    this.challenged = check;
    return '+ ';
  }

  private plain(response: string): string {
    const [, user = '', password] = Buffer.from(response, 'base64').toString('utf8').split('\0');
    return this.logIn(user, password !== undefined && this.drops.users[user] === password);
  }

  private xoauth2(response: string): string {
    const [said = '', bearer = ''] = Buffer.from(response, 'base64').toString('utf8').split('\x01');
    const user = said.replace('user=', '');
    const token = bearer.replace('auth=Bearer ', '');
    if (this.options.tokens?.[user] === token) return this.logIn(user, true);
    this.challenged = () => this.logIn(user, false);
    return `+ ${Buffer.from('{"status":"400"}').toString('base64')}`;
  }

  private logIn(user: string, rightful: boolean): string {
    const { locked, lastLogin, boxes } = this.drops;
    const now = (this.options.clock ?? (() => performance.now()))();
    const delayMs = (this.options.loginDelaySeconds ?? 0) * 1000;
    if (!rightful) this.server.counts.refused++;
    if (!rightful) return '-ERR [AUTH] Authentication failed';
    if (now - (lastLogin.get(user) ?? Number.NEGATIVE_INFINITY) < delayMs) return '-ERR [LOGIN-DELAY] minimum time between logins';
    if (locked.has(user)) return '-ERR [IN-USE] the maildrop is locked by another session';
    lastLogin.set(user, now);
    locked.add(user);
    this.server.counts.logins++;
    this.user = user;
    this.maildrop = [...(boxes.get(user) as StoredMail[])];
    return '+OK logged in';
  }

  private withMaildrop(verb: string, argument: string): string | Buffer {
    const present = this.maildrop.flatMap((mail, i) => (this.deleted.has(mail) ? [] : [[i + 1, mail] as const]));
    const mail = this.numbered(argument);
    switch (verb) {
      case 'STAT':
        return `+OK ${present.length} ${present.reduce((sum, [, { raw }]) => sum + raw.length, 0)}`;
      case 'LIST':
        if (argument) return mail ? `+OK ${argument} ${mail.raw.length}` : NO_SUCH;
        return listing(
          `+OK ${present.length} messages`,
          present.map(([number, { raw }]) => `${number} ${raw.length}`),
        );
      case 'UIDL':
        if (!this.offers('UIDL')) break;
        if (argument) return mail ? `+OK ${argument} ${mail.uid}` : NO_SUCH;
        return listing(
          '+OK',
          present.map(([number, { uid }]) => `${number} ${uid}`),
        );
      case 'RETR':
        return mail ? multiLine(`+OK ${mail.raw.length} octets`, mail.raw) : NO_SUCH;
      case 'TOP':
        if (!this.offers('TOP')) break;
        return mail ? multiLine('+OK', topOf(mail.raw, Number(argument.split(' ')[1]))) : NO_SUCH;
      case 'DELE':
        if (!mail) return NO_SUCH;
        this.deleted.add(mail);
        return '+OK marked';
      case 'RSET':
        this.deleted.clear();
        return '+OK';
      case 'NOOP':
        return '+OK';
    }
    return '-ERR unknown command';
  }

  private numbered(argument: string): StoredMail | undefined {
    const mail = this.maildrop[Number.parseInt(argument, 10) - 1];
    return mail && !this.deleted.has(mail) ? mail : undefined;
  }

  /** The UPDATE state: only now are mails gone, and the maildrop is free before the answer is on its way. */
  private quit(): string {
    if (this.user === undefined) return '+OK bye';
    const box = this.drops.boxes.get(this.user) as StoredMail[];
    box.splice(0, box.length, ...box.filter((mail) => !this.deleted.has(mail)));
    this.drops.locked.delete(this.user);
    this.user = undefined;
    return '+OK bye';
  }
}

const NO_SUCH = '-ERR no such message';

const listing = (status: string, lines: readonly string[]) => multiLine(status, Buffer.from(lines.map((line) => `${line}\r\n`).join('')));

/** Status, the bytes with their dots doubled, and the dot at the end. What has no line break at its end is given one. */
function multiLine(status: string, raw: Buffer): Buffer {
  const text = raw.toString('latin1');
  const ended = text === '' || text.endsWith('\r\n') ? text : `${text}\r\n`;
  const stuffed = `\r\n${ended}`.replaceAll('\r\n.', '\r\n..').slice(2);
  return Buffer.from(`${status}\r\n${stuffed}.\r\n`, 'latin1');
}

function topOf(raw: Buffer, lines: number): Buffer {
  const head = raw.indexOf('\r\n\r\n') + 4;
  if (head < 4) return raw;
  const body = raw.subarray(head).toString('latin1').split('\r\n').slice(0, lines);
  return Buffer.concat([raw.subarray(0, head), Buffer.from(body.map((line) => `${line}\r\n`).join(''), 'latin1')]);
}
