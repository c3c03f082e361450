import { existsSync, readdirSync, rmSync, watch, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  environmentNames,
  type FunctionRow,
  functions,
  hasTenantRole,
  type LocalSettings,
  TENANT_ROLE_VARIABLE,
} from '../../functions/manifest.ts';
import { bundle, bundler, isFresh, type Rows, root } from '../bundle.ts';
import { SECRET } from './engine/objects.ts';
import type { EngineStarted } from './engine/process.ts';
import { tenantRoleArn } from './engine/roles.ts';
import { type Answer, serve } from './engine/server.ts';
import { type Engine, REGION, resourceValues, startEngine } from './engine.ts';
import { Functions, type Outcome } from './functions.ts';
import { httpApi, invokeApi, type Throttle } from './http.ts';
import { HostError, lock } from './lock.ts';
import { Log } from './log.ts';
import { startMailDrop } from './mail-drop.ts';
import { type Chaos, Pollers } from './queues.ts';
import { Schedules } from './schedules.ts';

export type HostOptions = {
  /** Where the state lies. */
  dir: string;
  /** Begin anew. */
  fresh?: boolean;
  /** 0 takes a free port. */
  ports?: { api?: number; smtp?: number; outbox?: number };
  /** Functions' warnings go to their log files alone, and no step is printed. */
  quiet?: boolean;
  /** Rebuild when a file changes in one of these folders. */
  watch?: readonly string[];
  /** Other functions than the product's, for tests of the host itself. */
  manifest?: Rows;
  /** Where the bundles lie. */
  bundles?: string;
  throttle?: Throttle;
  /** Seconds a message is hidden once taken, instead of what the manifest says. */
  queueVisibility?: number;
  chaos?: Chaos;
  /** `by-hand`: functions on a schedule run when `fire` says so, and not in between. */
  schedules?: 'by-hand';
  /** Keep every call of a function to AWS in `calls.jsonl` beside the state. */
  recordCalls?: boolean;
  settings?: Partial<LocalSettings>;
  /** Fills a state that is new. Cut off in the middle, it begins anew at the next start. */
  firstStart?: (host: Host) => Promise<void>;
};

export type Host = {
  apiUrl: string;
  smtpPort: number;
  outboxUrl: string;
  lambdaUrl: string;
  endpoints: EngineStarted['endpoints'];
  settings: LocalSettings;
  dir: string;
  /** The state was empty: nothing has ever been stored in it. */
  isNew: boolean;
  pids: () => { engine: number; functions: number[] };
  /** Runs a function as Lambda would, whatever its trigger. */
  invoke: (name: string, event: unknown) => Promise<Outcome>;
  /** Fires a function's schedule now. */
  fire: (name: string) => Promise<Outcome>;
  /** Settles when the host has ended: by `end()`, or because its engine died. */
  ended: Promise<void>;
  end: () => Promise<void>;
};

export const DEFAULT_PORTS = { api: 3000, smtp: 2525, outbox: 3001 };
const THROTTLE: Throttle = { rate: 200, burst: 400 };
const ENDPOINTS = ['dynamodb', 's3', 'sqs', 'sns', 'kms', 'ses', 'sts'] as const;

/** How long batches in hand may take when the host ends, before their functions are ended. */
const LAST_BATCHES_MS = 1000;

/** Starts the whole system on this machine. Throws a HostError for what the user can put right (a taken port, a running host). */
export async function start(options: HostOptions): Promise<Host> {
  const dir = resolve(options.dir);
  const say = options.quiet ? () => {} : (line: string) => void process.stdout.write(`${line}\n`);
  const rows: Rows = options.manifest ?? functions;
  const bundles = options.bundles ?? join(root, '.build', 'functions');
  const ports = { ...DEFAULT_PORTS, ...options.ports };
  const cleanUp: (() => unknown)[] = [];
  const unlock = lock(dir);
  cleanUp.push(unlock);
  try {
    return await startLocked();
  } catch (error) {
    for (const undo of cleanUp.reverse()) await undo();
    throw error;
  }

  async function startLocked(): Promise<Host> {
    const unfinished = join(dir, 'unfinished');
    if (options.fresh || existsSync(unfinished)) empty(dir);
    const isNew = !existsSync(join(dir, 'engine.db'));
    // Taken first of all: everything else needs to know where the API is, and a taken port should be said at once.
    let answerApi: Answer | undefined;
    const early: Answer = async (_, response) => void response.writeHead(503, { 'retry-after': '1' }).end();
    const api = await portOrHint(
      serve((request, response) => (answerApi ?? early)(request, response), ports.api),
      ports.api,
      '--port',
    );
    cleanUp.push(api.end);
    const domain = options.settings?.MAIL_DOMAIN ?? 'dropbox.example.com';
    const settings: LocalSettings = { MAIL_DOMAIN: domain, MAIL_SENDER: `no-reply@${domain}`, PUBLIC_URL: api.url, ...options.settings };

    const starting = startEngine({
      dir,
      rows,
      sender: settings.MAIL_SENDER,
      outboxPort: ports.outbox,
      queueVisibility: options.queueVisibility,
      recordCalls: options.recordCalls,
    });
    cleanUp.push(async () => (await starting.catch(() => undefined))?.end());
    const [engine] = await Promise.all([portOrHint(starting, ports.outbox, '--outbox-port'), buildIfStale(bundles, rows, say)]);

    const log = new Log(join(dir, 'log'), options.quiet ?? false);
    const environment = (name: string, row: FunctionRow) => environmentOf(name, row, engine, settings);
    const running = new Functions({ rows, bundles, environment, log, tell: engine.tell });
    cleanUp.push(() => running.end());
    const invoke = (name: string, event: unknown) => running.invoke(name, event);
    const drop = await portOrHint(startMailDrop(domain, ports.smtp, engine), ports.smtp, '--smtp-port');
    cleanUp.push(drop.end);
    const lambda = await serve(invokeApi(rows, invoke));
    answerApi = httpApi(rows, invoke, options.throttle ?? THROTTLE);
    const pollers = new Pollers(rows, engine.endpoints.sqs, invoke, options.chaos);
    const schedules = new Schedules(rows, invoke, options.schedules);
    const unwatch = options.watch ? watchSources(options.watch, bundles, rows, running, say) : () => {};
    running.warm(Object.keys(rows).filter((name) => ['authoriser', 'http', 'queue'].includes(rows[name]?.trigger.kind ?? '')));

    let ending: Promise<void> | undefined;
    const end = () => {
      ending ??= endAll();
      return ending;
    };
    // From here on there is one way to end, and it unlocks too.
    cleanUp.splice(0, cleanUp.length, end);
    const ended = engine.ended.then(async () => {
      if (!ending && !options.quiet)
        process.stderr.write('The local engine ended by itself; see above. Start again: nothing that was accepted is lost.\n');
      await end();
    });
    const host: Host = {
      apiUrl: api.url,
      smtpPort: drop.port,
      outboxUrl: engine.outbox,
      lambdaUrl: lambda.url,
      endpoints: engine.endpoints,
      settings,
      dir,
      isNew,
      pids: () => ({ engine: engine.pid, functions: running.pids() }),
      invoke,
      fire: (name) => schedules.fire(name),
      ended,
      end,
    };
    const { apiUrl, smtpPort, outboxUrl, lambdaUrl } = host;
    writeFileSync(
      join(dir, 'host.json'),
      JSON.stringify({ pid: process.pid, apiUrl, smtpPort, outboxUrl, lambdaUrl, endpoints: engine.endpoints }),
    );
    if (isNew && options.firstStart) {
      writeFileSync(unfinished, '');
      await options.firstStart(host);
      rmSync(unfinished);
    }
    return host;

    /** From the outside in: no new mail, no new requests, no new batches; then those who work, then what they work on. */
    async function endAll(): Promise<void> {
      unwatch();
      schedules.end();
      rmSync(join(dir, 'host.json'), { force: true });
      await Promise.all([drop.end(), api.end(), lambda.end()]);
      await Promise.race([pollers.end(), new Promise((done) => setTimeout(done, LAST_BATCHES_MS).unref())]);
      await running.end();
      await engine.end();
      unlock();
    }
  }
}

function empty(dir: string): void {
  for (const name of readdirSync(dir)) if (!name.startsWith('lock')) rmSync(join(dir, name), { recursive: true });
}

async function portOrHint<T>(starting: Promise<T>, port: number, flag: string): Promise<T> {
  try {
    return await starting;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new HostError(`Port ${port} is taken by another program. Choose another one with ${flag}, for example ${flag} ${port + 1000}.`);
  }
}

/** Everything a function is given: what its row uses, the settings, where AWS is. Nothing of this process's own environment. */
function environmentOf(name: string, row: FunctionRow, engine: Engine, settings: LocalSettings): Record<string, string> {
  const values = resourceValues(engine);
  const used = row.uses.map(({ on }) => [environmentNames[on], values[on] ?? ''] as const);
  const endpoints = ENDPOINTS.map((service) => [`AWS_ENDPOINT_URL_${service.toUpperCase()}`, engine.endpoints[service]] as const);
  return {
    ...Object.fromEntries(used),
    ...(hasTenantRole(row) ? { [TENANT_ROLE_VARIABLE]: tenantRoleArn(name) } : {}),
    ...settings,
    ...Object.fromEntries(endpoints),
    AWS_REGION: REGION,
    AWS_ACCESS_KEY_ID: name,
    AWS_SECRET_ACCESS_KEY: SECRET,
    // Or the SDK would read the profiles of whoever works on this machine.
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_LAMBDA_FUNCTION_NAME: name,
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(row.memory),
    AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
    TZ: 'UTC',
  };
}

async function buildIfStale(bundles: string, rows: Rows, say: (line: string) => void): Promise<void> {
  if (isFresh(bundles, rows)) return;
  const began = performance.now();
  await bundle(bundles, rows);
  say(`Built ${Object.keys(rows).length} functions in ${Math.round(performance.now() - began)} ms.`);
}

/** Rebuilds when a source file changes, and lets the functions it changed start anew. A build that fails changes nothing. */
function watchSources(
  folders: readonly string[],
  bundles: string,
  rows: Rows,
  running: Functions,
  say: (line: string) => void,
): () => void {
  const building = bundler(bundles, rows);
  let timer: NodeJS.Timeout | undefined;
  let last: Promise<void> = Promise.resolve();
  const rebuild = async () => {
    try {
      const { changed } = await (await building).build();
      running.recycle(changed);
      if (changed.length > 0) say(`Reloaded ${changed.join(', ')}.`);
    } catch (error) {
      say(`Not reloaded, the old code goes on: ${(error as Error).message}`);
    }
  };
  const changed = (_: string, file: string | null) => {
    if (file === 'manifest.ts') say('The manifest changed: start again to take it over.');
    clearTimeout(timer);
    timer = setTimeout(() => {
      last = last.then(rebuild);
    }, 150);
  };
  const watchers = folders.map((folder) => watch(folder, { recursive: true }, changed));
  for (const watcher of watchers) watcher.on('error', ({ message }) => say(`Changes are no longer noticed: ${message}`));
  return () => {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
    void building.then(({ end }) => end());
  };
}
