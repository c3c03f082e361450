import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { FunctionRow } from '../../functions/manifest.ts';
import type { Rows } from '../bundle.ts';
import type { Log } from './log.ts';

export type Invocation = { event: string; requestId: string; deadline: number };
export type FunctionError = { errorType: string; errorMessage: string; trace?: string[] };
export type Reply = { ready: true } | { answer: string } | { error: FunctionError };

/** What came of an invocation: the JSON the handler answered, or the error Lambda would answer. */
export type Outcome = { answer: string } | { error: FunctionError };

/** Lambda's limit of a synchronous request, and of its answer. */
const MAX_PAYLOAD = 6 * 1024 * 1024;

/** Lambda gives a function ten seconds to load, on a machine of its own; here a dozen may begin at once, on a laptop that is busy. */
const INIT_MS = 60_000;

/** Processes of one function at most: this is a laptop. */
const MAX_PROCESSES = 4;

/** A process beyond a function's first is ended after so long without work. */
const IDLE_MS = 30_000;

type Options = {
  rows: Rows;
  bundles: string;
  environment: (name: string, row: FunctionRow) => Record<string, string>;
  log: Log;
  tell?: (news: { born?: number; died?: number }) => void;
};

/**
 * The functions of the manifest, each in processes of its own with exactly the environment, the memory and the time its row
 * gives it; one event at a time in each process, more processes when events meet.
 */
export class Functions {
  private readonly pools = new Map<string, Pool>();

  constructor(options: Options) {
    for (const [name, row] of Object.entries(options.rows)) this.pools.set(name, new Pool(name, row, options));
  }

  /** Runs a function. Never throws for what the function does: that is an outcome. */
  async invoke(name: string, event: unknown): Promise<Outcome> {
    const pool = this.pools.get(name);
    if (!pool) return failure('ResourceNotFoundException', `Function not found: ${name}`);
    const payload = JSON.stringify(event) ?? 'null';
    if (Buffer.byteLength(payload) > MAX_PAYLOAD) {
      return failure('RequestTooLargeException', `Request must be smaller than ${MAX_PAYLOAD} bytes for the InvokeFunction operation`);
    }
    const outcome = await pool.run(payload);
    if ('answer' in outcome && Buffer.byteLength(outcome.answer) > MAX_PAYLOAD) {
      return failure(
        'Function.ResponseSizeTooLarge',
        `Response payload size exceeded maximum allowed payload size (${MAX_PAYLOAD} bytes).`,
      );
    }
    return outcome;
  }

  /** Starts a process of each function ahead of its first event, so that nobody waits for a cold start. */
  warm(names: string[]): void {
    for (const name of names) this.pools.get(name)?.warm();
  }

  /** From now on these functions run the code that lies in their bundles now; what runs ends first. */
  recycle(names: string[]): void {
    for (const name of names) this.pools.get(name)?.recycle();
  }

  /** The process ids of the functions that run at this moment. */
  pids(): number[] {
    return [...this.pools.values()].flatMap((pool) => pool.pids());
  }

  /** Ends every process, whatever it does. */
  async end(): Promise<void> {
    await Promise.all([...this.pools.values()].map((pool) => pool.end()));
  }
}

class Pool {
  private readonly name: string;
  private readonly row: FunctionRow;
  private readonly options: Options;
  private readonly limit: number;
  private processes = new Set<Environment>();
  private idle: Environment[] = [];
  private waiting: (() => void)[] = [];
  private ended = false;

  constructor(name: string, row: FunctionRow, options: Options) {
    this.name = name;
    this.row = row;
    this.options = options;
    this.limit = row.trigger.kind === 'queue' ? Math.min(MAX_PROCESSES, row.trigger.maxConcurrency) : MAX_PROCESSES;
  }

  async run(event: string): Promise<Outcome> {
    const environment = await this.take();
    if (!environment) return failure('ServiceException', 'The host is ending.');
    const outcome = await environment.run(event);
    this.giveBack(environment);
    return outcome;
  }

  warm(): void {
    if (this.processes.size === 0 && !this.ended) this.idle.push(this.start());
  }

  recycle(): void {
    for (const environment of this.processes) environment.stale = true;
    for (const environment of this.idle.splice(0)) void environment.end();
    this.warm();
  }

  pids(): number[] {
    return [...this.processes].map(({ pid }) => pid);
  }

  async end(): Promise<void> {
    this.ended = true;
    for (const wake of this.waiting.splice(0)) wake();
    await Promise.all([...this.processes].map((environment) => environment.end()));
  }

  private async take(): Promise<Environment | undefined> {
    for (;;) {
      if (this.ended) return undefined;
      const ready = this.idle.pop();
      if (ready?.alive) return ready;
      if (ready) continue;
      if (this.processes.size < this.limit) return this.start();
      await new Promise<void>((done) => this.waiting.push(done));
    }
  }

  private giveBack(environment: Environment): void {
    if (environment.stale) void environment.end();
    else if (environment.alive) {
      this.idle.push(environment);
      if (this.processes.size > 1) environment.endIfIdleFor(IDLE_MS, () => this.idle.includes(environment) && this.processes.size > 1);
    }
    this.waiting.shift()?.();
  }

  private start(): Environment {
    const environment = new Environment(this.name, this.row, this.options);
    this.processes.add(environment);
    this.options.tell?.({ born: environment.pid });
    void environment.exited.then(() => {
      this.processes.delete(environment);
      this.options.tell?.({ died: environment.pid });
      this.idle = this.idle.filter((other) => other !== environment);
      this.waiting.shift()?.();
    });
    return environment;
  }
}

/** One process of a function. */
class Environment {
  stale = false;
  alive = true;
  readonly exited: Promise<void>;
  private readonly name: string;
  private readonly row: FunctionRow;
  private readonly log: Log;
  private readonly child: ChildProcess;
  private readonly ready: Promise<Reply>;
  private idleTimer: NodeJS.Timeout | undefined;

  constructor(name: string, row: FunctionRow, { bundles, environment, log }: Options) {
    this.name = name;
    this.row = row;
    this.log = log;
    this.child = fork(fileURLToPath(new URL('./runtime.ts', import.meta.url)), [join(bundles, name, 'handler.mjs')], {
      // A tenth of the memory is left for what is not the heap, about as Lambda's own runtime leaves it.
      execArgv: [`--max-old-space-size=${Math.floor(row.memory * 0.9)}`, '--enable-source-maps', '--disable-warning=ExperimentalWarning'],
      env: environment(name, row),
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (stream) createInterface({ input: stream }).on('line', (line) => log.line(name, line));
    }
    this.exited = new Promise((done) => {
      this.child.once('error', () => done());
      this.child.once('exit', () => done());
    });
    void this.exited.then(() => {
      this.alive = false;
    });
    this.ready = this.next(INIT_MS, 'Init');
    // A bundle that does not load ends here; the next event starts another process, as on Lambda.
    void this.ready.then((reply) => ('error' in reply ? this.end() : undefined));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  async run(event: string): Promise<Outcome> {
    clearTimeout(this.idleTimer);
    const ready = await this.ready;
    if ('error' in ready) return ready;
    const requestId = randomUUID();
    const ms = this.row.timeout * 1000;
    const reply = this.next(ms, requestId);
    if (this.child.connected) this.child.send({ event, requestId, deadline: Date.now() + ms } satisfies Invocation, () => {});
    return (await reply) as Outcome;
  }

  endIfIdleFor(ms: number, still: () => boolean): void {
    clearTimeout(this.idleTimer);
    this.idleTimer = setTimeout(() => still() && void this.end(), ms).unref();
  }

  async end(): Promise<void> {
    clearTimeout(this.idleTimer);
    this.alive = false;
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** The next thing the process says; or why it says nothing: it ended, or took too long and was ended. */
  private next(ms: number, requestId: string): Promise<Reply> {
    return new Promise((done) => {
      const settle = (reply: Reply) => {
        clearTimeout(timer);
        this.child.off('message', hear);
        this.child.off('exit', gone);
        done(reply);
      };
      const hear = (reply: Reply) => settle(reply);
      const gone = (code: number | null, signal: string | null) => {
        const how = signal ? `signal: ${signal}` : `exit status ${code}`;
        if (this.alive) this.log.line(this.name, `ERROR RequestId: ${requestId} Error: Runtime exited with error: ${how}`);
        settle(failure('Runtime.ExitError', `RequestId: ${requestId} Error: Runtime exited with error: ${how}`));
      };
      const timer = setTimeout(() => {
        const message = `${new Date().toISOString()} ${requestId} Task timed out after ${(ms / 1000).toFixed(2)} seconds`;
        this.log.line(this.name, `ERROR ${message}`);
        settle(failure('Sandbox.Timedout', message));
        void this.end();
      }, ms);
      this.child.on('message', hear);
      this.child.on('exit', gone);
    });
  }
}

const failure = (errorType: string, errorMessage: string): { error: FunctionError } => ({ error: { errorType, errorMessage } });
