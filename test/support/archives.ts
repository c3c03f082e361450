import { crc32, inflateRawSync } from 'node:zlib';

/** A zip as strict readers take it: by its central directory, each entry held against its local header, its size and its CRC-32. */
export function readZip(zip: Buffer): Map<string, Buffer> {
  const { count, size, offset, directoryEnd } = endOfDirectory(zip);
  if (offset + size !== directoryEnd) throw new Error('bytes between the central directory and its end');
  const files = new Map<string, Buffer>();
  let at = offset;
  for (let i = 0; i < count; i++) {
    if (zip.readUInt32LE(at) !== 0x02014b50) throw new Error('no central directory header');
    const [method, crc] = [zip.readUInt16LE(at + 10), zip.readUInt32LE(at + 16)];
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => zip.readUInt16LE(at + field)) as [number, number, number];
    const name = zip.toString('utf8', at + 46, at + 46 + nameLength);
    const extra = zip.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength);
    const [bytes, packed, local] = sizesOf(zip, at, extra);
    files.set(name, entryOf(zip, { name, method, crc, bytes, packed, local }));
    at += 46 + nameLength + extraLength + commentLength;
  }
  if (at !== offset + size || files.size !== count) throw new Error('the central directory does not add up, or a name is there twice');
  return files;
}

function endOfDirectory(zip: Buffer): { count: number; size: number; offset: number; directoryEnd: number } {
  const end = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06]));
  if (end === -1 || end + 22 + zip.readUInt16LE(end + 20) !== zip.length) throw new Error('no end of a central directory');
  const short = {
    count: zip.readUInt16LE(end + 10),
    size: zip.readUInt32LE(end + 12),
    offset: zip.readUInt32LE(end + 16),
    directoryEnd: end,
  };
  if (end < 20 || zip.readUInt32LE(end - 20) !== 0x07064b50) return short;
  const end64 = Number(zip.readBigUInt64LE(end - 12));
  if (zip.readUInt32LE(end64) !== 0x06064b50) throw new Error('no end of a zip64 central directory');
  const [count, size, offset] = [32, 40, 48].map((field) => Number(zip.readBigUInt64LE(end64 + field))) as [number, number, number];
  return { count, size, offset, directoryEnd: end64 };
}

/** Size, packed size and place of the local header: those that do not fit 32 bits stand in an extra field, in this order. */
function sizesOf(zip: Buffer, at: number, extra: Buffer): [number, number, number] {
  const short = [zip.readUInt32LE(at + 24), zip.readUInt32LE(at + 20), zip.readUInt32LE(at + 42)];
  let long: Buffer = Buffer.alloc(0);
  for (let field = 0; field + 4 <= extra.length; field += 4 + extra.readUInt16LE(field + 2)) {
    if (extra.readUInt16LE(field) === 1) long = extra.subarray(field + 4, field + 4 + extra.readUInt16LE(field + 2));
  }
  let next = 0;
  return short.map((value) => {
    if (value !== 0xffffffff) return value;
    next += 8;
    return Number(long.readBigUInt64LE(next - 8));
  }) as [number, number, number];
}

type Entry = { name: string; method: number; crc: number; bytes: number; packed: number; local: number };

function entryOf(zip: Buffer, { name, method, crc, bytes, packed, local }: Entry): Buffer {
  if (zip.readUInt32LE(local) !== 0x04034b50) throw new Error(`no local header for ${name}`);
  const nameEnd = local + 30 + zip.readUInt16LE(local + 26);
  if (zip.toString('utf8', local + 30, nameEnd) !== name) throw new Error(`another name in the local header of ${name}`);
  const begin = nameEnd + zip.readUInt16LE(local + 28);
  const data = zip.subarray(begin, begin + packed);
  const content = method === 0 ? Buffer.from(data) : inflateRawSync(data);
  if (content.length !== bytes || crc32(content) !== crc) throw new Error(`${name} is damaged`);
  return content;
}

/**
 * The mails of an mboxrd file, byte for byte, as a strict reader takes them: a From_ line at the beginning and behind each empty
 * line, one `>` taken off each quoted line, and behind each mail the empty line that is not its own.
 */
export function readMbox(mbox: Buffer): { from: string; bytes: Buffer }[] {
  const mails: { from: string; lines: string[] }[] = [];
  const lines = mbox.toString('latin1').split(/(?<=\n)/);
  for (const line of lines) {
    if (line.startsWith('From ')) {
      if (mails.length > 0 && mails.at(-1)?.lines.at(-1) !== '\n') throw new Error('a From_ line without an empty line before it');
      mails.push({ from: line.trimEnd(), lines: [] });
    } else {
      const [mail] = mails.slice(-1);
      if (!mail) throw new Error('bytes before the first From_ line');
      mail.lines.push(line.replace(/^>(>*From )/, '$1'));
    }
  }
  return mails.map(({ from, lines: own }) => {
    if (own.at(-1) !== '\n') throw new Error('a mail without an empty line behind it');
    return { from, bytes: Buffer.from(own.slice(0, -1).join(''), 'latin1') };
  });
}
