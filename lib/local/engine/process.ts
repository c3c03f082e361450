import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { startDynamo } from '../dynoxide.ts';
import { recordCalls } from './calls.ts';
import { keyService, masterKey } from './keys.ts';
import { mailService, outboxPages } from './mails.ts';
import { type Expiring, objectService } from './objects.ts';
import { type QueueConfig, Queues, queueService } from './queues.ts';
import { roleService } from './roles.ts';
import { type Grants, serve } from './server.ts';
import { tableService } from './tables.ts';
import { type TopicConfig, topicService } from './topics.ts';

/** What the host tells the engine: where its state lies, what exists, and who may use it. */
export type EngineConfig = {
  dir: string;
  region: string;
  bucket: string;
  expiring: readonly Expiring[];
  partitionKey: string;
  queues: QueueConfig;
  topics: TopicConfig;
  grants: Grants;
  /** The address functions send from; its domain is verified. */
  sender: string;
  outboxPort: number;
  /** Keep every call of a function in `calls.jsonl`, for who compares them with the rights it has on AWS. */
  recordCalls?: boolean;
};

/** What the host says to the engine: its configuration once, then which processes of functions come and go. */
export type ToEngine = { config?: EngineConfig; born?: number; died?: number };

/** What the engine tells the host once everything listens. */
export type EngineStarted = {
  endpoints: Record<'dynamodb' | 's3' | 'sqs' | 'sns' | 'kms' | 'ses' | 'sts', string>;
  outbox: string;
  keyArn: string;
};

async function start(config: EngineConfig): Promise<EngineStarted> {
  const { dir, region, grants } = config;
  mkdirSync(dir, { recursive: true });
  if (config.recordCalls) recordCalls(join(dir, 'calls.jsonl'));
  const dynamo = startDynamo(join(dir, 'table.db'));
  const db = new DatabaseSync(join(dir, 'engine.db'));
  // A former engine may need a moment to notice that its host was killed; two must never serve the same files.
  db.exec('PRAGMA busy_timeout = 10000; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
  const queues = new Queues(db, config.queues);
  const key = masterKey(join(dir, 'key.json'), region);
  const outboxDir = join(dir, 'outbox');
  const s3 = await serve(objectService(db, join(dir, 'objects'), config.bucket, grants, config.expiring));
  const sqs = await serve(queueService(queues, grants, () => sqs.url));
  const sns = await serve(topicService(config.topics, queues, grants));
  const kms = await serve(keyService(key, grants));
  const ses = await serve(mailService(outboxDir, config.sender, region, grants));
  const sts = await serve(roleService(grants));
  const outbox = await serve(outboxPages(outboxDir), config.outboxPort);
  const { endpoint, ended } = await dynamo;
  const dynamodb = await serve(tableService(endpoint, config.partitionKey, grants));
  // Without its table nothing works: better to end as a whole, so that the host says so.
  void ended.then(() => process.exit(3));
  const endpoints = { dynamodb: dynamodb.url, s3: s3.url, sqs: sqs.url, sns: sns.url, kms: kms.url, ses: ses.url, sts: sts.url };
  return { endpoints, outbox: outbox.url, keyArn: key.arn };
}

/** Processes of functions that run at this moment. */
const functions = new Set<number>();

/** A function that is caught in a loop never learns that its host was killed: the engine does, and ends it. */
function endFunctions(): void {
  for (const pid of functions) {
    try {
      // On other systems than Linux there is no telling whether the number has passed on to somebody else.
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('runtime.ts')) process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
}

// The host is gone, in whatever way: nobody needs this engine, and DynamoDB follows it.
process.once('disconnect', () => {
  endFunctions();
  process.exit(0);
});
process.on('message', ({ config, born, died }: ToEngine) => {
  if (born) functions.add(born);
  if (died) functions.delete(died);
  if (!config) return;
  start(config).then(
    (started) => process.send?.({ started }),
    (error: NodeJS.ErrnoException) => process.send?.({ failed: { code: error.code, message: error.message } }),
  );
});
// Ctrl-C reaches the whole process group; the host decides when the engine ends.
process.on('SIGINT', () => {});
