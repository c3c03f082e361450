import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import SMTPConnection from 'nodemailer/lib/smtp-connection/index.js';
import type { Security } from './account.ts';
import type { Certificate, Pop3Step, Pop3Trouble } from './pop3.ts';
import type { CheckedServer } from './resolve-client.ts';
import { isNoTls, type Secured, securedBy, tlsOptions } from './tls-client.ts';

export type SmtpStep = Extract<Pop3Step, 'connect' | 'tls' | 'greeting' | 'login'>;
export type SmtpDetail = { greeting?: string; tls?: Secured };

export type SmtpOptions = {
  server: CheckedServer;
  security: Security;
  login: { userName: string; password: string };
  timeouts: { connectMs: number; totalMs: number };
  /** Told of each step that went well, in order; the one that did not is named by the error. */
  onStep: (step: SmtpStep, detail: SmtpDetail) => void;
};

/** Why an outgoing server could not be logged in to: in the terms of a Pop3Error. Never holds a password. */
export class SmtpError extends Error {
  readonly trouble: Pop3Trouble;
  readonly step: SmtpStep;
  /** `SYS/TEMP` for what the server calls temporary (RFC 5321 4.2.1: 4yz). */
  readonly code?: string;
  readonly server?: string;
  readonly certificate?: Certificate;

  constructor(step: SmtpStep, trouble: Pop3Trouble, more: { code?: string; server?: string; certificate?: Certificate } = {}) {
    super(`SMTP ${step}: ${trouble}`);
    this.name = 'SmtpError';
    this.step = step;
    this.trouble = trouble;
    this.code = more.code;
    this.server = more.server;
    this.certificate = more.certificate;
  }
}

/**
 * Logs in to an outgoing server and leaves again; nothing is sent. The password is said only once TLS stands and the certificate
 * is good, unless `security` is none. Throws an SmtpError.
 */
export async function tryLogin(options: SmtpOptions): Promise<void> {
  const session = new Session(options);
  const late = setTimeout(() => session.end(new SmtpError(session.step, 'lost')), options.timeouts.totalMs);
  try {
    await Promise.race([session.run(), session.ended]);
  } finally {
    clearTimeout(late);
    session.end();
  }
}

class Session {
  step: SmtpStep = 'connect';
  /** Rejects when the session ends before it is through. */
  readonly ended: Promise<never>;
  private readonly options: SmtpOptions;
  private socket?: Socket;
  private smtp?: SMTPConnection;
  private reject!: (error: Error) => void;

  constructor(options: SmtpOptions) {
    this.options = options;
    this.ended = new Promise<never>((_, reject) => {
      this.reject = reject;
    });
    this.ended.catch(() => {});
  }

  end(error?: Error): void {
    if (error) this.reject(error);
    this.smtp?.close();
    this.socket?.destroy();
  }

  async run(): Promise<void> {
    const { security, onStep } = this.options;
    let socket = await this.connect();
    onStep('connect', {});
    if (security === 'implicit') {
      this.step = 'tls';
      socket = await this.secure(socket);
      onStep('tls', { tls: this.judged(socket as TLSSocket) });
    }
    this.step = 'greeting';
    const smtp = await this.greet(socket);
    if (security === 'starttls') onStep('tls', { tls: this.judged(socketOf(smtp)) });
    this.step = 'login';
    await this.logIn(smtp);
    onStep('login', {});
    smtp.quit();
  }

  private connect(): Promise<Socket> {
    const { server, timeouts } = this.options;
    return new Promise((resolve, reject) => {
      const socket = connectTcp({ host: server.address, port: server.port, noDelay: true });
      this.socket = socket;
      const unreachable = () => reject(new SmtpError('connect', 'unreachable'));
      const late = setTimeout(unreachable, timeouts.connectMs);
      socket.once('error', unreachable).once('close', () => clearTimeout(late));
      socket.once('connect', () => {
        clearTimeout(late);
        resolve(socket.on('error', () => {}));
      });
    });
  }

  private secure(socket: Socket): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const secured = connectTls({ socket, ...this.tls() });
      this.socket = secured;
      const failed = (error?: NodeJS.ErrnoException) => reject(new SmtpError('tls', isNoTls(error?.code) ? 'no-tls' : 'lost'));
      secured
        .on('error', failed)
        .once('close', () => failed())
        .once('secureConnect', () => resolve(secured));
    });
  }

  private tls() {
    const { name, ca } = this.options.server;
    return tlsOptions(name, ca);
  }

  private judged(socket: TLSSocket): Secured {
    const { isTrusted, ...found } = securedBy(socket);
    if (!isTrusted) throw new SmtpError('tls', 'certificate', { certificate: found.certificate });
    return found;
  }

  /** Greeting, EHLO, and STARTTLS where it is wanted: then it must be had. */
  private greet(socket: Socket): Promise<SMTPConnection> {
    const { server, security, timeouts, onStep } = this.options;
    const smtp = new SMTPConnection({
      connection: socket,
      host: server.name,
      port: server.port,
      secure: security === 'implicit',
      secured: security === 'implicit',
      requireTLS: security === 'starttls',
      ignoreTLS: security === 'none',
      tls: this.tls(),
      // An address literal (RFC 5321 4.1.3): what this machine is called is nobody's business.
      name: '[127.0.0.1]',
      connectionTimeout: timeouts.totalMs,
      greetingTimeout: timeouts.totalMs,
      socketTimeout: timeouts.totalMs,
      maxResponseSize: MAX_RESPONSE_BYTES,
      socketCloseTimeout: 0,
    });
    this.smtp = smtp;
    return new Promise((resolve, reject) => {
      smtp.on('error', (error: SmtpFailure) => {
        const failed = this.failed(error);
        reject(failed);
        this.reject(failed);
      });
      smtp.connect((error) => (error ? reject(this.failed(error)) : resolve(smtp)));
      // Behind nodemailer's own listener: a listener before it would make the socket flow, and it would miss the greeting.
      setImmediate(() =>
        socket.once('data', (chunk: Buffer) => {
          const [, greeting] = /^220[ -](.*)/.exec(chunk.toString('utf8')) ?? [];
          if (greeting === undefined) return;
          onStep('greeting', { greeting: this.readable(greeting) });
          if (security === 'starttls') this.step = 'tls';
        }),
      );
    });
  }

  private logIn(smtp: SMTPConnection): Promise<void> {
    const { userName, password } = this.options.login;
    // Without AUTH in its list a server takes no password: it is not sent to be refused.
    if (!smtp.allowsAuth) throw new SmtpError('login', 'refused', { code: 'SYS/PERM', server: 'The server offers no login (AUTH).' });
    return new Promise((resolve, reject) => {
      smtp.login({ credentials: { user: userName, pass: password } }, (error) => (error ? reject(this.failed(error)) : resolve()));
    });
  }

  private failed({ code, response, responseCode, command, message }: SmtpFailure): SmtpError {
    if (typeof response === 'string' && responseCode) {
      if (command === 'STARTTLS') return new SmtpError('tls', 'no-tls');
      const server = this.readable(response.replace(/^\d{3}[ -]/gm, ''));
      return new SmtpError(this.step, 'refused', { server, ...(responseCode < 500 ? { code: 'SYS/TEMP' } : {}) });
    }
    if (code === 'EPROTOCOL') return new SmtpError(this.step, 'protocol');
    if (code === 'ETLS') return new SmtpError('tls', /closed|timed out/i.test(message) ? 'lost' : 'no-tls');
    return new SmtpError(this.step, this.step === 'tls' && /SSL|TLS/.test(message) ? 'no-tls' : 'lost');
  }

  /** What a server says, fit to be shown; a server that repeats the password does not get it into an error. */
  private readable(text: string): string {
    const { userName, password } = this.options.login;
    const base64 = (secret: string) => Buffer.from(secret, 'utf8').toString('base64');
    const secrets = [password, base64(password), base64(`\0${userName}\0${password}`)].filter(Boolean);
    const safe = secrets.reduce((said, secret) => said.replaceAll(secret, '[redacted]'), text);
    return safe
      .replace(/\p{Cc}+/gu, ' ')
      .trim()
      .slice(0, 300);
  }
}

/** Answers of SMTP servers have some hundred bytes. */
const MAX_RESPONSE_BYTES = 16 * 1024;

type SmtpFailure = Error & { code?: string; response?: unknown; responseCode?: number; command?: string };

/** The socket that STARTTLS has put in the place of the one it was given. */
const socketOf = (smtp: SMTPConnection) => smtp._socket as TLSSocket;
