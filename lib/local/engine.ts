import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { environmentNames, resources } from '../../functions/manifest.ts';
import type { Rows } from '../bundle.ts';
import type { EngineConfig, EngineStarted, ToEngine } from './engine/process.ts';
import { type Grants, HOST } from './engine/server.ts';

export const REGION = 'eu-west-1';
export const BUCKET = 'mail';
export const TABLE = 'crm-mail-addon';

/** The running stand-ins for AWS, and how their host calls them. */
export type Engine = EngineStarted & {
  pid: number;
  /** Says which processes the engine shall take with it when the host is killed. */
  tell: (news: ToEngine) => void;
  ended: Promise<void>;
  end: () => Promise<void>;
};

export type EngineOptions = {
  dir: string;
  rows: Rows;
  sender: string;
  outboxPort: number;
  queueVisibility?: number;
  recordCalls?: boolean;
};

/**
 * Starts DynamoDB, S3, SQS, SNS, KMS and SES in one process of their own, with their state under `dir`, and makes what the
 * manifest says there is. Throws when the outbox's port is taken (code EADDRINUSE) or the state cannot be opened.
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const file = fileURLToPath(new URL('./engine/process.ts', import.meta.url));
  const child = fork(file, { execArgv: ['--disable-warning=ExperimentalWarning'], env: engineEnvironment(), serialization: 'advanced' });
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  const end = async () => {
    if (child.connected) child.disconnect();
    else child.kill('SIGKILL');
    await ended;
  };
  const tell = (news: ToEngine) => void (child.connected && child.send(news, () => {}));
  try {
    const started = await ask(child, configOf(options));
    await createTable(started.endpoints.dynamodb);
    return { ...started, pid: child.pid as number, tell, ended, end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** What `environmentNames` are set to: names, addresses and ARNs of the resources on this machine. */
export function resourceValues(engine: EngineStarted): Record<string, string> {
  return Object.fromEntries(Object.keys(environmentNames).map((name) => [name, valueOnThisMachine(name, engine)]));
}

function valueOnThisMachine(name: string, { endpoints, keyArn }: EngineStarted): string {
  const { kind } = resources[name as keyof typeof resources];
  if (kind === 'table') return TABLE;
  if (kind === 'bucket') return BUCKET;
  if (kind === 'key') return keyArn;
  if (kind === 'topic') return topicArn(name);
  return `${endpoints.sqs}/000000000000/${name}`;
}

export const topicArn = (name: string) => `arn:aws:sns:${REGION}:000000000000:${name}`;

function configOf({ dir, rows, sender, outboxPort, queueVisibility, recordCalls }: EngineOptions): EngineConfig {
  const queues: EngineConfig['queues'] = {};
  const topics: EngineConfig['topics'] = {};
  for (const [name, resource] of Object.entries(resources)) {
    if (resource.kind === 'queue') queues[name] = { visibility: queueVisibility ?? resource.visibility, maxReceives: resource.maxReceives };
    if (resource.kind === 'topic') topics[name] = { arn: topicArn(name), queue: resource.queue };
  }
  const grants: Grants = {};
  for (const [name, row] of Object.entries(rows)) {
    grants[name] = [...row.uses, ...(row.sendsMail ? [{ on: 'ses', actions: ['SendRawEmail'] }] : [])];
  }
  return {
    dir,
    region: REGION,
    bucket: BUCKET,
    expiring: resources.mail.expiring,
    partitionKey: resources.table.partitionKey,
    queues,
    topics,
    grants,
    sender,
    outboxPort,
    recordCalls,
  };
}

/** Nothing of the caller's environment but what finds a foreign DynamoDB. */
function engineEnvironment(): NodeJS.ProcessEnv {
  const { PATH, DYNAMODB_ENDPOINT } = process.env;
  return { PATH, ...(DYNAMODB_ENDPOINT ? { DYNAMODB_ENDPOINT } : {}) };
}

function ask(child: ChildProcess, config: EngineConfig): Promise<EngineStarted> {
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('exit', (code) => fail(new Error(`The local engine ended while starting (exit code ${code}).`)));
    child.once('message', (answer: { started?: EngineStarted; failed?: { code?: string; message: string } }) => {
      if (answer.started) done(answer.started);
      else fail(Object.assign(new Error(answer.failed?.message), { code: answer.failed?.code }));
    });
    child.send({ config } satisfies ToEngine);
  });
}

async function createTable(endpoint: string): Promise<void> {
  const { partitionKey, sortKey } = resources.table;
  const answer = await callAws(endpoint, 'DynamoDB_20120810.CreateTable', {
    TableName: TABLE,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: [partitionKey, sortKey].map((AttributeName) => ({ AttributeName, AttributeType: 'S' })),
    KeySchema: [
      { AttributeName: partitionKey, KeyType: 'HASH' },
      { AttributeName: sortKey, KeyType: 'RANGE' },
    ],
  });
  if (!answer.ok && !(await answer.text()).includes('ResourceInUseException')) throw new Error('The table could not be created.');
}

/** Headers of a request the host makes itself. It needs so few calls that loading an SDK would only cost start time. */
export const signed = (extra: Record<string, string> = {}) => ({
  authorization: `AWS4-HMAC-SHA256 Credential=${HOST}/20200101/${REGION}/local/aws4_request, SignedHeaders=host, Signature=0`,
  'x-amz-date': new Date().toISOString().replace(/[-:]|\.\d+/g, ''),
  ...extra,
});

/** One call of an AWS JSON protocol, as the host. */
export function callAws(endpoint: string, target: string, input: object, signal?: AbortSignal): Promise<Response> {
  const version = target.startsWith('TrentService') ? '1.1' : '1.0';
  const headers = signed({ 'x-amz-target': target, 'content-type': `application/x-amz-json-${version}` });
  return fetch(endpoint, { method: 'POST', headers, body: JSON.stringify(input), signal });
}
