import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';

/** A running DynamoDB. `ended` settles when its process is gone, whoever ended it. */
export type Dynamo = { endpoint: string; ended: Promise<void>; end: () => Promise<void> };

/**
 * Runs DynamoDB on loopback: Dynoxide, in memory or in the file `path`; where there is no binary of it for this
 * machine, the server named by DYNAMODB_ENDPOINT. Throws when there is neither, or when it does not start.
 */
export async function startDynamo(path?: string): Promise<Dynamo> {
  const binary = dynoxideBinary();
  if (!binary) return foreignDynamo();
  for (let attempt = 1; ; attempt++) {
    try {
      return await startBinary(binary, await freePort(), path);
    } catch (error) {
      // Between finding a free port and taking it another process can be faster.
      if (attempt === 5 || !String(error).includes('already in use')) throw error;
    }
  }
}

/**
 * `sh` starts the server, and kills it as soon as the pipe on descriptor 3 closes: so it never outlives this process,
 * not even one that was killed with SIGKILL. A server that ends by itself ends the shell too.
 */
const guarded = `
"$@" </dev/null 3<&- & server=$!
( read -r _ <&3; kill -9 $server 2>/dev/null ) & guard=$!
wait $server; status=$?
kill $guard 2>/dev/null
exit $status`;

async function startBinary(binary: string, port: number, path?: string): Promise<Dynamo> {
  const args = ['--host', '127.0.0.1', '--port', String(port), ...(path ? ['--db-path', path] : [])];
  const shell = spawn('/bin/sh', ['-c', guarded, 'dynamo', binary, ...args], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  const ended = new Promise<void>((done) => shell.once('close', () => done()));
  // Only when asked to: an exit of this process closes the pipe, which says the same.
  shell.stdio[3]?.on('error', () => {});
  await listening(shell);
  for (const stream of [shell.stdout, shell.stderr]) stream?.resume();
  const end = async () => {
    shell.stdio[3]?.destroy();
    await ended;
  };
  unref(shell);
  return { endpoint: `http://127.0.0.1:${port}`, ended, end };
}

/** A test file that forgets to end its table must still be able to end. */
function unref(shell: ChildProcess): void {
  shell.unref();
  for (const stream of shell.stdio) (stream as unknown as { unref?(): void } | null)?.unref?.();
}

async function listening(shell: ChildProcess): Promise<void> {
  let said = '';
  await new Promise<void>((done, fail) => {
    const hear = (chunk: Buffer) => {
      said += chunk;
      if (said.includes('listening on')) done();
    };
    shell.stdout?.on('data', hear);
    shell.stderr?.on('data', hear);
    shell.once('error', fail);
    shell.once('close', () => fail(new Error(`DynamoDB did not start: ${said.trim() || 'it said nothing'}`)));
  });
}

function dynoxideBinary(): string | undefined {
  const require = createRequire(import.meta.url);
  try {
    const file = require.resolve(`@dynoxide/${process.platform}-${process.arch}/dynoxide`);
    return existsSync(file) ? file : undefined;
  } catch {
    return undefined;
  }
}

function foreignDynamo(): Dynamo {
  const endpoint = process.env.DYNAMODB_ENDPOINT;
  if (!endpoint) {
    throw new Error(
      `There is no embedded DynamoDB for ${process.platform}-${process.arch}. Start DynamoDB Local and name it in DYNAMODB_ENDPOINT, for example http://127.0.0.1:8000.`,
    );
  }
  return { endpoint, ended: new Promise(() => {}), end: async () => {} };
}

/** A port of loopback that nobody listens on at this moment. */
function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer().once('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
