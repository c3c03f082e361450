import type { Readable } from 'node:stream';

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
  end: () => void;
};
