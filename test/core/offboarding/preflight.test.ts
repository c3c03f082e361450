import { type OffboardingFacts, refusalCodes, refusalsOf } from '../../../core/offboarding/preflight.ts';

const FINE: OffboardingFacts = {
  isSelf: false,
  isAdministrator: false,
  administrators: 2,
  usesAddOn: true,
  backup: {
    actor: { administrator: true, email: 'admin@example.com' },
    status: 'active',
    account: { protocol: 'pop3', address: 'leaver@example.com' },
    type: 'public',
    running: false,
  },
};
const backup = (more: Partial<OffboardingFacts['backup']>): Partial<OffboardingFacts> => ({ backup: { ...FINE.backup, ...more } });
const codes = (facts: OffboardingFacts) => refusalsOf(facts).map(({ code }) => code);

/** What stands in the way, each by itself, in the order in which it is told. */
const TABLE: [string, Partial<OffboardingFacts>][] = [
  ['own-lock', { isSelf: true, isAdministrator: true }],
  ['last-administrator', { isSelf: true, isAdministrator: true, administrators: 1 }],
  ['not-an-add-on-user', { usesAddOn: false }],
  ['lock-ends', { lock: { until: '2030-01-01T00:00:00.000Z' } }],
  ['no-account', backup({ account: undefined })],
  ['imap-not-supported', backup({ account: { protocol: 'imap', address: 'leaver@example.com' } })],
  ['private-account', backup({ type: 'private' })],
  ['account-type-not-eligible', backup({ type: 'admin' })],
  ['domain-mismatch', backup({ account: { protocol: 'pop3', address: 'leaver@sub.example.com' } })],
  ['already-running', backup({ running: true })],
  ['settings-not-saved', backup({ backedUpAt: '2026-01-01', reactivatedAt: '2026-02-01' })],
  ['unknown-successor', { successor: 'unknown' }],
  ['successor-is-leaver', { successor: 'leaver' }],
  ['successor-inactive', { successor: 'inactive' }],
];

test('the table names every refusal there is', () => {
  expect(TABLE.map(([code]) => code)).toEqual(refusalCodes);
});

test.each(TABLE)('truth tables 2.2 and 2.3: %s', (code, broken) => {
  const [refusal, ...others] = refusalsOf({ ...FINE, ...broken });
  expect(others).toEqual([]);
  expect(refusal).toEqual({
    code,
    words: { en: expect.stringMatching(/^[A-Z].*\.$/), ja: expect.stringMatching(/。$/) },
    cure: { en: expect.stringMatching(/\.$/), ja: expect.stringMatching(/。$/) },
  });
});

test('nothing stands in the way of an active member who shares, locked or not, whoever is to succeed them', () => {
  for (const facts of [FINE, { ...FINE, lock: {} }, { ...FINE, successor: 'fine' as const }, { ...FINE, isAdministrator: true }]) {
    expect(codes(facts)).toEqual([]);
  }
});

test('BKP-1: they are judged as they will be after the deactivation: active now, or deactivated before', () => {
  for (const status of ['active', 'deactivated'] as const) expect(codes({ ...FINE, ...backup({ status }) })).toEqual([]);
});

test('LBK-1, LBK-2: of who was backed up and came back the latest backup is taken, and asks for saved settings', () => {
  const back = { backedUpAt: '2026-01-01', reactivatedAt: '2026-02-01' };
  expect(codes({ ...FINE, ...backup({ ...back, savedAt: '2026-02-02' }) })).toEqual([]);
  expect(codes({ ...FINE, ...backup({ ...back, savedAt: '2026-01-31' }) })).toEqual(['settings-not-saved']);
  expect(codes({ ...FINE, ...backup({ reactivatedAt: '2026-02-01' }) })).toEqual([]);
});

test('all of them are told at once, in their order', () => {
  const broken = Object.assign({}, FINE, ...TABLE.filter(([code]) => /last|lock-ends|unknown/.test(code)).map(([, change]) => change));
  expect(codes({ ...broken, backup: { ...FINE.backup, type: 'private', running: true } })).toEqual([
    'last-administrator',
    'lock-ends',
    'private-account',
    'already-running',
    'unknown-successor',
  ]);
});
