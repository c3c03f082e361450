import { createHash, createHmac, type Hash, randomUUID, timingSafeEqual } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import { note } from './calls.ts';
import { type Answer, callerOf, escapeXml, type Grants, HOST, isGranted, Refusal } from './server.ts';
import { Uploads } from './uploads.ts';

type Row = { key: string; file: string; size: number; etag: string; modified: number; headers: string; checksum: string | null };

/** A lifecycle rule: what lies under the prefix is deleted so many days after it was stored. */
export type Expiring = { prefix: string; days: number };

/** S3 takes 5 GiB in one PUT; nothing here is near that, so an endless upload is an error. */
const MAX_BYTES = 512 * 1024 * 1024;

/** Of an object's own metadata, names and values together. */
const MAX_METADATA = 2048;

/** Headers S3 keeps with an object and gives back. */
const KEPT = /^(content-type|content-disposition|content-encoding|content-language|cache-control|x-amz-meta-.*)$/;

/**
 * S3 with one bucket: GetObject, HeadObject, PutObject, CopyObject, DeleteObject, ListObjectsV2, uploads in parts, and presigned
 * GETs whose signature and age are checked. A body is a file of its own, the row that names it is what makes it exist: a reader sees
 * the old object or the new one, never half, and neither does a crash.
 */
export function objectService(db: DatabaseSync, dir: string, bucket: string, grants: Grants, expiring: readonly Expiring[] = []): Answer {
  db.exec(`CREATE TABLE IF NOT EXISTS objects (
    key TEXT PRIMARY KEY, file TEXT, size INTEGER, etag TEXT, modified INTEGER, headers TEXT, checksum TEXT)`);
  mkdirSync(dir, { recursive: true });
  const uploads = new Uploads(db, dir, { newFile, receive, put: store });
  removeExpired();
  removeOrphans();

  return async (request, response) => {
    const id = randomUUID();
    response.setHeader('x-amz-request-id', id);
    try {
      await answer(request, response);
    } catch (error) {
      if (!(error instanceof Refusal)) console.error(error);
      const refusal = error instanceof Refusal ? error : new Refusal(500, 'InternalError', 'The local engine failed.');
      // What is left of a refused upload is read, or the client would see a broken pipe and not the answer.
      request.resume();
      if (response.headersSent) return void response.destroy();
      const xml = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${refusal.code}</Code><Message>${escapeXml(refusal.message)}</Message><RequestId>${id}</RequestId></Error>`;
      response.writeHead(refusal.status, { 'content-type': 'application/xml' });
      response.end(request.method === 'HEAD' || refusal.status === 304 ? undefined : xml);
    }
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Not by URL, which would resolve the dots of a key like `a/../b`: to S3 they are characters as any other.
    const [path = '', search = ''] = (request.url ?? '/').split(/\?(.*)/s);
    const query = new URLSearchParams(search);
    const caller = query.has('X-Amz-Signature') ? presignedBy(request, path, query) : callerOf(request);
    const [, name, ...rest] = path.split('/');
    const key = decodeURIComponent(rest.join('/'));
    if (name !== bucket) throw new Refusal(404, 'NoSuchBucket', 'The specified bucket does not exist');
    if (key === '' && request.method === 'GET') return list(caller, query, response);
    if (Buffer.byteLength(key) > 1024) throw new Refusal(400, 'KeyTooLongError', 'Your key is too long');
    if (query.has('uploads') || query.has('uploadId')) {
      check(caller, request.method === 'DELETE' ? 'AbortMultipartUpload' : 'PutObject', key);
      if (await uploads.answer(key, keptHeaders(request.headers), request, query, response)) return;
    }
    switch (request.method) {
      case 'GET':
      case 'HEAD':
        return get(caller, key, request, query, response);
      case 'PUT':
        return request.headers['x-amz-copy-source'] ? copy(caller, key, request, response) : put(caller, key, request, response);
      case 'DELETE':
        check(caller, 'DeleteObject', key);
        forget(key);
        response.writeHead(204).end();
        return;
      default:
        throw new Refusal(405, 'MethodNotAllowed', 'The local S3 does not know this call.');
    }
  }

  function check(caller: string, action: string, key: string): void {
    note(caller, `s3:${action}`, 'mail', { key });
    if (!isGranted(grants, caller, 'mail', action, key)) throw new Refusal(403, 'AccessDenied', 'Access Denied');
  }

  /** Throws what S3 says of a missing key: 404 only to those who may list the bucket, to everybody else 403. */
  function find(caller: string, key: string): Row {
    check(caller, 'GetObject', key);
    const row = db.prepare('SELECT * FROM objects WHERE key = ?').get(key) as Row | undefined;
    if (row) return row;
    if (isGranted(grants, caller, 'mail', 'ListBucket')) throw new Refusal(404, 'NoSuchKey', 'The specified key does not exist.');
    throw new Refusal(403, 'AccessDenied', 'Access Denied');
  }

  async function get(caller: string, key: string, request: IncomingMessage, query: URLSearchParams, response: ServerResponse) {
    const row = find(caller, key);
    refuseByCondition(request.headers, row);
    const range = rangeOf(request.headers.range, row.size);
    for (const [header, value] of Object.entries(JSON.parse(row.headers) as Record<string, string>)) response.setHeader(header, value);
    for (const [parameter, value] of query) {
      const overridden = /^response-(content-type|content-disposition|content-encoding|content-language|cache-control|expires)$/.exec(
        parameter,
      )?.[1];
      if (overridden) response.setHeader(overridden, value);
    }
    response.setHeader('etag', row.etag);
    response.setHeader('last-modified', new Date(row.modified).toUTCString());
    response.setHeader('accept-ranges', 'bytes');
    response.setHeader('content-length', range ? range.end - range.start + 1 : row.size);
    if (range) response.setHeader('content-range', `bytes ${range.start}-${range.end}/${row.size}`);
    else if (row.checksum && request.headers['x-amz-checksum-mode'] === 'ENABLED') setChecksum(response, row.checksum);
    response.writeHead(range ? 206 : 200);
    if (request.method === 'HEAD' || row.size === 0) return void response.end();
    // Opened before anything else happens to the key: a later PUT or DELETE does not take the bytes from under us.
    await pipeline(createReadStream(join(dir, row.file), range), response).catch(unlessItsReaderLeft);
  }

  async function put(caller: string, key: string, request: IncomingMessage, response: ServerResponse) {
    check(caller, 'PutObject', key);
    refuseByWriteCondition(request.headers, key);
    const file = newFile();
    try {
      const { size, etag, checksum } = await receive(request, join(dir, file));
      refuseByWriteCondition(request.headers, key);
      store({ key, file, size, etag, checksum, headers: keptHeaders(request.headers) });
      response.setHeader('etag', etag);
      if (checksum) setChecksum(response, checksum);
      response.writeHead(200).end();
    } catch (error) {
      rmSync(join(dir, file), { force: true });
      throw error;
    }
  }

  async function copy(caller: string, key: string, request: IncomingMessage, response: ServerResponse) {
    check(caller, 'PutObject', key);
    const [from, ...rest] = decodeURIComponent(String(request.headers['x-amz-copy-source'])).replace(/^\//, '').split('/');
    if (from !== bucket) throw new Refusal(404, 'NoSuchBucket', 'The specified bucket does not exist');
    const source = find(caller, rest.join('/'));
    const replaced = request.headers['x-amz-metadata-directive'] === 'REPLACE';
    if (source.key === key && !replaced)
      throw new Refusal(400, 'InvalidRequest', 'This copy request is illegal because it is trying to copy an object to itself.');
    refuseByWriteCondition(request.headers, key);
    const file = newFile();
    await copyFile(join(dir, source.file), join(dir, file));
    const modified = store({ ...source, key, file, headers: replaced ? keptHeaders(request.headers) : source.headers });
    response.writeHead(200, { 'content-type': 'application/xml' });
    response.end(
      `<CopyObjectResult><ETag>${escapeXml(source.etag)}</ETag><LastModified>${new Date(modified).toISOString()}</LastModified></CopyObjectResult>`,
    );
  }

  function list(caller: string, query: URLSearchParams, response: ServerResponse): void {
    const prefix = query.get('prefix') ?? '';
    note(caller, 's3:ListBucket', 'mail', { context: { 's3:prefix': prefix } });
    if (!isGranted(grants, caller, 'mail', 'ListBucket', prefix)) throw new Refusal(403, 'AccessDenied', 'Access Denied');
    const after = query.get('continuation-token') ?? query.get('start-after') ?? '';
    const max = Math.min(1000, Number(query.get('max-keys') ?? 1000));
    const rows = db
      .prepare('SELECT * FROM objects WHERE substr(key, 1, length(?)) = ? AND key > ? ORDER BY key LIMIT ?')
      .all(prefix, prefix, after, max + 1) as Row[];
    const page = rows.slice(0, max);
    const more = rows.length > max;
    const contents = page.map(
      ({ key, size, etag, modified }) =>
        `<Contents><Key>${escapeXml(key)}</Key><Size>${size}</Size><ETag>${escapeXml(etag)}</ETag><LastModified>${new Date(modified).toISOString()}</LastModified></Contents>`,
    );
    const next = more ? `<NextContinuationToken>${escapeXml(page.at(-1)?.key ?? '')}</NextContinuationToken>` : '';
    response.writeHead(200, { 'content-type': 'application/xml' });
    response.end(
      `<ListBucketResult><Name>${bucket}</Name><KeyCount>${page.length}</KeyCount><IsTruncated>${more}</IsTruncated>${next}${contents.join('')}</ListBucketResult>`,
    );
  }

  function store(row: Omit<Row, 'modified'>): number {
    const modified = Date.now();
    const old = db.prepare('SELECT file FROM objects WHERE key = ?').get(row.key) as { file: string } | undefined;
    db.prepare('INSERT OR REPLACE INTO objects (key, file, size, etag, modified, headers, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)').run(
      row.key,
      row.file,
      row.size,
      row.etag,
      modified,
      row.headers,
      row.checksum,
    );
    if (old) rmSync(join(dir, old.file), { force: true });
    return modified;
  }

  function forget(key: string): void {
    const old = db.prepare('DELETE FROM objects WHERE key = ? RETURNING file').get(key) as { file: string } | undefined;
    if (old) rmSync(join(dir, old.file), { force: true });
  }

  function refuseByWriteCondition(headers: IncomingHttpHeaders, key: string): void {
    const row = db.prepare('SELECT etag FROM objects WHERE key = ?').get(key) as { etag: string } | undefined;
    const refused = (headers['if-none-match'] === '*' && row) || (headers['if-match'] !== undefined && headers['if-match'] !== row?.etag);
    if (refused) throw new Refusal(412, 'PreconditionFailed', 'At least one of the pre-conditions you specified did not hold');
  }

  /** As S3 does once a day. */
  function removeExpired(): void {
    for (const { prefix, days } of expiring) {
      const rows = db
        .prepare('SELECT key FROM objects WHERE substr(key, 1, length(?)) = ? AND modified < ?')
        .all(prefix, prefix, Date.now() - days * 86_400_000) as { key: string }[];
      for (const { key } of rows) forget(key);
    }
  }

  /** Bytes without a row: an upload that a crash cut off. */
  function removeOrphans(): void {
    const objects = db.prepare('SELECT file FROM objects').all() as { file: string }[];
    const known = new Set([...objects.map(({ file }) => file), ...uploads.files()]);
    for (const shard of readdirSync(dir)) {
      for (const file of readdirSync(join(dir, shard))) {
        if (!known.has(`${shard}/${file}`)) rmSync(join(dir, shard, file), { force: true });
      }
    }
  }

  /** Names on disk are random: no key, however it is spelt, reaches the file system. */
  function newFile(): string {
    const name = randomUUID();
    const shard = name.slice(0, 2);
    if (!existsSync(join(dir, shard))) mkdirSync(join(dir, shard), { recursive: true });
    return `${shard}/${name}`;
  }
}

function keptHeaders(headers: IncomingHttpHeaders): string {
  const kept = Object.entries(headers).filter(([name]) => KEPT.test(name));
  const metadata = kept.filter(([name]) => name.startsWith('x-amz-meta-')).map(([name, value]) => name.slice(11) + value);
  if (Buffer.byteLength(metadata.join('')) > MAX_METADATA)
    throw new Refusal(400, 'MetadataTooLarge', 'Your metadata headers exceed the maximum allowed metadata size');
  const encoding = String(headers['content-encoding'] ?? '').replace(/,?\s*aws-chunked\s*,?/, '');
  return JSON.stringify(
    Object.fromEntries(kept.map(([name, value]) => [name, name === 'content-encoding' ? encoding : value]).filter(([, value]) => value)),
  );
}

function setChecksum(response: ServerResponse, checksum: string): void {
  const [algorithm, value] = checksum.split(':') as [string, string];
  response.setHeader(`x-amz-checksum-${algorithm}`, value);
  response.setHeader('x-amz-checksum-type', 'FULL_OBJECT');
}

/** Writes a body to a file and checks it against every checksum that came with it, before or after it. */
async function receive(request: IncomingMessage, file: string): Promise<{ size: number; etag: string; checksum: string | null }> {
  const md5 = createHash('md5');
  const sums: Record<string, Hash> = { sha256: createHash('sha256'), sha1: createHash('sha1') };
  let crc = 0;
  let size = 0;
  const measure = new Transform({
    transform(chunk: Buffer, _, done) {
      size += chunk.length;
      md5.update(chunk);
      for (const sum of Object.values(sums)) sum.update(chunk);
      crc = crc32(chunk, crc);
      done(size > MAX_BYTES ? new Refusal(400, 'EntityTooLarge', 'Your proposed upload exceeds the maximum allowed size') : null, chunk);
    },
  });
  const trailers: Record<string, string> = {};
  const chunked = String(request.headers['content-encoding'] ?? '').includes('aws-chunked');
  const body = chunked ? Readable.from(dechunk(request, trailers)) : request;
  await pipeline(body, measure, createWriteStream(file));
  const digest = md5.digest();
  const crcBytes = Buffer.alloc(4);
  crcBytes.writeUInt32BE(crc);
  const actual: Record<string, string> = { crc32: crcBytes.toString('base64') };
  for (const [name, sum] of Object.entries(sums)) actual[name] = sum.digest('base64');

  const given = { ...request.headers, ...trailers };
  if (given['content-md5'] && given['content-md5'] !== digest.toString('base64')) {
    throw new Refusal(400, 'BadDigest', 'The Content-MD5 you specified did not match what we received.');
  }
  const expected = chunked ? given['x-amz-decoded-content-length'] : undefined;
  if (expected !== undefined && Number(expected) !== size)
    throw new Refusal(400, 'IncompleteBody', 'The body is shorter than it was said to be.');
  let checksum: string | null = null;
  for (const [header, value] of Object.entries(given)) {
    const algorithm = /^x-amz-checksum-(crc32|sha1|sha256|crc32c|crc64nvme)$/.exec(header)?.[1];
    if (!algorithm) continue;
    if (!(algorithm in actual)) throw new Refusal(501, 'NotImplemented', `The local S3 cannot check ${algorithm}.`);
    if (actual[algorithm] !== value) throw new Refusal(400, 'BadDigest', `The ${algorithm} you specified did not match what we received.`);
    checksum = `${algorithm}:${actual[algorithm]}`;
  }
  return { size, etag: `"${digest.toString('hex')}"`, checksum };
}

/** Takes `<hex size>[;chunk-signature=..]\r\n<bytes>\r\n ... 0\r\n<trailers>\r\n\r\n` apart, however it is cut into packets. */
async function* dechunk(request: IncomingMessage, trailers: Record<string, string>): AsyncGenerator<Buffer> {
  let held: Buffer = Buffer.alloc(0);
  let left = 0;
  let ending = false;
  for await (const packet of request as AsyncIterable<Buffer>) {
    held = held.length > 0 ? Buffer.concat([held, packet]) : packet;
    while (held.length > 0) {
      if (left > 0) {
        const piece = held.subarray(0, left);
        left -= piece.length;
        held = held.subarray(piece.length);
        yield piece;
        continue;
      }
      const end = held.indexOf('\r\n');
      if (end === -1) break;
      const line = held.toString('latin1', 0, end);
      held = held.subarray(end + 2);
      if (line === '') continue;
      if (ending) {
        const colon = line.indexOf(':');
        trailers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
        continue;
      }
      left = Number.parseInt(line, 16);
      if (Number.isNaN(left)) throw new Refusal(400, 'InvalidRequest', 'The body is not in aws-chunked encoding.');
      ending = left === 0;
    }
  }
  if (!ending) throw new Refusal(400, 'IncompleteBody', 'The body ended before its last chunk.');
}

function refuseByCondition(headers: IncomingHttpHeaders, row: Row): void {
  if (headers['if-match'] !== undefined && headers['if-match'] !== row.etag) {
    throw new Refusal(412, 'PreconditionFailed', 'At least one of the pre-conditions you specified did not hold');
  }
  if (headers['if-none-match'] === row.etag) throw new Refusal(304, 'NotModified', 'Not Modified');
}

function rangeOf(header: string | undefined, size: number): { start: number; end: number } | undefined {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? [];
  if (from === undefined || to === undefined || (from === '' && to === '')) return undefined;
  const start = from === '' ? Math.max(0, size - Number(to)) : Number(from);
  const end = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (start > end) throw new Refusal(416, 'InvalidRange', 'The requested range is not satisfiable');
  return { start, end };
}

/** The function whose key signed a link. Throws when the link is too old, or not as it was signed (Signature Version 4). */
function presignedBy(request: IncomingMessage, path: string, query: URLSearchParams): string {
  const [caller = '', date = '', region = '', service = ''] = (query.get('X-Amz-Credential') ?? '').split('/');
  const at = query.get('X-Amz-Date') ?? '';
  const signedAt = Date.parse(at.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  const expires = Number(query.get('X-Amz-Expires'));
  if (!(Date.now() <= signedAt + expires * 1000) || expires > 7 * 24 * 3600) throw new Refusal(403, 'AccessDenied', 'Request has expired');
  const encode = (text: string) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const parameters = [...query].filter(([name]) => name !== 'X-Amz-Signature').map(([name, value]) => `${encode(name)}=${encode(value)}`);
  const signed = (query.get('X-Amz-SignedHeaders') ?? '').split(';');
  const canonical = [
    request.method === 'HEAD' ? 'HEAD' : 'GET',
    path,
    parameters.sort().join('&'),
    ...signed.map((name) => `${name}:${String(request.headers[name] ?? '').trim()}`),
    '',
    signed.join(';'),
    'UNSIGNED-PAYLOAD',
  ].join('\n');
  const toSign = [
    'AWS4-HMAC-SHA256',
    at,
    `${date}/${region}/${service}/aws4_request`,
    createHash('sha256').update(canonical).digest('hex'),
  ].join('\n');
  const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
  const key = [date, region, service, 'aws4_request'].reduce<string | Buffer>(hmac, `AWS4${SECRET}`);
  const given = Buffer.from(query.get('X-Amz-Signature') ?? '', 'hex');
  const right = hmac(key, toSign);
  if (given.length !== right.length || !timingSafeEqual(given, right)) {
    throw new Refusal(403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match the signature you provided.');
  }
  if (caller === HOST || request.method === 'GET' || request.method === 'HEAD') return caller;
  throw new Refusal(403, 'AccessDenied', 'Only presigned GETs are known here.');
}

/** A client that has read enough hangs up: its own affair, as it is for S3. */
function unlessItsReaderLeft(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
}

/** The secret access key every function is given: nothing here is secret, but a link that was tampered with must fail. */
export const SECRET = 'local';
