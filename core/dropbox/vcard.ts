import ICAL from 'ical.js';

export const VCARD_VERSIONS = ['3.0', '4.0'] as const;

/**
 * The dropbox address as a vCard to keep in an address book (BCC-19): 3.0 (RFC 2426) or 4.0 (RFC 6350). It is named
 * after what it is, so that typing "CRM" into a BCC field finds it.
 */
export function dropboxVcard(address: string, owner: string, version: (typeof VCARD_VERSIONS)[number]): string {
  const card = [
    'vcard',
    [
      ['version', {}, 'text', version],
      ['fn', {}, 'text', `CRM dropbox (${owner})`],
      ['n', {}, 'text', ['dropbox', 'CRM', '', '', '']],
      ['email', version === '3.0' ? { type: 'internet' } : {}, 'text', address],
      ['note', {}, 'text', 'Put this address in BCC to file a mail with the customer. Keep it to yourself.'],
    ],
  ];
  const stringify = ICAL.stringify as (card: unknown, design: unknown) => string; // Its types lack the second argument.
  const text = stringify(card, version === '3.0' ? ICAL.design.vcard3 : ICAL.design.vcard);
  return text.endsWith('\r\n') ? text : `${text}\r\n`;
}
