import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { newId } from '../core/ids.ts';
import { Table } from '../core/table/client.ts';
import { environmentNames, functions } from '../functions/manifest.ts';
import { HOST } from '../lib/local/engine/server.ts';
import { REGION, resourceValues, signed, startEngine, TABLE } from '../lib/local/engine.ts';
import { notification } from '../lib/local/mail-drop.ts';
import { dropboxWorld, existing, MAIL_DOMAIN, type World } from '../test/support/dropbox-world.ts';
import { customer, officeMail } from './mails.ts';

type Handler = (event: SQSEvent, context: Context) => Promise<SQSBatchResponse>;

export type Workplace = {
  world: World;
  table: Table;
  /** Stores raw mails as SES would, and answers the batch that tells of them. */
  arrive: (raws: readonly Buffer[]) => Promise<SQSEvent>;
  /** The mail function does a batch; throws when it did not do all of it. */
  handle: (handler: Handler, event: SQSEvent) => Promise<void>;
  /** Bytes the function has logged so far. */
  logged: () => number;
  end: () => Promise<void>;
};

const CUSTOMERS = 5;
const PASS = { spam: 'PASS', virus: 'PASS', spf: 'PASS', dkim: 'PASS', dmarc: 'PASS' } as const;

/** The local engine with one member, a dropbox and some contacts, and this process given the mail function's environment. */
export async function openWorkplace(): Promise<Workplace> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-'));
  const engine = await startEngine({ dir, rows: functions, sender: `no-reply@${MAIL_DOMAIN}`, outboxPort: 0 });
  const values = resourceValues(engine);
  for (const { on } of functions['ingest-mail'].uses) process.env[environmentNames[on]] = values[on];
  for (const [service, url] of Object.entries(engine.endpoints)) process.env[`AWS_ENDPOINT_URL_${service.toUpperCase()}`] = url;
  Object.assign(process.env, {
    AWS_REGION: REGION,
    AWS_ACCESS_KEY_ID: 'ingest-mail',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_LAMBDA_FUNCTION_NAME: 'ingest-mail',
    MAIL_DOMAIN,
    MAIL_SENDER: `no-reply@${MAIL_DOMAIN}`,
    PUBLIC_URL: 'http://127.0.0.1',
  });
  const client = new DynamoDBClient({
    endpoint: engine.endpoints.dynamodb,
    region: REGION,
    credentials: { accessKeyId: HOST, secretAccessKey: 'local' },
  });
  const table = new Table(client, TABLE);
  const world = await dropboxWorld(table);
  for (let n = 0; n < CUSTOMERS; n++) await existing(table, world, 'contacts', customer(n));
  const { arrive, handle, logged } = post(engine.endpoints.s3, world);
  const end = async () => {
    client.destroy();
    await engine.end();
    rmSync(dir, { recursive: true });
  };
  return { world, table, arrive, handle, logged, end };
}

function post(s3: string, world: World): Pick<Workplace, 'arrive' | 'handle' | 'logged'> {
  let loggedBytes = 0;
  const arrive = async (raws: readonly Buffer[]): Promise<SQSEvent> => {
    const records = raws.map(async (raw) => {
      const id = newId(new Date());
      const stored = await fetch(`${s3}/mail/raw/${id}`, { method: 'PUT', headers: signed(), body: Uint8Array.from(raw) });
      if (!stored.ok) throw new Error(`the mail could not be stored: ${stored.status}`);
      const Message = JSON.stringify(notification(id, 'mika@example.com', [world.address], raw, PASS));
      return { messageId: id, body: JSON.stringify({ Type: 'Notification', Message }), attributes: { ApproximateReceiveCount: '1' } };
    });
    return { Records: await Promise.all(records) } as unknown as SQSEvent;
  };
  const handle = async (handler: Handler, event: SQSEvent) => {
    const write = process.stdout.write.bind(process.stdout);
    process.stdout.write = (chunk: string | Uint8Array) => {
      loggedBytes += chunk.length;
      return true;
    };
    const context = { getRemainingTimeInMillis: () => 60_000 } as Context;
    const answer = await handler(event, context).finally(() => {
      process.stdout.write = write;
    });
    if (answer.batchItemFailures.length > 0) throw new Error('the function could not file the mails');
  };
  return { arrive, handle, logged: () => loggedBytes };
}

/** So many office mails of the member to the first customer. */
export const batchOf = (count: number, to = [customer(0)]): Buffer[] =>
  Array.from({ length: count }, (_, n) => officeMail(n, 'mika@example.com', to));
