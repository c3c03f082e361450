import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { POP3_CONNECT_MS, POP3_IDLE_MS, POP3_OUTSTANDING_BYTES, POP3_TOTAL_MS, POP3_UNKNOWN_BYTES } from '../limits.ts';
import { type Certificate, Pop3Error, type Pop3Step, type Pop3Trouble } from './pop3.ts';
import { MultiLine, StatusLines } from './pop3-lines.ts';
import { isNoTls, type Secured, securedBy, tlsOptions } from './tls-client.ts';

export type WireOptions = {
  /** As the user gave it: for SNI and the certificate. No name is looked up here. */
  host: string;
  /** The address to connect to, already checked. */
  address: string;
  port: number;
  timeouts?: { connectMs?: number; idleMs?: number; totalMs?: number };
  /** A further authority (PEM) that is trusted beside the usual ones: for trials on this machine. */
  ca?: string;
};

/** What a server says, fit to be shown. */
export const readable = (latin1: string) =>
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

const NOTHING = Buffer.alloc(0);

/** Requests and their answers, in order, over one socket that is used once. Each failure is the end of it, and of all that waits. */
export class Wire {
  window = 1;
  private readonly options: WireOptions;
  private readonly secrets: string[] = [];
  private readonly waiting: Request[] = [];
  private readonly asked: Request[] = [];
  private readonly total: NodeJS.Timeout;
  private socket!: Socket;
  private outstanding = 0;
  private readonly lines = new StatusLines();
  private status = '';
  private body?: MultiLine;
  /** The last answer, complete, until the rest of its packet was seen: junk behind a terminator puts the mail in doubt. */
  private ready?: { request: Request; outcome: Answer | Pop3Error };
  private dead?: Pop3Error;
  private step: Pop3Step = 'connect';
  private silence?: NodeJS.Timeout;

  constructor(options: WireOptions) {
    this.options = options;
    this.total = setTimeout(() => this.fail('lost'), options.timeouts?.totalMs ?? POP3_TOTAL_MS);
  }

  async connect(): Promise<void> {
    const { address, port } = this.options;
    await this.opened('connect', 'connect', connectTcp({ host: address, port, noDelay: true }));
  }

  /** TLS over the connection that is there; nothing is said before the certificate is known to be good. */
  async secure(): Promise<Secured> {
    const { host, ca } = this.options;
    this.socket.off('data', this.take);
    const secured = connectTls({ socket: this.socket, ...tlsOptions(host, ca) });
    await this.opened('tls', 'secureConnect', secured);
    const { isTrusted, ...found } = securedBy(secured);
    if (!isTrusted) throw this.fail('certificate', 'tls', found.certificate);
    return found;
  }

  private opened(step: Pop3Step, event: string, socket: Socket): Promise<Answer> {
    this.socket = socket;
    const lost = (error?: NodeJS.ErrnoException) => this.fail(lossAt(this.asked[0]?.step ?? this.step, error?.code));
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

  private takeBody(body: MultiLine, chunk: Buffer, at: number): number {
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
    const { next, text } = this.lines.take(chunk, at);
    const request = this.asked[0];
    if (!request || this.lines.tooLong) this.fail('protocol');
    else if (text !== undefined) this.takeStatus(text, request);
    return next;
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
      this.body = new MultiLine(request.body.max, request.body.likely);
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
function lossAt(step: Pop3Step, code?: string): Pop3Trouble {
  if (step === 'connect') return 'unreachable';
  return step === 'tls' && isNoTls(code) ? 'no-tls' : 'lost';
}
