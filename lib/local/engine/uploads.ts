import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { pipeline } from 'node:stream/promises';
import { bodyOf, escapeXml, Refusal } from './server.ts';

type Upload = { id: string; key: string; headers: string; algorithm: string | null };
type Part = { number: number; file: string; size: number; etag: string; checksum: string | null };
type Received = { size: number; etag: string; checksum: string | null };

/** What the bucket does for its uploads. */
export type Store = {
  newFile: () => string;
  receive: (request: IncomingMessage, file: string) => Promise<Received>;
  put: (object: { key: string; headers: string; file: string } & Received) => void;
};

/** Of S3: what each part but the last must have, and how many there may be. */
const MIN_PART_BYTES = 5 * 1024 * 1024;
const MAX_PARTS = 10_000;
const DAY_MS = 86_400_000;

/**
 * Objects that come in parts: CreateMultipartUpload, UploadPart, CompleteMultipartUpload and AbortMultipartUpload. Nothing is at
 * the key before the upload is completed. One that was created with a checksum algorithm takes parts with that checksum alone, one
 * without takes none, and who completes it names each part's checksum again.
 */
export class Uploads {
  private readonly db: DatabaseSync;
  private readonly dir: string;
  private readonly store: Store;

  constructor(db: DatabaseSync, dir: string, store: Store) {
    this.db = db;
    this.dir = dir;
    this.store = store;
    db.exec(`CREATE TABLE IF NOT EXISTS uploads (id TEXT PRIMARY KEY, key TEXT, headers TEXT, algorithm TEXT, begun INTEGER);
      CREATE TABLE IF NOT EXISTS parts (
        upload TEXT, number INTEGER, file TEXT, size INTEGER, etag TEXT, checksum TEXT, PRIMARY KEY (upload, number))`);
    this.forgetOld();
  }

  /** Files of parts that no object has yet. */
  files(): string[] {
    return (this.db.prepare('SELECT file FROM parts').all() as { file: string }[]).map(({ file }) => file);
  }

  /** Answers the request if it is one of an upload's; false when it is not. The caller's right was checked. */
  async answer(key: string, headers: string, request: IncomingMessage, query: URLSearchParams, response: ServerResponse): Promise<boolean> {
    if (request.method === 'POST' && query.has('uploads')) this.begin(key, headers, request, response);
    else if (!query.has('uploadId')) return false;
    else if (request.method === 'PUT') await this.take(this.find(key, query), Number(query.get('partNumber')), request, response);
    else if (request.method === 'POST') await this.complete(this.find(key, query), request, response);
    else if (request.method === 'DELETE') this.abort(this.find(key, query), response);
    else return false;
    return true;
  }

  private begin(key: string, headers: string, request: IncomingMessage, response: ServerResponse): void {
    const id = randomUUID();
    const algorithm = request.headers['x-amz-checksum-algorithm'] as string | undefined;
    this.db.prepare('INSERT INTO uploads VALUES (?, ?, ?, ?, ?)').run(id, key, headers, algorithm?.toLowerCase() ?? null, Date.now());
    answerXml(
      response,
      `<InitiateMultipartUploadResult><Key>${escapeXml(key)}</Key><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
    );
  }

  private async take(upload: Upload, number: number, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!Number.isInteger(number) || number < 1 || number > MAX_PARTS) {
      throw new Refusal(400, 'InvalidArgument', `Part number must be an integer between 1 and ${MAX_PARTS}, inclusive`);
    }
    const file = this.store.newFile();
    try {
      const { size, etag, checksum } = await this.store.receive(request, join(this.dir, file));
      const [algorithm, sum] = checksum?.split(':') ?? [];
      if ((algorithm ?? null) !== upload.algorithm) {
        const words = `Checksum Type mismatch occurred, expected checksum Type: ${upload.algorithm}, actual checksum Type: ${algorithm}`;
        throw new Refusal(400, 'InvalidRequest', words);
      }
      // It may have been completed or aborted while these bytes came.
      this.find(upload.key, new URLSearchParams({ uploadId: upload.id }));
      const [old] = this.parts(upload).filter((part) => part.number === number);
      this.db.prepare('INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?)').run(upload.id, number, file, size, etag, checksum);
      if (old) rmSync(join(this.dir, old.file), { force: true });
      if (algorithm && sum) response.setHeader(`x-amz-checksum-${algorithm}`, sum);
      response.setHeader('etag', etag);
      response.writeHead(200).end();
    } catch (error) {
      rmSync(join(this.dir, file), { force: true });
      throw error;
    }
  }

  private async complete(upload: Upload, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts = this.named(upload, (await bodyOf(request, 4 * 1024 * 1024)).toString());
    const file = this.store.newFile();
    const md5 = createHash('md5');
    for (const part of parts) {
      await pipeline(createReadStream(join(this.dir, part.file)), createWriteStream(join(this.dir, file), { flags: 'a' }));
      md5.update(part.etag.replaceAll('"', ''), 'hex');
    }
    const etag = `"${md5.digest('hex')}-${parts.length}"`;
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    this.store.put({ key: upload.key, headers: upload.headers, file, size, etag, checksum: null });
    this.forget(upload);
    answerXml(
      response,
      `<CompleteMultipartUploadResult><Key>${escapeXml(upload.key)}</Key><ETag>${escapeXml(etag)}</ETag></CompleteMultipartUploadResult>`,
    );
  }

  private abort(upload: Upload, response: ServerResponse): void {
    this.forget(upload);
    response.writeHead(204).end();
  }

  /** The parts a request to complete names. Throws what S3 says of a list that is not right. */
  private named(upload: Upload, xml: string): Part[] {
    const known = new Map(this.parts(upload).map((part) => [part.number, part]));
    const asked = [...xml.matchAll(/<Part>([\s\S]*?)<\/Part>/g)].map(([, part = '']) => ({
      number: Number(fieldOf(part, 'PartNumber')),
      etag: fieldOf(part, 'ETag')?.replaceAll(/&quot;|&#34;|"/g, ''),
      checksum: upload.algorithm ? fieldOf(part, `Checksum${upload.algorithm.toUpperCase()}`) : undefined,
    }));
    if (asked.length === 0) throw new Refusal(400, 'MalformedXML', 'The XML you provided was not well-formed.');
    if (asked.some(({ number }, i) => i > 0 && number <= (asked[i - 1]?.number ?? 0))) {
      throw new Refusal(400, 'InvalidPartOrder', 'The list of parts was not in ascending order.');
    }
    return asked.map(({ number, etag, checksum }, i) => {
      const part = known.get(number);
      if (!part || part.etag !== `"${etag}"`)
        throw new Refusal(400, 'InvalidPart', 'One or more of the specified parts could not be found.');
      if (upload.algorithm && part.checksum !== `${upload.algorithm}:${checksum}`) {
        throw new Refusal(
          400,
          'InvalidRequest',
          `The upload was created using a ${upload.algorithm} checksum. The complete request must include the checksum for each part.`,
        );
      }
      if (i < asked.length - 1 && part.size < MIN_PART_BYTES) {
        throw new Refusal(400, 'EntityTooSmall', 'Your proposed upload is smaller than the minimum allowed size');
      }
      return part;
    });
  }

  private find(key: string, query: URLSearchParams): Upload {
    const upload = this.db.prepare('SELECT * FROM uploads WHERE id = ?').get(query.get('uploadId')) as Upload | undefined;
    if (upload?.key === key) return upload;
    throw new Refusal(404, 'NoSuchUpload', 'The specified upload does not exist. It may have been aborted or completed.');
  }

  private parts({ id }: Upload): Part[] {
    return this.db.prepare('SELECT * FROM parts WHERE upload = ? ORDER BY number').all(id) as Part[];
  }

  private forget(upload: Upload): void {
    const files = this.parts(upload).map(({ file }) => file);
    this.db.prepare('DELETE FROM uploads WHERE id = ?').run(upload.id);
    this.db.prepare('DELETE FROM parts WHERE upload = ?').run(upload.id);
    for (const file of files) rmSync(join(this.dir, file), { force: true });
  }

  /** The bucket's lifecycle rule: what was not completed within a day never will be. */
  private forgetOld(): void {
    for (const upload of this.db.prepare('SELECT * FROM uploads WHERE begun < ?').all(Date.now() - DAY_MS) as Upload[]) this.forget(upload);
  }
}

function answerXml(response: ServerResponse, xml: string): void {
  response.writeHead(200, { 'content-type': 'application/xml' }).end(`<?xml version="1.0" encoding="UTF-8"?>\n${xml}`);
}

const fieldOf = (xml: string, name: string) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
