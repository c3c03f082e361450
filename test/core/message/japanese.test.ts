import { decodeText } from '../../../core/message/charset.ts';
import { decodeWords } from '../../../core/message/encoded-words.ts';
import { parseMail } from '../../../core/message/parse-mail.ts';
import { mail } from './mail.ts';

/** One text in four charsets, the bytes written out by hand: "見積書 ｱｲｳ ①㈱". */
const TEXT = '見積書 ｱｲｳ ①㈱';
const BYTES: Record<string, string> = {
  'iso-2022-jp': '1b2442382b4051 3d71 1b2842 20 1b2849 313233 1b2842 20 1b2442 2d21 2d6a 1b2842',
  shift_jis: '8ca9 90cf 8f91 20 b1b2b3 20 8740 878a',
  'euc-jp': 'b8ab c0d1 bdf1 20 8eb18eb28eb3 20 ada1 adea',
  'utf-8': 'e8a68b e7a98d e69bb8 20 efbdb1efbdb2efbdb3 20 e291a0 e388b1',
};
const bytes = (charset: string) => Buffer.from(BYTES[charset]!.replaceAll(' ', ''), 'hex');
const latin1 = (charset: string) => bytes(charset).toString('latin1');
const charsets = Object.keys(BYTES);

describe('Japanese mail', () => {
  test.each(charsets)('%s: body, subject, sender name and file name', async (charset) => {
    const word = `=?${charset}?B?${bytes(charset).toString('base64')}?=`;
    const raw = mail({ From: `${word} <yamada@example.jp>`, Subject: word, 'Content-Type': 'multipart/mixed; boundary=b' }, [
      `--b\r\nContent-Type: text/plain; charset=${charset}\r\n\r\n${latin1(charset)}`,
      `--b\r\nContent-Type: application/pdf; name="${word}"\r\n\r\npdf`,
      '--b--',
    ]);
    expect(await parseMail(raw)).toMatchObject({
      subject: TEXT,
      from: [{ address: 'yamada@example.jp', name: TEXT }],
      text: TEXT,
      attachments: [{ filename: TEXT }],
    });
  });

  test.each(charsets)('%s: as HTML, in quoted-printable and in base64', async (charset) => {
    const quoted = [...bytes(charset)].map((byte) => `=${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
    const html = mail({ 'Content-Type': `text/html; charset="${charset}"`, 'Content-Transfer-Encoding': 'quoted-printable' }, [
      `<p>${quoted}</p>`,
    ]);
    expect(await parseMail(html)).toMatchObject({ text: TEXT, html: `<p>${TEXT}</p>` });
    const base64 = mail({ 'Content-Type': `text/plain; charset=${charset}`, 'Content-Transfer-Encoding': 'base64' }, [
      bytes(charset).toString('base64'),
    ]);
    expect((await parseMail(base64)).text).toBe(TEXT);
  });

  test.each(charsets)('%s: nobody says so, in header, body and file name', async (charset) => {
    const raw = mail(
      { From: `${latin1(charset)} <yamada@example.jp>`, Subject: latin1(charset), 'Content-Type': 'multipart/mixed; boundary=b' },
      [
        `--b\r\nContent-Type: text/plain\r\n\r\n${latin1(charset)}`,
        `--b\r\nContent-Type: application/pdf; name="${latin1(charset)}"\r\n\r\npdf`,
        '--b--',
      ],
    );
    expect(await parseMail(raw)).toMatchObject({
      subject: TEXT,
      from: [{ address: 'yamada@example.jp', name: TEXT }],
      text: TEXT,
      attachments: [{ filename: TEXT }],
    });
  });

  test.each(charsets)('%s: encoded words cut inside a character', (charset) => {
    for (let at = 1; at < bytes(charset).length; at++) {
      const [head, tail] = [bytes(charset).subarray(0, at), bytes(charset).subarray(at)];
      expect(decodeWords(`=?${charset}?B?${head.toString('base64')}?=\r\n =?${charset.toUpperCase()}?B?${tail.toString('base64')}?=`)).toBe(
        TEXT,
      );
      expect(
        decodeWords(
          `=?${charset}?B?${head.toString('base64')}?= =?${charset}?Q?${tail.toString('latin1').replace(/[^a-z]/gi, (c) => `=${c.charCodeAt(0).toString(16).padStart(2, '0')}`)}?=`,
        ),
      ).toBe(TEXT);
    }
  });

  test.each([
    ['windows-31j', '8740'],
    ['cp932', '8740'],
    ['x-sjis', '8740'],
    ['MS_Kanji', '8740'],
    ['cp51932', 'ada1'],
    ['eucJP-ms', 'ada1'],
    ['CP50221', '1b24422d211b2842'],
    ['iso-2022-jp-ms', '1b24422d211b2842'],
    ['ISO-2022-JP-1', '1b24422d211b2842'],
  ])('%s is known by its other names', (charset, hex) => {
    expect(decodeText(Buffer.from(hex, 'hex'), charset)).toBe('①');
  });

  test.each([
    ['a line that does not return to ASCII', '1b2442382b0a41', '見\nA'],
    ['the old JIS C 6226 escape', '1b2440382b1b284a', '見'],
    ['kana with the high bit set', '1b2849b1b21b2842', 'ｱｲ'],
    ['JIS X 0212', '1b24284430211b2842', '丂'],
    ['an end inside a character', '1b2442382b40', '見'],
  ])('ISO-2022-JP with %s', (_, hex, text) => {
    expect(decodeText(Buffer.from(hex, 'hex'), 'iso-2022-jp')).toBe(text);
  });

  test('ISO-2022-JP whose bytes look like brackets and quotes does not break an address header', async () => {
    // 「<」 and 「"」 are bytes of these characters: 次 is 3c21, 円 is 315f, 、is 2122.
    const name = '\x1b$B<!1_!"\x1b(B';
    const { to } = await parseMail(mail({ To: `${name} <a@example.jp>, ${name} <b@example.jp>` }));
    expect(to).toEqual([
      { address: 'a@example.jp', name: '次円、' },
      { address: 'b@example.jp', name: '次円、' },
    ]);
  });

  test('Shift_JIS whose second bytes are backslash, bar and at-sign', async () => {
    // 表 is 955c, 十 is 8f5c, ァ is 8340: undeclared, inside quotes.
    const { from } = await parseMail(mail({ From: '"\x95\x5c\x8f\x5c\x83\x40\x82\xa0" <a@example.jp>' }));
    expect(from).toEqual([{ address: 'a@example.jp', name: '表十ァあ' }]);
  });

  test('flowed ISO-2022-JP is joined where it was broken', async () => {
    const raw = mail({ 'Content-Type': 'text/plain; charset=iso-2022-jp; format=flowed; delsp=yes' }, [
      '\x1b$B8+\x1b(B ',
      '\x1b$B@Q\x1b(B',
    ]);
    expect((await parseMail(raw)).text).toBe('見積');
  });
});

describe('charsets', () => {
  test.each([
    ['iso-8859-1', '80e9', '€é'],
    ['latin1', 'e9', 'é'],
    ['cp1252', '93e994', '“é”'],
    ['win-1251', 'cff0', 'Пр'],
    ['koi8-r', 'f0d2', 'Пр'],
    ['iso8859-2', 'b1', 'ą'],
    ['gb2312', 'd6d0', '中'],
    ['cp936', 'd6d0', '中'],
    ['big5', 'a4a4', '中'],
    ['ks_c_5601-1987', 'c7d1', '한'],
    ['cp949', 'c7d1', '한'],
    ['utf-16le', '2d4e', '中'],
    ['utf-7', '2b5469302d412b2d', '中A+'],
    ['utf-8', 'efbbbfe4b8ad', '中'],
    ['"utf-8"', 'e4b8ad', '中'],
    ['us-ascii*en', '41', 'A'],
    ['utf-8', 'e9e8e0', 'éèà'],
    ['no-such-charset', '41e9', 'Aé'],
    ['', '41e97420c0', 'Aét À'],
    ['us-ascii', 'e4b8ad', '中'],
    ['shift_jis', 'e4b8ade69687e5ad97', '中文字'],
  ])('%s %s reads as %s', (label, hex, text) => {
    expect(decodeText(Buffer.from(hex!, 'hex'), label)).toBe(text);
  });

  test('200 labels, good and bad, with any bytes, never throw', () => {
    const labels = [
      ...Array.from({ length: 100 }, (_, i) => `iso-8859-${i}`),
      ...Array.from({ length: 60 }, (_, i) => `cp${900 + i}`),
      ...'utf-7 utf-16 utf-32 hz-gb-2312 iso-2022-kr iso-2022-cn x-user-defined replacement __proto__ constructor toString 👍 \0 " * utf-8*'.split(
        ' ',
      ),
    ];
    const every = Buffer.from(Array.from({ length: 512 }, (_, i) => i & 255));
    for (const label of labels)
      for (const data of [every, Buffer.alloc(0), Buffer.from([0x1b, 0x24]), every.subarray(128, 256)])
        expect(typeof decodeText(data, label)).toBe('string');
  });

  test.each(['Bär', 'für', 'Ärger', 'café crème', 'naïve', 'São Paulo', 'Grüße aus München', '£5', '“quoted”'].map((text) => [text]))(
    'undeclared Western text stays Western: %s',
    (text) => {
      const western = Buffer.from(Array.from(text).map((char) => ({ '“': 0x93, '”': 0x94, '„': 0x84 })[char] ?? char.charCodeAt(0)));
      expect(decodeText(western)).toBe(text);
    },
  );
});
