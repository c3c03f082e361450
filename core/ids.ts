import { createHash, randomBytes } from 'node:crypto';

/** A tenant's id. Branded, so that no key of tenant data can be built from just any string. */
export type TenantId = string & { readonly __brand: 'TenantId' };

const TENANT_ID = /^[0-9a-hjkmnp-tv-z]{16}$/;
const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz';

/** Reads a tenant id. Throws a TypeError on anything but 16 characters of Crockford's base32. */
export function asTenantId(text: string): TenantId {
  if (!TENANT_ID.test(text)) throw new TypeError('not a tenant id');
  return text as TenantId;
}

/** A new random tenant id: 80 bits, so that ids cannot be counted or guessed. */
export function newTenantId(): TenantId {
  return base32(randomBytes(10)) as TenantId;
}

/** A new id that sorts by time, in the manner of a ULID: 48 bits of milliseconds, 80 random bits, 26 characters. */
export function newId(now: Date): string {
  return timePrefix(now) + base32(randomBytes(10));
}

/**
 * The same id for the same time and parts, always: what a retried step writes lands on what its first try wrote.
 * Sorts by time like `newId`; 80 bits of SHA-256 tell the parts apart.
 */
export function stableId(at: string | Date, ...parts: string[]): string {
  return timePrefix(new Date(at)) + base32(sha256Bytes(...parts).subarray(0, 10));
}

/** SHA-256 of the parts, hexadecimal. Lengths are hashed too, so that no two lists of parts collide by joining. */
export function sha256(...parts: (string | Uint8Array)[]): string {
  return sha256Bytes(...parts).toString('hex');
}

/** A secret of so many random bits as lower-case base32 (fit for a mail address, which receivers may fold to lower case). */
export function newSecret(bits: number): string {
  return base32(randomBytes(Math.ceil(bits / 8)));
}

/** True for what `newId` and `stableId` make. */
export const ID = /^[0-9a-hjkmnp-tv-z]{26}$/;

function sha256Bytes(...parts: (string | Uint8Array)[]): Buffer {
  const hash = createHash('sha256');
  if (parts.length === 1) return hash.update(parts[0] as string).digest();
  for (const part of parts) {
    const bytes = Buffer.from(part as string);
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest();
}

function timePrefix(at: Date): string {
  let rest = at.getTime();
  let text = '';
  for (let i = 0; i < 10; i++) {
    text = CROCKFORD[rest % 32] + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

function base32(bytes: Uint8Array): string {
  let text = '';
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += CROCKFORD[(buffer >> bits) & 31];
    }
    buffer &= (1 << bits) - 1;
  }
  if (bits > 0) text += CROCKFORD[(buffer << (5 - bits)) & 31];
  return text;
}
