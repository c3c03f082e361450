import { attachmentName } from '../../../core/message/attachment-name.ts';
import { decodeWords, parseHeaderValue } from '../../../core/message/encoded-words.ts';
import { parseMailDate } from '../../../core/message/mail-date.ts';
import { parseAddresses, readHeaders } from '../../../core/message/mail-headers.ts';
import type { RawField } from '../../../core/message/mime-scan.ts';
import { parseMail } from '../../../core/message/parse-mail.ts';
import { mail } from './mail.ts';

const from = async (value: string) => (await parseMail(mail({ From: value }, ['x']))).from;

describe('no name can forge an address', () => {
  const attacker = 'attacker@example.org';
  test.each([
    `=?utf-8?q?victim=40example.com?= <${attacker}>`,
    `=?utf-8?b?${Buffer.from('victim@example.com').toString('base64')}?= <${attacker}>`,
    `=?utf-8?q?=3Cvictim=40example.com=3E?= <${attacker}>`,
    `=?utf-8?q?=22x=22_=3Cvictim=40example.com=3E,?= <${attacker}>`,
    `=?utf-8?q?victim=40example.com=2C?= ${attacker}`,
    `=?utf-8?b?${Buffer.from('victim@example.com>\0').toString('base64')}?= <${attacker}>`,
    `"victim@example.com" <${attacker}>`,
    `"<victim@example.com>" <${attacker}>`,
    `"victim@example.com, x" <${attacker}>`,
    `"\\"victim@example.com\\"" <${attacker}>`,
    `(victim@example.com) ${attacker}`,
    `(<victim@example.com>) <${attacker}>`,
    `${attacker} (victim@example.com)`,
    `x (a (b) <victim@example.com>) <${attacker}>`,
    `＜victim＠example.com＞ <${attacker}>`,
  ])('%s is from the attacker alone', async (value) => {
    expect((await from(value)).map(({ address }) => address)).toEqual([attacker]);
  });

  test.each([
    `=?utf-8?q?victim=40example.com?=`,
    `=?utf-8?b?${Buffer.from('<victim@example.com>').toString('base64')}?=`,
    `=?utf-8?b?${Buffer.from('Victim <victim@example.com>').toString('base64')}?=`,
    `<=?utf-8?q?victim=40example.com?=>`,
    `(victim@example.com)`,
    `victim at example.com`,
    `Victim <victim>`,
    `<@example.com>`,
    `<victim@>`,
    `undisclosed-recipients:;`,
    ``,
  ])('%s names nobody', async (value) => {
    expect(await from(value)).toEqual([]);
  });

  test.each([
    `<victim@example.com> <${attacker}>`,
    `victim@example.com ${attacker}`,
    `victim@example.com <${attacker}> <victim@example.com>`,
    `victim@example.com\r\nFrom: ${attacker}`,
  ])('%s names both, so that a gate sees two', async (value) => {
    const addresses = (await from(value)).map(({ address }) => address);
    expect(addresses.sort()).toEqual([attacker, 'victim@example.com']);
  });
});

describe('addresses', () => {
  test.each([
    ['Taro Yamada <TARO@Example.COM>', [['taro@example.com', 'Taro Yamada']]],
    ['taro@example.com (山田)', [['taro@example.com', '山田']]],
    [
      '"Yamada, Taro" <taro@example.com>, b@example.com',
      [
        ['taro@example.com', 'Yamada, Taro'],
        ['b@example.com', ''],
      ],
    ],
    [
      'Team: a@example.com, B <b@example.com>; c@example.com',
      [
        ['a@example.com', ''],
        ['b@example.com', 'B'],
        ['c@example.com', ''],
      ],
    ],
    ['"a..b."@mobile.example', [['a..b.@mobile.example', '']]],
    ['a..b.@mobile.example', [['a..b.@mobile.example', '']]],
    ['<@relay.example:taro@example.com>', [['taro@example.com', '']]],
    ['taro@日本語.jp', [['taro@xn--wgv71a119e.jp', '']]],
    ['"A\\"B" <taro@example.com>', [['taro@example.com', 'A"B']]],
    ["'Taro' <taro@example.com>", [['taro@example.com', "'Taro'"]]],
    ['=?utf-8?q?A=0D=0AB_=E2=80=AEx?= <taro@example.com>', [['taro@example.com', 'A B x']]],
  ] as [string, string[][]][])('%s', (value, expected) => {
    expect(parseAddresses(Buffer.from(value).toString('latin1')).map(({ address, name }) => [address, name])).toEqual(expected);
  });
});

describe('R-6: whom a header names beside the addresses it is read as, so that an exclusion misses nobody', () => {
  const others = (name: string, value: string) => readHeaders([{ name, value } as RawField]).others;
  test.each([
    ['an address with a character that keys cannot hold', 'taro@customer.example, sales#jp@partner.example', ['@partner.example']],
    ['a quoted local part', '"a b"@partner.example, taro@customer.example', ['@partner.example']],
    ['a second one in the place of one', '<taro@customer.example> <aya@partner.example>', ['aya@partner.example']],
    ['one without a comma before it', 'taro@customer.example aya@partner.example', ['aya@partner.example']],
    ['in the spelling of the others', '"a b"@Mail.PARTNER.example.', ['@mail.partner.example']],
    ['each once', '"a b"@partner.example, "c d"@partner.example', ['@partner.example']],
  ])('%s', (_, value, expected) => {
    for (const name of ['To', 'cc']) expect(others(name, value)).toEqual({ from: [], recipients: expected });
  });

  test('in From only what is no address: two in the place of one are both senders', () => {
    expect(others('From', '"a b"@partner.example')).toEqual({ from: ['@partner.example'], recipients: [] });
    expect(others('From', '<taro@customer.example> <aya@partner.example>')).toBeUndefined();
  });

  test.each([
    'Taro <taro@customer.example>, "Aya, Inc. (x@y.example)" <aya@customer.example>',
    'Team: taro@customer.example, aya@customer.example;',
    'undisclosed-recipients:;',
    'taro@customer.example (aya@partner.example)',
    'taro@[192.0.2.1]',
    '"" <>',
    '@, @@',
  ])('nobody: %s', (value) => expect(others('To', value)).toBeUndefined());

  test('those beyond the thousandth, as many as an item has room for beside them', () => {
    const many = (count: number) => Array.from({ length: count }, (_, n) => `p${n}@many.example`).join(', ');
    expect(others('To', many(1000))).toBeUndefined();
    expect(others('To', many(1002))?.recipients).toEqual(['p1000@many.example', 'p1001@many.example']);
    const huge = others('To', many(9000))?.recipients ?? [];
    expect(Buffer.byteLength(huge.join(''))).toBeLessThanOrEqual(100 * 1024);
    expect(Buffer.byteLength(huge.join(''))).toBeGreaterThan(99 * 1024);
  });
});

describe('Date: a readable one is read, an unreadable one is undefined and never now', () => {
  test.each([
    ['Mon, 2 Jan 2023 15:04:05 +0900', '2023-01-02T06:04:05.000Z'],
    ['2 Jan 2023 15:04 +0900', '2023-01-02T06:04:00.000Z'],
    ['Mon, 02 Jan 2023 15:04:05 +0900 (JST)', '2023-01-02T06:04:05.000Z'],
    ['Mon, 2 Jan 2023 15:04:05 GMT', '2023-01-02T15:04:05.000Z'],
    ['Mon, 2 Jan 2023 15:04:05 EST', '2023-01-02T20:04:05.000Z'],
    ['Mon, 2 Jan 2023 15:04:05 -0000', '2023-01-02T15:04:05.000Z'],
    ['Mon, 2 Jan 2023 15:04:05', '2023-01-02T15:04:05.000Z'],
    ['Mon, 2 Jan 23 15:04:05 +0000', '2023-01-02T15:04:05.000Z'],
    ['Thu, 13 Feb 69 23:32:54 -0330', '1969-02-14T03:02:54.000Z'],
    ['Mon, 2 Jan 2023 (a (b) c) 15:04:05 +0000', '2023-01-02T15:04:05.000Z'],
    ['Mon, 2 Jan 2023 15:04:60 +0000', '2023-01-02T15:04:59.000Z'],
    ['Mon Jan  2 15:04:05 2023', '2023-01-02T15:04:05.000Z'],
    ['Mon Jan  2 15:04:05 JST 2023', '2023-01-02T06:04:05.000Z'],
    ['2023-01-02T15:04:05Z', '2023-01-02T15:04:05.000Z'],
    ['2023-01-02 15:04:05 +09:00', '2023-01-02T06:04:05.000Z'],
    ['Mon, 2 Jan 1950 15:04:05 +0000', '1950-01-02T15:04:05.000Z'],
    ['Mon, 2 Jan 2196 15:04:05 +0000', '2196-01-02T15:04:05.000Z'],
    ['Thu, 29 Feb 2024 00:00:00 +0000', '2024-02-29T00:00:00.000Z'],
  ])('%s', (text, iso) => {
    expect(parseMailDate(text)?.toISOString()).toBe(iso);
  });

  test.each([
    '',
    'now',
    'yesterday',
    'Whenever',
    '0',
    '1672671845',
    'Mon, 31 Feb 2023 15:04:05 +0000',
    'Wed, 29 Feb 2023 15:04:05 +0000',
    'Mon, 0 Jan 2023 15:04:05 +0000',
    'Mon, 2 Foo 2023 15:04:05 +0000',
    'Mon, 2 Jan 2023 24:04:05 +0000',
    'Mon, 2 Jan 2023 15:60:05 +0000',
    'Mon, 2 Jan 2023 15:04:61 +0000',
    'Mon, 2 Jan 2023 15:04:05 +9900',
    'Mon, 2 Jan 2023 15:04:05 +0060',
    'Mon, 2 Jan 20230 15:04:05 +0000',
    'Mon, 2 Jan 2023',
    'Wed, 15 Dec 2010    59:10 -0500',
    '2023-13-02T15:04:05Z',
    '(Mon, 2 Jan 2023 15:04:05 +0000)',
  ])('%p is no date', async (text) => {
    const parsed = await parseMail(mail({ Date: text }, ['x']));
    expect(parsed.date).toBeUndefined();
    expect(parsed.dateHeader).toBe(text);
  });

  test('without the header there is neither date nor text of it', async () => {
    const parsed = await parseMail(mail({ Subject: 'x' }, ['x']));
    expect([parsed.date, parsed.dateHeader]).toEqual([undefined, undefined]);
  });
});

describe('R-35: automatic mail is known by its header', () => {
  test.each([
    [{ 'Auto-Submitted': 'auto-replied' }, 'auto-submitted'],
    [{ 'Auto-Submitted': 'Auto-Generated; owner-email="x"' }, 'auto-submitted'],
    [{ 'auto-submitted': 'auto-notified' }, 'auto-submitted'],
    [{ 'Auto-Submitted': 'no' }, undefined],
    [{ 'Auto-Submitted': 'No (a comment)' }, undefined],
    [{ 'Return-Path': '<>' }, 'null-return-path'],
    [{ 'Return-Path': ' < > ' }, 'null-return-path'],
    [{ 'Return-Path': '<a@example.com>' }, undefined],
    [{ Precedence: 'bulk' }, 'precedence'],
    [{ Precedence: 'LIST' }, 'precedence'],
    [{ Precedence: 'junk' }, 'precedence'],
    [{ Precedence: 'first-class' }, undefined],
    [{ 'List-Id': '<x.example.com>' }, 'list'],
    [{ 'List-Unsubscribe': '<mailto:x@example.com>' }, 'list'],
    [{ 'List-Post': 'NO' }, 'list'],
    [{ 'X-Auto-Response-Suppress': 'All' }, 'auto-response-suppress'],
    [{ 'X-Auto-Response-Suppress': 'DR, OOF, AutoReply' }, 'auto-response-suppress'],
    [{ 'X-Auto-Response-Suppress': 'OOF' }, undefined],
    [{ 'X-Auto-Response-Suppress': 'DR, RN, NRN, OOF' }, undefined],
    [{ Subject: 'Out of office' }, undefined],
  ])('%p', async (header, automatic) => {
    expect((await parseMail(mail(header as Record<string, string>, ['x']))).automatic).toBe(automatic);
  });
});

describe('ids and marks', () => {
  test.each([
    ['<1@example.com>', '1@example.com'],
    ['  <1@example.com>  (comment)', '1@example.com'],
    ['1@example.com', '1@example.com'],
    ['<>', undefined],
    ['', undefined],
    ['<a b@example.com>', 'a b@example.com'],
  ])('Message-ID %p is %p', async (value, id) => {
    expect((await parseMail(mail({ 'Message-ID': value }, ['x']))).messageId).toBe(id);
  });

  test('references are oldest first, each once, and In-Reply-To comes last', async () => {
    const ids = async (header: Record<string, string>) => (await parseMail(mail(header, ['x']))).references;
    expect(await ids({ References: '<a@x>\r\n <b@x> <a@x>', 'In-Reply-To': '<c@x>' })).toEqual(['a@x', 'b@x', 'c@x']);
    expect(await ids({ References: '<a@x> <b@x>', 'In-Reply-To': '"a mail" <a@x>' })).toEqual(['a@x', 'b@x']);
    expect(await ids({ 'X-MS-Exchange-Parent-Message-Id': '<p@x>' })).toEqual(['p@x']);
    expect(await ids({ 'In-Reply-To': '<c@x>', 'X-MS-Exchange-Parent-Message-Id': '<p@x>' })).toEqual(['c@x']);
    expect(await ids({ References: 'a@x b@x' })).toEqual(['a@x', 'b@x']);
    const many = await ids({ References: Array.from({ length: 150 }, (_, i) => `<${i}@x>`).join('\r\n ') });
    expect([many.length, many[0], many[1], many.at(-1)]).toEqual([100, '0@x', '51@x', '149@x']);
  });

  test('DKIM domains, the own mark, and the header lines as shown', async () => {
    const parsed = await parseMail(
      mail(
        {
          'DKIM-Signature': 'v=1; a=rsa-sha256; d=Example.COM; s=x;\r\n\tbh=d=no;',
          'X-Crm-Mail-Addon': 'v1',
          Subject: '=?utf-8?q?=E8=A6=8B?=\r\n folded',
        },
        ['x'],
      ),
    );
    expect(parsed).toMatchObject({ dkimDomains: ['example.com'], ownMark: 'v1', subject: '見 folded' });
    expect(parsed.headers).toContainEqual(['Subject', '見 folded']);
    const long = await parseMail(Buffer.from(`${'X-A: b\r\n'.repeat(300)}X-Long: ${'y'.repeat(3000)}\r\n\r\nx`));
    expect(long.headers).toHaveLength(200);
    expect((await parseMail(mail({ 'X-Long': 'y'.repeat(3000) }, ['x']))).headers[0]![1]).toHaveLength(2000);
  });
});

describe('names of attachments', () => {
  const name = (disposition: string) => parseHeaderValue(Buffer.from(disposition).toString('latin1')).params.get('filename');
  test.each([
    ['attachment; filename=a.pdf', 'a.pdf'],
    ['attachment; filename="a b;c.pdf"', 'a b;c.pdf'],
    ['attachment; filename=a b.pdf', 'a b.pdf'],
    ['attachment; FILENAME = "a.pdf" ; size=1', 'a.pdf'],
    ["attachment; filename*=UTF-8''%E8%A6%8B%E7%A9%8D.pdf", '見積.pdf'],
    ["attachment; filename*=utf-8'ja'%E8%A6%8B.pdf; filename=x.pdf", '見.pdf'],
    ["attachment; filename*=Shift_JIS''%8C%A9.pdf", '見.pdf'],
    ["attachment; filename*=iso-2022-jp''%1B%24B8%2B%1B%28B.pdf", '見.pdf'],
    ["attachment; filename*0*=UTF-8''%E8%A6; filename*1*=%8B; filename*2=.pdf", '見.pdf'],
    ["attachment; filename*2=.pdf; filename*1*=%8B; filename*0*=UTF-8''%E8%A6", '見.pdf'],
    ['attachment; filename*0="long "; filename*1="name.pdf"', 'long name.pdf'],
    ["attachment; filename*=''%E8%A6%8B", '見'],
    ['attachment; filename*=%E8%A6%8B', '見'],
    ['attachment; filename="=?utf-8?B?6KaL?=.pdf"', '見.pdf'],
    ['attachment; filename==?utf-8?Q?=E8=A6=8B?=', '見'],
    ['attachment; filename="=?iso-2022-jp?B?GyRCOCsbKEI=?=\r\n =?iso-2022-jp?B?GyRCQFEbKEI=?="', '見積'],
    ['attachment; filename="見.pdf"', '見.pdf'],
    ['attachment; filename="a\\"b.pdf"', 'a"b.pdf'],
    ['attachment; filename="C:\\temp\\a.pdf"', 'C:\\temp\\a.pdf'],
    ['attachment (see; below); filename=a.pdf', 'a.pdf'],
    ["attachment; filename*=no-such''%41", 'A'],
    ['attachment; filename="unclosed.pdf', 'unclosed.pdf'],
  ])('%s', (disposition, expected) => {
    expect(name(disposition)).toBe(expected);
  });

  test.each([
    ['../../etc/passwd', 'passwd'],
    ['C:\\temp\\a.pdf', 'a.pdf'],
    ['a\u202Egpj.exe', 'agpj.exe'],
    ['a\r\nX: y.pdf', 'aX: y.pdf'],
    ['.htaccess', 'htaccess'],
    ['..', 'attachment-1.pdf'],
    [undefined, 'attachment-1.pdf'],
    [`${'見'.repeat(300)}.pdf`, `${'見'.repeat(196)}.pdf`],
  ])('%p is saved as %p', (text, expected) => {
    expect(attachmentName(text, 'application/pdf', 0)).toBe(expected);
  });
});

describe('encoded words', () => {
  test.each([
    ['=?utf-8?q?a?= =?utf-8?q?b?=', 'ab'],
    ['=?utf-8?q?a?= b =?utf-8?q?c?=', 'a b c'],
    ['=?utf-8?q?a_b=20c?=', 'a b c'],
    ['=?utf-8?b?YQ==?==?utf-8?b?Yg==?=', 'ab'],
    ['=?utf-8?B?YQ==Yg==?=', 'ab'],
    ['=?utf-8*ja?Q?a?=', 'a'],
    ['=?utf-8?x?a?=', '=?utf-8?x?a?='],
    ['=?utf-8?q?a', '=?utf-8?q?a'],
    ['=?no-such?q?=E9?=', 'é'],
    ['a=?utf-8?q?b?=c', 'abc'],
    ['=?utf-8?q?unencoded space?=', 'unencoded space'],
  ])('%s reads as %p', (text, expected) => {
    expect(decodeWords(text)).toBe(expected);
  });
});

test('half a surrogate pair, which UTF-7 can bring in, is replaced: DynamoDB takes only whole characters', () => {
  const { subject, to } = readHeaders([
    { name: 'Subject', value: '=?utf-7?Q?+2AA-?= x' },
    { name: 'To', value: '=?utf-7?Q?+2AA-?= <taro@customer.example>' },
  ]);
  expect([subject.isWellFormed(), to[0]?.name.isWellFormed()]).toEqual([true, true]);
});
