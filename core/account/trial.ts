import type { FailureCode, Incoming, Outgoing, Security } from './account.ts';
import { outgoingUserName } from './account-form.ts';
import { type Advice, adviceFor, PLAIN_CONNECTION, type Side } from './advice.ts';
import { failureOf, type Trouble } from './failure.ts';
import { type Certificate, type Maildrop, Pop3Error } from './pop3.ts';
import { openPop3, type Pop3Options } from './pop3-client.ts';
import { type Preset, presetOfAddress, presetOfHost } from './presets.ts';
import { type CheckedServer, INCOMING_PORTS, type Lookup, OUTGOING_PORTS, type Reach, resolveServer } from './resolve-client.ts';
import { SmtpError, tryLogin } from './smtp-client.ts';

export type TrialServer = { host: string; port: number; security: Security; userName: string; password: string };
export type TrialInput = { incoming: TrialServer; outgoing?: TrialServer };

export type TrialStepName = 'resolve' | 'connect' | 'tls' | 'greeting' | 'capabilities' | 'login' | 'mailbox';

/** What there is to try of an account; an outgoing server with the same credentials is given the incoming ones (POP-13). */
export function trialOf(
  { incoming, outgoing }: { incoming: Incoming; outgoing?: Outgoing },
  passwords: { incoming: string; outgoing?: string },
): TrialInput {
  const first = { ...incoming, password: passwords.incoming };
  if (!outgoing) return { incoming: first };
  const { host, port, security, sameCredentials } = outgoing;
  const password = sameCredentials ? passwords.incoming : (passwords.outgoing ?? '');
  return { incoming: first, outgoing: { host, port, security, userName: outgoingUserName({ incoming, outgoing }), password } };
}

/** A step of a trial, and what it brought to light. */
export type TrialStep = {
  name: TrialStepName;
  /** `skipped`: an earlier step failed. `warning`: it went on, but its advice should be followed. */
  outcome: 'ok' | 'failed' | 'skipped' | 'warning';
  ms?: number;
  address?: string;
  tls?: { protocol: string; certificate: Certificate };
  greeting?: string;
  capabilities?: string[];
  mailbox?: Maildrop;
  failure?: { code: FailureCode; server?: string; certificate?: Certificate };
  advice?: Advice;
};

export type ServerTrial = { ok: boolean; provider?: string; steps: TrialStep[] };
export type Trial = { ok: boolean; incoming: ServerTrial; outgoing?: ServerTrial };

/**
 * Milliseconds within which a server is found and connected with, or is unreachable; and exactly what each unreachable one takes.
 * Refused, filtered, unknown to DNS and not allowed are answered at the same moment, or the time would tell what the words do not.
 * Five seconds outlast two lost packets of the handshake (repeated after 1 s and 3 s).
 */
const REACH_MS = 5_000;

/** Milliseconds for one server, all in all. Both are tried side by side, so that the answer comes well within Lambda's 29 s. */
const SERVER_MS = 15_000;

export type TrialOptions = {
  reach: Reach;
  lookup?: Lookup;
  reachMs?: number;
  serverMs?: number;
  /** What an unreachable server takes: nothing on a developer's machine, where there is nothing to hide. */
  floorMs?: number;
};

/**
 * Tries an account's servers as a poll would use them (POP-18): each step with its outcome and time, and on failure what to do.
 * Nothing is stored, fetched, deleted or sent.
 */
export async function tryServers({ incoming, outgoing }: TrialInput, options: TrialOptions): Promise<Trial> {
  const trials = [tryServer('incoming', incoming, options), ...(outgoing ? [tryServer('outgoing', outgoing, options)] : [])] as const;
  const [first, second] = (await Promise.all(trials)) as [ServerTrial, ServerTrial?];
  return { ok: first.ok && second?.ok !== false, incoming: first, ...(second ? { outgoing: second } : {}) };
}

async function tryServer(side: Side, given: TrialServer, options: TrialOptions): Promise<ServerTrial> {
  const preset = presetOfHost(given.host) ?? presetOfAddress(given.userName);
  const log = new StepLog(side, given.security, preset);
  const { reachMs = REACH_MS, floorMs = options.reach.local ? 0 : reachMs } = options;
  try {
    const ports = side === 'incoming' ? INCOMING_PORTS : OUTGOING_PORTS;
    const server = await withinMs(reachMs, resolveServer(given, ports, options.reach, options.lookup));
    if (!server) throw new Pop3Error('resolve', 'unreachable');
    log.took('resolve', { address: server.address });
    await (side === 'incoming' ? tryIncoming : tryOutgoing)(server, given, log, options);
  } catch (error) {
    if (!(error instanceof Pop3Error || error instanceof SmtpError)) throw error;
    if (error.trouble === 'unreachable') {
      await log.reaches(floorMs);
      log.unreachable(floorMs);
    } else if (error.step === 'login' && failureOf(error).code === 'mailbox-in-use') log.inUse(error);
    else log.failed(error);
  }
  return log.result();
}

/** What is late is as good as nothing. */
const withinMs = <T>(ms: number, promise: Promise<T>): Promise<T | undefined> =>
  new Promise((resolve, reject) => {
    const late = setTimeout(() => resolve(undefined), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(late));
  });

async function tryIncoming(server: CheckedServer, given: TrialServer, log: StepLog, options: TrialOptions): Promise<void> {
  const { address, port, name, ca } = server;
  const { userName, password, security } = given;
  const timeouts = timeoutsOf(log, options);
  const onStep: Pop3Options['onStep'] = (step, { capabilities, ...detail }) => {
    if (step === 'mailbox' || step === 'ids' || step === 'mail' || step === 'quit') return;
    const listed = capabilities && [...capabilities].map(([capability, value]) => `${capability} ${value}`.trim());
    log.took(step, { ...detail, ...(listed ? { capabilities: listed } : {}) });
  };
  const session = await openPop3({ host: name, address, port, security, login: { userName, password }, timeouts, ca, onStep });
  try {
    const mailbox = await session.stat();
    // Without unique ids no poll can read it: whether it has them is to be known before it is saved.
    await (mailbox.count > 0 ? session.uidlOf(mailbox.count) : session.uidl());
    log.took('mailbox', { mailbox });
    // Frees the mailbox for its next reader at once. Whether the answer comes does not matter: nothing was marked.
    await session.quit().catch(() => {});
  } finally {
    session.destroy();
  }
}

async function tryOutgoing(server: CheckedServer, given: TrialServer, log: StepLog, options: TrialOptions): Promise<void> {
  const { userName, password, security } = given;
  const timeouts = timeoutsOf(log, options);
  await tryLogin({ server, security, login: { userName, password }, timeouts, onStep: (step, detail) => log.took(step, detail) });
}

function timeoutsOf(log: StepLog, { reachMs = REACH_MS, serverMs = SERVER_MS }: TrialOptions) {
  const totalMs = Math.max(1, serverMs - log.elapsed());
  return { connectMs: Math.max(1, reachMs - log.elapsed()), idleMs: totalMs, totalMs };
}

const STEPS = {
  incoming: {
    tlsFirst: ['resolve', 'connect', 'tls', 'greeting', 'capabilities', 'login', 'mailbox'],
    tlsLater: ['resolve', 'connect', 'greeting', 'tls', 'capabilities', 'login', 'mailbox'],
  },
  outgoing: { tlsFirst: ['resolve', 'connect', 'tls', 'greeting', 'login'], tlsLater: ['resolve', 'connect', 'greeting', 'tls', 'login'] },
} as const satisfies { [side in Side]: { [order in 'tlsFirst' | 'tlsLater']: readonly TrialStepName[] } };

/** The steps of one server as they go, and how long each took. */
class StepLog {
  private readonly side: Side;
  private readonly preset?: Preset;
  private readonly plain: boolean;
  private readonly names: readonly TrialStepName[];
  private readonly done: TrialStep[] = [];
  private readonly began = performance.now();
  private last = this.began;

  constructor(side: Side, security: Security, preset?: Preset) {
    this.side = side;
    this.preset = preset;
    this.names = STEPS[side][security === 'starttls' ? 'tlsLater' : 'tlsFirst'];
    this.plain = security === 'none';
  }

  elapsed(): number {
    return performance.now() - this.began;
  }

  /** A timer counts from when its loop last looked at the clock, and so may ring some milliseconds early: then it is set again. */
  async reaches(ms: number): Promise<void> {
    for (let left = ms - this.elapsed(); left > 0; left = ms - this.elapsed()) {
      await new Promise((done) => setTimeout(done, Math.ceil(left)));
    }
  }

  took(name: TrialStepName, detail: Partial<TrialStep>): void {
    this.done.push({ name, outcome: 'ok', ms: this.lap(), ...detail });
    if (name === 'connect' && this.plain) this.done.push({ name: 'tls', outcome: 'warning', advice: PLAIN_CONNECTION });
  }

  failed(error: Trouble & { certificate?: Certificate }): void {
    const { code } = failureOf(error);
    const { server, certificate } = error;
    const failure = { code, ...(server ? { server } : {}), ...(certificate ? { certificate } : {}) };
    const name = this.remaining().find((each) => each === error.step) ?? (this.remaining()[0] as TrialStepName);
    this.done.push({ name, outcome: 'failed', ms: this.lap(), failure, advice: adviceFor(code, this.side, this.preset) });
  }

  /**
   * Who is told that the maildrop is in use has proved who he is (RFC 2449 8.1.2), so that the settings are right: as a rule it is
   * our own poll that reads it, the first one above all, which begins when the account is made.
   */
  inUse({ server }: Trouble): void {
    this.took('login', {});
    const failure = { code: 'mailbox-in-use' as const, ...(server ? { server } : {}) };
    this.done.push({ name: 'mailbox', outcome: 'warning', failure, advice: adviceFor('mailbox-in-use', this.side, this.preset) });
  }

  /** Whether its name was found is not said: a name that does not exist and an address that may not be reached are one answer. */
  unreachable(ms: number): void {
    const advice = adviceFor('unreachable', this.side, this.preset);
    this.done.splice(0, this.done.length, { name: 'connect', outcome: 'failed', ms, failure: { code: 'unreachable' }, advice });
  }

  result(): ServerTrial {
    const steps = this.names.map((name) => this.done.find((step) => step.name === name) ?? { name, outcome: 'skipped' as const });
    return { ok: !steps.some(({ outcome }) => outcome === 'failed'), ...(this.preset ? { provider: this.preset.id } : {}), steps };
  }

  private remaining(): TrialStepName[] {
    return this.names.filter((name) => this.done.every((step) => step.name !== name));
  }

  private lap(): number {
    const now = performance.now();
    const ms = Math.round(now - this.last);
    this.last = now;
    return ms;
  }
}
