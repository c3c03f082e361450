import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { LocalSettings } from '../../functions/manifest.ts';
import { root } from '../bundle.ts';
import { firstStart, welcome } from './demo.ts';
import { DEFAULT_PORTS, type Host, start } from './host.ts';
import { HostError } from './lock.ts';
import { watchParent } from './parent.ts';

const HELP = `Runs the whole system on this machine: npm start -- [options]

  --fresh              begin anew: forgets everything stored so far
  --dir PATH           where the state is kept (.local)
  --port N             port of the API (${DEFAULT_PORTS.api})
  --smtp-port N        port that receives mail (${DEFAULT_PORTS.smtp})
  --outbox-port N      port that shows the mail that went out (${DEFAULT_PORTS.outbox})
  --allow-local-mail-servers
                       mailboxes on this machine's own servers may be connected, at any port
  --mail-server-ca FILE
                       trust this certificate (PEM) of theirs
  --quiet              print nothing but errors
  --help               this page`;

/** `npm start`: runs the host until a signal ends it, or npm is gone. */
export async function runHost(args: string[]): Promise<void> {
  try {
    const wanted = read(args);
    if (!wanted) return console.log(HELP);
    const host = await start({ ...wanted, watch: [join(root, 'core'), join(root, 'functions')], firstStart });
    untilTold(host);
    if (!wanted.quiet) for (const line of welcome(host)) console.log(line);
  } catch (error) {
    console.error(error instanceof HostError ? error.message : error);
    process.exit(1);
  }
}

/** Ends the host at a signal, or when npm is gone; the process ends with the host, with code 1 when nobody told it to. */
export function untilTold(host: Host): void {
  let told = false;
  const end = () => {
    told = true;
    void host.end();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end);
  watchParent(end);
  void host.ended.then(() => process.exit(told ? 0 : 1));
}

function read(args: string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const options = {
    fresh: flag,
    quiet: flag,
    help: flag,
    dir: text,
    port: text,
    'smtp-port': text,
    'outbox-port': text,
    ...mailServerOptions,
  };
  const values = parsed(() => parseArgs({ args, options }).values);
  if (values.help) return undefined;
  const { api, smtp, outbox } = DEFAULT_PORTS;
  const ports = {
    api: portOf('--port', values.port, api),
    smtp: portOf('--smtp-port', values['smtp-port'], smtp),
    outbox: portOf('--outbox-port', values['outbox-port'], outbox),
  };
  const settings = localMailServers(values['allow-local-mail-servers'], values['mail-server-ca']);
  return { dir: values.dir ?? '.local', fresh: values.fresh, quiet: values.quiet, ports, settings };
}

const mailServerOptions = {
  'allow-local-mail-servers': { type: 'boolean', default: false },
  'mail-server-ca': { type: 'string' },
} as const;

function localMailServers(allowed: boolean, caFile: string | undefined): Partial<LocalSettings> {
  if (!allowed && caFile !== undefined) throw new HostError('--mail-server-ca goes with --allow-local-mail-servers.');
  if (!allowed) return {};
  return { LOCAL_MAIL_SERVERS: JSON.stringify(caFile === undefined ? {} : { ca: certificateIn(caFile) }) };
}

function certificateIn(file: string): string {
  const pem = readable(file);
  if (!pem?.includes('-----BEGIN CERTIFICATE-----'))
    throw new HostError(`--mail-server-ca takes a file with a certificate (PEM), not ${file}.`);
  return pem;
}

function readable(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new HostError(`${(error as Error).message}\n\n${HELP}`);
  }
}

function portOf(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new HostError(`${name} takes a number from 0 to 65535, not "${text}".`);
  return port;
}
