import { once } from 'node:events';
import { Readable } from 'node:stream';
import { ZipFile } from 'yazl';
import type { Archive, ArchivedFile } from './archive.ts';

/** A zip that comes out while it is filled; with the extensions for large files (zip64) where it needs them. */
export class ZipArchive implements Archive {
  readonly output: Readable;
  private readonly zip = new ZipFile();

  constructor() {
    this.output = this.zip.outputStream as Readable;
    // Whoever reads it hears of an error as well; without a listener it would end the process.
    this.output.on('error', () => {});
  }

  async add({ path, bytes, at }: ArchivedFile): Promise<void> {
    if (this.output.destroyed) throw new Error('the archive was closed');
    const stop = new AbortController();
    const options = { mtime: new Date(at), size: bytes.length };
    const open = onceOf(bytes);
    const isTaken = new Promise<void>((taken) => {
      withoutPool(() =>
        this.zip.addReadStreamLazy(path, options, (use) => {
          const source = open();
          source.once('end', taken);
          use(null, source);
        }),
      );
    });
    const isClosed = once(this.output, 'close', { signal: stop.signal }).then(() => {
      throw new Error('the archive was closed');
    });
    try {
      await Promise.race([isTaken, isClosed]);
    } finally {
      isClosed.catch(() => {});
      stop.abort();
    }
  }

  end(): void {
    this.zip.end();
  }
}

/** A stream of the bytes, once. The zip keeps whoever opens it until its end, and what that one keeps would stay in memory with it. */
function onceOf(bytes: Uint8Array): () => Readable {
  let held: Uint8Array | undefined = bytes;
  return () => {
    const source = Readable.from(held && held.length > 0 ? [held] : [], { objectMode: false });
    held = undefined;
    return source;
  };
}

/**
 * The zip keeps the bytes of each name until its end. Cut from Node's pool as small buffers are, each would keep 64 KB of what else
 * was in the pool then: 30 KB a mail were measured.
 */
function withoutPool(work: () => void): void {
  const { poolSize } = Buffer;
  Buffer.poolSize = 0;
  try {
    work();
  } finally {
    Buffer.poolSize = poolSize;
  }
}
