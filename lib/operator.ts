import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { InvokeCommand, LambdaClient, paginateListFunctions } from '@aws-sdk/client-lambda';
import { GetQueueAttributesCommand, ListQueuesCommand, SQSClient, StartMessageMoveTaskCommand } from '@aws-sdk/client-sqs';

const WHERE = `
  --dir PATH           state of the host that runs on this machine (.local)
  --aws                on AWS instead, with your own credentials and region
  --stage NAME         which deployment there (prod)
  --help               this page`;

const TENANT_CREATE = `Creates a tenant and its first administrator, and prints the administrator's first token: the only time it is shown.

  npm run tenant:create -- --name "Example" --admin-name "Anna Example" --admin-email anna@example.com

  --name TEXT          the tenant's name
  --admin-name TEXT    its first administrator
  --admin-email TEXT   and that person's login address
  --time-zone ZONE     such as Asia/Tokyo (UTC)
  --function NAME      on AWS: the stack's output CreateTenantFunction, when it is not to be looked for${WHERE}`;

const REDRIVE = `Moves the dead letters of a queue back into it, once their cause is mended.

  npm run redrive -- inbound
${WHERE}`;

const RECONCILE = `Looks for stored mail that has no outcome, and hands it in again. It is done once a day anyway.

  npm run reconcile

  --minutes N          leave alone what came within so many minutes (60): it may still be on its way${WHERE}`;

const ROTATE_KEY = `Gives a tenant a new data key and seals its secrets anew. Run it again two days later: then the old key goes.

  npm run rotate-key -- TENANT
${WHERE}`;

const NO_STAGE = '--stage says which deployment on AWS is meant: it goes with --aws.';
const NO_REGION = 'No region. Say where the stack is: export AWS_REGION=eu-west-1, or a profile that has one.';
const NO_CREDENTIALS = 'No AWS credentials. Log in (aws sso login, or whatever you use), or name a profile: export AWS_PROFILE=...';
const NOBODY = 'No host runs on this machine with its state there. Start it with "npm start", or use --aws for a deployment.';

const text = { type: 'string' } as const;
const flag = { type: 'boolean', default: false } as const;
const where = { dir: text, stage: text, aws: flag, help: flag };
type Where = { dir?: string; stage?: string; aws: boolean };

/** `npm run tenant:create`: calls the function on this machine's host, or on AWS. Answers the exit code. */
export function tenantCreate(args: string[]): Promise<number> {
  const options = { ...where, name: text, 'admin-name': text, 'admin-email': text, 'time-zone': text, function: text };
  return command({ args, options }, TENANT_CREATE, async ({ values }) => {
    const missing = (['name', 'admin-name', 'admin-email'] as const).filter((name) => !values[name]);
    if (missing.length > 0) return say(`Missing: ${missing.map((name) => `--${name}`).join(', ')}\n\n${TENANT_CREATE}`, 1);
    const administrator = { name: values['admin-name'], email: values['admin-email'] };
    return invoke(values, 'create-tenant', { name: values.name, timeZone: values['time-zone'], administrator }, values.function);
  });
}

/** `npm run redrive -- <queue>`: moves dead letters back, on this machine's host or on AWS. Answers the exit code. */
export function redrive(args: string[]): Promise<number> {
  return command({ args, options: where, allowPositionals: true }, REDRIVE, async ({ values, positionals: [queue] }) => {
    if (!queue) return say(`Which queue?\n\n${REDRIVE}`, 1);
    const sqs = values.aws ? new SQSClient({}) : new SQSClient({ ...onThisMachine(values, 'host').sqs, useQueueUrlAsEndpoint: false });
    const [from, to] = [await findQueue(sqs, values, queue, 'dead'), await findQueue(sqs, values, queue)];
    if (!from || !to) return say(`There is no queue "${queue}" with dead letters${whereOf(values)}.`, 1);
    if (from.count === 0) return say(`${queue}: no dead letters.`, 0);
    // Told where to: a letter that SNS could not deliver has no queue it came from.
    await sqs.send(new StartMessageMoveTaskCommand({ SourceArn: from.arn, DestinationArn: to.arn }));
    return say(`${queue}: about ${from.count} dead letters are on their way back.`, 0);
  });
}

/** `npm run reconcile`: runs the daily reconciliation now. Answers the exit code. */
export function reconcile(args: string[]): Promise<number> {
  return command({ args, options: { ...where, minutes: text } }, RECONCILE, async ({ values }) => {
    const minutes = values.minutes === undefined ? undefined : Number(values.minutes);
    if (Number.isNaN(minutes)) return say('--minutes takes a number.', 1);
    return invoke(values, 'reconcile-raw-mail', { minutes });
  });
}

/** `npm run rotate-key -- <tenant>`: a new data key for a tenant, or the end of a rotation that was begun. Answers the exit code. */
export function rotateKey(args: string[]): Promise<number> {
  return command({ args, options: where, allowPositionals: true }, ROTATE_KEY, async ({ values, positionals: [tenant] }) =>
    tenant ? invoke(values, 'rotate-data-key', { tenant }) : say(`Which tenant?\n\n${ROTATE_KEY}`, 1),
  );
}

async function command<T extends ParseArgsConfig & { options: typeof where }>(
  config: T,
  help: string,
  run: (parsed: ReturnType<typeof parseArgs<T>> & { values: Where }) => Promise<number>,
): Promise<number> {
  try {
    const parsed = parseArgs(config) as ReturnType<typeof parseArgs<T>> & { values: Where & { help: boolean } };
    if (parsed.values.help) return say(help, 0);
    return parsed.values.stage && !parsed.values.aws ? say(NO_STAGE, 1) : await run(parsed);
  } catch (error) {
    return say(whatToDo(error as NodeJS.ErrnoException), 1);
  }
}

/** What an error means to an operator; its own words where they say it. */
function whatToDo({ code, name, message }: NodeJS.ErrnoException): string {
  if (code === 'ECONNREFUSED') return NOBODY;
  if (message === 'Region is missing') return NO_REGION;
  return name === 'CredentialsProviderError' ? `${NO_CREDENTIALS}\n${message}` : message;
}

async function invoke(where: Where, name: string, payload: object, functionName?: string): Promise<number> {
  // Asked once: a call whose answer was lost may have been done, and done again it would make a second tenant.
  const client = new LambdaClient({ maxAttempts: 1, ...(where.aws ? {} : onThisMachine(where, 'operator').lambda) });
  const FunctionName = where.aws ? (functionName ?? (await findFunction(client, where, name))) : name;
  const answer = await client.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(payload) }));
  const result = JSON.parse(answer.Payload?.transformToString() ?? 'null') as { error?: unknown } | null;
  const failed = answer.FunctionError !== undefined || result?.error !== undefined;
  return say(JSON.stringify(result, null, 2), failed ? 1 : 0);
}

async function findQueue(sqs: SQSClient, where: Where, queue: string, dead?: 'dead') {
  const local = dead ? `${queue}-dead` : queue;
  const prefix = where.aws ? `${stackOf(where)}-Queues${logical(local)}` : local;
  const { QueueUrls = [] } = await sqs.send(new ListQueuesCommand({ QueueNamePrefix: prefix }));
  // CloudFormation puts eight hexadecimal digits behind a name, and a word of its own.
  const named = new RegExp(where.aws ? `/${prefix}[0-9A-F]{8}-\\w+$` : `/${prefix}$`);
  const QueueUrl = QueueUrls.find((url) => named.test(url));
  if (!QueueUrl) return undefined;
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn', 'ApproximateNumberOfMessages'] }),
  );
  return { arn: Attributes?.QueueArn, count: Number(Attributes?.ApproximateNumberOfMessages) };
}

async function findFunction(client: LambdaClient, where: Where, name: string): Promise<string> {
  const description = `${stackOf(where)}: ${name}`;
  for await (const { Functions = [] } of paginateListFunctions({ client }, {})) {
    const found = Functions.find(({ Description }) => Description === description);
    if (found?.FunctionName) return found.FunctionName;
  }
  throw new Error(`There is no function "${name}"${whereOf(where)}.`);
}

/** Where on AWS was looked: an operator who sees it finds out that it was the wrong stage, account or region. */
const whereOf = (where: Where) => (where.aws ? ` of the stack ${stackOf(where)} in this account and region` : '');

const stackOf = ({ stage = 'prod' }: Where) => `CrmMailAddon-${stage}`;
const logical = (name: string) => name.replace(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Clients' settings for the host whose state lies in `dir`. Throws when none runs there. */
function onThisMachine({ dir = '.local' }: Where, accessKeyId: string) {
  try {
    const { lambdaUrl, endpoints } = JSON.parse(readFileSync(join(dir, 'host.json'), 'utf8')) as {
      lambdaUrl: string;
      endpoints: { sqs: string };
    };
    const local = { region: 'local', credentials: { accessKeyId, secretAccessKey: 'local' } };
    return { lambda: { ...local, endpoint: lambdaUrl }, sqs: { ...local, endpoint: endpoints.sqs } };
  } catch {
    throw new Error(NOBODY);
  }
}

function say(line: string, code: number): number {
  console.log(line);
  return code;
}
