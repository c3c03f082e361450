import { blotted, blottedSource, dropboxAddressesIn, hiddenFields, withoutFields } from '../../../core/message/shown-source.ts';

const DOMAIN = 'mail.example.com';
const secret = (letter: string) => letter.repeat(26);
const latin1 = (bytes: Buffer) => bytes.toString('latin1');

describe('fields that are not a reader’s to know', () => {
  const raw = Buffer.from(
    'Received: from a\r\n\tby b\r\nDelivered-To: alias@example.com\r\nFrom: a@example.com\r\nBCC: x@example.org,\r\n y@example.org\r\nSubject: S\r\n\r\nBcc: in the body\r\n',
    'latin1',
  );

  test('RFC 5322 3.6.3: the BCC goes, its folded lines included, for whoever did not send it; the body stays', () => {
    const shown = latin1(withoutFields(raw, hiddenFields({ isSender: false, isTheirs: true })!));
    expect(shown).toBe(
      'Received: from a\r\n\tby b\r\nDelivered-To: alias@example.com\r\nFrom: a@example.com\r\nSubject: S\r\n\r\nBcc: in the body\r\n',
    );
  });

  test('R-31: how the mail came to somebody else goes, for whoever holds other bytes', () => {
    const shown = latin1(withoutFields(raw, hiddenFields({ isSender: true, isTheirs: false })!));
    expect(shown).toBe('From: a@example.com\r\nBCC: x@example.org,\r\n y@example.org\r\nSubject: S\r\n\r\nBcc: in the body\r\n');
  });

  test('nothing is hidden from the sender of their own bytes, and without such fields the very same bytes come back', () => {
    expect(hiddenFields({ isSender: true, isTheirs: true })).toBeUndefined();
    const plain = Buffer.from('From: a@example.com\n\nBcc: body\n');
    expect(withoutFields(plain, hiddenFields({ isSender: false, isTheirs: false })!)).toBe(plain);
  });

  test('line feeds alone, a header without a body, and bytes above 127 are no different', () => {
    const hidden = hiddenFields({ isSender: false, isTheirs: false })!;
    expect(latin1(withoutFields(Buffer.from('Bcc: x\nSubject: \xe9\n\nbody \xff', 'latin1'), hidden))).toBe('Subject: \xe9\n\nbody \xff');
    expect(latin1(withoutFields(Buffer.from('Subject: s\r\nBcc: x'), hidden))).toBe('Subject: s\r\n');
  });

  test.each(['Bcc: x@example.org,\r y@example.org\r\n', 'Bcc: x@example.org,\r\r\n\ty@example.org\r\r\n', 'Bcc: x\r\r y\r'])(
    'RFC 5322 3.6.3: what is folded behind a stray carriage return goes as well: %j',
    (bcc) => {
      const hidden = hiddenFields({ isSender: false, isTheirs: true })!;
      const shown = latin1(withoutFields(Buffer.from(`From: a\r\n${bcc}Subject: s\r\n\r\nbody`), hidden));
      expect(shown).toBe('From: a\r\nSubject: s\r\n\r\nbody');
    },
  );
});

describe('dropbox addresses are secrets', () => {
  const raw = Buffer.from(`To: ${secret('a')}@MAIL.example.com, ${secret('b')}@mail.example.com\r\n\r\n${secret('A')}@${DOMAIN}`);

  test('all of them are found, each once, and made unreadable with the length kept', () => {
    expect(dropboxAddressesIn(raw, DOMAIN)).toEqual([`${secret('a')}@${DOMAIN}`, `${secret('b')}@${DOMAIN}`]);
    expect(latin1(blottedSource(raw, DOMAIN))).toBe(
      `To: ${secret('x')}@MAIL.example.com, ${secret('x')}@mail.example.com\r\n\r\n${secret('x')}@${DOMAIN}`,
    );
    expect(blotted(raw.toString(), DOMAIN)).toBe(latin1(blottedSource(raw, DOMAIN)));
  });

  test('but for those the reader may know', () => {
    expect(latin1(blottedSource(raw, DOMAIN, new Set([`${secret('a')}@${DOMAIN}`])))).toBe(
      `To: ${secret('a')}@MAIL.example.com, ${secret('x')}@mail.example.com\r\n\r\n${secret('A')}@${DOMAIN}`,
    );
  });

  test('what is shorter, of another domain, or cut off is none: the very same bytes come back', () => {
    const none = Buffer.from(
      `${secret('a').slice(1)}@${DOMAIN} ${secret('a')}@example.com ${secret('-')}@${DOMAIN} ${secret('a')}@mail.exa`,
    );
    expect(blottedSource(none, DOMAIN)).toBe(none);
    expect(blotted(none.toString(), DOMAIN)).toBe(none.toString());
    expect(latin1(blottedSource(Buffer.from(`zz${secret('a')}@${DOMAIN}`), DOMAIN))).toBe(`zz${secret('x')}@${DOMAIN}`);
  });
});
