import { MAX_HEADER_BYTES } from '../../../core/limits.ts';
import { parseMail, readAttachment, UnreadableMail } from '../../../core/message/parse-mail.ts';
import { mail } from './mail.ts';

describe('parseMail', () => {
  test('reads a mail with text, HTML and an attachment', async () => {
    const raw = mail(
      {
        From: 'Sales =?utf-8?b?5bGx55Sw?= <yamada@example.com>',
        To: 'customer@example.org',
        Subject: '=?iso-2022-jp?b?GyRCOCtAUT1xGyhC?=',
        Date: 'Mon, 2 Jan 2023 15:04:05 +0900',
        'Message-ID': '<1@example.com>',
        'Content-Type': 'multipart/mixed; boundary=outer',
      },
      [
        '--outer',
        'Content-Type: multipart/alternative; boundary=inner',
        '',
        '--inner',
        'Content-Type: text/plain',
        '',
        'Hello',
        '--inner',
        'Content-Type: text/html',
        '',
        '<p>Hello</p>',
        '--inner--',
        '--outer',
        'Content-Type: application/pdf; name="quote.pdf"',
        'Content-Transfer-Encoding: base64',
        '',
        'JVBERg==',
        '--outer--',
      ],
    );
    expect(await parseMail(raw)).toMatchObject({
      messageId: '1@example.com',
      subject: '見積書',
      date: '2023-01-02T06:04:05.000Z',
      dateHeader: 'Mon, 2 Jan 2023 15:04:05 +0900',
      from: [{ address: 'yamada@example.com', name: 'Sales 山田' }],
      to: [{ address: 'customer@example.org', name: '' }],
      text: 'Hello',
      html: '<p>Hello</p>',
      attachments: [{ index: 0, filename: 'quote.pdf', contentType: 'application/pdf', size: 4, inline: false }],
      automatic: undefined,
      parser: 'mailparser',
    });
    const found = await readAttachment(raw, 0);
    expect(Buffer.from(found!.content).toString()).toBe('%PDF');
    expect(await readAttachment(raw, 1)).toBeUndefined();
  });

  test('a mail past a limit is unreadable, with the reason, and the next one is read all the same', async () => {
    const long = mail({ From: 'a@example.com', 'X-Long': 'x'.repeat(MAX_HEADER_BYTES) }, ['Hello']);
    const [bad, good] = await Promise.allSettled([parseMail(long), parseMail(mail({ From: 'a@example.com' }, ['Hello']))]);
    expect(bad).toMatchObject({ status: 'rejected', reason: expect.any(UnreadableMail) });
    expect(bad).toMatchObject({ reason: { reason: 'headers-too-long' } });
    expect(good).toMatchObject({ status: 'fulfilled', value: { text: 'Hello' } });
  });
});
