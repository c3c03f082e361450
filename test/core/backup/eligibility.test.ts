import fc from 'fast-check';
import { type BackupFacts, REASONS, reasonCodes, refusalsOf } from '../../../core/backup/eligibility.ts';

const FINE: BackupFacts = {
  actor: { administrator: true, email: 'admin@example.com' },
  status: 'deactivated',
  account: { protocol: 'pop3', address: 'leaver@example.com' },
  type: 'public',
  running: false,
};
/** Came back, saved, left again. */
const AGAIN = { backedUpAt: '2026-01-01', reactivatedAt: '2026-02-01', savedAt: '2026-02-02' };

/** Truth table 2.3, top to bottom: what breaks each line, and the reason given. */
const TABLE: [string, Partial<BackupFacts>][] = [
  ['not_administrator', { actor: { administrator: false, email: 'admin@example.com' } }],
  ['user_active', { status: 'active' }],
  ['no_account', { account: undefined }],
  ['imap_not_supported', { account: { protocol: 'imap', address: 'leaver@example.com' } }],
  ['private_account', { type: 'private' }],
  ['account_type_not_eligible', { type: 'admin' }],
  ['domain_mismatch', { account: { protocol: 'pop3', address: 'leaver@sub.example.com' } }],
  ['already_running', { running: true }],
];
const codes = (kind: 'backup' | 'latest-backup', facts: BackupFacts) => refusalsOf(kind, facts).map(({ code }) => code);

test.each(TABLE)('BKP-1..5, BKP-9, LBK-5, truth table 2.3: %s', (code, broken) => {
  expect(codes('backup', { ...FINE, ...broken })).toEqual([code]);
  expect(codes('latest-backup', { ...FINE, ...AGAIN, ...broken })).toEqual([code]);
});

test('BKP-2, BKP-3, BKP-4, R-15, R-43: allowed with POP3 or a hosted mailbox, custom or public, the domain in whatever case', () => {
  for (const type of ['custom', 'public'] as const) {
    for (const protocol of ['pop3', 'hosted']) {
      expect(codes('backup', { ...FINE, type, account: { protocol, address: 'leaver@EXAMPLE.com' } })).toEqual([]);
    }
  }
});

test('BKP-4, R-43: a hosted mailbox stands at the domain that receives for the organisation, which is no other domain', () => {
  const address = 'leaver-7k3m9q2x@mail.example.net';
  expect(codes('backup', { ...FINE, account: { protocol: 'hosted', address } })).toEqual([]);
  expect(codes('backup', { ...FINE, account: { protocol: 'pop3', address } })).toEqual(['domain_mismatch']);
});

test('LBK-1, LBK-2, truth table 2.4: the latest backup asks for a return, and for settings saved after it', () => {
  expect(codes('latest-backup', FINE)).toEqual(['not_reactivated']);
  expect(codes('latest-backup', { ...FINE, ...AGAIN, savedAt: undefined })).toEqual(['settings_not_saved']);
  expect(codes('latest-backup', { ...FINE, ...AGAIN, savedAt: '2026-01-31' })).toEqual(['settings_not_saved']);
  expect(codes('latest-backup', { ...FINE, ...AGAIN, savedAt: AGAIN.reactivatedAt })).toEqual(['settings_not_saved']);
  expect(codes('latest-backup', { ...FINE, ...AGAIN })).toEqual([]);
  expect(codes('latest-backup', { ...FINE, ...AGAIN, backedUpAt: undefined })).toEqual([]);
  expect(codes('backup', { ...FINE, ...AGAIN })).toEqual(['use_latest_backup']);
});

test('BKP-9: all reasons are given, in the order of the table, each with words and a cure', () => {
  const some = fc.subarray(
    TABLE.filter(([code]) => !['imap_not_supported', 'account_type_not_eligible', 'domain_mismatch'].includes(code)),
  );
  fc.assert(
    fc.property(some, (broken) => {
      const facts = Object.assign({}, FINE, ...broken.map(([, change]) => change));
      expect(codes('backup', facts)).toEqual(broken.map(([code]) => code));
    }),
  );
  expect(reasonCodes.slice(0, 8)).toEqual(TABLE.map(([code]) => code));
  for (const { words, cure } of Object.values(REASONS)) expect([words, cure].every((text) => /^[A-Z].*\.$/.test(text))).toBe(true);
});
