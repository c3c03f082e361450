import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

export type ArchivedFile = {
  path: string;
  bytes: Uint8Array;
  /** When the mail was received (ISO 8601 UTC). */
  at: string;
};

/** A file that is made of others, and read while it is made. */
export type Archive = {
  output: Readable;
  /** Resolves when the next one may come: no more is held than the reader has not taken yet. Throws when the reader is gone. */
  add: (file: ArchivedFile) => Promise<void>;
  end: () => Promise<void>;
};

/** Resolves when there is room for more. Throws when nobody reads any more. */
export async function written(output: Writable, bytes: Uint8Array): Promise<void> {
  if (output.destroyed) throw new Error('the archive was closed');
  if (output.write(bytes)) return;
  const stop = new AbortController();
  const { signal } = stop;
  const closed = once(output, 'close', { signal }).then(() => {
    throw new Error('the archive was closed');
  });
  const room = once(output, 'drain', { signal });
  try {
    await Promise.race([room, closed]);
  } finally {
    for (const waiting of [room, closed]) waiting.catch(() => {});
    stop.abort();
  }
}
