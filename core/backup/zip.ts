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
    // The zip keeps this function until its end, and must not keep the bytes.
    let held: Uint8Array | undefined = bytes;
    const stop = new AbortController();
    const isTaken = new Promise<void>((taken) => {
      this.zip.addReadStreamLazy(path, { mtime: new Date(at), size: bytes.length }, (use) => {
        const source = Readable.from(held && held.length > 0 ? [held] : [], { objectMode: false });
        held = undefined;
        source.once('end', taken);
        use(null, source);
      });
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
