import { tableDefinition } from '../core/table/definition.ts';

/**
 * THE SYSTEM ON ONE PAGE: what there is, what runs when, and who may touch what. Data only.
 * lib/aws makes a CloudFormation stack of it, lib/local runs it on this machine; neither has an opinion of its own.
 */

export type Queue = {
  kind: 'queue';
  /** Seconds a message stays hidden from others once taken: six times its function's timeout, as AWS advises. */
  visibility: number;
  /** Deliveries before the message goes to the queue's dead-letter queue, `<name>-dead`. */
  maxReceives: number;
  /** Seconds within which a message is promised to be done. */
  promise: number;
};

export const resources = {
  table: { kind: 'table', ...tableDefinition },
  /**
   * `raw/`: mail as SES stored it, kept as long as its message; what was not filed is swept after 30 days, what was deleted
   * with its last holder's hidden mail a day later.
   * `t/<tenant>/mail/<account>/`: mail as it was fetched from a mailbox, likewise.
   * `t/<tenant>/`: what the product made: extracted attachments, imports and their reports.
   * `exports/<tenant>/`: exports of backups, deleted by the bucket itself: its rules cannot tell folders of a tenant's folder.
   */
  mail: { kind: 'bucket', expiring: [{ prefix: 'exports/', days: 7 }] },
  /** Wraps each tenant's data key. */
  key: { kind: 'key' },
  /** Mail on its way in: SES's notifications, and replays of held mail. */
  inbound: { kind: 'queue', visibility: 360, maxReceives: 5, promise: 180 },
  imports: { kind: 'queue', visibility: 360, maxReceives: 5, promise: 900 },
  /** Mailboxes to look into. Visible again no sooner than that: the timetable has long come round. */
  polls: { kind: 'queue', visibility: 1800, maxReceives: 3, promise: 300 },
  /** Records whose mail is to follow their addresses. */
  backfills: { kind: 'queue', visibility: 360, maxReceives: 5, promise: 900 },
  /** Backups of the mail of members who left. A word that is lost is said again within minutes (`sweep-backups`). */
  backups: { kind: 'queue', visibility: 1080, maxReceives: 5, promise: 900 },
  /** Exports of backups, a volume each. Looked after like backups. */
  exports: { kind: 'queue', visibility: 1800, maxReceives: 5, promise: 900 },
  /** Members who leave, step by step; and members who are to be told of a lock. Looked after like backups. */
  offboardings: { kind: 'queue', visibility: 720, maxReceives: 5, promise: 300 },
  /** Hidden mail whose days are over. A word that is lost is said again the next day (`begin-deletions`). */
  deletions: { kind: 'queue', visibility: 1080, maxReceives: 5, promise: 3600 },
  /** SES tells it of each mail stored under `raw/`: an S3 event alone would lose the envelope, and with it the dropbox address. */
  arrivals: { kind: 'topic', queue: 'inbound' },
} as const satisfies Record<string, Resource>;

type Resource =
  | ({ kind: 'table' } & typeof tableDefinition)
  /** `expiring`: what lies under the prefix is deleted so many days after it was stored. */
  | { kind: 'bucket'; expiring: readonly { prefix: string; days: number }[] }
  | { kind: 'key' }
  | Queue
  | { kind: 'topic'; queue: string };

export type ResourceName = keyof typeof resources;

export type Trigger =
  /** Tells whose bearer token it is, if anybody's, before the function behind a route is called; that one answers 401. */
  | { kind: 'authoriser' }
  /** Routes of the HTTP API: `METHOD /path` or `$default`; `open` ones are reached without a token. */
  | { kind: 'http'; routes: readonly string[]; open?: readonly string[] }
  | { kind: 'queue'; queue: ResourceName; batchSize: number; maxConcurrency: number }
  | { kind: 'schedule'; every: `${number} ${'minutes' | 'hours' | 'days'}` }
  /** Called by an operator, with IAM rights on AWS. */
  | { kind: 'operator' };

export type Use = {
  on: ResourceName;
  /** IAM actions without their service: the grant on AWS, and the reason the function is told the resource's name. */
  actions: readonly string[];
  /** The keys it may touch: of the bucket's objects (must be said; of ListBucket what it may ask for), of the table's partitions. */
  prefixes?: readonly string[];
  /**
   * Granted for one tenant at a time, `<tenant>` of the prefixes: not to the function but to a role of its own, which it assumes
   * for the tenant of its caller. A key of another tenant is then refused whatever the code does.
   */
  perTenant?: true;
};

export type FunctionRow = {
  /** The file whose `handler` is run. */
  entry: string;
  trigger: Trigger;
  /** Seconds. */
  timeout: number;
  /** MB; CPU comes in proportion, one core at 1769. */
  memory: number;
  uses: readonly Use[];
  /** May send mail through SES as the product's own sender. */
  sendsMail?: boolean;
  /** Files run as worker threads: bundled beside the handler under their own base name. */
  threads?: readonly string[];
  /** Files of packages put beside the handler, gzipped: `package/file`. */
  assets?: readonly string[];
};

const parseThread = 'core/message/parse-thread.ts';

export const functions = {
  authorise: {
    entry: 'functions/authorise/handler.ts',
    trigger: { kind: 'authoriser' },
    timeout: 5,
    memory: 512,
    uses: [{ on: 'table', actions: ['GetItem', 'UpdateItem'], prefixes: ['T#*'] }],
  },
  api: {
    entry: 'functions/api/handler.ts',
    trigger: { kind: 'http', routes: ['$default'], open: ['POST /v1/confirmations', 'GET /openapi.json'] },
    timeout: 29,
    memory: 1769,
    uses: [
      {
        on: 'table',
        actions: ['GetItem', 'BatchGetItem', 'Query', 'PutItem', 'UpdateItem', 'DeleteItem', 'ConditionCheckItem'],
        prefixes: ['T#<tenant>#*', 'A#*', 'C#*', 'D#*'],
        perTenant: true,
      },
      // Who takes an invitation up is nobody's yet: whose it is, the item under the code's hash says.
      { on: 'table', actions: ['GetItem'], prefixes: ['C#*'] },
      { on: 'mail', actions: ['GetObject'], prefixes: ['raw/*', 't/*', 'exports/*'] },
      { on: 'mail', actions: ['PutObject'], prefixes: ['t/*'] },
      { on: 'key', actions: ['Decrypt'] },
      { on: 'inbound', actions: ['SendMessage'] },
      { on: 'imports', actions: ['SendMessage'] },
      { on: 'polls', actions: ['SendMessage'] },
      { on: 'backfills', actions: ['SendMessage'] },
      { on: 'backups', actions: ['SendMessage'] },
      { on: 'exports', actions: ['SendMessage'] },
      { on: 'offboardings', actions: ['SendMessage'] },
    ],
    sendsMail: true,
    threads: [parseThread],
  },
  'mail-servers': {
    entry: 'functions/api/mail-servers-handler.ts',
    trigger: {
      kind: 'http',
      routes: [
        'GET /v1/mail-providers',
        'GET /v1/mail-providers/discover',
        'POST /v1/mail-accounts/test',
        'POST /v1/mail-accounts/{accountId}/test',
      ],
    },
    timeout: 29,
    memory: 512,
    uses: [
      { on: 'table', actions: ['GetItem', 'Query', 'UpdateItem'], prefixes: ['T#<tenant>#*'], perTenant: true },
      { on: 'key', actions: ['Decrypt'] },
    ],
  },
  docs: {
    entry: 'functions/docs/handler.ts',
    trigger: { kind: 'http', routes: [], open: ['GET /docs', 'GET /docs/{file}'] },
    timeout: 5,
    memory: 256,
    uses: [],
    assets: ['swagger-ui-dist/swagger-ui.css', 'swagger-ui-dist/swagger-ui-bundle.js'],
  },
  'ingest-mail': {
    entry: 'functions/ingest-mail/handler.ts',
    trigger: { kind: 'queue', queue: 'inbound', batchSize: 10, maxConcurrency: 50 },
    timeout: 60,
    memory: 1769,
    uses: [
      { on: 'table', actions: ['GetItem', 'Query', 'PutItem', 'UpdateItem'], prefixes: ['T#*', 'A#*', 'X#*'] },
      { on: 'mail', actions: ['GetObject'], prefixes: ['raw/*', 't/*'] },
      { on: 'backfills', actions: ['SendMessage'] },
    ],
    threads: [parseThread],
  },
  'sweep-raw-mail': {
    entry: 'functions/sweep-raw-mail/handler.ts',
    trigger: { kind: 'schedule', every: '1 days' },
    timeout: 300,
    memory: 512,
    uses: [
      { on: 'table', actions: ['GetItem', 'Query', 'DeleteItem'], prefixes: ['T#*', 'X#*'] },
      { on: 'mail', actions: ['GetObject', 'DeleteObject'], prefixes: ['raw/*', 't/*'] },
    ],
  },
  'reconcile-raw-mail': {
    entry: 'functions/reconcile-raw-mail/handler.ts',
    trigger: { kind: 'schedule', every: '1 days' },
    timeout: 900,
    memory: 512,
    uses: [
      { on: 'table', actions: ['GetItem', 'Query'], prefixes: ['T#*', 'A#*', 'X#*'] },
      { on: 'table', actions: ['PutItem'], prefixes: ['X#*'] },
      { on: 'mail', actions: ['GetObject'], prefixes: ['raw/*'] },
      { on: 'mail', actions: ['ListBucket'], prefixes: ['raw/'] },
      { on: 'inbound', actions: ['SendMessage'] },
    ],
  },
  'run-import': {
    entry: 'functions/run-import/handler.ts',
    trigger: { kind: 'queue', queue: 'imports', batchSize: 1, maxConcurrency: 5 },
    timeout: 60,
    memory: 1024,
    uses: [
      { on: 'table', actions: ['GetItem', 'BatchGetItem', 'Query', 'PutItem', 'UpdateItem', 'ConditionCheckItem'], prefixes: ['T#*'] },
      { on: 'mail', actions: ['GetObject', 'PutObject'], prefixes: ['t/*'] },
      { on: 'imports', actions: ['SendMessage'] },
      { on: 'backfills', actions: ['SendMessage'] },
    ],
  },
  'run-backfill': {
    entry: 'functions/run-backfill/handler.ts',
    trigger: { kind: 'queue', queue: 'backfills', batchSize: 10, maxConcurrency: 5 },
    timeout: 60,
    memory: 512,
    uses: [
      {
        on: 'table',
        actions: ['GetItem', 'BatchGetItem', 'Query', 'PutItem', 'UpdateItem', 'DeleteItem', 'ConditionCheckItem'],
        prefixes: ['T#*'],
      },
      { on: 'backfills', actions: ['SendMessage'] },
    ],
  },
  'plan-polls': {
    entry: 'functions/plan-polls/handler.ts',
    trigger: { kind: 'schedule', every: '1 minutes' },
    timeout: 60,
    memory: 512,
    uses: [
      { on: 'table', actions: ['GetItem', 'Query', 'PutItem'], prefixes: ['D#*'] },
      { on: 'polls', actions: ['SendMessage'] },
    ],
  },
  'poll-mailbox': {
    entry: 'functions/poll-mailbox/handler.ts',
    // Each polls the mailboxes of its batch side by side; with POLLS_PER_HOST that bounds the sessions with one server.
    trigger: { kind: 'queue', queue: 'polls', batchSize: 10, maxConcurrency: 20 },
    timeout: 300,
    memory: 1024,
    uses: [
      {
        on: 'table',
        actions: ['GetItem', 'BatchGetItem', 'Query', 'PutItem', 'UpdateItem', 'DeleteItem', 'BatchWriteItem'],
        prefixes: ['T#*', 'D#*'],
      },
      { on: 'mail', actions: ['PutObject'], prefixes: ['t/*'] },
      { on: 'key', actions: ['Decrypt'] },
      { on: 'inbound', actions: ['SendMessage'] },
      { on: 'polls', actions: ['SendMessage'] },
    ],
    sendsMail: true,
  },
  'warn-hidden-mail': {
    entry: 'functions/warn-hidden-mail/handler.ts',
    trigger: { kind: 'schedule', every: '1 days' },
    timeout: 300,
    memory: 512,
    uses: [
      { on: 'table', actions: ['Query', 'UpdateItem'], prefixes: ['D#*'] },
      { on: 'table', actions: ['GetItem', 'Query'], prefixes: ['T#*'] },
    ],
    sendsMail: true,
  },
  'run-backup': {
    entry: 'functions/run-backup/handler.ts',
    trigger: { kind: 'queue', queue: 'backups', batchSize: 1, maxConcurrency: 5 },
    timeout: 180,
    memory: 1024,
    uses: [
      {
        on: 'table',
        actions: ['GetItem', 'BatchGetItem', 'Query', 'PutItem', 'UpdateItem', 'BatchWriteItem'],
        prefixes: ['T#*'],
      },
      { on: 'table', actions: ['DeleteItem'], prefixes: ['D#BACKUPS'] },
      { on: 'mail', actions: ['GetObject'], prefixes: ['raw/*', 't/*'] },
      { on: 'mail', actions: ['PutObject'], prefixes: ['t/*'] },
      { on: 'backups', actions: ['SendMessage'] },
    ],
    sendsMail: true,
  },
  'export-backup': {
    entry: 'functions/export-backup/handler.ts',
    trigger: { kind: 'queue', queue: 'exports', batchSize: 1, maxConcurrency: 5 },
    timeout: 300,
    memory: 1769,
    uses: [
      { on: 'table', actions: ['GetItem', 'BatchGetItem', 'PutItem', 'UpdateItem'], prefixes: ['T#*'] },
      { on: 'table', actions: ['DeleteItem'], prefixes: ['D#EXPORTS'] },
      { on: 'mail', actions: ['GetObject'], prefixes: ['raw/*', 't/*'] },
      { on: 'mail', actions: ['PutObject', 'AbortMultipartUpload'], prefixes: ['exports/*'] },
      { on: 'exports', actions: ['SendMessage'] },
    ],
    sendsMail: true,
  },
  'run-offboarding': {
    entry: 'functions/run-offboarding/handler.ts',
    trigger: { kind: 'queue', queue: 'offboardings', batchSize: 1, maxConcurrency: 5 },
    timeout: 120,
    memory: 1024,
    uses: [
      {
        on: 'table',
        actions: ['GetItem', 'BatchGetItem', 'Query', 'PutItem', 'UpdateItem', 'ConditionCheckItem'],
        prefixes: ['T#*'],
      },
      // The dropbox follows its owner; the mailbox leaves the timetable, and is noted among those that are hidden.
      { on: 'table', actions: ['UpdateItem'], prefixes: ['A#*'] },
      { on: 'table', actions: ['PutItem', 'DeleteItem'], prefixes: ['D#*'] },
      { on: 'polls', actions: ['SendMessage'] },
      { on: 'backups', actions: ['SendMessage'] },
      { on: 'offboardings', actions: ['SendMessage'] },
    ],
    sendsMail: true,
  },
  'sweep-backups': {
    entry: 'functions/sweep-backups/handler.ts',
    trigger: { kind: 'schedule', every: '1 minutes' },
    timeout: 60,
    memory: 256,
    uses: [
      { on: 'table', actions: ['Query'], prefixes: ['D#BACKUPS', 'D#EXPORTS', 'D#OFFBOARDINGS'] },
      { on: 'table', actions: ['BatchGetItem'], prefixes: ['T#*'] },
      { on: 'backups', actions: ['SendMessage'] },
      { on: 'exports', actions: ['SendMessage'] },
      { on: 'offboardings', actions: ['SendMessage'] },
    ],
  },
  'begin-deletions': {
    entry: 'functions/begin-deletions/handler.ts',
    trigger: { kind: 'schedule', every: '1 days' },
    timeout: 300,
    memory: 512,
    uses: [
      { on: 'table', actions: ['Query', 'PutItem', 'UpdateItem', 'ConditionCheckItem'], prefixes: ['D#*'] },
      { on: 'table', actions: ['GetItem', 'Query', 'PutItem', 'UpdateItem', 'ConditionCheckItem'], prefixes: ['T#*'] },
      { on: 'deletions', actions: ['SendMessage'] },
    ],
  },
  'delete-hidden-mail': {
    entry: 'functions/delete-hidden-mail/handler.ts',
    trigger: { kind: 'queue', queue: 'deletions', batchSize: 1, maxConcurrency: 2 },
    timeout: 180,
    memory: 512,
    uses: [
      {
        on: 'table',
        actions: ['GetItem', 'BatchGetItem', 'Query', 'PutItem', 'UpdateItem', 'DeleteItem', 'ConditionCheckItem'],
        prefixes: ['T#*'],
      },
      { on: 'table', actions: ['DeleteItem'], prefixes: ['D#*'] },
      { on: 'table', actions: ['UpdateItem'], prefixes: ['A#*'] },
      { on: 'mail', actions: ['GetObject'], prefixes: ['raw/*'] },
      { on: 'mail', actions: ['DeleteObject'], prefixes: ['raw/*', 't/*'] },
      { on: 'mail', actions: ['ListBucket'], prefixes: ['t/*'] },
      { on: 'deletions', actions: ['SendMessage'] },
      { on: 'polls', actions: ['SendMessage'] },
    ],
    sendsMail: true,
  },
  'create-tenant': {
    entry: 'functions/create-tenant/handler.ts',
    trigger: { kind: 'operator' },
    timeout: 15,
    memory: 512,
    uses: [
      { on: 'table', actions: ['PutItem'], prefixes: ['T#*'] },
      { on: 'key', actions: ['GenerateDataKey'] },
    ],
  },
  'rotate-data-key': {
    entry: 'functions/rotate-data-key/handler.ts',
    trigger: { kind: 'operator' },
    timeout: 900,
    memory: 512,
    uses: [
      { on: 'table', actions: ['GetItem', 'Query', 'PutItem', 'UpdateItem'], prefixes: ['T#*'] },
      { on: 'key', actions: ['GenerateDataKey', 'Decrypt'] },
    ],
  },
} as const satisfies Record<string, FunctionRow>;

export type FunctionName = keyof typeof functions;

/** The path every import and every thread bundle is known by: `core/message/parse-thread.ts` -> `parse-thread.mjs`. */
export const threadFile = (file: string) => `${file.split('/').at(-1)?.replace(/\.ts$/, '')}.mjs`;

/** The variables a function is given: one per resource it uses, and the deployment's settings. */
export const environmentNames = {
  table: 'TABLE_NAME',
  mail: 'MAIL_BUCKET',
  key: 'KEY_ID',
  inbound: 'INBOUND_QUEUE_URL',
  imports: 'IMPORTS_QUEUE_URL',
  polls: 'POLLS_QUEUE_URL',
  backfills: 'BACKFILLS_QUEUE_URL',
  backups: 'BACKUPS_QUEUE_URL',
  exports: 'EXPORTS_QUEUE_URL',
  offboardings: 'OFFBOARDINGS_QUEUE_URL',
  deletions: 'DELETIONS_QUEUE_URL',
  arrivals: 'ARRIVALS_TOPIC_ARN',
} as const satisfies Record<ResourceName, string>;

/** The variable of a function with uses per tenant: the role it assumes for one. Its sessions bear the tag `tenant`. */
export const TENANT_ROLE_VARIABLE = 'TENANT_ROLE_ARN';

export const hasTenantRole = ({ uses }: FunctionRow) => uses.some(({ perTenant }) => perTenant);

/** Settings of a deployment that every function is given. */
export type Settings = {
  /** The domain whose mail SES receives for us: of dropboxes `<secret>@MAIL_DOMAIN`, of hosted mailboxes `<name>-<random>@MAIL_DOMAIN`. */
  MAIL_DOMAIN: string;
  /** The address the product sends its own mail from. */
  MAIL_SENDER: string;
  /** Where the API is reached from outside, without a slash at its end. */
  PUBLIC_URL: string;
};

/** What the host on a developer's machine may say beside them, and a deployment never does. */
export type LocalSettings = Settings & {
  /** Mail servers on this machine may be connected to. JSON: `ca`, a certificate (PEM) that is trusted beside the usual ones. */
  LOCAL_MAIL_SERVERS?: string;
};
