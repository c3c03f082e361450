import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type PeerCertificate, rootCertificates } from 'node:tls';
import {
  MAX_POP3_CAPABILITY_BYTES,
  MAX_POP3_LINE_BYTES,
  MAX_POP3_LISTING_BYTES,
  MAX_POP3_TOP_BYTES,
  POP3_CONNECT_MS,
  POP3_IDLE_MS,
  POP3_OUTSTANDING_BYTES,
  POP3_TOTAL_MS,
  POP3_UNKNOWN_BYTES,
  POP3_WINDOW,
} from '../limits.ts';
import type { Security } from './account.ts';
import { type Certificate, type Maildrop, Pop3Error, type Pop3Session, type Pop3Step, type Pop3Trouble } from './pop3.ts';

export type Pop3Login = { userName: string; password: string } | { userName: string; accessToken: string };

export type Pop3Options = {
  /** As the user gave it: for SNI and the certificate. No name is looked up here. */
  host: string;
  /** The address to connect to, already checked. */
  address: string;
  port: number;
  security: Security;
  /** Absent: the session stays before its login. */
  login?: Pop3Login;
  timeouts?: { connectMs?: number; idleMs?: number; totalMs?: number };
  /** False: one request at a time, whatever the server lists. For a host whose pipelining went wrong before. */
  pipelining?: boolean;
  /** A further authority (PEM) that is trusted beside the usual ones: for trials on this machine. */
  ca?: string;
  /** Told of each step that went well, in order; the one that did not is named by the error. */
  onStep?: (step: Pop3Step, detail: StepDetail) => void;
};

/** What a step has brought to light. */
export type StepDetail = {
  tls?: { protocol: string; certificate: Certificate };
  greeting?: string;
  capabilities?: ReadonlyMap<string, string>;
  maildrop?: Maildrop;
};

/** `rset` takes back the deletions of this session (RFC 1939 5). */
export type Pop3Connection = Pop3Session & { rset(): Promise<void> };

/**
 * Connects, secures the connection, reads greeting and capabilities, and logs in. There is no second try and no way back to
 * plain text. Throws a Pop3Error, with the socket destroyed.
 */
export async function openPop3(options: Pop3Options): Promise<Pop3Connection> {
  const wire = new Wire(options);
  const told = options.onStep ?? (() => {});
  try {
    await wire.connect();
    told('connect', {});
    if (options.security === 'implicit') told('tls', { tls: await wire.secure() });
    told('greeting', { greeting: readable((await wire.greeting()).text.slice(3)) });
    let capabilities = await capabilitiesOf(wire);
    if (options.security === 'starttls') {
      told('tls', { tls: await startTls(wire, capabilities) });
      // What was listed in plain text may have been put there by anybody (RFC 2595 4).
      capabilities = await capabilitiesOf(wire);
    }
    told('capabilities', { capabilities });
    if (options.login) {
      await logIn(wire, options.login, capabilities);
      told('login', {});
    }
    if (options.pipelining !== false && capabilities.has('PIPELINING')) wire.window = POP3_WINDOW;
    return sessionOn(wire, capabilities, told);
  } catch (error) {
    wire.destroy();
    throw error;
  }
}

/** CAPA (RFC 2449 5); a server that does not know it has none. */
async function capabilitiesOf(wire: Wire): Promise<Map<string, string>> {
  const answer = await wire.ask('CAPA', 'capabilities', { max: MAX_POP3_CAPABILITY_BYTES }).catch(unlessRefused);
  const listed = new Map<string, string>();
  for (const line of answer ? linesOf(answer.body) : []) {
    const [name = '', ...parameters] = line.trim().split(/\s+/);
    if (name) listed.set(name.toUpperCase(), parameters.join(' '));
  }
  return listed;
}

async function startTls(wire: Wire, capabilities: ReadonlyMap<string, string>): Promise<{ protocol: string; certificate: Certificate }> {
  const offered = capabilities.size === 0 || capabilities.has('STLS');
  if (!offered || !(await wire.ask('STLS', 'tls').catch(unlessRefused))) throw new Pop3Error('tls', 'no-tls');
  return wire.secure();
}

/** An answer -ERR is an answer, too; every other trouble goes on. */
const unlessRefused = (error: unknown): undefined => {
  if (!(error instanceof Pop3Error) || error.trouble !== 'refused') throw error;
};

const base64 = (text: string) => Buffer.from(text, 'utf8').toString('base64');

/** USER and PASS, which every server knows; AUTH PLAIN (RFC 4616) where they are not offered, or for what they cannot carry. */
async function logIn(wire: Wire, login: Pop3Login, capabilities: ReadonlyMap<string, string>): Promise<void> {
  if (Object.values(login).some((each) => unfit(each))) throw new Pop3Error('login', 'refused');
  if ('accessToken' in login) {
    const response = base64(`user=${login.userName}\x01auth=Bearer ${login.accessToken}\x01\x01`);
    wire.conceal(login.accessToken, response);
    // A refusal comes as a challenge, and wants an empty answer before its -ERR.
    return authenticate(wire, 'XOAUTH2', response, ['']);
  }
  const response = base64(`\0${login.userName}\0${login.password}`);
  wire.conceal(login.password, response);
  const offersPlain = /\bPLAIN\b/i.test(capabilities.get('SASL') ?? '');
  const fitsUserPass = /^[!-~]+$/.test(login.userName) && /^[ -~]+$/.test(login.password);
  if (offersPlain && !(capabilities.has('USER') && fitsUserPass)) return authenticate(wire, 'PLAIN', response, []);
  await wire.ask(`USER ${login.userName}`, 'login');
  await wire.ask(`PASS ${login.password}`, 'login');
}

/** The response goes along with AUTH when the line stays within 255 bytes (RFC 5034 4), else when it is asked for: so Exchange wants it. */
async function authenticate(wire: Wire, mechanism: string, response: string, further: string[]): Promise<void> {
  const oneStep = `AUTH ${mechanism} ${response}`;
  if (oneStep.length + 2 <= 255) await wire.ask(oneStep, 'login', undefined, further);
  else await wire.ask(`AUTH ${mechanism}`, 'login', undefined, [response, ...further]);
}

/** In an argument, a line break would be a command of its own. */
const unfit = (text: string) => /[\r\n\0]/.test(text);

function sessionOn(wire: Wire, capabilities: ReadonlyMap<string, string>, told: NonNullable<Pop3Options['onStep']>): Pop3Connection {
  let sizes = new Map<number, number>();
  const ask = async (line: string, step: Pop3Step) => (await wire.ask(line, step)).text;
  const list = async (line: string) => linesOf((await wire.ask(line, 'mailbox', { max: MAX_POP3_LISTING_BYTES })).body);
  return {
    capabilities,
    get window() {
      return wire.window;
    },
    async stat() {
      const found = /^\+OK +(\d{1,15}) +(\d{1,15})\b/.exec(await ask('STAT', 'mailbox'));
      if (!found) throw wire.fail('protocol', 'mailbox');
      const maildrop = { count: Number(found[1]), octets: Number(found[2]) };
      told('mailbox', { maildrop });
      return maildrop;
    },
    async list() {
      sizes = entriesOf(await list('LIST'), /^(\d{1,9}) +(\d{1,15})\b/, Number) ?? fail();
      return new Map(sizes);
    },
    async uidl() {
      return entriesOf(await list('UIDL'), UNIQUE_ID, String) ?? fail();
    },
    async uidlOf(number) {
      const found = UNIQUE_ID.exec((await ask(`UIDL ${whole(number)}`, 'mailbox')).replace(/^\+OK +/, ''));
      if (Number(found?.[1]) !== number) return fail();
      return found?.[2] as string;
    },
    async top(number, lines) {
      return (await wire.ask(`TOP ${whole(number)} ${whole(lines)}`, 'mail', { max: MAX_POP3_TOP_BYTES })).body;
    },
    async retr(number, maxBytes) {
      return (await wire.ask(`RETR ${whole(number)}`, 'mail', { max: maxBytes, likely: sizes.get(number) })).body;
    },
    async dele(number) {
      await ask(`DELE ${whole(number)}`, 'mail');
    },
    async noop() {
      await ask('NOOP', 'mailbox');
    },
    async rset() {
      await ask('RSET', 'mailbox');
    },
    async quit() {
      await ask('QUIT', 'quit').finally(() => wire.destroy());
    },
    destroy: () => wire.destroy(),
  };

  function fail(): never {
    throw wire.fail('protocol', 'mailbox');
  }
}

/** RFC 1939 allows 70 characters; servers with more are let be. */
const UNIQUE_ID = /^(\d{1,9}) +(\S{1,255})\s*$/;

/** Latin-1 keeps different bytes different: ids are compared, never shown. */
const linesOf = (body: Buffer) => body.toString('latin1').split('\r\n').slice(0, -1);

/** A line each for mail by number; undefined when a line is none, or a number comes twice. */
function entriesOf<T>(lines: string[], pattern: RegExp, meaningOf: (text: string) => T): Map<number, T> | undefined {
  const entries = new Map<number, T>();
  for (const line of lines) {
    const found = pattern.exec(line);
    if (!found || entries.has(Number(found[1]))) return undefined;
    entries.set(Number(found[1]), meaningOf(found[2] as string));
  }
  return entries;
}

function whole(number: number): number {
  if (!Number.isSafeInteger(number) || number < 0) throw new RangeError('the number of a mail is a whole number');
  return number;
}

/** What a server says, fit to be shown. */
const readable = (latin1: string) =>
  Buffer.from(latin1, 'latin1')
    .toString('utf8')
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, 300);

type Answer = { text: string; body: Buffer };

type Request = {
  line: string;
  step: Pop3Step;
  /** Bytes that will come, as far as LIST told. */
  expected: number;
  /** Of a multi-line answer: the most it may have, and what it probably has. */
  body?: { max: number; likely?: number };
  /** What is sent at each challenge of AUTH. */
  responses: string[];
  settle: (outcome: Answer | Pop3Error) => void;
};

const LF = 0x0a;
const CR = 0x0d;
const DOT = 0x2e;
const NOTHING = Buffer.alloc(0);
const CR_ALONE = Buffer.from('\r');
const CRLF_DOT = Buffer.from('\r\n.');

/** Requests and their answers, in order, over one socket that is used once. Each failure is the end of it, and of all that waits. */
class Wire {
  window = 1;
  private readonly options: Pop3Options;
  private readonly secrets: string[] = [];
  private readonly waiting: Request[] = [];
  private readonly asked: Request[] = [];
  private readonly total: NodeJS.Timeout;
  private socket!: Socket;
  private outstanding = 0;
  private line: Buffer = NOTHING;
  private status = '';
  private body?: Body;
  /** The last answer, complete, until the rest of its packet was seen: junk behind a terminator puts the mail in doubt. */
  private ready?: { request: Request; outcome: Answer | Pop3Error };
  private dead?: Pop3Error;
  private step: Pop3Step = 'connect';
  private silence?: NodeJS.Timeout;

  constructor(options: Pop3Options) {
    this.options = options;
    this.total = setTimeout(() => this.fail('lost'), options.timeouts?.totalMs ?? POP3_TOTAL_MS);
  }

  async connect(): Promise<void> {
    const { address, port } = this.options;
    await this.opened('connect', 'connect', connectTcp({ host: address, port, noDelay: true }));
  }

  /** TLS over the connection that is there; nothing is said before the certificate is known to be good. */
  async secure(): Promise<{ protocol: string; certificate: Certificate }> {
    const { host, ca } = this.options;
    this.socket.off('data', this.take);
    const name = isIP(host) ? {} : { servername: host };
    const trusted = ca ? { ca: [...rootCertificates, ca] } : {};
    // The certificate is judged below, where it can be shown to the user: Node would drop it along with the connection.
    const secured = connectTls({ socket: this.socket, host, ...name, ...trusted, rejectUnauthorized: false });
    await this.opened('tls', 'secureConnect', secured);
    const certificate = certificateOf(secured.getPeerCertificate(), secured.authorizationError);
    if (!secured.authorized) throw this.fail('certificate', 'tls', certificate);
    return { protocol: secured.getProtocol() ?? '', certificate };
  }

  private opened(step: Pop3Step, event: string, socket: Socket): Promise<Answer> {
    this.socket = socket;
    const lost = (error?: NodeJS.ErrnoException) => this.fail(lossAt(this.asked[0]?.step ?? this.step, error?.code ?? ''));
    socket
      .on('error', lost)
      .on('close', () => lost())
      .on('end', () => lost());
    socket.once(event, () => {
      this.finish({ text: '', body: NOTHING });
      this.confirm();
      socket.on('data', this.take);
    });
    return this.expect(step, this.options.timeouts?.connectMs ?? POP3_CONNECT_MS);
  }

  greeting(): Promise<Answer> {
    return this.expect('greeting', this.options.timeouts?.idleMs ?? POP3_IDLE_MS);
  }

  /** What comes without being asked for. */
  private expect(step: Pop3Step, withinMs: number): Promise<Answer> {
    return this.promised('', step, undefined, [], (request) => {
      this.asked.push(request);
      this.watch(withinMs);
    });
  }

  /** Sends a line when its turn comes. Rejects with `refused` on -ERR; with any other trouble the session is over. */
  ask(line: string, step: Pop3Step, body?: Request['body'], responses: string[] = []): Promise<Answer> {
    return this.promised(line, step, body, responses, (request) => {
      // Requests that are made together leave in one packet.
      if (this.waiting.push(request) === 1) queueMicrotask(() => this.send());
    });
  }

  private promised(line: string, step: Pop3Step, body: Request['body'], responses: string[], begin: (request: Request) => void) {
    return new Promise<Answer>((resolve, reject) => {
      if (this.dead) return reject(this.dead);
      const settle = (outcome: Answer | Pop3Error) => (outcome instanceof Pop3Error ? reject(outcome) : resolve(outcome));
      begin({ line, step, body, responses: [...responses], expected: body ? (body.likely ?? POP3_UNKNOWN_BYTES) : 0, settle });
    });
  }

  /** As many requests as the window and the bytes that are under way allow, in one packet. */
  private send(): void {
    let lines = '';
    while (this.waiting[0] && this.mayAsk(this.waiting[0])) {
      const request = this.waiting.shift() as Request;
      this.asked.push(request);
      this.outstanding += request.expected;
      lines += `${request.line}\r\n`;
    }
    if (!lines) return;
    this.silence?.refresh();
    this.socket.write(lines);
  }

  private mayAsk(request: Request): boolean {
    if (this.asked.length === 0) return true;
    return this.asked.length < this.window && this.outstanding + request.expected <= POP3_OUTSTANDING_BYTES;
  }

  private readonly take = (chunk: Buffer): void => {
    let at = 0;
    while (at < chunk.length && !this.dead) at = this.body ? this.takeBody(this.body, chunk, at) : this.takeLine(chunk, at);
    this.confirm();
    if (!this.dead) this.send();
  };

  private takeBody(body: Body, chunk: Buffer, at: number): number {
    this.silence?.refresh();
    const next = body.take(chunk, at);
    if (body.tooLarge) this.fail('too-large');
    else if (body.complete) {
      this.body = undefined;
      this.finish({ text: this.status, body: body.bytes() });
    }
    return next;
  }

  private takeLine(chunk: Buffer, at: number): number {
    const end = chunk.indexOf(LF, at);
    const part = chunk.subarray(at, end === -1 ? chunk.length : end);
    this.line = this.line.length > 0 ? Buffer.concat([this.line, part]) : part;
    if (this.asked.length === 0 || this.line.length > MAX_POP3_LINE_BYTES) this.fail('protocol');
    if (end === -1 || this.dead) return chunk.length;
    const text = this.line.toString('latin1').replace(/\r$/, '');
    this.line = NOTHING;
    this.takeStatus(text, this.asked[0] as Request);
    return end + 1;
  }

  private takeStatus(text: string, request: Request): void {
    if (!/^(\+OK|-ERR|\+(?= |$))/.test(text)) {
      this.fail('protocol');
      return;
    }
    this.confirm();
    // A line that is whole is progress; its bytes are none, or a server could drip for ever.
    this.silence?.refresh();
    if (text.startsWith('-ERR')) this.finish(this.refusal(text, request.step));
    else if (!text.startsWith('+OK')) this.respond(request);
    else if (!request.body) this.finish({ text, body: NOTHING });
    else {
      this.status = text;
      this.body = new Body(request.body.max, request.body.likely);
    }
  }

  private respond({ responses }: Request): void {
    const response = responses.shift();
    if (response === undefined) this.fail('protocol');
    else this.socket.write(`${response}\r\n`);
  }

  private refusal(text: string, step: Pop3Step): Pop3Error {
    const safe = this.secrets.reduce((said, secret) => said.replaceAll(secret, '[redacted]'), text);
    const [, code, server = ''] = /^-ERR\s*(?:\[([^\][\s]{1,64})\])?(.*)$/s.exec(safe) ?? [];
    return new Pop3Error(step, 'refused', { code: code?.toUpperCase(), server: readable(server) });
  }

  private finish(outcome: Answer | Pop3Error): void {
    const request = this.asked.shift() as Request;
    this.step = request.step;
    this.outstanding -= request.expected;
    this.ready = { request, outcome };
    // What took place at QUIT took place, whatever comes after it.
    if (request.line === 'QUIT') {
      this.confirm();
      this.destroy();
    }
  }

  private confirm(): void {
    const { ready } = this;
    this.ready = undefined;
    ready?.request.settle(ready.outcome);
  }

  /** The server may be silent for so long while something is asked of it. From the greeting on it is one timer, started again. */
  private watch(ms: number): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.asked[0] && this.fail(lossAt(this.asked[0].step)), ms);
  }

  /** What no error may show, even when the server repeats it. */
  conceal(...secrets: string[]): void {
    this.secrets.push(...secrets.flatMap((secret) => [secret, Buffer.from(secret, 'utf8').toString('latin1')]).filter(Boolean));
  }

  /** Ends the session; who waits, and who asks later, is told the first reason. */
  fail(trouble: Pop3Trouble, step = this.asked[0]?.step ?? this.step, certificate?: Certificate): Pop3Error {
    const { ready } = this;
    this.dead ??= new Pop3Error(step, trouble, certificate ? { certificate } : {});
    this.ready = undefined;
    clearTimeout(this.total);
    clearTimeout(this.silence);
    this.socket?.destroy();
    for (const request of [...(ready ? [ready.request] : []), ...this.asked.splice(0), ...this.waiting.splice(0)])
      request.settle(this.dead);
    return this.dead;
  }

  destroy(): void {
    this.fail('lost');
  }
}

/** What a broken or silent connection means where it happens. */
function lossAt(step: Pop3Step, code = ''): Pop3Trouble {
  if (step === 'connect') return 'unreachable';
  return step === 'tls' && /^(EPROTO|ERR_SSL_|ERR_TLS_)/.test(code) ? 'no-tls' : 'lost';
}

/** A certificate as it is shown, and what is wrong with it. */
export function certificateOf(found: PeerCertificate, problem: Error | string | null | undefined): Certificate {
  const nameOf = (of: PeerCertificate['subject'] | undefined) => [of?.CN ?? of?.O ?? ''].flat().join(', ');
  const timeOf = (text: string) => (Number.isNaN(Date.parse(text)) ? '' : new Date(text).toISOString());
  return {
    subject: nameOf(found.subject),
    issuer: nameOf(found.issuer),
    validFrom: timeOf(found.valid_from),
    validTo: timeOf(found.valid_to),
    names: (found.subjectaltname ?? '').split(', ').flatMap((name) => name.replace(/^(DNS|IP Address):/, '') || []),
    problem: problem instanceof Error ? ((problem as NodeJS.ErrnoException).code ?? problem.message) : (problem ?? ''),
  };
}

type Place = 'within' | 'after-cr' | 'line-start' | 'after-dot' | 'after-dot-cr';

/**
 * A multi-line answer without its dots (RFC 1939 3), byte by byte, wherever the packets end. A line ends with CRLF and with
 * nothing else: were a bare LF one, too, a mail could end its own answer, and speak for the server from there on.
 */
class Body {
  complete = false;
  tooLarge = false;
  private readonly max: number;
  private kept: Buffer;
  private length = 0;
  private place: Place = 'line-start';

  constructor(max: number, likely = POP3_UNKNOWN_BYTES) {
    this.max = max;
    this.kept = Buffer.allocUnsafe(Math.min(likely, max));
  }

  /** Takes of `chunk` from `at` on what belongs to the answer, and says where it ends. */
  take(chunk: Buffer, at: number): number {
    let next = at;
    while (next < chunk.length && !this.complete && !this.tooLarge) {
      next = this.place === 'within' ? this.takeLines(chunk, next) : this.takeByte(chunk, next);
    }
    return next;
  }

  bytes(): Buffer {
    // A server that told too much in LIST must not make us hold it.
    return this.length < this.kept.length / 2 ? Buffer.from(this.kept.subarray(0, this.length)) : this.kept.subarray(0, this.length);
  }

  /** To the next line that begins with a dot, in one step: mail is large. */
  private takeLines(chunk: Buffer, at: number): number {
    const found = chunk.indexOf(CRLF_DOT, at);
    const end = found === -1 ? chunk.length : found + 2;
    this.keep(chunk, at, end);
    if (found !== -1) {
      this.place = 'after-dot';
      return end + 1;
    }
    if (chunk[end - 1] === CR) this.place = 'after-cr';
    else if (end - at > 1 && chunk[end - 2] === CR && chunk[end - 1] === LF) this.place = 'line-start';
    return end;
  }

  private takeByte(chunk: Buffer, at: number): number {
    const byte = chunk[at] as number;
    switch (this.place) {
      case 'line-start':
        this.place = byte === DOT ? 'after-dot' : 'within';
        return byte === DOT ? at + 1 : at;
      case 'after-dot':
        this.place = byte === CR ? 'after-dot-cr' : 'within';
        return byte === CR ? at + 1 : at;
      case 'after-dot-cr':
        this.complete = byte === LF;
        if (this.complete) return at + 1;
        this.keep(CR_ALONE, 0, 1);
        this.place = 'after-cr';
        return at;
      default:
        this.place = byte === LF ? 'line-start' : byte === CR ? 'after-cr' : 'within';
        this.keep(chunk, at, at + 1);
        return at + 1;
    }
  }

  private keep(from: Buffer, start: number, end: number): void {
    const length = this.length + end - start;
    this.tooLarge = length > this.max;
    if (this.tooLarge) return;
    if (length > this.kept.length) {
      const larger = Buffer.allocUnsafe(Math.min(this.max, length * 2));
      this.kept.copy(larger, 0, 0, this.length);
      this.kept = larger;
    }
    from.copy(this.kept, this.length, start, end);
    this.length = length;
  }
}
