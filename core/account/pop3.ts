/**
 * A POP3 session (RFC 1939) as a poll works with it, logged in. What `pop3-client.ts` opens over the wire, and what the crash
 * harness plays. Every promise settles: with the answer, or with a Pop3Error after which the session is dead unless `refused`.
 */
export type Pop3Session = {
  /** What CAPA lists (RFC 2449), names in capitals, with their parameters; empty when the server knows no CAPA. */
  readonly capabilities: ReadonlyMap<string, string>;
  stat(): Promise<Maildrop>;
  /** Sizes by message number. */
  list(): Promise<Map<number, number>>;
  /** Unique ids by message number, of all mails. */
  uidl(): Promise<Map<number, string>>;
  /** The unique id of one mail. */
  uidlOf(number: number): Promise<string>;
  /** The header of a mail, and so many lines of its body, byte by byte. */
  top(number: number, lines: number): Promise<Uint8Array>;
  /** The whole mail, byte by byte as it was stored on the server. More than `maxBytes` ends the session. */
  retr(number: number, maxBytes: number): Promise<Uint8Array>;
  /** Marks a mail for deletion: it is deleted when QUIT is answered, and only then (RFC 1939 6). */
  dele(number: number): Promise<void>;
  noop(): Promise<void>;
  /** Commits the deletions. When its answer is lost, nobody knows whether they took place: the next listing tells. */
  quit(): Promise<void>;
  /** Drops the connection without QUIT: nothing is deleted. */
  destroy(): void;
  /** Requests that may be under way at once: 1 unless the server lists PIPELINING. */
  readonly window: number;
};

export type Maildrop = { count: number; octets: number };

/** Which step of a session failed: what was about to happen, in order. */
export type Pop3Step = 'resolve' | 'connect' | 'tls' | 'greeting' | 'capabilities' | 'login' | 'mailbox' | 'ids' | 'mail' | 'quit';

/** Why a session failed, as far as the protocol tells. */
export type Pop3Trouble =
  /** The server answered -ERR; `code` is its response code (RFC 2449, RFC 3206), `server` its text. */
  | 'refused'
  /** The name has no address that may be connected to, the connection was refused, or nobody answered. */
  | 'unreachable'
  /** The certificate is not to be trusted; `certificate` says whose it is. */
  | 'certificate'
  /** TLS was asked for and the server does not offer it, or talks something else. */
  | 'no-tls'
  /** What came is no POP3. */
  | 'protocol'
  /** The connection was lost, or the server fell silent. */
  | 'lost'
  /** A mail is larger than was allowed. */
  | 'too-large';

/** A certificate as far as a user needs it to tell whose it is. */
export type Certificate = { subject: string; issuer: string; validFrom: string; validTo: string; names: string[]; problem: string };

/** Why a session or a step of it failed. Never holds a password: what we sent is not in it. */
export class Pop3Error extends Error {
  readonly trouble: Pop3Trouble;
  readonly step: Pop3Step;
  /** Response code of -ERR in capitals without brackets, such as `AUTH`, `IN-USE`, `SYS/PERM`. */
  readonly code?: string;
  /** What the server said, at most 300 characters, without control characters. */
  readonly server?: string;
  readonly certificate?: Certificate;

  constructor(step: Pop3Step, trouble: Pop3Trouble, more: { code?: string; server?: string; certificate?: Certificate } = {}) {
    super(`POP3 ${step}: ${trouble}${more.code ? ` [${more.code}]` : ''}`);
    this.name = 'Pop3Error';
    this.step = step;
    this.trouble = trouble;
    this.code = more.code;
    this.server = more.server;
    this.certificate = more.certificate;
  }
}
