import { createHash } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  ListObjectsV2Command,
  NoSuchKey,
  NoSuchUpload,
  PutObjectCommand,
  type S3Client,
  S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { LINK_SECONDS, UPLOAD_PART_BYTES, UPLOADS_AT_ONCE } from '../limits.ts';

/** An object of the bucket, and when it was stored (ISO 8601 UTC). */
export type Listed = { key: string; modified: string };

/** The bucket of raw mail and what is made of it. */
export class MailBucket {
  private readonly s3: S3Client;
  private readonly bucket: string;

  constructor(s3: S3Client, bucket: string) {
    this.s3 = s3;
    this.bucket = bucket;
  }

  /** All bytes of an object; undefined when it is not there (any longer). */
  read(key: string): Promise<Uint8Array | undefined> {
    return this.get(key);
  }

  /** At most so many bytes, from the first; undefined when the object is not there, or empty. */
  readBeginning(key: string, bytes: number): Promise<Uint8Array | undefined> {
    return this.get(key, `bytes=0-${bytes - 1}`);
  }

  /** A page of the objects whose keys begin with `prefix`, in the order of keys, from behind `after`. */
  async list(prefix: string, after: string | undefined): Promise<{ objects: Listed[]; more: boolean }> {
    const page = await this.s3.send(new ListObjectsV2Command({ Bucket: this.bucket, Prefix: prefix, StartAfter: after }));
    const objects = (page.Contents ?? []).map(({ Key, LastModified }) => ({ key: Key ?? '', modified: LastModified?.toISOString() ?? '' }));
    return { objects, more: page.IsTruncated ?? false };
  }

  private async get(key: string, range?: string): Promise<Uint8Array | undefined> {
    return (await this.open(key, range))?.transformToByteArray();
  }

  /** The bytes of an object as they come; undefined when it is not there (any longer). */
  async stream(key: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    return (await this.open(key)) as AsyncIterable<Uint8Array> | undefined;
  }

  private async open(key: string, range?: string): Promise<GetObjectCommandOutput['Body'] | undefined> {
    try {
      return (await this.s3.send(new GetObjectCommand({ Bucket: this.bucket, Key: key, Range: range }))).Body;
    } catch (error) {
      // Without the right to list the bucket, S3 says 403 for what is not there.
      if (
        error instanceof NoSuchKey ||
        (error instanceof S3ServiceException && [403, 404, 416].includes(error.$metadata.httpStatusCode ?? 0))
      )
        return undefined;
      throw error;
    }
  }

  /** SHA-256 and size of an object, read as it comes; undefined when it is not there (any longer). */
  async digest(key: string): Promise<{ sha256: string; bytes: number } | undefined> {
    const body = await this.stream(key);
    if (!body) return undefined;
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of body) {
      hash.update(chunk);
      bytes += chunk.length;
    }
    return { sha256: hash.digest('hex'), bytes };
  }

  async write(key: string, bytes: Uint8Array, contentType: string): Promise<void> {
    await this.s3.send(new PutObjectCommand({ Bucket: this.bucket, Key: key, Body: bytes, ContentType: contentType }));
  }

  async delete(key: string): Promise<void> {
    await this.s3.send(new DeleteObjectCommand({ Bucket: this.bucket, Key: key }));
  }

  /**
   * A link that downloads the object for LINK_SECONDS, always as a file: shown in the browser, a customer's HTML
   * attachment would run as if it were ours.
   */
  link(key: string, filename: string, contentType: string): Promise<string> {
    const command = new GetObjectCommand({
      Bucket: this.bucket,
      Key: key,
      ResponseContentDisposition: contentDisposition(filename),
      ResponseContentType: contentType,
      ResponseCacheControl: 'private, no-store',
    });
    return getSignedUrl(this.s3, command, { expiresIn: LINK_SECONDS });
  }
}

/** An upload in parts that was begun: whoever knows it can go on with it, or end it. */
export type BegunUpload = { key: string; id: string };
/** What was stored: the bytes, and the SHA-256 of all of them. */
export type Stored = { bytes: number; sha256: string };

/**
 * Objects that are written while they are made, in parts: in memory are no more than UPLOADS_AT_ONCE of them and the one that
 * fills. Nobody sees such an object before its last part is there.
 */
export class Uploads {
  private readonly s3: S3Client;
  private readonly bucket: string;

  constructor(s3: S3Client, bucket: string) {
    this.s3 = s3;
    this.bucket = bucket;
  }

  async begin(key: string, contentType: string): Promise<BegunUpload> {
    // Parts bear this checksum, the SDK sees to it; S3 refuses them unless the upload was begun for it.
    const kind = { ContentType: contentType, ChecksumAlgorithm: 'CRC32' } as const;
    const { UploadId = '' } = await this.s3.send(new CreateMultipartUploadCommand({ Bucket: this.bucket, Key: key, ...kind }));
    return { key, id: UploadId };
  }

  /** Takes all bytes there are, no faster than S3 does, and makes the object of them. Throws when the upload was aborted meanwhile. */
  async finish(upload: BegunUpload, bytes: AsyncIterable<Uint8Array>): Promise<Stored> {
    const hash = createHash('sha256');
    const sent: Promise<CompletedPart>[] = [];
    let size = 0;
    for await (const part of inParts(bytes)) {
      hash.update(part);
      size += part.length;
      await sent.at(-UPLOADS_AT_ONCE);
      const sending = this.sendPart(upload, sent.length + 1, part);
      // Looked at when it is waited for, which may be after another one has failed.
      sending.catch(() => {});
      sent.push(sending);
    }
    const Parts = await Promise.all(sent);
    const { key: Key, id: UploadId } = upload;
    await this.s3.send(new CompleteMultipartUploadCommand({ Bucket: this.bucket, Key, UploadId, MultipartUpload: { Parts } }));
    return { bytes: size, sha256: hash.digest('hex') };
  }

  /** Forgets its parts. One that is completed, aborted or unknown stays as it is. */
  async abort({ key, id }: BegunUpload): Promise<void> {
    try {
      await this.s3.send(new AbortMultipartUploadCommand({ Bucket: this.bucket, Key: key, UploadId: id }));
    } catch (error) {
      if (!(error instanceof NoSuchUpload)) throw error;
    }
  }

  private async sendPart({ key: Key, id: UploadId }: BegunUpload, PartNumber: number, Body: Uint8Array): Promise<CompletedPart> {
    const { ETag, ChecksumCRC32 } = await this.s3.send(new UploadPartCommand({ Bucket: this.bucket, Key, UploadId, PartNumber, Body }));
    return { PartNumber, ETag, ChecksumCRC32 };
  }
}

/**
 * The bytes in pieces of UPLOAD_PART_BYTES, the last one smaller; one empty piece when there are none, for an object has a part. The
 * memory of a piece is used again for the one that comes UPLOADS_AT_ONCE + 1 later: while UPLOADS_AT_ONCE are on their way, one fills.
 */
async function* inParts(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const parts: Buffer[] = [];
  let number = 0;
  let size = 0;
  for await (const chunk of bytes) {
    for (let from = 0; from < chunk.length; ) {
      const at = number % (UPLOADS_AT_ONCE + 1);
      parts[at] ??= Buffer.allocUnsafeSlow(UPLOAD_PART_BYTES);
      const part = parts[at];
      const piece = chunk.subarray(from, from + UPLOAD_PART_BYTES - size);
      part.set(piece, size);
      size += piece.length;
      from += piece.length;
      if (size < UPLOAD_PART_BYTES) continue;
      yield part;
      [number, size] = [number + 1, 0];
    }
  }
  if (size > 0 || number === 0) yield parts[number % (UPLOADS_AT_ONCE + 1)]?.subarray(0, size) ?? Buffer.alloc(0);
}

/** RFC 6266: a plain name for old clients, the real one as UTF-8 (RFC 8187). */
export function contentDisposition(filename: string): string {
  const plain = filename.replace(/[^\x20-\x7e]|["\\%]/g, '_');
  const encoded = encodeURIComponent(filename.toWellFormed()).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
