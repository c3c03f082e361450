import { deliveryOf } from '../../../core/dropbox/received.ts';

const ID = 'o3vrnil0e2ic28trm7dfhrc2v0clambda4nbp0g1';

/** What SES writes above a mail. */
const head = (more: { forWhom?: string; id?: string; results?: string; own?: string } = {}) =>
  Buffer.from(
    [
      'Return-Path: <Mika@example.com>',
      'Received: from mail.example.com (mail.example.com [192.0.2.1])',
      ` by inbound-smtp.eu-west-1.amazonaws.com with SMTP id ${more.id ?? ID}${more.forWhom ?? '\r\n for Secret@in.example.com'};`,
      ' Sun, 01 Mar 2026 09:00:00 +0000 (UTC)',
      'X-SES-Spam-Verdict: PASS',
      'X-SES-Virus-Verdict: PASS',
      `Authentication-Results: ${more.results ?? 'amazonses.com;\r\n spf=softfail (spfCheck: x) client-ip=192.0.2.1;\r\n dkim=fail header.i=@list.example;\r\n dkim=pass header.i=@example.com;\r\n dmarc=pass'};`,
      `${more.own ?? ''}From: Mika <mika@example.com>`,
      '',
      'Received: of the body',
    ].join('\r\n'),
  );

test('a delivery is read out of what SES wrote above the mail', () => {
  expect(deliveryOf(ID, `raw/${ID}`, head())).toEqual({
    id: ID,
    rawKey: `raw/${ID}`,
    receivedAt: '2026-03-01T09:00:00.000Z',
    source: 'mika@example.com',
    recipients: ['secret@in.example.com'],
    verdicts: { spam: 'PASS', virus: 'PASS', spf: 'GRAY', dkim: 'PASS', dmarc: 'PASS' },
  });
});

test('of several recipients SES names none', () => {
  expect(deliveryOf(ID, `raw/${ID}`, head({ forWhom: '' }))?.recipients).toEqual([]);
});

test('a failed check stays failed, whatever the sender wrote below', () => {
  const own = 'Authentication-Results: amazonses.com; spf=pass; dkim=pass; dmarc=pass\r\nX-SES-Spam-Verdict: PASS\r\n';
  const failed = 'amazonses.com; spf=fail; dkim=permerror; dmarc=fail; dkim=temperror';
  const { verdicts } = deliveryOf(ID, `raw/${ID}`, head({ results: failed, own }))!;
  expect(verdicts).toMatchObject({ spf: 'FAIL', dkim: 'PROCESSING_FAILED', dmarc: 'FAIL' });
  expect(deliveryOf(ID, 'raw/x', head({ results: 'evil.example; spf=pass' }))!.verdicts.spf).toBe('GRAY');
});

test("what SES did not store under this id is nobody's: another id, a foreign line, no mail at all", () => {
  expect(deliveryOf(ID, `raw/${ID}`, head({ id: `${ID}x` }))).toBeUndefined();
  expect(deliveryOf(ID, `raw/${ID}`, head({ id: 'other' }))).toBeUndefined();
  expect(deliveryOf('a.*', 'raw/a.*', head())).toBeUndefined();
  expect(deliveryOf('AMAZON_SES_SETUP_NOTIFICATION', 'raw/x', Buffer.from('Congratulations'))).toBeUndefined();
  expect(deliveryOf(ID, `raw/${ID}`, Buffer.alloc(0))).toBeUndefined();
});
