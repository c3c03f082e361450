/**
 * Bytes that grow by little pieces and are needed last: one large block after the other, so that what is kept of a mail is its bytes
 * and nothing else. Thousands of small buffers would each cost more than they hold, and keep Node's pool from being let go.
 */
export class Pieces {
  private readonly blocks: Buffer[] = [];
  private used = BLOCK_BYTES;
  length = 0;

  add(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; ) {
      if (this.used === BLOCK_BYTES) {
        this.blocks.push(Buffer.allocUnsafeSlow(BLOCK_BYTES));
        this.used = 0;
      }
      const piece = bytes.subarray(from, from + BLOCK_BYTES - this.used);
      this.blocks.at(-1)?.set(piece, this.used);
      this.used += piece.length;
      from += piece.length;
    }
    this.length += bytes.length;
  }

  /** All of them, in their order. */
  *[Symbol.iterator](): Generator<Buffer> {
    for (const [i, block] of this.blocks.entries()) yield i === this.blocks.length - 1 ? block.subarray(0, this.used) : block;
  }
}

const BLOCK_BYTES = 64 * 1024;
