import fc from 'fast-check';
import { domainOf, isAutomaticSender, normaliseAddress } from '../../../core/message/address.ts';

describe('normaliseAddress', () => {
  test.each([
    [' Taro.Yamada@Example.COM ', 'taro.yamada@example.com'],
    ['taro@example.com.', 'taro@example.com'],
    ['taro+crm@example.com', 'taro+crm@example.com'],
    ['taro@日本語.jp', 'taro@xn--wgv71a119e.jp'],
    ['taro@XN--WGV71A119E.jp', 'taro@xn--wgv71a119e.jp'],
    ['taro@ｅｘａｍｐｌｅ．jp', 'taro@example.jp'],
    ['"a..b."@mobile.example', 'a..b.@mobile.example'],
    ['a..b.@mobile.example', 'a..b.@mobile.example'],
    ['ユーザー@example.jp', 'ユーザー@example.jp'],
    ["o'brien@example.ie", "o'brien@example.ie"],
    ['root@localhost', 'root@localhost'],
  ])('%s becomes %s', (text, expected) => {
    expect(normaliseAddress(text)).toBe(expected);
  });

  test.each([
    '',
    'taro',
    '@example.com',
    'taro@',
    'taro@.',
    'ta ro@example.com',
    'taro@exa mple.com',
    'taro#x@example.com',
    'taro@example.com#x',
    'a@b@example.com',
    '"a@b"@example.com',
    '<taro@example.com>',
    'taro@example..com',
    'taro@-example.com',
    'taro@[127.0.0.1]',
    'taro@127.0.0.1',
    'taro@0x7f.1',
    'taro@2130706433',
    'taro@ex%41mple.com',
    'taro@example.com/x',
    'ta\u200Bro@example.com',
    'ta\u202Ero@example.com',
    'taro\u0000@example.com',
    'taro\r\n@example.com',
    'taro@xn--a.com\u0000',
    `${'x'.repeat(243)}@example.com`,
    `${'x'.repeat(100_000)}@example.com`,
  ])('%p is no address', (text) => {
    expect(normaliseAddress(text)).toBeUndefined();
  });

  test('takes 254 characters and no more', () => {
    expect(normaliseAddress(`${'x'.repeat(242)}@example.com`)).toHaveLength(254);
  });

  test('whatever comes out is safe in keys and comes out the same again', () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.emailAddress());
    fc.assert(
      fc.property(text, text, (a, b) => {
        const address = normaliseAddress(`${a}@${b}`) ?? normaliseAddress(a);
        if (address === undefined) return;
        expect(normaliseAddress(address)).toBe(address);
        expect(address).not.toMatch(/[#\s\p{Cc}]/u);
        expect(address.length).toBeLessThanOrEqual(254);
      }),
      { numRuns: 2000, seed: 1 },
    );
  });
});

test('domainOf gives what follows the last @', () => {
  expect(domainOf('taro@example.com')).toBe('example.com');
});

describe('isAutomaticSender', () => {
  test.each([
    'no-reply@example.com',
    'noreply@example.com',
    'no_reply@example.com',
    'no.reply@example.com',
    'noreply-7f3a@example.com',
    'noreply+tag@example.com',
    'news-noreply@example.com',
    'donotreply@example.com',
    'do-not-reply@example.com',
    'mailer-daemon@example.com',
    'postmaster@example.com',
    'bounce@example.com',
    'bounces@example.com',
    'bounce+taro=example.org@mail.example.com',
    'bounces-123@example.com',
    'list-bounces@lists.example.com',
    'news-taro=example.org@lists.example.com',
    'srs0=abcd=xy=example.org=taro@example.com',
    'autoreply@example.com',
  ])('R-4, R-35: %s is automatic', (address) => {
    expect(isAutomaticSender(address)).toBe(true);
  });

  test.each([
    'taro@example.com',
    'norah.eply@example.com',
    'reply@example.com',
    'replyto@example.com',
    'bouncer.jones@example.com',
    'postmasterson@example.com',
    'info@bounce.example.com',
    'taro=x@example.com',
    'norep@example.com',
  ])('R-4: %s may be a person', (address) => {
    expect(isAutomaticSender(address)).toBe(false);
  });
});
