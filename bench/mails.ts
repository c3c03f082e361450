import { randomBytes } from 'node:crypto';

/** The customer of that number: the same address in mails and records. */
export const customer = (n: number): string => `customer${n}@customer.example`;

const ENGLISH = 'Thank you for your time on the phone. As discussed, here is our offer for the coming quarter, with all the terms. ';
const JAPANESE = '先日はお忙しい中お時間をいただき、誠にありがとうございました。ご依頼のお見積書をお送りいたします。ご確認ください。';
const ISO_2022_JP = Buffer.from("\x1b$B8+@Q=q$r$*Aw$j$7$^$9!#$43NG'$/$@$5$$!#\x1b(B", 'latin1');

/**
 * A mail of some 50 KB, as office mail is: plain text, HTML, and one file of 20 KB. Odd ones are Japanese, every fourth one
 * in ISO-2022-JP; each has its own Message-ID.
 */
export function officeMail(n: number, from: string, to: readonly string[]): Buffer {
  const japanese = n % 2 === 1;
  const old = n % 4 === 3;
  const sentence = japanese ? JAPANESE : ENGLISH;
  const plainText = old ? lines(ISO_2022_JP, 60) : base64(Buffer.from(sentence.repeat(Math.ceil(6000 / Buffer.byteLength(sentence)))));
  const html = `<html><body>${`<p style="margin:0">${sentence}</p>\n`.repeat(Math.ceil(9500 / Buffer.byteLength(sentence)))}</body></html>`;
  return Buffer.concat([
    Buffer.from(
      [
        `From: Mika <${from}>`,
        `To: ${to.slice(0, 1).join(', ')}`,
        ...(to.length > 1 ? [`Cc: ${to.slice(1).join(', ')}`] : []),
        `Subject: ${japanese ? '=?utf-8?B?44GK6KaL56mN5pu444Gu5Lu2?=' : 'Our offer'} ${n}`,
        'Date: Mon, 2 Mar 2026 09:00:00 +0900',
        `Message-ID: <${randomBytes(12).toString('hex')}@example.com>`,
        'MIME-Version: 1.0',
        'Content-Type: multipart/mixed; boundary=outer',
        '',
        '--outer',
        'Content-Type: multipart/alternative; boundary=inner',
        '',
        '--inner',
        `Content-Type: text/plain; charset=${old ? 'iso-2022-jp' : 'utf-8'}`,
        `Content-Transfer-Encoding: ${old ? '7bit' : 'base64'}`,
        '',
        '',
      ].join('\r\n'),
    ),
    plainText,
    Buffer.from(
      [
        '',
        '--inner',
        'Content-Type: text/html; charset=utf-8',
        'Content-Transfer-Encoding: quoted-printable',
        '',
        quotedPrintable(html),
        '--inner--',
        '--outer',
        'Content-Type: application/pdf; name="offer.pdf"',
        'Content-Disposition: attachment; filename="offer.pdf"',
        'Content-Transfer-Encoding: base64',
        '',
        '',
      ].join('\r\n'),
    ),
    base64(randomBytes(20_000)),
    Buffer.from('\r\n--outer--\r\n'),
  ]);
}

const base64 = (bytes: Buffer) => Buffer.from(bytes.toString('base64').replace(/.{76}/g, '$&\r\n'));

const lines = (line: Buffer, count: number) => Buffer.concat(Array.from({ length: count }, () => [line, Buffer.from('\r\n')]).flat());

function quotedPrintable(text: string): string {
  const units = [...Buffer.from(text)].map((byte) =>
    (byte >= 33 && byte <= 126 && byte !== 61) || byte === 32
      ? String.fromCharCode(byte)
      : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  );
  let line = '';
  const out: string[] = [];
  for (const unit of units) {
    if (line.length + unit.length > 75) {
      out.push(`${line}=`);
      line = '';
    }
    line += unit;
  }
  return [...out, line].join('\r\n');
}
