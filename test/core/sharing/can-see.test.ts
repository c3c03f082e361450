import { ADMINISTRATOR, builtInProfiles, type Profile, STANDARD } from '../../../core/member/profile.ts';
import { canSee, type OwnerSettings, type Shared, type Verdict } from '../../../core/sharing/can-see.ts';
import { type MailPolicy, NO_POLICY } from '../../../core/sharing/mail-policy.ts';
import { type Sharing, underPolicy } from '../../../core/sharing/sharing.ts';

const profile = (id: string) => builtInProfiles().find((one) => one.id === id) as Profile;
const colleague = { member: 'jun', profile: profile(STANDARD) };
const administrator = { member: 'admin', profile: profile(ADMINISTRATOR) };
const owner = { member: 'mika', profile: profile(STANDARD) };

const settings = (sharing: Sharing, more: Partial<OwnerSettings> = {}): OwnerSettings => ({
  dropboxVisibility: 'record',
  sharing,
  deactivated: false,
  ...more,
});
const received: Shared = { owner: 'mika', channel: 'mailbox', counterparts: ['taro@customer.example'] };
/** To a customer, with another one in CC. */
const sent: Shared = { owner: 'mika', channel: 'mailbox', counterparts: ['taro@customer.example', 'hana@other.example'] };
const see = (viewer: typeof owner, copy: Shared, sharing: Sharing, ticked = false) => canSee(viewer, copy, settings(sharing), { ticked });

/** Truth table 2.1, cell by cell: type, received, sent, and both again for an administrator. */
type Row = [what: string, rules: string, sharing: Sharing, ticked: boolean, received: boolean, sent: boolean, asAdministrator: boolean];
const TABLE: Row[] = [
  ['private', 'SHR-3, SHR-4, SHR-26, C-4', { type: 'private' }, false, false, false, false],
  ['private, ticked once under another type', 'SHR-3, SHR-4', { type: 'private' }, true, false, false, false],
  ['custom, record ticked', 'SHR-7, SHR-8, REC-5, C-3', { type: 'custom' }, true, true, true, true],
  ['custom, record not ticked', 'SHR-9, R-8', { type: 'custom' }, false, false, false, false],
  ['public, nothing excluded', 'SHR-12, SHR-13', { type: 'public', excludedDomains: [] }, false, true, true, true],
  ['public, another domain excluded', 'SHR-17', { type: 'public', excludedDomains: ['firm.example'] }, false, true, true, true],
  [
    'public, its domain excluded',
    'SHR-16, REC-7, C-8',
    { type: 'public', excludedDomains: ['customer.example'] },
    false,
    false,
    false,
    false,
  ],
  [
    'public, its domain excluded, ticked once',
    'SHR-16',
    { type: 'public', excludedDomains: ['customer.example'] },
    true,
    false,
    false,
    false,
  ],
  ['admin', 'SHR-21, REC-3', { type: 'admin' }, false, false, false, true],
];

describe('truth table 2.1: who sees a synced mail on a record they may read', () => {
  test.each(TABLE)('%s (%s)', (_, __, sharing, ticked, asReceived, asSent, asAdministrator) => {
    expect(see(colleague, received, sharing, ticked).visible).toBe(asReceived);
    expect(see(colleague, sent, sharing, ticked).visible).toBe(asSent);
    expect(see(administrator, received, sharing, ticked).visible).toBe(asAdministrator);
    expect(see(administrator, sent, sharing, ticked).visible).toBe(asAdministrator);
  });

  test.each(TABLE)('SHR-22: under %s the owner sees all their own', (_, __, sharing, ticked) => {
    for (const copy of [received, sent]) expect(see(owner, copy, sharing, ticked)).toEqual({ visible: true, because: 'own' });
  });

  test('SHR-2, R-1: who has not chosen shares nothing', () => {
    expect(see(administrator, received, underPolicy(undefined, undefined))).toEqual({ visible: false, because: 'private' });
  });
});

describe('R-6: excluded domains', () => {
  const under = (domains: string[] | undefined, excludedDomains: string[]) =>
    see(colleague, { ...sent, counterparts: domains?.map((domain) => `x@${domain}`) }, { type: 'public', excludedDomains }).visible;

  test.each([
    ['one recipient of several is excluded', ['a.example', 'b.example'], ['b.example'], false],
    ['a subdomain of an excluded one', ['mail.b.example'], ['b.example'], false],
    ['a domain that only ends alike', ['notb.example'], ['b.example'], true],
    ['the parent of an excluded subdomain', ['b.example'], ['mail.b.example'], true],
    ["SHR-20: one's own firm, with a colleague in CC", ['customer.example', 'example.com'], ['example.com'], false],
    ['the fifth of five', ['e.example'], ['a.example', 'b.example', 'c.example', 'd.example', 'e.example'], false],
    ['a mail without any other side', [], ['b.example'], true],
  ])('%s', (_, domains, excluded, visible) => expect(under(domains, excluded)).toBe(visible));

  test('of a mail whose other side was not noted nobody knows: it is hidden as soon as anything is excluded', () => {
    expect([under(undefined, []), under(undefined, ['b.example'])]).toEqual([true, false]);
  });
});

describe("the organisation's policy narrows what members share, and never widens it", () => {
  const policy = (more: Partial<MailPolicy>): MailPolicy => ({ ...NO_POLICY, ...more });
  const everything: Sharing = { type: 'public', excludedDomains: ['own.example'] };

  test('SHR-2: its default is that of who has not chosen, and of nobody else', () => {
    expect(underPolicy(undefined, policy({ defaultSharing: 'custom' }))).toEqual({ type: 'custom' });
    expect(underPolicy({ type: 'private' }, policy({ defaultSharing: 'custom' }))).toEqual({ type: 'private' });
    expect(underPolicy(undefined, NO_POLICY)).toEqual({ type: 'private' });
  });

  test('what is not allowed any longer shares nothing', () => {
    expect(underPolicy(everything, policy({ allowedSharing: ['custom'] }))).toEqual({ type: 'private' });
    expect(underPolicy({ type: 'custom' }, policy({ allowedSharing: ['custom'] }))).toEqual({ type: 'custom' });
    expect(underPolicy(undefined, policy({ allowedSharing: ['custom'], defaultSharing: 'admin' }))).toEqual({ type: 'private' });
  });

  test('its exclusions come behind those of their own, and stand with every type that shares', () => {
    const excluding = policy({ excludedDomains: ['theirs.example'], excludedAddresses: ['x@a.example'] });
    const theirs = { excludedDomains: ['theirs.example'], excludedAddresses: ['x@a.example'] };
    expect(underPolicy({ type: 'private' }, excluding)).toEqual({ type: 'private' });
    expect(underPolicy({ type: 'custom' }, excluding)).toEqual({ type: 'custom', ...theirs });
    expect(underPolicy(everything, excluding)).toEqual({ type: 'public', ...theirs, excludedDomains: ['own.example', 'theirs.example'] });
  });

  test('of a mail whose other side was not noted a tick decides while nothing is excluded', () => {
    expect(see(colleague, { ...received, counterparts: undefined }, { type: 'custom' }, true).visible).toBe(true);
  });

  test('without a policy a choice stands as it is', () => expect(underPolicy(everything, undefined)).toEqual(everything));

  test.each([
    ['a domain of its own', {}, 'x@own.example', false],
    ["the organisation's domain", { excludedDomains: ['theirs.example'] }, 'x@mail.theirs.example', false],
    ["the organisation's address", { excludedAddresses: ['x@a.example'] }, 'x@a.example', false],
    ['another address of that domain', { excludedAddresses: ['x@a.example'] }, 'y@a.example', true],
  ])('excluded by %s', (_, more, address, visible) => {
    const sharing = underPolicy(everything, policy(more));
    expect(see(colleague, { ...received, counterparts: [address] }, sharing).visible).toBe(visible);
  });

  test.each<Sharing>([{ type: 'custom' }, { type: 'admin' }])('what it excludes is not shared under $type either', (chosen) => {
    const seen = (address: string, more: Partial<MailPolicy>) =>
      see(administrator, { ...received, counterparts: [address] }, underPolicy(chosen, policy(more)), true);
    const domain = { excludedDomains: ['theirs.example'] };
    expect(seen('x@mail.theirs.example', domain)).toEqual({ visible: false, because: 'excluded-domain' });
    expect(seen('x@a.example', domain).visible).toBe(true);
    const address = { excludedAddresses: ['x@a.example'] };
    expect([seen('x@a.example', address).visible, seen('y@a.example', address).visible]).toEqual([false, true]);
  });

  test('an excluded address alone hides mail whose other side was not noted', () => {
    const sharing = underPolicy({ type: 'public', excludedDomains: [] }, policy({ excludedAddresses: ['x@a.example'] }));
    expect(see(colleague, { ...received, counterparts: undefined }, sharing).visible).toBe(false);
  });
});

test("the longest policy is gone through once, not for each mail and each of its recipients: a decision's time does not grow with it", () => {
  let looks = 0;
  const get = (list: string[], name: string | symbol) => {
    if (/^\d+$/.test(String(name))) looks++;
    return Reflect.get(list, name);
  };
  const counting = (list: string[]) => new Proxy(list, { get });
  const sharing: Sharing = {
    type: 'custom',
    excludedDomains: counting(Array.from({ length: 1000 }, (_, n) => `firm-${n}.example`)),
    excludedAddresses: counting(Array.from({ length: 1000 }, (_, n) => `person-${n}@a.example`)),
  };
  const counterparts = Array.from({ length: 50 }, (_, n) => `taro-${n}@mail.customer.example`);
  for (let mail = 0; mail < 20; mail++) expect(see(colleague, { ...sent, counterparts }, sharing, true).visible).toBe(true);
  expect(looks).toBe(2000);
  expect(see(colleague, { ...sent, counterparts: [...counterparts, 'x@mail.firm-999.example'] }, sharing, true).visible).toBe(false);
  expect(see(colleague, { ...sent, counterparts: [...counterparts, 'person-999@a.example'] }, sharing, true).visible).toBe(false);
});

describe('R-40, SHR-23, SHR-25: mail of the dropbox', () => {
  const filed: Shared = { ...sent, channel: 'dropbox' };

  test('goes with the record by default, whatever the sharing type, also after its owner has left', () => {
    for (const [, , sharing] of TABLE) {
      const verdict = canSee(colleague, filed, settings(sharing, { deactivated: true }), { ticked: false });
      expect(verdict).toEqual({ visible: true, because: 'filed-on-record' });
    }
  });

  test.each(TABLE)('follows the sharing type when its owner wants it so: %s (%s)', (_, __, sharing, ticked, ___, asSent) => {
    expect(canSee(colleague, filed, settings(sharing, { dropboxVisibility: 'sharing' }), { ticked }).visible).toBe(asSent);
  });
});

test('R-16: what a backup made visible stays so, whatever its owner sets later', () => {
  for (const [, , sharing] of TABLE) {
    const verdict = canSee(colleague, { ...received, channel: 'backup' }, settings(sharing, { deactivated: true }), { ticked: false });
    expect(verdict).toEqual({ visible: true, because: 'backed-up' });
  }
});

test('GEN-9: mail of a deactivated owner is out of sight under every type', () => {
  for (const [, , sharing] of TABLE) {
    const verdict = canSee(administrator, received, settings(sharing, { deactivated: true }), { ticked: true });
    expect(verdict).toEqual({ visible: false, because: 'owner-deactivated' });
  }
});

test.each<[Sharing, boolean, Verdict['because'], Verdict['because']]>([
  [{ type: 'private' }, false, 'private', 'private'],
  [{ type: 'custom' }, true, 'ticked', 'ticked'],
  [{ type: 'custom' }, false, 'not-ticked', 'not-ticked'],
  [{ type: 'public', excludedDomains: [] }, false, 'public', 'public'],
  [{ type: 'public', excludedDomains: ['customer.example'] }, false, 'excluded-domain', 'excluded-domain'],
  [{ type: 'admin' }, false, 'administrators-only', 'administrators'],
])('the answer says why: %j, ticked %s', (sharing, ticked, because, toAdministrator) => {
  expect(see(colleague, received, sharing, ticked).because).toBe(because);
  expect(see(administrator, received, sharing, ticked).because).toBe(toAdministrator);
});

test('a sharing type or channel without a rule is an error, not a guess', () => {
  expect(() => see(colleague, received, { type: 'friends' } as never)).toThrow('no rule for');
  expect(() => see(colleague, { ...received, channel: 'fax' as never }, { type: 'private' })).toThrow('no rule for fax');
});
