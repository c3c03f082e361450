import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { DynamoDBClient, QueryCommand } from '@aws-sdk/client-dynamodb';
import { DecryptCommand, EncryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { SESClient, SendRawEmailCommand } from '@aws-sdk/client-ses';
import { PublishCommand, SNSClient } from '@aws-sdk/client-sns';
import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { Uploads } from '../../core/message/raw-mail.ts';
import { type Query, Table, type Write } from '../../core/table/client.ts';
import type { FunctionRow } from '../../functions/manifest.ts';
import type { Rows } from '../../lib/bundle.ts';
import { type Engine, REGION, resourceValues, startEngine } from '../../lib/local/engine.ts';

const row = (uses: FunctionRow['uses'], sendsMail = false): FunctionRow => ({
  entry: '',
  trigger: { kind: 'operator' },
  timeout: 1,
  memory: 128,
  uses,
  sendsMail,
});
/** Functions that are only callers here, with the grants the tests below try. */
const rows: Rows = {
  sender: row([{ on: 'imports', actions: ['SendMessage'] }], true),
  reader: row([{ on: 'mail', actions: ['GetObject'], prefixes: ['raw/*', 't/*'] }]),
  writer: row([{ on: 'mail', actions: ['GetObject', 'PutObject'], prefixes: ['t/*'] }]),
  bystander: row([]),
  opener: row([{ on: 'key', actions: ['Decrypt', 'GenerateDataKey'] }]),
  keeper: row([{ on: 'table', actions: ['GetItem', 'Query', 'PutItem', 'ConditionCheckItem'], prefixes: ['T#*'] }]),
  everywhere: row([{ on: 'table', actions: ['PutItem'] }]),
};

let engine: Engine;
let dir: string;

const start = () => startEngine({ dir, rows, sender: 'no-reply@mail.example.com', outboxPort: 0 });

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'engine-'));
  engine = await start();
});

afterAll(async () => {
  await engine.end();
  rmSync(dir, { recursive: true });
});

const config = (endpoint: string, caller = 'host') => ({
  endpoint,
  region: REGION,
  maxAttempts: 1,
  credentials: { accessKeyId: caller, secretAccessKey: 'local' },
});
const s3 = (caller?: string) => new S3Client({ ...config(engine.endpoints.s3, caller), forcePathStyle: true });
const sqs = (caller?: string) => new SQSClient({ ...config(engine.endpoints.sqs, caller), useQueueUrlAsEndpoint: false });
const url = (queue: string) => resourceValues(engine)[queue.replace(/-dead$/, '')]?.replace(/[^/]+$/, queue);
const Bucket = 'mail';
const refused = (call: Promise<unknown>) =>
  call.then(
    () => 'accepted',
    (error: Error) => error.name,
  );

describe('DynamoDB', () => {
  const table = (caller: string) => new Table(new DynamoDBClient(config(engine.endpoints.dynamodb, caller)), 'crm-mail-addon');
  const item = (pk: string) => ({ pk, sk: 'x' });

  test('a function may do what its row says, in the partitions its row says', async () => {
    expect(await refused(table('everywhere').put(item('A#1')))).toBe('accepted');
    expect(await refused(table('keeper').put(item('T#t#R#1')))).toBe('accepted');
    expect(await refused(table('keeper').all({ pk: 'T#t#R#1' }))).toBe('accepted');
    expect(await refused(table('keeper').put(item('A#2')))).toBe('AccessDeniedException');
    expect(await refused(table('keeper').all({ pk: 'A#1' }))).toBe('AccessDeniedException');
    expect(await refused(table('keeper').delete(item('T#t#R#1')))).toBe('AccessDeniedException');
    expect(await refused(table('bystander').get(item('T#t#')))).toBe('AccessDeniedException');
  });

  test('each part of a transaction, and each key of a batch, is asked about', async () => {
    const check = (pk: string) => ({ check: item(pk), condition: 'attribute_not_exists(pk)' });
    const write = (second: Write) => refused(table('keeper').transact([{ put: item('T#t#R#2') }, second]));
    expect(await write(check('T#t#R#3'))).toBe('accepted');
    expect(await write(check('A#1'))).toBe('AccessDeniedException');
    expect(await write({ delete: item('T#t#R#3') })).toBe('AccessDeniedException');
    expect(await refused(table('keeper').getMany([item('T#t#')]))).toBe('AccessDeniedException');
  });

  test('of a query it refuses what DynamoDB refuses: empty and overlong keys, and a beginning outside of what is asked for', async () => {
    const ask = (query: Partial<Query>) => refused(table('host').page({ pk: 'A#1', ...query }));
    const refusedAsInvalid = [
      { pk: '' },
      { pk: 'x'.repeat(2049) },
      { begins: '' },
      { begins: 'x'.repeat(1025), after: 'y' },
      { begins: 'M#', after: 'L#9' },
      { between: ['b', 'd'] as [string, string], after: 'a' },
      { between: ['b', 'd'] as [string, string], after: 'e' },
    ];
    for (const query of refusedAsInvalid) expect([query, await ask(query)]).toEqual([query, 'ValidationException']);
    const taken = [
      { after: 'x' },
      { begins: 'M#' },
      { begins: 'M#', after: 'M#9' },
      { between: ['b', 'd'] as [string, string], after: 'b' },
      { between: ['\u{e000}', '\u{10000}~'] as [string, string], after: '\u{10000}' },
    ];
    for (const query of taken) expect([query, await ask(query)]).toEqual([query, 'accepted']);
    const ofAnother = { KeyConditionExpression: 'pk = :pk', ExpressionAttributeValues: { ':pk': { S: 'A#1' } } };
    const other = new QueryCommand({ TableName: 'crm-mail-addon', ...ofAnother, ExclusiveStartKey: { pk: { S: 'A#2' }, sk: { S: 'x' } } });
    expect(await refused(new DynamoDBClient(config(engine.endpoints.dynamodb)).send(other))).toBe('ValidationException');
  });
});

describe('S3', () => {
  test('40 MB come back as they went', async () => {
    const Body = Buffer.alloc(40 * 1024 * 1024, 'a mail\r\n.\r\n');
    await s3().send(new PutObjectCommand({ Bucket, Key: 'raw/large', Body, ContentType: 'message/rfc822' }));
    const { Body: back, ContentType } = await s3().send(new GetObjectCommand({ Bucket, Key: 'raw/large' }));
    expect(Buffer.compare(Buffer.from((await back?.transformToByteArray()) ?? []), Body)).toBe(0);
    expect(ContentType).toBe('message/rfc822');
  });

  test('a stream, which the SDK sends in chunks with the checksum behind them, comes back as it went', async () => {
    const pieces = Array.from({ length: 100 }, (_, i) => Buffer.alloc(i * 997, `${i}\r\n0\r\n`));
    const ContentLength = Buffer.concat(pieces).length;
    await s3().send(new PutObjectCommand({ Bucket, Key: 'raw/stream', Body: Readable.from(pieces), ContentLength }));
    const { Body } = await s3().send(new GetObjectCommand({ Bucket, Key: 'raw/stream' }));
    expect(Buffer.concat(pieces).equals((await Body?.transformToByteArray()) ?? Buffer.alloc(0))).toBe(true);
  });

  test('an upload that does not match its checksum is refused and leaves nothing', async () => {
    const wrong = new PutObjectCommand({ Bucket, Key: 'raw/wrong', Body: 'abc', ChecksumCRC32: 'AAAAAA==' });
    expect(await refused(s3().send(wrong))).toBe('BadDigest');
    const get = new GetObjectCommand({ Bucket, Key: 'raw/wrong' });
    expect(await refused(s3('reader').send(get))).toBe('AccessDenied');
  });

  test('metadata of more than 2 KB is refused', async () => {
    const put = (size: number) =>
      s3().send(new PutObjectCommand({ Bucket, Key: 'raw/meta', Body: 'x', Metadata: { a: 'x'.repeat(size) } }));
    expect([await refused(put(2047)), await refused(put(2048))]).toEqual(['accepted', 'MetadataTooLarge']);
  });

  test('a missing key is AccessDenied for a function that may not list the bucket, as on AWS', async () => {
    const get = new GetObjectCommand({ Bucket, Key: 'raw/missing' });
    expect(await refused(s3('reader').send(get))).toBe('AccessDenied');
  });

  test('a function touches only the prefixes of its row', async () => {
    const put = (Key: string) => new PutObjectCommand({ Bucket, Key, Body: 'x' });
    expect(await refused(s3('writer').send(put('t/x/import')))).toBe('accepted');
    expect(await refused(s3('writer').send(put('raw/x')))).toBe('AccessDenied');
    expect(await refused(s3('bystander').send(put('t/x/y')))).toBe('AccessDenied');
  });

  test('copy, overwrite, delete; keys that look like paths stay keys', async () => {
    const Key = 'held/../../../tmp/x y+ü';
    await s3().send(new PutObjectCommand({ Bucket, Key, Body: 'one', ContentType: 'text/plain' }));
    await s3().send(new PutObjectCommand({ Bucket, Key, Body: 'two', ContentType: 'text/plain' }));
    await s3().send(new CopyObjectCommand({ Bucket, Key: 'held/copy', CopySource: `${Bucket}/${encodeURIComponent(Key)}` }));
    await s3().send(new DeleteObjectCommand({ Bucket, Key }));
    const copy = await s3().send(new GetObjectCommand({ Bucket, Key: 'held/copy' }));
    expect(await copy.Body?.transformToString()).toBe('two');
    expect(copy.ContentType).toBe('text/plain');
    const range = await s3().send(new GetObjectCommand({ Bucket, Key: 'held/copy', Range: 'bytes=1-' }));
    expect(await range.Body?.transformToString()).toBe('wo');
    expect(await refused(s3('reader').send(new GetObjectCommand({ Bucket, Key })))).toBe('AccessDenied');
  });

  test('a second conditional write to a new key is refused', async () => {
    const put = () => s3().send(new PutObjectCommand({ Bucket, Key: 'raw/once', Body: 'x', IfNoneMatch: '*' }));
    expect(await refused(put())).toBe('accepted');
    expect(await refused(put())).toBe('PreconditionFailed');
  });

  test('a presigned link serves what it was signed for, until it ends', async () => {
    await s3().send(new PutObjectCommand({ Bucket, Key: 't/a/file', Body: 'content' }));
    const command = new GetObjectCommand({
      Bucket,
      Key: 't/a/file',
      ResponseContentDisposition: `attachment; filename="a (1).txt"; filename*=UTF-8''%E8%A6%8B.txt`,
      ResponseContentType: 'text/plain',
    });
    const link = await getSignedUrl(s3('reader'), command, { expiresIn: 300 });
    const answer = await fetch(link);
    expect(await answer.text()).toBe('content');
    expect(answer.headers.get('content-type')).toBe('text/plain');
    expect(answer.headers.get('content-disposition')).toContain("filename*=UTF-8''%E8%A6%8B.txt");
    expect((await fetch(link.replace('t/a/file', 't/b/file'))).status).toBe(403);
    expect((await fetch(link.replace('X-Amz-Expires=300', 'X-Amz-Expires=3000'))).status).toBe(403);
    const old = await getSignedUrl(s3('reader'), command, { expiresIn: 1, signingDate: new Date(Date.now() - 2000) });
    expect((await fetch(old)).status).toBe(403);
    const forbidden = await getSignedUrl(s3('bystander'), command, { expiresIn: 300 });
    expect((await fetch(forbidden)).status).toBe(403);
    expect((await fetch(`${engine.endpoints.s3}/mail/t/a/file`)).status).toBe(403);
  });
});

describe('S3: objects that come in parts', () => {
  const MiB = 1024 * 1024;
  const Key = 't/a/parts';
  const begin = async (ChecksumAlgorithm?: 'CRC32') =>
    (await s3().send(new CreateMultipartUploadCommand({ Bucket, Key, ContentType: 'text/plain', ChecksumAlgorithm }))).UploadId;
  const part = async (UploadId: string | undefined, PartNumber: number, size: number, more: object = {}) => {
    const Body = Buffer.alloc(size, PartNumber);
    const { ETag, ChecksumCRC32 } = await s3().send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body, ...more }));
    return { PartNumber, ETag, ChecksumCRC32 };
  };
  const complete = (UploadId: string | undefined, Parts: object[]) =>
    s3().send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));
  const there = () => refused(s3().send(new GetObjectCommand({ Bucket, Key })));

  test('nothing is there before the last word; then all parts in the order of their numbers, as one object', async () => {
    const id = await begin('CRC32');
    const second = await part(id, 2, 3);
    const first = await part(id, 1, 5 * MiB);
    expect(await there()).toBe('NoSuchKey');
    expect((await complete(id, [first, second])).ETag).toMatch(/^"[0-9a-f]{32}-2"$/);
    const { Body, ContentType, ContentLength } = await s3().send(new GetObjectCommand({ Bucket, Key }));
    const bytes = Buffer.from(await Body!.transformToByteArray());
    expect([ContentType, ContentLength, bytes.equals(Buffer.concat([Buffer.alloc(5 * MiB, 1), Buffer.alloc(3, 2)]))]).toEqual([
      'text/plain',
      5 * MiB + 3,
      true,
    ]);
    expect(await refused(complete(id, [first, second]))).toBe('NoSuchUpload');
    await s3().send(new DeleteObjectCommand({ Bucket, Key }));
  });

  test('it refuses what S3 refuses: small parts before the last, wrong ones, a wrong order, a checksum left out', async () => {
    const id = await begin('CRC32');
    const [one, two] = [await part(id, 1, 5 * MiB - 1), await part(id, 2, 1)];
    expect(await refused(complete(id, [one, two]))).toBe('EntityTooSmall');
    expect(await refused(complete(id, [two, one]))).toBe('InvalidPartOrder');
    expect(await refused(complete(id, [{ ...one, ETag: two.ETag }]))).toBe('InvalidPart');
    expect(await refused(complete(id, [{ ...two, PartNumber: 3 }]))).toBe('InvalidPart');
    expect(await refused(complete(id, [{ ...one, ChecksumCRC32: undefined }]))).toBe('InvalidRequest');
    expect(await refused(complete(id, []))).toBe('MalformedXML');
    expect(await refused(part(id, 0, 1))).toBe('InvalidArgument');
    expect(await refused(part(id, 10_001, 1))).toBe('InvalidArgument');
    expect(await refused(part(id, 3, 1, { ChecksumCRC32: 'AAAAAA==' }))).toBe('BadDigest');
    expect(await refused(part(await begin(), 1, 1))).toBe('InvalidRequest');
    expect(await there()).toBe('NoSuchKey');
    await s3().send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId: id }));
    expect(await refused(part(id, 1, 1))).toBe('NoSuchUpload');
    expect(await refused(s3().send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId: id })))).toBe('NoSuchUpload');
  });

  test('beginning, sending and completing ask for the right to put, aborting for its own', async () => {
    const calls = (caller: string, key: string) => new Uploads(s3(caller), Bucket).begin(key, 'text/plain');
    expect(await refused(calls('writer', 't/x'))).toBe('accepted');
    expect(await refused(calls('writer', 'raw/x'))).toBe('AccessDenied');
    const upload = await calls('writer', 't/x');
    expect(await refused(new Uploads(s3('writer'), Bucket).abort(upload))).toBe('AccessDenied');
    expect(await refused(new Uploads(s3(), Bucket).abort(upload))).toBe('accepted');
    expect(await refused(new Uploads(s3(), Bucket).abort(upload))).toBe('accepted');
  });

  test.each([
    [0, 65_536],
    [8 * MiB, 65_536],
    [44 * MiB + 7, 9 * MiB],
  ])('our own writer: %d bytes in pieces of %d come out as they went in, with their SHA-256', async (size, piece) => {
    const bytes = Buffer.alloc(size, 'abcdefg');
    const pieces = async function* () {
      for (let at = 0; at < size; at += piece) yield bytes.subarray(at, at + piece);
    };
    const uploads = new Uploads(s3(), Bucket);
    const stored = await uploads.finish(await uploads.begin('t/a/written', 'text/plain'), pieces());
    const { Body } = await s3().send(new GetObjectCommand({ Bucket, Key: 't/a/written' }));
    expect(Buffer.from(await Body!.transformToByteArray()).equals(bytes)).toBe(true);
    expect(stored).toEqual({ bytes: size, sha256: createHash('sha256').update(bytes).digest('hex') });
  });
});

describe('SQS and SNS', () => {
  const receive = async (queue: string, options: { VisibilityTimeout?: number; WaitTimeSeconds?: number } = {}) =>
    (await sqs().send(new ReceiveMessageCommand({ QueueUrl: url(queue), MaxNumberOfMessages: 10, ...options }))).Messages ?? [];
  const done = (queue: string, { ReceiptHandle }: Message) => sqs().send(new DeleteMessageCommand({ QueueUrl: url(queue), ReceiptHandle }));

  test('a message that is not deleted comes again, and after its last try lies in the dead-letter queue', async () => {
    await sqs('sender').send(new SendMessageCommand({ QueueUrl: url('imports'), MessageBody: 'poison ü' }));
    for (let count = 1; count <= 5; count++) {
      const [message] = await receive('imports', { VisibilityTimeout: 1, WaitTimeSeconds: 5 });
      expect(message?.Attributes?.ApproximateReceiveCount).toBe(String(count));
      const QueueUrl = url('imports');
      await sqs().send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle: message?.ReceiptHandle, VisibilityTimeout: 0 }));
    }
    expect(await receive('imports')).toEqual([]);
    const [dead] = await receive('imports-dead');
    expect(dead?.Body).toBe('poison ü');
    await done('imports-dead', dead as Message);
  });

  test('a taken message is hidden until its visibility ends, and an old receipt no longer deletes it', async () => {
    await sqs().send(new SendMessageCommand({ QueueUrl: url('imports'), MessageBody: 'x' }));
    const [first] = await receive('imports', { VisibilityTimeout: 1 });
    expect(await receive('imports')).toEqual([]);
    const [second] = await receive('imports', { VisibilityTimeout: 30, WaitTimeSeconds: 5 });
    await done('imports', first as Message);
    const { Attributes } = await sqs().send(new GetQueueAttributesCommand({ QueueUrl: url('imports'), AttributeNames: ['All'] }));
    expect(Attributes?.ApproximateNumberOfMessagesNotVisible).toBe('1');
    await done('imports', second as Message);
  });

  test('a caller that hangs up while it waits takes no message with it', async () => {
    const given = new AbortController();
    const waiting = sqs().send(new ReceiveMessageCommand({ QueueUrl: url('imports'), WaitTimeSeconds: 20 }), { abortSignal: given.signal });
    await new Promise((wait) => setTimeout(wait, 100));
    given.abort();
    await refused(waiting);
    await new Promise((wait) => setTimeout(wait, 1000));
    await sqs().send(new SendMessageCommand({ QueueUrl: url('imports'), MessageBody: 'y' }));
    const [message] = await receive('imports');
    expect(message?.Attributes?.ApproximateReceiveCount).toBe('1');
    await done('imports', message as Message);
  });

  test('what SQS refuses is refused: too large, unfit characters, no grant, no such queue', async () => {
    const send = (MessageBody: string, queue = 'imports', caller = 'sender') =>
      refused(sqs(caller).send(new SendMessageCommand({ QueueUrl: url(queue), MessageBody })));
    expect(await send('x'.repeat(1024 * 1024))).toBe('accepted');
    expect(await send('x'.repeat(1024 * 1024 + 1))).toBe('InvalidParameterValue');
    expect(await send('\u0000')).toBe('InvalidMessageContents');
    expect(await send('x', 'imports', 'bystander')).toBe('AccessDenied');
    const QueueUrl = url('imports')?.replace('imports', 'nothing');
    expect(await refused(sqs().send(new SendMessageCommand({ QueueUrl, MessageBody: 'x' })))).toBe('QueueDoesNotExist');
    const batch = (Id: string) => new SendMessageBatchCommand({ QueueUrl: url('imports'), Entries: [{ Id, MessageBody: 'x' }] });
    expect([await refused(sqs().send(batch('a_1-b'))), await refused(sqs().send(batch('a b')))]).toEqual([
      'accepted',
      'InvalidBatchEntryId',
    ]);
    for (const message of await receive('imports')) await done('imports', message);
  });

  test("a notification arrives in the subscribed queue in SNS's envelope", async () => {
    const sns = new SNSClient(config(engine.endpoints.sns));
    const { MessageId } = await sns.send(new PublishCommand({ TopicArn: resourceValues(engine).arrivals, Message: '{"a":1}' }));
    const [message] = await receive('inbound');
    expect(JSON.parse(message?.Body ?? '')).toMatchObject({ Type: 'Notification', MessageId, Message: '{"a":1}' });
    await done('inbound', message as Message);
  });
});

describe('KMS', () => {
  const kms = (caller?: string) => new KMSClient(config(engine.endpoints.kms, caller));

  test('a data key opens only with the encryption context it was made with', async () => {
    const EncryptionContext = { tenant: 'a', purpose: 'mail' };
    const made = await kms('opener').send(new GenerateDataKeyCommand({ KeyId: engine.keyArn, KeySpec: 'AES_256', EncryptionContext }));
    const decrypt = (context: Record<string, string>) =>
      kms('opener').send(new DecryptCommand({ CiphertextBlob: made.CiphertextBlob, EncryptionContext: context }));
    expect((await decrypt({ purpose: 'mail', tenant: 'a' })).Plaintext).toEqual(made.Plaintext);
    expect(await refused(decrypt({ tenant: 'b', purpose: 'mail' }))).toBe('InvalidCiphertextException');
    expect(await refused(decrypt({ tenant: 'a' }))).toBe('InvalidCiphertextException');
    expect(await refused(decrypt({ purpose: 'mail' }))).toBe('AccessDeniedException');
    expect(statSync(join(dir, 'key.json')).mode & 0o777).toBe(0o600);
  });

  test('what was encrypted is decrypted; a function without the grant is refused', async () => {
    const { CiphertextBlob } = await kms().send(new EncryptCommand({ KeyId: engine.keyArn, Plaintext: Buffer.from('secret') }));
    const { Plaintext } = await kms().send(new DecryptCommand({ CiphertextBlob, KeyId: engine.keyArn }));
    expect(Buffer.from(Plaintext ?? []).toString()).toBe('secret');
    expect(await refused(kms('bystander').send(new DecryptCommand({ CiphertextBlob })))).toBe('AccessDenied');
  });
});

describe('SES', () => {
  const send = (raw: string, options: { Source?: string; Destinations?: string[]; caller?: string } = {}) =>
    new SESClient(config(engine.endpoints.ses, options.caller ?? 'sender')).send(
      new SendRawEmailCommand({ RawMessage: { Data: Buffer.from(raw) }, Source: options.Source, Destinations: options.Destinations }),
    );
  const mail = 'From: Product <no-reply@mail.example.com>\r\nTo: a@example.org\r\nSubject: Code\r\nMessage-ID: <own@x>\r\n\r\nBody\r\n';

  test('what goes out is kept and shown, with the Message-ID that SES sets', async () => {
    const { MessageId } = await send(mail);
    const listed = (await (await fetch(`${engine.outbox}/outbox`)).json()) as { id: string }[];
    expect(listed.at(-1)).toMatchObject({ id: MessageId, destinations: ['a@example.org'], subject: 'Code' });
    const raw = await (await fetch(`${engine.outbox}/outbox/${MessageId}`)).text();
    expect(raw).toContain(`Message-ID: <${MessageId}@`);
    expect(raw).not.toContain('own@x');
    expect(raw).toMatch(/\r\n\r\nBody\r\n$/);
    expect((await fetch(`${engine.outbox}/outbox/..%2Fkey`)).status).toBe(404);
  });

  test('an address that SES cannot write to is refused: it speaks no SMTPUTF8, and dots as they please must be quoted', async () => {
    const to = (address: string) => refused(send(mail, { Destinations: [address] }));
    for (const address of ['山田@example.org', 'a..b@example.org', 'a.@example.org', 'a b@example.org', 'a@ドメイン.example'])
      expect([address, await to(address)]).toEqual([address, 'InvalidParameterValue']);
    for (const address of ["o'neil+1@example.org", '"a..b"@example.org', 'a/b.c@xn--eckwd4c7c.example'])
      expect([address, await to(address)]).toEqual([address, 'accepted']);
  });

  test('a sender outside the verified domain, 51 recipients and more than 10 MB are refused', async () => {
    const foreign = mail.replace('no-reply@mail.', 'no-reply@evil.');
    expect(await refused(send(foreign, { caller: 'host' }))).toBe('MessageRejected');
    expect(await refused(send(mail, { Source: 'x@example.net', caller: 'host' }))).toBe('MessageRejected');
    expect(await refused(send(foreign))).toBe('AccessDenied');
    expect(await refused(send(mail.replace('no-reply@', 'director@')))).toBe('AccessDenied');
    const many = (n: number) => Array.from({ length: n }, (_, i) => `a${i}@example.org`);
    expect(await refused(send(mail, { Destinations: many(50) }))).toBe('accepted');
    expect(await refused(send(mail, { Destinations: many(51) }))).toBe('MessageRejected');
    expect(await refused(send(mail + 'x'.repeat(10 * 1024 * 1024)))).toBe('InvalidParameterValue');
    expect(await refused(send(mail, { caller: 'bystander' }))).toBe('AccessDenied');
  });
});

test('the engine is reachable on loopback alone', async () => {
  const outside = Object.values(networkInterfaces())
    .flat()
    .filter((net) => net?.family === 'IPv4' && !net.internal);
  const ports = [...Object.values(engine.endpoints), engine.outbox].map((endpoint) => new URL(endpoint).port);
  for (const port of ports) {
    expect(await refused(fetch(`http://127.0.0.1:${port}/`))).toBe('accepted');
    for (const net of outside) expect(await refused(fetch(`http://${net?.address}:${port}/`))).not.toBe('accepted');
  }
});

test('objects, messages and the key are there after kill -9; a message in flight is free again at once', async () => {
  await s3().send(new PutObjectCommand({ Bucket, Key: 'raw/kept', Body: 'kept' }));
  await sqs().send(new SendMessageCommand({ QueueUrl: url('imports'), MessageBody: 'taken' }));
  await sqs().send(new SendMessageCommand({ QueueUrl: url('imports'), MessageBody: 'waiting' }));
  await sqs().send(new ReceiveMessageCommand({ QueueUrl: url('imports'), MaxNumberOfMessages: 1 }));
  const { keyArn } = engine;
  process.kill(engine.pid, 'SIGKILL');
  await engine.ended;
  engine = await start();
  expect(engine.keyArn).toBe(keyArn);
  const kept = await s3().send(new GetObjectCommand({ Bucket, Key: 'raw/kept' }));
  expect(await kept.Body?.transformToString()).toBe('kept');
  const { Messages } = await sqs().send(new ReceiveMessageCommand({ QueueUrl: url('imports'), MaxNumberOfMessages: 10 }));
  expect(Messages?.map(({ Body }) => Body).sort()).toEqual(['taken', 'waiting']);
});
