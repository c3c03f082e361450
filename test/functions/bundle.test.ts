import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import * as fc from 'fast-check';
import { sanitiseHtml } from '../../core/message/html.ts';
import type { Answer, Question } from '../../core/message/parse-thread.ts';
import { readMail } from '../../core/message/read-mail.ts';
import type { FunctionRow } from '../../functions/manifest.ts';
import { type Built, bundle } from '../../lib/bundle.ts';
import { mail } from '../core/message/mail.ts';

const KB = 1000;

/** What the shims of lib/bundle-shims touch, as bundles of their own. */
const touched = {
  html: {
    entry: 'core/message/html.ts',
    trigger: { kind: 'operator' },
    timeout: 1,
    memory: 128,
    uses: [],
    threads: ['core/message/parse-thread.ts'],
  },
} as const satisfies Record<string, FunctionRow>;

let dir: string;
let built: Built;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'bundle-'));
  built = await bundle(join(dir, 'all'));
  await bundle(join(dir, 'touched'), touched);
});
afterAll(() => rmSync(dir, { recursive: true }));

test('each function with its threads is below 1.5 MB, the authoriser below 600 KB', () => {
  const { authorise, ...others } = built.sizes;
  expect(authorise).toBeLessThan(600 * KB);
  const tooLarge = Object.entries(others).filter(([, bytes]) => bytes >= 1500 * KB);
  expect(tooLarge).toEqual([]);
  expect(Object.keys(others).length).toBeGreaterThan(4);
});

const multipart = (type: string, lines: string[]) =>
  mail({ From: 'a@example.com', 'Content-Type': `${type}; boundary=b` }, [...lines.map((line) => line.replace(/^--$/, '--b')), '--b--']);

const text = (charset: string, body: string, encoding = '8bit') =>
  mail({ From: 'a@example.com', Subject: 's', 'Content-Type': `text/plain; charset=${charset}`, 'Content-Transfer-Encoding': encoding }, [
    body,
  ]);

const attached = (header: string, ...more: string[]) =>
  multipart('multipart/mixed', ['--', 'Content-Type: text/plain', '', 'see attached', '--', header, ...more, '', 'JVBERg==']);

const mails: Record<string, Uint8Array> = {
  'ISO-2022-JP': text('iso-2022-jp', '\x1b$B8+@Q=q\x1b(B ABC'),
  'ISO-2022-JP with half-width kana': text('iso-2022-jp', '\x1b(I6@6E\x1b(B'),
  Shift_JIS: text('shift_jis', '\x8c\xa9\x90\xcf\x8f\x91 \xb6\xc5'),
  'CP932 with NEC rows': text('cp932', '\x87\x40\xed\x40'),
  'EUC-JP': text('euc-jp', '\xb8\xab\xc0\xd1\xbd\xf1'),
  'EUC-JP in base64': text('EUC-JP', Buffer.from('\xb8\xab\xc0\xd1\xbd\xf1', 'latin1').toString('base64'), 'base64'),
  'UTF-8 in quoted-printable': text('utf-8', '=E8=A6=8B=E7=A9=8D=E6=9B=B8 =\r\nend', 'quoted-printable'),
  'UTF-7': text('utf-7', '+iYt6TWX4-'),
  'KOI8-R': text('koi8-r', '\xf0\xd2\xc9\xd7\xc5\xd4'),
  GB18030: text('gb18030', '\xc4\xe3\xba\xc3'),
  'Windows-1252 said to be Latin-1': text('iso-8859-1', '\x93quoted\x94 \x80'),
  'an unknown charset': text('x-klingon', 'caf\xe9'),
  'no charset': text('', '\x8c\xa9\x90\xcf\x8f\x91\x82\xf0\x91\x97\x82\xe8\x82\xdc\x82\xb7'),
  'format=flowed': text('iso-2022-jp; format=flowed; delsp=yes', '\x1b$B8+@Q\x1b(B \r\n\x1b$B=q\x1b(B \r\nend'),
  'encoded words': mail({ From: '=?iso-2022-jp?B?GyRCOzNFRBsoQg==?= <a@example.com>', Subject: '=?Shift_JIS?Q?=8C=A9=90=CF?=' }, ['x']),
  'HTML alone': mail({ From: 'a@example.com', 'Content-Type': 'text/html; charset=shift_jis' }, [
    '<p>\x8c\xa9 &amp; <b>x</b> https://example.com</p>',
  ]),
  'text and HTML': multipart('multipart/alternative', [
    '--',
    'Content-Type: text/plain',
    '',
    'Hello http://example.com',
    '--',
    'Content-Type: text/html',
    '',
    '<p>Hello</p>',
  ]),
  'HTML between texts': multipart('multipart/mixed', [
    '--',
    '',
    'one',
    '--',
    'Content-Type: text/html',
    '',
    '<i>two</i>',
    '--',
    '',
    'three',
  ]),
  'a name in RFC 2231': attached(
    "Content-Disposition: attachment; filename*=iso-2022-jp'ja'%1B$B8%2B@Q=q%1B%28B.pdf",
    'Content-Transfer-Encoding: base64',
  ),
  'a name in RFC 2231 pieces': attached(
    "Content-Disposition: attachment;\r\n filename*0*=utf-8''%E8%A6%8B;\r\n filename*1*=%E7%A9%8D;\r\n filename*2=.pdf",
  ),
  'a name in encoded words': attached(
    'Content-Type: application/pdf; name="=?shift_jis?B?jKmQz4+RLnBkZg==?="',
    'Content-Transfer-Encoding: base64',
  ),
  'a name in raw Shift_JIS': attached('Content-Type: application/octet-stream; name="\x8c\xa9\x90\xcf.docx"'),
  'a file whose name alone says what it is': attached(
    'Content-Type: application/octet-stream; name="plan.xlsx"',
    'Content-Disposition: attachment',
  ),
  'a disposition alone': attached('Content-Disposition: attachment; filename="=?utf-8?Q?caf=C3=A9.png?="'),
  'a mail in a mail': multipart('multipart/mixed', [
    '--',
    '',
    'fwd',
    '--',
    'Content-Type: message/rfc822',
    '',
    'From: b@example.com',
    'Subject: =?iso-2022-jp?B?GyRCOCsbKEI=?=',
    'Content-Type: text/plain; charset=iso-2022-jp',
    '',
    '\x1b$B8+\x1b(B',
  ]),
  'a delivery report': multipart('multipart/report; report-type=delivery-status', [
    '--',
    '',
    'failed',
    '--',
    'Content-Type: message/delivery-status',
    '',
    'Reporting-MTA: dns; example.com',
    '',
    'Action: failed',
    '--',
    'Content-Type: text/rfc822-headers',
    '',
    'From: a@example.com',
  ]),
  'an invitation': multipart('multipart/mixed', [
    '--',
    'Content-Type: text/calendar; method=REQUEST; charset=utf-8',
    '',
    'BEGIN:VCALENDAR',
    'END:VCALENDAR',
  ]),
  'a picture shown in the HTML': multipart('multipart/related', [
    '--',
    'Content-Type: text/html',
    '',
    '<img src="cid:p@x">',
    '--',
    'Content-Type: image/png',
    'Content-ID: <p@x>',
    'Content-Transfer-Encoding: base64',
    '',
    'iVBORw==',
  ]),
  uuencode: mail({ From: 'a@example.com', 'Content-Type': 'text/plain', 'Content-Transfer-Encoding': 'uuencode' }, [
    'begin 644 x',
    '#0V%T',
    '`',
    'end',
  ]),
  'no header but From': mail({ From: 'a@example.com' }, ['Hello']),
  'a boundary that never comes': mail({ From: 'a@example.com', 'Content-Type': 'multipart/mixed; boundary=b' }, ['Hello']),
  'an international domain': mail({ From: 'a@xn--r8jz45g.example', To: '=?utf-8?B?5bGx55Sw?= <b@例え.example>' }, ['x']),
  nothing: new Uint8Array(),
};

describe('what the bundle leaves out changes no mail', () => {
  let thread: Worker | undefined;
  afterAll(() => thread?.terminate());

  const nextAnswer = (worker: Worker) =>
    new Promise<Answer>((done, failed) => {
      worker.removeAllListeners().once('message', done).once('error', failed);
      worker.once('exit', () => failed(new Error('the thread ended')));
    });

  async function startThread(): Promise<Worker> {
    const worker = new Worker(pathToFileURL(join(dir, 'touched/html/parse-thread.mjs')));
    await nextAnswer(worker);
    worker.removeAllListeners().once('exit', () => {
      thread = undefined;
    });
    return worker;
  }

  async function ask(question: Question): Promise<Answer> {
    thread ??= await startThread();
    const worker = thread;
    const answer = nextAnswer(worker).catch((error) => {
      thread = undefined;
      throw error;
    });
    worker.postMessage(question);
    return answer;
  }

  async function expectSame(raw: Uint8Array): Promise<void> {
    for (const parser of ['mailparser', 'postal-mime'] as const) {
      const source = await readMail(raw, parser, 0).catch((): Answer => ({ failed: true }));
      expect(plain(await ask({ raw, parser, keep: 0 }))).toEqual(plain(source));
    }
  }

  test.each(Object.keys(mails))('%s is read by the bundle as by the source', async (name) => {
    await expectSame(mails[name]!);
  });

  test('damaged mails are read by the bundle as by the source', async () => {
    const damaged = fc
      .tuple(fc.constantFrom(...Object.values(mails)), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }))
      .map(([raw, changes]) => {
        const bytes = Uint8Array.from(raw);
        for (const [at, byte] of changes) bytes[at % Math.max(1, bytes.length)] = byte;
        return bytes;
      });
    // A fixed seed. Names damaged inside their charset may be guessed another type by the tables that are left out.
    await fc.assert(fc.asyncProperty(damaged, expectSame), { numRuns: 300, seed: 1 });
  });

  test('HTML comes out of the bundle as out of the source, styles too', async () => {
    const { sanitiseHtml: bundled } = (await import(pathToFileURL(join(dir, 'touched/html/handler.mjs')).href)) as {
      sanitiseHtml: typeof sanitiseHtml;
    };
    const options = { messageId: 'm1', attachments: [] };
    const html = '<p style="color: red; position: fixed" class="a">x<img src="https://example.com/a.png"><script>1</script></p>';
    expect(bundled(html, options)).toEqual(sanitiseHtml(html, options));
    expect(bundled(html, options).html).toContain('color');
  });
});

/** As it crosses from the thread: without undefined values, contents as hexadecimal text. */
const plain = (answer: Answer) =>
  JSON.parse(
    JSON.stringify(typeof answer === 'object' && 'content' in answer ? { ...answer, content: hex(answer.content) } : answer),
  ) as unknown;

const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex');
