import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { callAws } from '../../lib/local/engine.ts';
import { redrive } from '../../lib/operator.ts';
import { startHost, type TestHost, until } from '../support/host.ts';

let host: TestHost;
let said: string[];
const log = console.log;
beforeAll(async () => {
  host = await startHost({ queueVisibility: 0 });
  console.log = (line: string) => said.push(line);
});
beforeEach(() => {
  said = [];
});
afterAll(async () => {
  console.log = log;
  await host.end();
});

const sqs = async (action: string, input: object) =>
  (await callAws(host.endpoints.sqs, `AmazonSQS.${action}`, input)).json() as Promise<{ Attributes?: Record<string, string> }>;
const waiting = async (QueueUrl: string) => {
  const { Attributes } = await sqs('GetQueueAttributes', { QueueUrl, AttributeNames: ['All'] });
  return Number(Attributes?.ApproximateNumberOfMessages);
};

test('npm run redrive: dead letters go back into their queue, are tried again, and die again when the cause is still there', async () => {
  await sqs('SendMessage', { QueueUrl: 'inbound', MessageBody: 'no JSON at all' });
  await until(async () => (await waiting('inbound-dead')) === 1);
  expect(await redrive(['inbound', '--dir', host.dir])).toBe(0);
  expect(said).toEqual(['inbound: about 1 dead letters are on their way back.']);
  await until(async () => (await waiting('inbound-dead')) === 1);
});

test('it says what it could not do', async () => {
  expect(await redrive(['imports', '--dir', host.dir])).toBe(0);
  expect(await redrive(['nothing', '--dir', host.dir])).toBe(1);
  expect(await redrive(['--dir', host.dir])).toBe(1);
  expect(await redrive(['inbound', '--dir', join(host.dir, 'nowhere')])).toBe(1);
  expect(said).toEqual([
    'imports: no dead letters.',
    'There is no queue "nothing" with dead letters.',
    expect.stringMatching(/^Which queue\?/),
    expect.stringMatching(/^No host runs on this machine/),
  ]);
});

test('as a command', () => {
  const { status, stdout } = spawnSync(process.execPath, ['bin/redrive.ts', 'imports', '--dir', host.dir], { encoding: 'utf8' });
  expect([status, stdout]).toEqual([0, 'imports: no dead letters.\n']);
});
