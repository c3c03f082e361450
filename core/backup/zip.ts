import { PassThrough } from 'node:stream';
import { promisify } from 'node:util';
import { crc32, deflateRaw } from 'node:zlib';
import { type Archive, type ArchivedFile, written } from './archive.ts';
import { Pieces } from './pieces.ts';

const deflated = promisify(deflateRaw);

/** A file as it lies in a zip. */
type Packed = { method: number; crc: number; size: number; data: Uint8Array };

/**
 * A zip that comes out while it is filled (APPNOTE 6.3.10); with the extensions for large ones (zip64, 4.3.14) where it needs them. Of
 * a file that is done it keeps the line of its directory, as it will be written, and no more.
 */
export class ZipArchive implements Archive {
  readonly output = new PassThrough();
  private readonly directory = new Pieces();
  private count = 0;
  private offset = 0;
  private last: { bytes: Uint8Array; packed: Packed } | undefined;

  constructor() {
    // Whoever reads it hears of an error as well; without a listener it would end the process.
    this.output.on('error', () => {});
  }

  async add({ path, bytes, at }: ArchivedFile): Promise<void> {
    // A mail on many records is packed once.
    if (this.last?.bytes !== bytes) this.last = { bytes, packed: await pack(bytes) };
    const { packed } = this.last;
    const header = localHeader(path, packed, at);
    this.directory.add(directoryLine(path, packed, at, this.offset));
    this.count += 1;
    await this.write(header);
    await this.write(packed.data);
  }

  async end(): Promise<void> {
    const begin = this.offset;
    for (const block of this.directory) await this.write(block);
    await this.write(endOfDirectory(this.count, this.directory.length, begin));
    this.output.end();
  }

  private async write(bytes: Uint8Array): Promise<void> {
    this.offset += bytes.length;
    await written(this.output, bytes);
  }
}

async function pack(bytes: Uint8Array): Promise<Packed> {
  const [crc, size] = [crc32(bytes), bytes.length];
  const data = await deflated(bytes);
  return data.length < size ? { method: DEFLATED, crc, size, data } : { method: STORED, crc, size, data: bytes };
}

const [STORED, DEFLATED] = [0, 8];
/** 4.4.4: names are UTF-8. */
const UTF8 = 1 << 11;
/** 4.4.2: made on Unix, whose modes it bears: an ordinary file that all may read. */
const MADE_BY = (3 << 8) | 45;
const MODE = 0o100644;
const [SHORT_MAX, LONG_MAX] = [0xffff, 0xffffffff];

/** 4.3.7. */
function localHeader(path: string, packed: Packed, at: string): Buffer {
  const [name, time] = [Buffer.from(path), unixTime(at)];
  return Buffer.concat([long(0x04034b50), facts(packed, at, 20), short(name.length, time.length), name, time]);
}

/** A file of the central directory (4.3.12); where it begins stands in the field of zip64 when it does not fit (4.5.3). */
export function directoryLine(path: string, packed: Packed, at: string, offset: number): Buffer {
  const isFar = offset >= LONG_MAX;
  const far = isFar ? Buffer.concat([short(1, 8), longer(offset)]) : Buffer.alloc(0);
  const [name, extra] = [Buffer.from(path), Buffer.concat([unixTime(at), far])];
  const head = [long(0x02014b50), short(MADE_BY), facts(packed, at, isFar ? 45 : 20), short(name.length, extra.length, 0, 0, 0)];
  return Buffer.concat([...head, long(MODE * 2 ** 16, Math.min(offset, LONG_MAX)), name, extra]);
}

/** 4.3.16; with 4.3.14 and 4.3.15 before it when its own fields are too short. */
export function endOfDirectory(count: number, size: number, begin: number): Buffer {
  const isLarge = count >= SHORT_MAX || size >= LONG_MAX || begin >= LONG_MAX;
  const large = [
    Buffer.concat([long(0x06064b50), longer(44), short(MADE_BY, 45), long(0, 0), longer(count, count, size, begin)]),
    Buffer.concat([long(0x07064b50, 0), longer(begin + size), long(1)]),
  ];
  const shown = Math.min(count, SHORT_MAX);
  const end = [long(0x06054b50), short(0, 0, shown, shown), long(Math.min(size, LONG_MAX), Math.min(begin, LONG_MAX)), short(0)];
  return Buffer.concat([...(isLarge ? large : []), ...end]);
}

/** What both headers say of a file: version needed, flags, method, DOS time (4.4.6), CRC-32 and sizes. */
function facts({ method, crc, size, data }: Packed, at: string, version: number): Buffer {
  const time = new Date(at);
  const clock = (time.getUTCHours() << 11) | (time.getUTCMinutes() << 5) | (time.getUTCSeconds() >> 1);
  // It counts from 1980 to 2107, in 7 bits.
  const year = Math.min(Math.max(time.getUTCFullYear() - 1980, 0), 127);
  const day = (year << 9) | ((time.getUTCMonth() + 1) << 5) | time.getUTCDate();
  return Buffer.concat([short(version, UTF8, method, clock, day), long(crc, data.length, size)]);
}

/** The extra field "UT" with the time of the last change: that of DOS knows no time zone. */
function unixTime(at: string): Buffer {
  const seconds = Math.min(Math.max(Math.floor(Date.parse(at) / 1000), 0), 0x7fffffff);
  return Buffer.concat([short(0x5455, 5), Buffer.of(1), long(seconds)]);
}

const short = (...values: number[]) => fields(2, values, (buffer, value, at) => buffer.writeUInt16LE(value, at));
const long = (...values: number[]) => fields(4, values, (buffer, value, at) => buffer.writeUInt32LE(value, at));
const longer = (...values: number[]) => fields(8, values, (buffer, value, at) => buffer.writeBigUInt64LE(BigInt(value), at));

function fields(size: number, values: number[], write: (buffer: Buffer, value: number, at: number) => void): Buffer {
  const buffer = Buffer.alloc(size * values.length);
  for (const [i, value] of values.entries()) write(buffer, value, i * size);
  return buffer;
}
