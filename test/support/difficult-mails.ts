import { createHash } from 'node:crypto';

const LARGE = 40 * 1024 * 1024;

export const DIFFICULT_MAILS = 2000;

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** Every kind of mail that was ever destroyed on its way: 8-bit charsets, dots, NULs, no line break at the end, nothing at all. */
export function difficultMail(n: number): Buffer {
  const header = `Subject: mail ${n}\r\nMessage-ID: <${n}@example.com>\r\n\r\n`;
  const body: Record<number, () => Buffer> = {
    0: () => Buffer.from('8C8E82CC95F1', 'hex'),
    1: () => Buffer.from('caf\xe9 \xff\xfe\x80\r\n', 'latin1'),
    2: () => Buffer.from('.\r\n..\r\n...\r\n.a\r\n.\r\n'.repeat(1 + (n % 50))),
    3: () => Buffer.from('\0\0.\0\r\n.\0\r\n'),
    4: () => Buffer.from(Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => byte !== 10 && byte !== 13)),
    5: () => Buffer.from('月次報告書\r\n'.repeat(n % 400)),
    6: () => Buffer.from(`${'x'.repeat(997)}\r\n`.repeat(n % 30)),
    7: () => Buffer.from('no line break at its end.'),
  };
  if (n === 777) return Buffer.alloc(0);
  if (n === 1500) return Buffer.from(`${header}${`${'L'.repeat(998)}\r\n`.repeat(LARGE / 1000)}`);
  return Buffer.concat([Buffer.from(header), (body[n % 8] as () => Buffer)()]);
}

/** A multi-line answer ends with a line break (RFC 1939 3): the server gives one to a mail that has none. */
export const asServed = (raw: Buffer) => (raw.subarray(-2).toString('latin1') === '\r\n' ? raw : Buffer.concat([raw, Buffer.from('\r\n')]));
