import { isRecent, PRESETS, presetOfAddress, presetOfExchangers, presetOfHost, userNameFor } from '../../../core/account/presets.ts';
import { readHost } from '../../../core/account/public-address.ts';
import { INCOMING_PORTS, OUTGOING_PORTS } from '../../../core/account/resolve-client.ts';
import { normaliseDomain } from '../../../core/message/address.ts';

const preset = (id: string) => PRESETS.find((each) => each.id === id)!;

test('POP-9: Gmail is read at pop.gmail.com and Zoho at pop.zoho.com, port 995 with TLS', () => {
  expect(presetOfAddress('taro@gmail.com')?.incoming).toEqual({ host: 'pop.gmail.com', port: 995, security: 'implicit' });
  expect(presetOfAddress('taro@zoho.com')?.incoming).toEqual({ host: 'pop.zoho.com', port: 995, security: 'implicit' });
});

test('POP-14: the outgoing server is filled in for every provider that can be read', () => {
  expect(PRESETS.filter(({ incoming, outgoing }) => incoming && !outgoing).map(({ id }) => id)).toEqual([]);
});

test('the providers users ask for are known', () => {
  const addresses = [
    ['taro@gmail.com', 'gmail'],
    ['taro@outlook.jp', 'outlook'],
    ['taro@example.onmicrosoft.com', 'exchange-online'],
    ['taro@yahoo.com', 'yahoo'],
    ['taro@yahoo.co.jp', 'yahoo-japan'],
    ['taro@zoho.com', 'zoho'],
    ['taro@fastmail.com', 'fastmail'],
    ['taro@gmx.de', 'gmx'],
    ['taro@web.de', 'web-de'],
    ['taro@icloud.com', 'icloud'],
    ['taro@aol.com', 'aol'],
    ['taro@ruby.ocn.ne.jp', 'ocn'],
    ['taro@aa2.so-net.ne.jp', 'so-net'],
    ['taro@kxd.biglobe.ne.jp', 'biglobe'],
    ['taro@nifty.com', 'nifty'],
    ['taro@au.com', 'au'],
    ['taro@docomo.ne.jp', 'docomo'],
    ['taro@i.softbank.jp', 'softbank'],
    ['taro@example.sakura.ne.jp', 'sakura'],
    ['taro@example.xsrv.jp', 'xserver'],
  ] as const;
  expect(addresses.map(([address]) => [address, presetOfAddress(address)?.id])).toEqual(addresses.map((each) => [...each]));
});

test.each(['taro@example.com', 'taro@notgmail.com', 'taro@gmail.com.example.com'])('%s is nobody of these', (address) => {
  expect(presetOfAddress(address)).toBeUndefined();
});

test.each([
  ['google-workspace', ['ASPMX.L.GOOGLE.COM.', 'alt1.aspmx.l.google.com']],
  ['google-workspace', ['smtp.google.com']],
  ['exchange-online', ['example-com.mail.protection.outlook.com']],
  ['outlook', ['outlook-com.olc.protection.outlook.com']],
  ['zoho', ['mx.zoho.com', 'mx2.zoho.com']],
  ['zoho-japan', ['mx.zoho.jp']],
  ['fastmail', ['in1-smtp.messagingengine.com']],
  ['yahoo', ['mta5.am0.yahoodns.net']],
  ['xserver', ['sv123.xserver.jp']],
])('a domain whose mail %s takes is hosted there: %p', (id, exchangers) => {
  expect(presetOfExchangers(exchangers)?.id).toBe(id);
});

test('a domain that looks like a provider is none', () => {
  expect(presetOfExchangers(['mx.notgoogle.com', 'google.com.example.com'])).toBeUndefined();
  expect(presetOfExchangers([])).toBeUndefined();
});

test('a server tells its provider, for advice', () => {
  expect(presetOfHost('POP.gmail.com.')?.id).toBe('gmail');
  expect(presetOfHost('outlook.office365.com')?.id).toBe('exchange-online');
  expect(presetOfHost('mail.example.com')).toBeUndefined();
});

test('POP-11: the user name is the whole address, or what stands before its @', () => {
  expect(userNameFor(preset('gmail'), 'taro@gmail.com')).toBe('taro@gmail.com');
  expect(userNameFor(preset('web-de'), 'taro@web.de')).toBe('taro');
});

test('POP-16, POP-17, C-20: Gmail is read by one client with the plain user name, beside others with recent: before it', () => {
  expect(preset('gmail').sharedUserName).toBe('recent:{address}');
  expect(['recent:taro@gmail.com', 'Recent:taro@gmail.com'].every(isRecent)).toBe(true);
  expect(['taro@gmail.com', 'recent@example.com'].some(isRecent)).toBe(false);
});

test('rows: one id and one domain each, servers and ports that may be connected to, words in both languages', () => {
  const domains = PRESETS.flatMap((each) => each.domains);
  expect(new Set(domains).size).toBe(domains.length);
  expect(new Set(PRESETS.map(({ id }) => id)).size).toBe(PRESETS.length);
  for (const { id, incoming, outgoing, notes, enablePop, ...row } of PRESETS) {
    expect([id, row.domains.filter((domain) => normaliseDomain(domain) !== domain)]).toEqual([id, []]);
    if (incoming)
      expect([id, readHost(incoming.host)?.name, INCOMING_PORTS.some((port) => port === incoming.port)]).toEqual([id, incoming.host, true]);
    if (outgoing)
      expect([id, readHost(outgoing.host)?.name, OUTGOING_PORTS.some((port) => port === outgoing.port)]).toEqual([id, outgoing.host, true]);
    // Who cannot be read with a password is told what to do instead.
    if (!incoming) expect([id, notes]).toEqual([id, { en: expect.any(String), ja: expect.any(String) }]);
    for (const words of [notes, enablePop?.how]) if (words) expect([id, /\p{sc=Han}/u.test(words.ja)]).toEqual([id, true]);
    for (const link of [row.appPassword?.link, enablePop?.link]) if (link) expect(link).toMatch(/^https:\/\//);
  }
});
