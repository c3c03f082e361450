import { MAX_POP3_LISTING_BYTES, MAX_POP3_TOP_BYTES, POP3_WINDOW } from '../limits.ts';
import type { Security } from './account.ts';
import type { Maildrop, Pop3Session, Pop3Step } from './pop3.ts';
import { linesOf } from './pop3-lines.ts';
import { capabilitiesOf, logIn, type Pop3Login, startTls } from './pop3-login.ts';
import { readable, Wire, type WireOptions } from './pop3-wire-client.ts';
import type { Secured } from './tls-client.ts';

export type Pop3Options = WireOptions & {
  security: Security;
  /** Absent: the session stays before its login. */
  login?: Pop3Login;
  /** False: one request at a time, whatever the server lists. For a host whose pipelining went wrong before. */
  pipelining?: boolean;
  /** Told of each step that went well, in order; the one that did not is named by the error. */
  onStep?: (step: Pop3Step, detail: StepDetail) => void;
};

/** What a step has brought to light. */
export type StepDetail = {
  tls?: Secured;
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

function sessionOn(wire: Wire, capabilities: ReadonlyMap<string, string>, told: NonNullable<Pop3Options['onStep']>): Pop3Connection {
  let sizes = new Map<number, number>();
  const ask = async (line: string, step: Pop3Step) => (await wire.ask(line, step)).text;
  const list = async (line: string, step: Pop3Step) => linesOf((await wire.ask(line, step, { max: MAX_POP3_LISTING_BYTES })).body);
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
      sizes = entriesOf(await list('LIST', 'mailbox'), /^(\d{1,9}) +(\d{1,15})\b/, Number) ?? fail();
      return new Map(sizes);
    },
    async uidl() {
      return entriesOf(await list('UIDL', 'ids'), UNIQUE_ID, String) ?? fail();
    },
    async uidlOf(number) {
      const found = UNIQUE_ID.exec((await ask(`UIDL ${whole(number)}`, 'ids')).replace(/^\+OK +/, ''));
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
