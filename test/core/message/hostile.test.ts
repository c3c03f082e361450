import { jest } from '@jest/globals';
import { MAX_HEADER_BYTES, MAX_MAIL_BYTES, MAX_MIME_DEPTH, MAX_MIME_PARTS } from '../../../core/limits.ts';
import { scanMail } from '../../../core/message/mime-scan.ts';
import { parseMail, readAttachment, UnreadableMail } from '../../../core/message/parse-mail.ts';
import { readMail } from '../../../core/message/read-mail.ts';
import { mail } from './mail.ts';

/** Far beyond what any machine needs: these tests are about what is read, not how fast. */
const PATIENT = 300_000;
const MiB = 1024 * 1024;
const multipart = (type: string, lines: string[]) => mail({ From: 'a@example.com', 'Content-Type': type }, lines);
const reasonOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'parsed',
    (error: unknown) => (error instanceof UnreadableMail ? error.reason : error),
  );

jest.setTimeout(PATIENT);

describe('limits are checked before a parser sees the mail', () => {
  const parts = (count: number) =>
    multipart('multipart/mixed; boundary=b', [...Array.from({ length: count }, () => '--b\r\n\r\nx'), '--b--']);
  const levels = (depth: number) => {
    const open = Array.from({ length: depth }, (_, i) => `Content-Type: multipart/mixed; boundary=b${i}\r\n\r\n--b${i}`);
    return Buffer.from(`From: a@example.com\r\n${open.join('\r\n')}\r\n\r\nx\r\n`);
  };
  const headers = (bytes: number) => {
    const start = 'From: a@example.com\r\nX-Long: ';
    return Buffer.from(`${start}${'x'.repeat(bytes - start.length - 4)}\r\n\r\nHello`);
  };
  const bytes = (length: number) =>
    Buffer.concat([Buffer.from('From: a@example.com\r\n\r\n'), Buffer.alloc(length - 23, 'a line of text\r\n')]);

  test('MAX_MIME_PARTS parts are read, one more is refused', async () => {
    expect((await parseMail(parts(MAX_MIME_PARTS), PATIENT)).text.match(/x/g)).toHaveLength(MAX_MIME_PARTS);
    expect(await reasonOf(parseMail(parts(MAX_MIME_PARTS + 1), PATIENT))).toBe('too-many-parts');
  });

  test('MAX_MIME_DEPTH levels are read, one more is refused', async () => {
    expect((await parseMail(levels(MAX_MIME_DEPTH), PATIENT)).text).toBe('x');
    expect(await reasonOf(parseMail(levels(MAX_MIME_DEPTH + 1), PATIENT))).toBe('too-deep');
  });

  test('MAX_HEADER_BYTES of header are read, one more is refused', async () => {
    expect((await parseMail(headers(MAX_HEADER_BYTES), PATIENT)).text).toBe('Hello');
    expect(await reasonOf(parseMail(headers(MAX_HEADER_BYTES + 1), PATIENT))).toBe('headers-too-long');
  });

  test('R-11: MAX_MAIL_BYTES are read, one more is refused', async () => {
    expect((await parseMail(bytes(MAX_MAIL_BYTES), PATIENT)).text.length).toBeGreaterThan(MAX_MAIL_BYTES * 0.8);
    expect(await reasonOf(parseMail(bytes(MAX_MAIL_BYTES + 1), PATIENT))).toBe('too-large');
  });
});

describe('hostile mail is settled, parsed wherever it can be', () => {
  const text = (encoding: string, body: string, type = 'text/plain; charset=utf-8') =>
    mail({ From: 'a@example.com', Subject: 's', 'Content-Type': type, 'Content-Transfer-Encoding': encoding }, [body]);

  test('quoted-printable with a megabyte of spaces, which takes the parser itself minutes', async () => {
    const parsed = await parseMail(text('quoted-printable', `a${' '.repeat(MiB)}x`), PATIENT);
    expect(parsed).toMatchObject({ subject: 's', parser: 'mailparser' });
    expect(parsed.text.endsWith('x')).toBe(true);
  });

  test('100,000 pictures and 60,000 table rows of HTML', async () => {
    expect((await parseMail(text('7bit', '<img src=x>'.repeat(100_000), 'text/html'), PATIENT)).html).toContain('<img');
    expect((await parseMail(text('7bit', `<table>${'<tr><td>x</td></tr>'.repeat(60_000)}`, 'text/html'), PATIENT)).text).toContain('x');
  });

  test('19 MB of ISO-2022-JP', async () => {
    const parsed = await parseMail(text('7bit', '\x1b$B8+@Q=q\x1b(B\r\n'.repeat(1_500_000), 'text/plain; charset=iso-2022-jp'), PATIENT);
    expect(parsed.text.startsWith('見積書\n見積書')).toBe(true);
    expect(parsed.text.replaceAll('見積書', '').trim()).toBe('');
  });

  test('38 MB of text', async () => {
    expect((await parseMail(text('8bit', 'The quick brown fox\r\n'.repeat(1_800_000)), PATIENT)).text.length).toBeGreaterThan(34 * MiB);
  });

  test('a 38 MB attachment, whose bytes come back as they went in', async () => {
    const content = Buffer.alloc(28 * MiB, 'attachment!');
    const raw = multipart('multipart/mixed; boundary=b', [
      '--b\r\n\r\ntext',
      '--b\r\nContent-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n',
      content.toString('base64').replace(/.{76}/g, '$&\r\n'),
      '--b--',
    ]);
    expect((await parseMail(raw, PATIENT)).attachments).toMatchObject([{ filename: 'a.zip', size: content.length }]);
    expect(Buffer.compare((await readAttachment(raw, 0, PATIENT))!.content, content)).toBe(0);
  });

  test.each([
    [
      'a boundary of dashes',
      multipart(
        `multipart/mixed; boundary="${'-'.repeat(60)}"`,
        Array.from({ length: 160_000 }, () => '-'.repeat(63)),
      ),
    ],
    [
      'lines of dashes',
      multipart(
        'multipart/mixed; boundary="-"',
        Array.from({ length: 3_000_000 }, () => '--'),
      ),
    ],
    ['one line of dashes', multipart('multipart/mixed; boundary=b', ['-'.repeat(38 * MiB)])],
    ['one line of spaces', multipart('multipart/mixed; boundary=b', ['--b', '', `--b${' '.repeat(38 * MiB)}x`])],
    ['1,000,000 parts', multipart('multipart/mixed; boundary=b', ['--b\r\n\r\n'.repeat(1_000_000)])],
    [
      '10,000 levels',
      Buffer.from(Array.from({ length: 10_000 }, (_, i) => `Content-Type: multipart/mixed; boundary=b${i}\r\n\r\n--b${i}\r\n`).join('')),
    ],
    ['40 MB of header lines', Buffer.alloc(39 * MiB, 'X: y\r\n')],
    ['40 MB without a line end', Buffer.alloc(39 * MiB, 'x')],
    ['40 MB of line ends', Buffer.alloc(39 * MiB, '\n')],
    ['40 MB of NUL', Buffer.alloc(39 * MiB)],
  ])('the scan of %s ends in linear time', (_, raw) => {
    const before = process.cpuUsage();
    scanMail(raw);
    const { user } = process.cpuUsage(before);
    // Some 0.3 s of computing; a quadratic step would take hours.
    expect(user / 1e6).toBeLessThan(20);
  });

  test.each([
    ['encoded words never closed', { Subject: '=?a?b?'.repeat(40_000) }],
    ['questions', { Subject: '=?'.repeat(100_000) }],
    ['200 KB of an address', { To: `${'a'.repeat(200_000)}@example.com` }],
    ['at signs', { To: '<'.repeat(1000) + '@'.repeat(200_000) }],
    ['30,000 addresses', { To: 'a@b.c, '.repeat(30_000) }],
    ['nested comments', { From: `${'('.repeat(60_000)}a@example.com${')'.repeat(60_000)}`, Date: '('.repeat(100_000) }],
    ['quotes', { From: '"'.repeat(200_001), 'Content-Type': '"'.repeat(1001) }],
    ['spaces', { Date: `Mon,${' '.repeat(200_000)}x`, References: ' '.repeat(1000) }],
    ['parameters', { 'Content-Type': `text/plain${';a*0=b'.repeat(40_000)}` }],
    ['ids', { References: '<a@b> '.repeat(40_000) }],
  ])('a header of %s', async (_, header) => {
    const parsed = await parseMail(mail(header as Record<string, string>, ['Hello']));
    expect(parsed.text).toBe('Hello');
    expect(parsed.to.length).toBeLessThanOrEqual(1000);
    expect(parsed.references.length).toBeLessThanOrEqual(100);
  });
});

describe('the deadline', () => {
  const slow = mail({ From: 'a@example.com' }, ['x\r\n'.repeat(5_000_000)]);
  const quick = mail({ From: 'a@example.com' }, ['Hello']);

  test('a mail that takes longer is unreadable, and the mails behind it are read', async () => {
    const answers = await Promise.all([reasonOf(parseMail(slow, 1)), reasonOf(parseMail(quick)), reasonOf(parseMail(quick))]);
    expect(answers).toEqual(['deadline', 'parsed', 'parsed']);
  });

  test('what one parser cannot read in time, the other reads in a fresh thread', async () => {
    // Both are given the same time; postal-mime needs far less of it for a boundary that the first one stumbles over.
    expect(await readMail(quick, 'postal-mime')).toMatchObject({
      mail: { text: 'Hello', parser: 'postal-mime', from: [{ address: 'a@example.com' }] },
    });
  });
});

describe('parts are not lost where the parser alone would lose them', () => {
  const boundary = (line: string, close = '--b--') =>
    multipart('multipart/mixed; boundary=b', [line, '', 'text', line, 'Content-Type: application/pdf; name=a.pdf', '', 'pdf', close]);

  test.each([
    ['a space behind the boundary', boundary('--b ')],
    ['tabs behind the boundary', boundary('--b\t\t', '--b--\t')],
    ['many spaces behind the boundary', boundary(`--b${' '.repeat(500)}`)],
    ['no closing boundary', Buffer.from(boundary('--b', '')).subarray(0, -2)],
    [
      'a space in the type',
      multipart('multipart/mixed boundary=b', ['--b', '', 'text', '--b', 'Content-Type: application/pdf; name=a.pdf', '', 'pdf', '--b--']),
    ],
    [
      'a boundary that ends with spaces',
      multipart('multipart/mixed; boundary="b  "', [
        '--b  ',
        '',
        'text',
        '--b  ',
        'Content-Type: application/pdf; name=a.pdf',
        '',
        'pdf',
        '--b  --',
      ]),
    ],
    ['bare line feeds', Buffer.from(Buffer.from(boundary('--b ')).toString().replaceAll('\r\n', '\n'))],
    [
      'an inner multipart that is never closed',
      multipart('multipart/mixed; boundary=b', [
        '--b',
        'Content-Type: multipart/alternative; boundary=inner',
        '',
        '--inner',
        '',
        'text',
        '--b',
        'Content-Type: application/pdf; name=a.pdf',
        '',
        'pdf',
        '--b--',
      ]),
    ],
    [
      'two inner multiparts that are never closed',
      multipart('multipart/mixed; boundary=b', [
        '--b',
        'Content-Type: multipart/related; boundary=c',
        '',
        '--c',
        'Content-Type: multipart/alternative; boundary=d',
        '',
        '--d',
        '',
        'text',
        '--b',
        'Content-Type: application/pdf; name=a.pdf',
        '',
        'pdf',
        '--b--',
      ]),
    ],
  ])('with %s', async (_, raw) => {
    const { text, attachments } = await parseMail(raw);
    expect(text).toBe('text');
    expect(attachments).toMatchObject([{ filename: 'a.pdf', contentType: 'application/pdf', size: 3 }]);
    expect(Buffer.from((await readAttachment(raw, 0))!.content).toString()).toBe('pdf');
  });

  test('a text file sent inline is an attachment with its name, not a piece of the text', async () => {
    const raw = multipart('multipart/mixed; boundary=b', [
      '--b\r\nContent-Type: text/plain\r\n\r\ntext',
      '--b\r\nContent-Type: text/plain; name=notes.txt\r\nContent-Disposition: inline; filename=notes.txt\r\n\r\nnotes',
      '--b--',
    ]);
    expect(await parseMail(raw)).toMatchObject({ text: 'text', attachments: [{ filename: 'notes.txt', size: 5 }] });
  });

  test('a forwarded mail is one attachment, whole', async () => {
    const raw = multipart('multipart/mixed; boundary=b', [
      '--b\r\n\r\ntext',
      '--b\r\nContent-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\nSubject: x\r\n\r\ninner',
      '--b--',
    ]);
    expect(await parseMail(raw)).toMatchObject({
      text: 'text',
      attachments: [{ filename: 'attachment-2.eml', contentType: 'message/rfc822', size: 19 }].map((a) => ({
        ...a,
        filename: 'attachment-1.eml',
      })),
    });
  });

  test('a delivery report keeps its machine-readable part', async () => {
    const raw = multipart('multipart/report; boundary=b', [
      '--b\r\n\r\nfailed',
      '--b\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed',
      '--b--',
    ]);
    expect(await parseMail(raw)).toMatchObject({ text: 'failed', attachments: [{ contentType: 'message/delivery-status' }] });
  });

  test('HTML alone has text; HTML and text side by side are both in both', async () => {
    expect((await parseMail(mail({ 'Content-Type': 'text/html' }, ['<p>Hello<br>you</p>']))).text).toBe('Hello\nyou');
    const mixed = await parseMail(
      multipart('multipart/mixed; boundary=b', ['--b\r\n\r\none <1>', '--b\r\nContent-Type: text/html\r\n\r\n<p>two</p>', '--b--']),
    );
    expect(mixed.text).toBe('one <1>\n\ntwo');
    expect(mixed.html).toContain('one &lt;1&gt;');
    expect(mixed.html).toContain('<p>two</p>');
  });

  test('an empty text beside HTML does not hide the text of the HTML', async () => {
    const raw = multipart('multipart/alternative; boundary=b', [
      '--b\r\n\r\n \r\n',
      '--b\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>',
      '--b--',
    ]);
    expect(await parseMail(raw)).toMatchObject({ text: 'Hello', html: '<p>Hello</p>' });
  });

  test('a multipart without its boundary still shows what it holds', async () => {
    expect((await parseMail(multipart('multipart/mixed', ['Hello']))).text).toBe('Hello');
    expect((await parseMail(multipart('multipart/mixed; boundary=b', ['Hello']))).text).toBe('Hello');
  });

  test('a header that ends with a line of spaces, or not at all, does not swallow the text', async () => {
    expect((await parseMail(Buffer.from('From: a@example.com\r\n \r\nHello you'))).text).toContain('Hello you');
    expect((await parseMail(Buffer.from('Hello you,\r\nthis is no header'))).text).toContain('this is no header');
  });

  test('prose labelled base64 stays prose', async () => {
    const raw = mail({ 'Content-Type': 'text/plain', 'Content-Transfer-Encoding': 'base64' }, [
      'this is a mail that has never been anywhere near a base64 encoder in its life',
    ]);
    expect((await parseMail(raw)).text).toContain('never been anywhere near');
  });

  test('a picture shown by cid: is inline, one that is only attached is not', async () => {
    const picture = (id: string) =>
      `--b\r\nContent-Type: image/png; name=${id}.png\r\nContent-ID: <${id}@x>\r\nContent-Disposition: inline\r\n\r\npng`;
    const raw = multipart('multipart/related; boundary=b', [
      '--b\r\nContent-Type: text/html\r\n\r\n<img src="cid:one%40x">',
      picture('one'),
      picture('two'),
      '--b--',
    ]);
    expect((await parseMail(raw)).attachments).toMatchObject([
      { contentId: 'one@x', inline: true },
      { contentId: 'two@x', inline: false },
    ]);
  });
});
