import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { root } from '../../lib/bundle.ts';
import { callAws } from '../../lib/local/engine.ts';
import { rows } from '../fixtures/host/manifest.ts';
import { startHost, type TestHost, until, untilDone } from '../support/host.ts';

const bundles = join(root, '.build', 'fixture-host');
const options = { manifest: rows, bundles, queueVisibility: 1 };
let host: TestHost;

beforeAll(async () => {
  host = await startHost(options);
});

afterAll(async () => {
  await host.end();
});

const good = () => host.api('good');
const send = (MessageBody: string, to = host) => callAws(to.endpoints.sqs, 'AmazonSQS.SendMessage', { QueueUrl: 'imports', MessageBody });
const receive = async (QueueUrl: string, from = host) =>
  (
    (await (await callAws(from.endpoints.sqs, 'AmazonSQS.ReceiveMessage', { QueueUrl, MaxNumberOfMessages: 10 })).json()) as {
      Messages?: { Body: string }[];
    }
  ).Messages ?? [];
const s3 = (of = host) =>
  new S3Client({
    endpoint: of.endpoints.s3,
    forcePathStyle: true,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'host', secretAccessKey: 'local' },
  });
const keys = async (Prefix: string, of = host) =>
  ((await s3(of).send(new ListObjectsV2Command({ Bucket: 'mail', Prefix }))).Contents ?? []).map(({ Key }) => Key ?? '');
const content = async (Key: string) => (await s3().send(new GetObjectCommand({ Bucket: 'mail', Key }))).Body?.transformToString() ?? '';
const deliveries = async (body: string, of = host) => (await keys(`t/seen/${body}/`, of)).length;

describe('the HTTP API', () => {
  test('a request becomes an event of payload format 2.0', async () => {
    const headers = { 'X-Upper': 'Value', cookie: 'a=1; b=2', 'content-type': 'application/json; charset=utf-8' };
    const { json } = await good()('POST', '/v1/a%20b/%C3%BC?x=1&x=2&y=a%26b', '{"ü":1}', headers);
    expect(json.event).toMatchObject({
      version: '2.0',
      routeKey: '$default',
      rawPath: '/v1/a b/ü',
      rawQueryString: 'x=1&x=2&y=a%26b',
      queryStringParameters: { x: '1,2', y: 'a&b' },
      cookies: ['a=1', 'b=2'],
      headers: { 'x-upper': 'Value', authorization: 'Bearer good' },
      body: '{"ü":1}',
      isBase64Encoded: false,
      requestContext: {
        stage: '$default',
        http: { method: 'POST', path: '/v1/a b/ü', sourceIp: '127.0.0.1' },
        authorizer: { lambda: { member: 'm1' } },
      },
    });
    expect(json.event.headers.cookie).toBeUndefined();
    expect(json.remaining).toBeLessThanOrEqual(2000);
    expect(json.requestId).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('the path is decoded once, and ends at a question mark that comes to light; the query stays as it was sent', async () => {
    const pathOf = async (path: string) => {
      const { rawPath, rawQueryString } = (await good()('POST', path)).json.event;
      return [rawPath, rawQueryString];
    };
    expect(await pathOf('/v1/a%2525b%2F+%E3%81%82?q=%2525+%zz')).toEqual(['/v1/a%25b/+あ', 'q=%2525+%zz']);
    expect(await pathOf('/v1/a%3Fb/c?q=1')).toEqual(['/v1/a', 'q=1']);
    for (const path of ['/v1/%zz', '/v1/%', '/v1/%FF']) expect((await good()('POST', path)).status).toBe(400);
  });

  test('a first line and headers of more than 10 KB are refused', async () => {
    const status = async (bytes: number) => (await good()('POST', '/x', undefined, { 'x-long': 'x'.repeat(bytes) })).status;
    expect([await status(9000), await status(10_240)]).toEqual([200, 431]);
  });

  test('bodies of other types, and of none, come in base64', async () => {
    for (const type of ['application/octet-stream', 'application/merge-patch+json', 'application/x-www-form-urlencoded', undefined]) {
      const body = Buffer.from([0, 255, 10]);
      const { json } = await good()('POST', '/x', body, type ? { 'content-type': type } : {});
      expect(json.event).toMatchObject({ body: body.toString('base64'), isBase64Encoded: true });
    }
    const { json } = await good()('POST', '/x', 'a,b', { 'content-type': 'text/csv' });
    expect(json.event).toMatchObject({ body: 'a,b', isBase64Encoded: false });
  });

  test('the authoriser decides before the function runs; open routes do not ask it', async () => {
    expect(await host.api()('GET', '/v1/x')).toMatchObject({ status: 403, json: { message: 'Forbidden' } });
    expect(await host.api('bad')('GET', '/v1/x')).toMatchObject({ status: 403, json: { message: 'Forbidden' } });
    expect(await host.api('broken')('GET', '/v1/x')).toMatchObject({ status: 500, json: { message: 'Internal Server Error' } });
    const open = await host.api()('GET', '/open/anna');
    expect(open.json.event).toMatchObject({ routeKey: 'GET /open/{name}', pathParameters: { name: 'anna' } });
    expect((await host.api()('GET', '/open/fixed')).json.event.routeKey).toBe('GET /open/fixed');
    expect((await host.api()('POST', '/open/anna')).status).toBe(403);
  });

  test('what the function answers goes out as API Gateway sends it', async () => {
    const binary = await fetch(`${host.apiUrl}/x?do=binary`, { headers: { authorization: 'Bearer good' } });
    expect(binary.status).toBe(201);
    expect([...new Uint8Array(await binary.arrayBuffer())]).toEqual([0, 1, 2]);
    expect(binary.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
    expect((await good()('GET', '/x?do=bare')).json).toEqual({ greeting: 'hello' });
    expect((await good()('GET', '/x?do=thread')).text).toBe('from the thread');
  });

  test('a function that throws, dies, hangs or says too much is a 500, and the next request is served', async () => {
    for (const misdeed of ['throw', 'die', 'hang', 'large']) {
      expect(await good()('GET', `/x?do=${misdeed}`)).toMatchObject({ status: 500, json: { message: 'Internal Server Error' } });
      expect((await good()('GET', '/x')).status).toBe(200);
    }
    const log = readFileSync(join(host.dir, 'log', 'echo.log'), 'utf8');
    expect(log).toContain('Task timed out after 2.00 seconds');
    expect(log).toContain('Runtime exited with error: exit status 7');
    expect(log).toContain('a bug');
  });

  test('10 MB is the limit of a request, 6 MB that of the function behind it', async () => {
    const post = (bytes: number) => host.api()('POST', '/open/body', 'x'.repeat(bytes), { 'content-type': 'text/plain' });
    expect((await post(10 * 1024 * 1024 + 1)).status).toBe(413);
    expect((await post(6 * 1024 * 1024)).status).toBe(413);
    expect((await post(1024 * 1024)).status).toBe(200);
  });

  test('more requests than the stage lets through are answered with 429', async () => {
    const throttled = await startHost({ ...options, throttle: { rate: 0.001, burst: 2 } });
    const ask = () => throttled.api()('GET', '/open/fixed');
    expect([(await ask()).status, (await ask()).status]).toEqual([200, 200]);
    expect(await ask()).toMatchObject({ status: 429, json: { message: 'Too Many Requests' } });
    await throttled.end();
  });

  test('a request that came by another name than this machine is not answered', async () => {
    for (const url of [host.apiUrl, host.outboxUrl, host.endpoints.s3]) {
      const status = await new Promise<number | undefined>((done) => {
        get(url, { headers: { host: 'rebound.example.com' } }, ({ statusCode }) => done(statusCode));
      });
      expect(status).toBe(421);
    }
  });

  test('events that meet run in processes of their own, one event at a time', async () => {
    const slow = () => host.invoke('echo', { queryStringParameters: { do: 'slow' } });
    const outcomes = await Promise.all([slow(), slow(), slow()]);
    const pids = outcomes.map((outcome) => 'answer' in outcome && JSON.parse(JSON.parse(outcome.answer).body).pid);
    expect(new Set(pids).size).toBe(3);
  });
});

test("a function is given its row's environment and nothing of the host's", async () => {
  process.env.HOST_SECRET = 'must not be seen';
  const { environment } = (await good()('GET', '/x')).json;
  expect(Object.keys(environment).sort()).toEqual(
    [
      ...['AWS_ACCESS_KEY_ID', 'AWS_CONFIG_FILE', 'AWS_ENDPOINT_URL_DYNAMODB', 'AWS_ENDPOINT_URL_KMS', 'AWS_ENDPOINT_URL_S3'],
      ...[
        'AWS_ENDPOINT_URL_SES',
        'AWS_ENDPOINT_URL_SNS',
        'AWS_ENDPOINT_URL_SQS',
        'AWS_ENDPOINT_URL_STS',
        'AWS_LAMBDA_FUNCTION_MEMORY_SIZE',
      ],
      ...['AWS_LAMBDA_FUNCTION_NAME', 'AWS_LAMBDA_FUNCTION_VERSION', 'AWS_REGION', 'AWS_SECRET_ACCESS_KEY', 'AWS_SHARED_CREDENTIALS_FILE'],
      ...['MAIL_BUCKET', 'MAIL_DOMAIN', 'MAIL_SENDER', 'PUBLIC_URL', 'TZ'],
    ].sort(),
  );
  expect(environment).toMatchObject({ MAIL_BUCKET: 'mail', PUBLIC_URL: host.apiUrl, AWS_LAMBDA_FUNCTION_NAME: 'echo' });
});

describe('queues', () => {
  test('of a batch only what failed comes again, and after five tries it lies in the dead-letter queue', async () => {
    // A batch must be through before it shows again, on any machine, or all of it comes again; so its function is started before.
    const patient = await startHost({ ...options, queueVisibility: 6 });
    await patient.invoke('consume', { Records: [] });
    await Promise.all(['fine-1', 'fail-1', 'fine-2'].map((body) => send(body, patient)));
    const dead = await until(async () => (await receive('imports-dead', patient)).find(({ Body }) => Body === 'fail-1'));
    expect(dead.Body).toBe('fail-1');
    expect(await deliveries('fail-1', patient)).toBe(5);
    expect([await deliveries('fine-1', patient), await deliveries('fine-2', patient)]).toEqual([1, 1]);
    await patient.end();
  });

  test('a batch whose function crashes, or answers what Lambda cannot read, comes again whole', async () => {
    await Promise.all([send('crash-1'), send('wrong-1')]);
    await until(async () => (await deliveries('crash-1')) >= 2 && (await deliveries('wrong-1')) >= 2);
  });
});

test('chaos delivers batches twice', async () => {
  const wild = await startHost({ ...options, chaos: { duplicate: 1 } });
  await send('once', wild);
  await untilDone(wild, 'imports');
  // At least twice: on a busy machine the queue may bring it once more by itself.
  expect(await deliveries('once', wild)).toBeGreaterThanOrEqual(2);
  await wild.end();
});

test('a schedule is fired by hand', async () => {
  expect(await host.fire('tick')).toEqual({ answer: '{"heard":"Scheduled Event"}' });
  expect(() => host.fire('echo')).toThrow('on a schedule');
});

test('an operator calls operator functions through the Lambda SDK, and no others', async () => {
  const lambda = new LambdaClient({
    endpoint: host.lambdaUrl,
    region: 'eu-west-1',
    maxAttempts: 1,
    credentials: { accessKeyId: 'x', secretAccessKey: 'x' },
  });
  const invoke = (FunctionName: string, payload: object) =>
    lambda.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(payload) }));
  const fine = await invoke('operate', { name: 'anna' });
  expect(JSON.parse(fine.Payload?.transformToString() ?? '')).toEqual({ hello: 'anna' });
  const broken = await invoke('operate', { name: 'broken' });
  expect(broken.FunctionError).toBe('Unhandled');
  expect(JSON.parse(broken.Payload?.transformToString() ?? '')).toMatchObject({ errorMessage: 'it is broken' });
  await expect(invoke('echo', {})).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
});

describe('the mail drop', () => {
  const raw = [
    'From: "Sales, A" <a@example.org>',
    'To: b@example.net',
    'Cc: c@example.net',
    'Subject: Hello',
    ' there',
    'Message-ID: <1@example.org>',
    'X-Local-Verdicts: spf=FAIL dkim=PASS spam=FAIL',
    '',
    '.a line with a dot',
    'höher',
    '',
  ].join('\r\n');
  const arrived = async (subject: string) => {
    for (const key of await keys('t/arrived/')) {
      const notice = JSON.parse(await content(key));
      if (notice.mail.commonHeaders.subject === subject) return notice;
    }
    return undefined;
  };

  test('an accepted mail is stored whole, and told of as SES tells', async () => {
    const rcpt = ['secret1@dropbox.example.com', 'secret2@dropbox.example.com'];
    await host.sendMail({ from: 'a@example.org', rcpt, raw });
    const notice = await until(() => arrived('Hello there'));
    expect(notice).toMatchObject({
      notificationType: 'Received',
      mail: {
        source: 'a@example.org',
        destination: ['b@example.net', 'c@example.net'],
        headersTruncated: false,
        commonHeaders: { from: ['"Sales, A" <a@example.org>'], messageId: '<1@example.org>' },
      },
      receipt: {
        recipients: rcpt,
        spamVerdict: { status: 'FAIL' },
        virusVerdict: { status: 'PASS' },
        spfVerdict: { status: 'FAIL' },
        dkimVerdict: { status: 'PASS' },
        dmarcVerdict: { status: 'GRAY' },
        action: { type: 'S3', bucketName: 'mail', objectKey: `raw/${notice.mail.messageId}` },
      },
    });
    const stored = await content(notice.receipt.action.objectKey);
    expect(stored.endsWith(raw)).toBe(true);
    expect(stored.startsWith('Return-Path: <a@example.org>\r\nReceived: from ')).toBe(true);
    expect(stored).not.toContain('secret1');
  });

  test('headers beyond 10 KB are left out of the notification', async () => {
    const long = raw.replace(
      'Subject: Hello\r\n there',
      `Subject: long\r\nX-Long: ${'x'.repeat(900)}\r\n${'X-More: y\r\n'.repeat(1000)}`.trimEnd(),
    );
    await host.sendMail({ from: 'a@example.org', rcpt: 'secret1@dropbox.example.com', raw: long });
    const notice = await until(() => arrived('long'));
    expect(notice.mail.headersTruncated).toBe(true);
    expect(JSON.stringify(notice.mail.headers).length).toBeLessThan(40_000);
  });

  test('mail for other domains, and mail over 40 MB, is refused', async () => {
    await expect(host.sendMail({ from: 'a@example.org', rcpt: 'b@example.net', raw })).rejects.toThrow('550');
    const rcpt = 'secret1@dropbox.example.com';
    await expect(host.sendMail({ from: 'a@example.org', rcpt, raw: Buffer.alloc(41 * 1024 * 1024, 'x\r\n') })).rejects.toThrow('552');
  });

  test('when the mail cannot be stored the sender is asked to try again', async () => {
    const other = await startHost(options);
    process.kill(other.pids().engine, 'SIGKILL');
    const sent = other.sendMail({ from: 'a@example.org', rcpt: 'x@dropbox.example.com', raw });
    await expect(sent).rejects.toThrow(/451|ECONNREFUSED|ECONNRESET|EPIPE|closed|421/);
    await other.end();
  });
});

test('a changed source is built and runs for the next event; one that does not compile changes nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'source-'));
  const built = mkdtempSync(join(tmpdir(), 'built-'));
  const file = join(folder, 'handler.ts');
  const source = (text: string) => writeFileSync(file, text);
  source('export const handler = async () => 1;');
  const manifest = { operate: { ...rows.operate!, entry: relative(root, file) } };
  const watching = await startHost({ manifest, bundles: built, watch: [folder] });
  expect(await watching.invoke('operate', {})).toEqual({ answer: '1' });
  source('export const handler = async () => 2;');
  await until(async () => JSON.stringify(await watching.invoke('operate', {})) === '{"answer":"2"}');
  source('export const handler = async (=> 3;');
  await new Promise((done) => setTimeout(done, 600));
  expect(await watching.invoke('operate', {})).toEqual({ answer: '2' });
  source('export const handler = async () => 4;');
  await until(async () => JSON.stringify(await watching.invoke('operate', {})) === '{"answer":"4"}');
  await watching.end();
  for (const each of [folder, built]) rmSync(each, { recursive: true });
});

describe('starting', () => {
  test('a second host on the same state says so', async () => {
    await expect(startHost({ ...options, dir: host.dir })).rejects.toThrow(`in use by process ${process.pid}`);
  });

  test('a taken port is named with the flag that chooses another', async () => {
    const port = await new Promise<number>((done) => {
      const server = createServer().listen(0, '127.0.0.1', () => done((server.address() as { port: number }).port));
      server.unref();
    });
    const taken = (ports: object) => startHost({ ...options, ports: { api: 0, smtp: 0, outbox: 0, ...ports } });
    await expect(taken({ api: port })).rejects.toThrow(`Port ${port} is taken by another program. Choose another one with --port`);
    await expect(taken({ smtp: port })).rejects.toThrow('--smtp-port');
    await expect(taken({ outbox: port })).rejects.toThrow('--outbox-port');
  });

  test('a function whose file does not exist is named', async () => {
    const manifest = { lost: { ...rows.tick!, entry: 'functions/lost/handler.ts' } };
    await expect(startHost({ manifest, bundles: `${bundles}-lost` })).rejects.toThrow('function "lost" names functions/lost/handler.ts');
  });

  test('state outlives a restart, and --fresh forgets it; a first start that was cut off is begun anew', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'host-'));
    let starts = 0;
    const cutOff = async () => {
      starts++;
      if (starts === 1) throw new Error('cut off');
    };
    await expect(startHost({ ...options, dir, firstStart: cutOff })).rejects.toThrow('cut off');
    for (const [fresh, isNew] of [
      [false, true],
      [false, false],
      [true, true],
    ] as const) {
      const again = await startHost({ ...options, dir, fresh, firstStart: cutOff });
      expect(again.isNew).toBe(isNew);
      await again.end();
    }
    expect(starts).toBe(3);
    rmSync(dir, { recursive: true });
  });
});
