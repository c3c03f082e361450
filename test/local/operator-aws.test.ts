import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { reconcile, redrive, tenantCreate } from '../../lib/operator.ts';

type Answer = { status?: number; body: unknown };

/** What Lambda and SQS would answer, as far as these commands ask; what they were asked is kept. */
const asked: { path: string; action?: string; body: string }[] = [];
let answerTo: (path: string, action: string | undefined, body: string) => Answer | 'hang up';

const server = createServer((request, response) => void answer(request, response));

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  const [path, action] = [request.url ?? '', request.headers['x-amz-target']?.toString()];
  asked.push({ path, action, body });
  const given = answerTo(path, action, body);
  if (given === 'hang up') return void request.socket.destroy();
  response.writeHead(given.status ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(given.body));
}

const log = console.log;
const environment = { ...process.env };
let said: string[] = [];

beforeAll(async () => {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  console.log = (line: string) => said.push(line);
});
beforeEach(() => {
  said = [];
  asked.length = 0;
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.env = { ...environment, AWS_ENDPOINT_URL_LAMBDA: url, AWS_ENDPOINT_URL_SQS: url, AWS_REGION: 'eu-west-1' };
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'an-operator', AWS_SECRET_ACCESS_KEY: 'secret', AWS_CONFIG_FILE: '/dev/null' });
});
afterAll(async () => {
  console.log = log;
  process.env = environment;
  await new Promise((done) => server.close(done));
});

const aFunction = (stack: string, name: string, FunctionName: string) => ({ FunctionName, Description: `${stack}: ${name}` });
const newTenant = ['--aws', '--name', 'Example', '--admin-name', 'Aiko', '--admin-email', 'aiko@example.com'];

test('a function is found by what it is described as, whatever CloudFormation made of its name, and on no other stage', async () => {
  const Functions = [
    aFunction('CrmMailAddon-dev', 'reconcile-raw-mail', 'of-dev'),
    aFunction('CrmMailAddon-prod', 'create-tenant', 'CrmMailAddon-prod-FunctionsCreateTenantF6872125-Zz'),
    aFunction('CrmMailAddon-prod', 'reconcile-raw-mail', 'CrmMailAddon-prod-FunctionsReconcileRawMai-Zz'),
  ];
  answerTo = (path) => ({ body: path.endsWith('/invocations') ? { looked: 0 } : { Functions } });
  expect(await reconcile(['--aws'])).toBe(0);
  expect(await reconcile(['--aws', '--stage', 'dev'])).toBe(0);
  expect(await tenantCreate(newTenant)).toBe(0);
  expect(asked.map(({ path }) => /functions\/([^/]+)\/invocations/.exec(path)?.[1]).filter(Boolean)).toEqual([
    'CrmMailAddon-prod-FunctionsReconcileRawMai-Zz',
    'of-dev',
    'CrmMailAddon-prod-FunctionsCreateTenantF6872125-Zz',
  ]);
});

test('dead letters go from the queue of that stage to the one beside it, named as CloudFormation names them', async () => {
  const named = (name: string) => `${process.env.AWS_ENDPOINT_URL_SQS}/123456789012/CrmMailAddon-prod-${name}-aB3dE5fG7hI9`;
  const queues = ['QueuesInboundDeadE9C3ED3C', 'QueuesInbound4AD2C98D'].map(named);
  answerTo = (_, action, body) => {
    if (action === 'AmazonSQS.ListQueues') return { body: { QueueUrls: queues } };
    if (action === 'AmazonSQS.StartMessageMoveTask') return { body: { TaskHandle: 'x' } };
    const QueueArn = `arn:of:${(JSON.parse(body) as { QueueUrl: string }).QueueUrl.split('-')[2]}`;
    return { body: { Attributes: { QueueArn, ApproximateNumberOfMessages: '3' } } };
  };
  expect(await redrive(['inbound', '--aws'])).toBe(0);
  expect(JSON.parse(asked.at(-1)!.body)).toEqual({
    SourceArn: 'arn:of:QueuesInboundDeadE9C3ED3C',
    DestinationArn: 'arn:of:QueuesInbound4AD2C98D',
  });
  expect(said).toEqual(['inbound: about 3 dead letters are on their way back.']);
});

test('the wrong stage, account or region: it says where it looked', async () => {
  answerTo = () => ({ body: { Functions: [], QueueUrls: [] } });
  expect(await reconcile(['--aws', '--stage', 'staging'])).toBe(1);
  expect(await redrive(['inbound', '--aws'])).toBe(1);
  expect(said).toEqual([
    'There is no function "reconcile-raw-mail" of the stack CrmMailAddon-staging in this account and region.',
    'There is no queue "inbound" with dead letters of the stack CrmMailAddon-prod in this account and region.',
  ]);
});

test('without a region, without credentials, with those of somebody else: it says what to do', async () => {
  answerTo = () => ({ status: 403, body: { Message: 'User: x is not authorized to perform: lambda:ListFunctions' } });
  expect(await reconcile(['--aws'])).toBe(1);
  delete process.env.AWS_REGION;
  expect(await reconcile(['--aws'])).toBe(1);
  Object.assign(process.env, { AWS_REGION: 'eu-west-1', AWS_EC2_METADATA_DISABLED: 'true', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' });
  delete process.env.AWS_ACCESS_KEY_ID;
  expect(await tenantCreate(newTenant)).toBe(1);
  expect(said).toEqual([
    expect.stringContaining('is not authorized to perform'),
    expect.stringMatching(/^No region\./),
    expect.stringMatching(/^No AWS credentials\./),
  ]);
});

test('a call whose answer is lost is not made again: it may have made a tenant', async () => {
  answerTo = (path) =>
    path.endsWith('/invocations') ? 'hang up' : { body: { Functions: [aFunction('CrmMailAddon-prod', 'create-tenant', 'it')] } };
  expect(await tenantCreate(newTenant)).toBe(1);
  expect(asked.filter(({ path }) => path.endsWith('/invocations'))).toHaveLength(1);
});

test('minutes that are no number are refused', async () => {
  expect(await reconcile(['--aws', '--minutes', 'ten'])).toBe(1);
  expect([said, asked]).toEqual([['--minutes takes a number.'], []]);
});

test('a stage without --aws is refused: the command would act on this machine', async () => {
  expect(await reconcile(['--stage', 'dev'])).toBe(1);
  expect(said).toEqual([expect.stringContaining('it goes with --aws')]);
  expect(asked).toEqual([]);
});
