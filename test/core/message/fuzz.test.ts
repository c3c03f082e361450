import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sanitiseHtml } from '../../../core/message/html.ts';
import { readMail } from '../../../core/message/read-mail.ts';
import { mail } from './mail.ts';

/** FUZZ_RUNS=50000 for a long run; FUZZ_SEED to repeat one. */
const RUNS = Number(process.env.FUZZ_RUNS ?? 5000);
const SEED = Number(process.env.FUZZ_SEED ?? 20230102);
const DEADLINE_MS = 30_000;

const seeds = [
  mail(
    {
      From: '=?utf-8?b?5bGx55Sw?= <a@example.jp>',
      To: 'b@example.com',
      Subject: '=?iso-2022-jp?b?GyRCOCsbKEI=?=',
      Date: 'Mon, 2 Jan 2023 15:04:05 +0900',
      'Message-ID': '<1@x>',
    },
    ['Hello'],
  ),
  mail({ From: 'a@example.com', 'Content-Type': 'multipart/mixed; boundary="b"' }, [
    '--b',
    'Content-Type: multipart/alternative; boundary=c',
    '',
    '--c\r\nContent-Type: text/plain; charset=utf-8; format=flowed\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E8=A6=8B \r\nsoft=\r\nbreak',
    '--c\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p style="color:red">Hello <img src="cid:i@x"><a href="https://example.com">x</a></p>',
    '--c--',
    "--b\r\nContent-Type: image/png; name*0*=utf-8''%E8%A6; name*1=x.png\r\nContent-ID: <i@x>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=",
    '--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody',
    '--b--',
  ]),
  mail({ From: '"A, B" <a@example.com>, (c) d@example.com', 'Content-Type': 'text/html; charset=shift_jis' }, [
    '<table><tr><td>\x8c\xa9<b>x</table><style>p{}</style><!-- c -->',
  ]),
  mail({ 'Return-Path': '<>', 'Content-Type': 'multipart/report; report-type=delivery-status; boundary=r' }, [
    '--r\r\n\r\nfailed',
    '--r\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed',
    '--r\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: x',
    '--r--',
  ]),
  mail({ 'Content-Type': 'text/plain; charset=iso-2022-jp' }, ['\x1b$B8+@Q=q\x1b(B \x1b(I123\x1b(B']),
];

/** Pieces that mean something to a parser, to be put in anywhere. */
const TOKENS = [
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  '--',
  '--b',
  '--b--',
  '--c ',
  '=?',
  '?=',
  '=?utf-8?b?',
  '"',
  '(',
  ')',
  '<',
  '>',
  '@',
  ';',
  ':',
  ',',
  '\\',
  '\0',
  '\xff',
  '\x1b$B',
  '\x1b(',
  '=',
  '=\r\n',
  '&#',
  '<style>',
  '<!--',
  '--b\r\n',
  'boundary=',
  'Content-Type: ',
  'multipart/mixed; boundary=c',
  'base64',
  ' '.repeat(200),
  "*0*=utf-8''%",
  'charset=x',
];

/** mulberry32: the same numbers for the same seed on every machine. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

function mutate(source: Uint8Array, pick: (below: number) => number): Buffer {
  let bytes = Buffer.from(source);
  for (let i = 1 + pick(6); i > 0; i--) {
    const at = pick(bytes.length + 1);
    const end = Math.min(bytes.length, at + pick(30));
    const other = seeds[pick(seeds.length)]!;
    const from = pick(other.length);
    const put = [
      Buffer.from(TOKENS[pick(TOKENS.length)]!, 'latin1'),
      Buffer.alloc(0),
      Buffer.from([pick(256)]),
      Buffer.from(other.subarray(from, from + pick(200))),
      Buffer.concat([bytes.subarray(at, end), bytes.subarray(at, end)]),
    ][pick(5)]!;
    bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(pick(2) === 0 ? at : end)]);
  }
  return bytes;
}

function withinDeadline<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('not settled within the deadline')), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

test(`${RUNS} mutated mails are all settled, none crashes, and what was read is well formed`, async () => {
  const pick = random(SEED);
  for (let run = 0; run < RUNS; run++) {
    const raw = mutate(seeds[run % seeds.length]!, pick);
    try {
      const answer = await withinDeadline(readMail(raw, run % 10 === 9 ? 'postal-mime' : 'mailparser', 0));
      if ('tooBig' in answer) continue;
      expect(answer.mail.attachments.map(({ index }) => index)).toEqual(answer.mail.attachments.map((_, index) => index));
      if (answer.mail.attachments.length > 0) expect(answer.content).toHaveLength(answer.mail.attachments[0]!.size);
      if (answer.mail.html !== undefined) sanitiseHtml(answer.mail.html, { messageId: 'm', attachments: answer.mail.attachments });
    } catch (error) {
      const folder = join(tmpdir(), 'mail-fuzz');
      mkdirSync(folder, { recursive: true });
      const file = join(folder, `seed-${SEED}-run-${run}.eml`);
      writeFileSync(file, raw);
      throw new Error(`seed ${SEED}, run ${run}, input kept in ${file}`, { cause: error });
    }
  }
}, 600_000);
