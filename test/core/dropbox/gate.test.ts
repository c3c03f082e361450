import type { Dropbox } from '../../../core/dropbox/dropbox.ts';
import { gate, isForged } from '../../../core/dropbox/gate.ts';
import { builtInProfiles } from '../../../core/member/profile.ts';
import type { Verdict } from '../../../core/message/delivery.ts';
import { delivery, mail, START } from '../../support/dropbox-world.ts';

const VERDICTS: Verdict[] = ['PASS', 'FAIL', 'GRAY'];
const cells = VERDICTS.flatMap((spf) => VERDICTS.flatMap((dkim) => VERDICTS.map((dmarc) => ({ spf, dkim, dmarc }))));
const from = [{ address: 'mika@example.com', name: '' }];

/** Forged by the words of the design, cell by cell: aligned passes speak for the sender, failures against. */
describe.each([
  ['SPF and DKIM for the domain in From', 'mika@example.com', ['example.com'], true],
  ['SPF and DKIM for a subdomain and a parent domain', 'bounce@mail.example.com', ['mail.example.com'], true],
  ['SPF and DKIM for another domain', 'attacker@evil.example', ['evil.example'], false],
] as const)('%s', (_what, source, dkimDomains, aligned) => {
  test.each(cells)('SPF $spf, DKIM $dkim, DMARC $dmarc', ({ spf, dkim, dmarc }) => {
    const vouchedFor = aligned && (spf === 'PASS' || dkim === 'PASS');
    const spokenAgainst = spf === 'FAIL' || dkim === 'FAIL';
    const expected = dmarc === 'FAIL' || (dmarc !== 'PASS' && !vouchedFor && spokenAgainst);
    const verdicts = { spam: 'PASS', virus: 'PASS', spf, dkim, dmarc } as const;
    expect(isForged({ source, verdicts }, { from, dkimDomains: [...dkimDomains] })).toBe(expected);
  });
});

test('a domain that only ends like the one in From is not aligned', () => {
  const verdicts = { spam: 'PASS', virus: 'PASS', spf: 'PASS', dkim: 'FAIL', dmarc: 'GRAY' } as const;
  expect(isForged({ source: 'a@notexample.com', verdicts }, { from, dkimDomains: [] })).toBe(true);
  expect(isForged({ source: '', verdicts }, { from, dkimDomains: [''] })).toBe(true);
});

describe('order of the gate', () => {
  const senders = [{ id: '1', address: 'mika@example.com', addedAt: START, verifiedAt: START }];
  const dropbox = { senders, deactivatedAt: '2026-01-01T00:00:00.000Z' } as unknown as Dropbox;
  const noRight = { ...builtInProfiles()[1], bccDropbox: false } as NonNullable<Parameters<typeof gate>[1]>;
  const right = builtInProfiles()[1];
  const bad = { spam: 'FAIL', virus: 'FAIL', spf: 'FAIL', dkim: 'FAIL', dmarc: 'FAIL' } as const;

  test('each obstacle in turn: virus, sender, forgery, spam, permission (GEN-5), deactivation (R-33)', () => {
    const stranger = mail({ from: [{ address: 'x@evil.example', name: '' }] });
    const ask = (verdicts: object, parsed = mail(), profile = noRight, box = dropbox) =>
      gate(box, profile, delivery([], { verdicts: { ...bad, ...verdicts } }), parsed, { vouched: false });
    expect(ask({}, stranger)).toBe('virus');
    expect(ask({ virus: 'PASS' }, stranger)).toBe('unregistered-sender');
    expect(ask({ virus: 'PASS' })).toBe('sender-not-authenticated');
    expect(ask({ virus: 'PASS', dmarc: 'PASS' })).toBe('spam');
    expect(ask({ virus: 'PASS', dmarc: 'PASS', spam: 'PASS' })).toBe('no-dropbox-permission');
    expect(ask({ virus: 'PASS', dmarc: 'PASS', spam: 'PASS' }, mail(), right)).toBe('member-deactivated');
    expect(ask({ virus: 'PASS', dmarc: 'PASS', spam: 'PASS' }, mail(), right, { ...dropbox, deactivatedAt: undefined })).toBeUndefined();
  });

  test('GEN-5: a profile that is gone grants nothing', () => {
    const { verdicts } = delivery([]);
    expect(gate({ ...dropbox, deactivatedAt: undefined }, undefined, delivery([], { verdicts }), mail(), { vouched: false })).toBe(
      'no-dropbox-permission',
    );
  });
});
