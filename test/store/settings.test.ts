import { readOwnSettings, saveSettings } from '../../core/account/save-settings-store.ts';
import { listActivity, putActivity } from '../../core/dropbox/activity-store.ts';
import { type DropboxStore, findDropbox, ownDropbox, patchDropbox, regenerate } from '../../core/dropbox/dropbox-store.ts';
import { addSender, removeSender, sendCodeAgain, verifySender } from '../../core/dropbox/sender-store.ts';
import { newId, sha256, stableId } from '../../core/ids.ts';
import {
  ACTIVITY_DAYS,
  CODE_MINUTES,
  CODE_TRIES,
  CODES_PER_HOUR,
  IDEMPOTENCY_HOURS,
  MAX_EXCLUDED_DOMAINS,
  MAX_PROFILES,
  MAX_SENDERS,
  MAX_TOKENS,
} from '../../core/limits.ts';
import { once } from '../../core/member/idempotency-store.ts';
import { createProfile } from '../../core/member/profile-store.ts';
import { checkToken, createToken, listTokens, newToken, revokeToken } from '../../core/member/token-store.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import { matchAddress } from '../../core/record/address-store.ts';
import type { Table } from '../../core/table/client.ts';
import { type Key, memberPartition } from '../../core/table/keys.ts';
import type { Vault } from '../../core/tenant/data-key-store.ts';
import { tenantPatch } from '../../core/tenant/tenant.ts';
import { patchTenant, readSettings, readViewer } from '../../core/tenant/tenant-store.ts';
import { newOrganisation, startStores } from '../support/organisation.ts';

let stores: Awaited<ReturnType<typeof startStores>>;
let table: Table;
beforeAll(async () => {
  stores = await startStores();
  ({ table } = stores);
});
afterAll(() => stores.end());

const NOW = new Date('2026-03-01T09:00:00.000Z');
const later = (ms: number) => new Date(NOW.getTime() + ms);
const MINUTE = 60_000;

async function world(): Promise<{ viewer: Viewer; store: DropboxStore; vault: Vault }> {
  const { boss } = await newOrganisation(stores, NOW, { name: 'Mika', email: 'Mika@Example.com' });
  const { vault } = stores;
  return { viewer: boss, vault, store: { table, vault, mailDomain: 'in.example.com' } };
}

describe('the dropbox', () => {
  test('BCC-1, BCC-21: one address of 128 random bits each, which tells neither tenant nor member and is stored only hashed and sealed', async () => {
    const { viewer, store } = await world();
    const [one, two] = await Promise.all([ownDropbox(store, viewer, NOW), ownDropbox(store, viewer, NOW)]);
    expect(two.address).toBe(one.address);
    expect(one.address).toMatch(/^[0-9a-hjkmnp-tv-z]{26}@in\.example\.com$/);
    expect(one.address).not.toContain(viewer.tenant);
    const everything = JSON.stringify([await table.all({ pk: `T#${viewer.tenant}#U` }), await table.all({ pk: `A#${one.dropbox.hash}` })]);
    expect(everything).not.toContain(one.address.split('@')[0]);
    expect((await findDropbox(table, one.address))?.member).toBe(viewer.member);
  });

  test('BCC-20, BCC-21, R-13: regenerated many times at once, exactly one address lives; settings and senders stay', async () => {
    const { viewer, store } = await world();
    const first = await ownDropbox(store, viewer, NOW);
    await patchDropbox(store, viewer, { pattern: 'leads' }, NOW);
    const made = await Promise.all([1, 2, 3, 4].map(() => regenerate(store, viewer, NOW)));
    const now = await ownDropbox(store, viewer, NOW);
    const alive = [];
    for (const { address } of [first, ...made]) if (!(await findDropbox(table, address))?.retiredAt) alive.push(address);
    expect(alive).toEqual([now.address]);
    expect(now.dropbox).toMatchObject({ pattern: 'leads', senders: [{ address: 'mika@example.com' }] });
  });

  test('a stale version is refused, and nothing is changed', async () => {
    const { viewer, store } = await world();
    const { dropbox } = await ownDropbox(store, viewer, NOW);
    await patchDropbox(store, viewer, { createIn: 'contacts' }, NOW, dropbox.version);
    await expect(patchDropbox(store, viewer, { createIn: 'leads' }, NOW, dropbox.version)).rejects.toMatchObject({ status: 412 });
    expect((await ownDropbox(store, viewer, NOW)).dropbox.createIn).toBe('contacts');
  });

  test('R-40: who sees dropbox mail is one of the mail settings: whoever saves those as they were before is told, and nothing is undone', async () => {
    const { viewer, store } = await world();
    const { version, ...before } = await readOwnSettings(table, viewer, NOW);
    const asRead = { ...before, dropboxVisibility: 'record', sharing: { type: 'private' } } as const;
    await patchDropbox(store, viewer, { visibility: 'sharing' }, NOW);
    const saving = saveSettings(table, viewer, asRead, NOW, version);
    await expect(saving).rejects.toMatchObject({ status: 412 });
    const after = await readOwnSettings(table, viewer, NOW);
    expect(after).toMatchObject({ dropboxVisibility: 'sharing', configured: false });
    await patchDropbox(store, viewer, { createIn: 'contacts' }, NOW);
    await saveSettings(table, viewer, asRead, NOW, after.version);
    expect(await readOwnSettings(table, viewer, NOW)).toMatchObject({ dropboxVisibility: 'record', configured: true });
  });

  test('POP-21: settings that are saved while they are read are never told as older than their version says', async () => {
    const { viewer } = await world();
    const { version: _, ...before } = await readOwnSettings(table, viewer, NOW);
    const get = table.get.bind(table);
    let first = true;
    table.get = async <T extends object>(key: Key, options?: object) => {
      if (first && key.sk === 'SETTINGS') {
        first = false;
        await saveSettings(table, viewer, { ...before, sharing: { type: 'custom' } }, NOW);
      }
      return get<T>(key, options);
    };
    const { version, sharing } = await readOwnSettings(table, viewer, NOW).finally(() => Object.assign(table, { get }));
    expect({ version, sharing }).toEqual({ version: 1, sharing: { type: 'custom' } });
  });

  test('BCC-17: without permission on leads, or on contacts, the pattern cannot be changed; visibility can', async () => {
    const { viewer, store } = await world();
    for (const missing of ['leads', 'contacts'] as const) {
      const modules = { ...viewer.profile.modules, [missing]: { view: false, create: false, edit: false } };
      const limited = { ...viewer, profile: { ...viewer.profile, administrator: false, modules } };
      await expect(patchDropbox(store, limited, { pattern: 'leads' }, NOW)).rejects.toMatchObject({
        code: 'no-module-permission',
        status: 403,
      });
      expect((await patchDropbox(store, limited, { visibility: 'sharing' }, NOW)).visibility).toBe('sharing');
    }
  });
});

describe('registered senders', () => {
  test('R-2: the login address stands on the list, verified, counts among the five, and can be removed', async () => {
    const { viewer, store } = await world();
    const { dropbox } = await ownDropbox(store, viewer, NOW);
    expect(dropbox.senders).toMatchObject([{ address: 'mika@example.com', verifiedAt: NOW.toISOString() }]);
    await removeSender(store, viewer, dropbox.senders[0]?.id ?? '', NOW);
    expect((await ownDropbox(store, viewer, NOW)).dropbox.senders).toEqual([]);
    const again = await addSender(store, viewer, 'MIKA@example.com', NOW);
    expect(again).toEqual({ sender: expect.objectContaining({ address: 'mika@example.com', verifiedAt: NOW.toISOString() }) });
  });

  test("R-4: an address that a member has proved to send from is a colleague's, until it is removed", async () => {
    const { viewer, store } = await world();
    const { sender, code = '' } = await addSender(store, viewer, 'home@example.org', NOW);
    const isMember = async () => (await matchAddress(table, viewer.tenant, 'home@example.org', { consistent: true })).members.length > 0;
    expect(await isMember()).toBe(false);
    await verifySender(store, viewer, sender.id, code, NOW);
    expect(await isMember()).toBe(true);
    await removeSender(store, viewer, sender.id, NOW);
    expect(await isMember()).toBe(false);
  });

  test(`BCC-7: ${MAX_SENDERS} addresses may be held, one more is refused`, async () => {
    const { viewer, store } = await world();
    for (let i = 2; i <= MAX_SENDERS; i++) await addSender(store, viewer, `mika${i}@example.com`, NOW);
    await expect(addSender(store, viewer, 'one-more@example.com', NOW)).rejects.toMatchObject({ code: 'too-many-senders' });
    expect((await ownDropbox(store, viewer, NOW)).dropbox.senders).toHaveLength(MAX_SENDERS);
  });

  test('R-2: an address counts only after its own code; a new code voids the old one', async () => {
    const { viewer, store } = await world();
    const first = await addSender(store, viewer, 'home@example.org', NOW);
    const second = await sendCodeAgain(store, viewer, first.sender.id, NOW);
    expect(first.code).toMatch(/^\d{8}$/);
    if (first.code !== second.code)
      await expect(verifySender(store, viewer, first.sender.id, first.code ?? '', NOW)).rejects.toMatchObject({ code: 'wrong-code' });
    expect((await verifySender(store, viewer, first.sender.id, second.code ?? '', NOW)).verifiedAt).toBeDefined();
  });

  test(`R-2: a code lives ${CODE_MINUTES} minutes to the millisecond`, async () => {
    const { viewer, store } = await world();
    const { sender, code = '' } = await addSender(store, viewer, 'home@example.org', NOW);
    await expect(verifySender(store, viewer, sender.id, code, later(CODE_MINUTES * MINUTE))).rejects.toMatchObject({
      code: 'code-expired',
    });
    expect((await verifySender(store, viewer, sender.id, code, later(CODE_MINUTES * MINUTE - 1))).verifiedAt).toBeDefined();
  });

  test(`R-2: a code stands ${CODE_TRIES} wrong answers; then not even the right one counts`, async () => {
    const { viewer, store } = await world();
    const { sender, code = '' } = await addSender(store, viewer, 'home@example.org', NOW);
    const wrong = code === '00000000' ? '11111111' : '00000000';
    for (let i = 0; i < CODE_TRIES; i++)
      await expect(verifySender(store, viewer, sender.id, wrong, NOW)).rejects.toMatchObject({ code: 'wrong-code' });
    await expect(verifySender(store, viewer, sender.id, code, NOW)).rejects.toMatchObject({ code: 'code-used-up' });
  });

  test(`${CODES_PER_HOUR} codes an hour, whatever the addresses; then 429 until the next hour`, async () => {
    const { viewer, store } = await world();
    const { sender } = await addSender(store, viewer, 'home@example.org', NOW);
    for (let i = 1; i < CODES_PER_HOUR; i++) await sendCodeAgain(store, viewer, sender.id, NOW);
    await expect(sendCodeAgain(store, viewer, sender.id, later(10 * MINUTE))).rejects.toMatchObject({
      status: 429,
      headers: { 'Retry-After': '3000' },
    });
    expect((await sendCodeAgain(store, viewer, sender.id, later(60 * MINUTE))).code).toBeDefined();
  });
});

describe('tokens', () => {
  test('a token is stored as its hash alone, works, and stops with its revocation', async () => {
    const { viewer } = await world();
    const made = await createToken(table, viewer, { name: 'laptop' }, newId(NOW), NOW);
    expect(await checkToken(table, made.token, NOW)).toEqual({ tenant: viewer.tenant, member: viewer.member, token: made.id });
    const secret = made.token.split('_').at(-1) ?? '';
    expect(JSON.stringify(await table.all({ pk: memberPartition(viewer.tenant, viewer.member) }))).not.toContain(secret);
    await revokeToken(table, viewer, made.id, NOW);
    expect(await checkToken(table, made.token, NOW)).toBeUndefined();
  });

  test('an expired token is none, though the table still has it', async () => {
    const { viewer } = await world();
    const { token } = await createToken(table, viewer, { name: 'short', expiresAt: later(MINUTE).toISOString() }, newId(NOW), NOW);
    expect(await checkToken(table, token, later(MINUTE - 1000))).toBeDefined();
    expect(await checkToken(table, token, later(MINUTE))).toBeUndefined();
  });

  test('R-33: the token of a deactivated or unconfirmed member is none', async () => {
    const { viewer } = await world();
    const { token } = await createToken(table, viewer, { name: 'laptop' }, newId(NOW), NOW);
    const key = { pk: `T#${viewer.tenant}#U`, sk: viewer.member };
    expect(await checkToken(table, token, NOW)).toBeDefined();
    for (const change of [{ status: 'deactivated' }, { confirmed: false }]) {
      const member = (await table.get(key)) as object;
      await table.put({ ...key, ...member, ...change });
      expect(await checkToken(table, token, NOW)).toBeUndefined();
      await table.put({ ...key, ...member });
    }
  });

  test("a token with another's id, or a changed secret, is none", async () => {
    const { viewer } = await world();
    const other = await world();
    const { token } = await createToken(table, viewer, { name: 'a' }, newId(NOW), NOW);
    expect(await checkToken(table, token.replace(viewer.tenant, other.viewer.tenant), NOW)).toBeUndefined();
    expect(
      await checkToken(
        table,
        token.replace(/.$/, (end) => (end === '0' ? '1' : '0')),
        NOW,
      ),
    ).toBeUndefined();
    for (const text of ['', 'cma_', 'x'.repeat(10_000), token.slice(0, -1), `${token}0`])
      expect(await checkToken(table, text, NOW)).toBeUndefined();
  });

  test(`${MAX_TOKENS} tokens, one more is refused`, async () => {
    const { viewer } = await world();
    for (let i = 0; i < MAX_TOKENS; i++)
      await table.transact([newToken(viewer.tenant, viewer.member, { id: newId(NOW), name: `t${i}` }, NOW.toISOString()).write]);
    expect(await listTokens(table, viewer, NOW)).toHaveLength(MAX_TOKENS);
    await expect(createToken(table, viewer, { name: 'more' }, newId(NOW), NOW)).rejects.toMatchObject({ code: 'too-many-tokens' });
  });
});

describe('an Idempotency-Key', () => {
  const answer = { body: { token: 'secret' } };

  test('the same request is done once and answered alike for a day; the kept answer is sealed', async () => {
    const { viewer, vault } = await world();
    let done = 0;
    const ask = (at: Date, request = 'r') =>
      once({ table, vault }, viewer, 'key', request, at, async () => {
        done++;
        return answer;
      });
    expect([await ask(NOW), await ask(later(IDEMPOTENCY_HOURS * 60 * MINUTE - 1000))]).toEqual([answer, answer]);
    expect(done).toBe(1);
    expect(JSON.stringify(await table.all({ pk: `T#${viewer.tenant}#I#${viewer.member}` }))).not.toContain('secret');
    await expect(ask(NOW, 'another')).rejects.toMatchObject({ code: 'idempotency-key-reused' });
    await ask(later(IDEMPOTENCY_HOURS * 60 * MINUTE + 1000));
    expect(done).toBe(2);
  });

  test('while the first try runs, another is told to wait; once its lease is over, it takes over', async () => {
    const { viewer, vault } = await world();
    await new Promise<void>((begun) => {
      const never = () => new Promise<typeof answer>(() => begun());
      void once({ table, vault }, viewer, 'key', 'r', NOW, never);
    });
    const again = (at: Date) => once({ table, vault }, viewer, 'key', 'r', at, async () => answer);
    await expect(again(later(59_000))).rejects.toMatchObject({ code: 'still-running' });
    expect(await again(later(61_000))).toEqual(answer);
  });

  test('what failed may be sent again', async () => {
    const { viewer, vault } = await world();
    await expect(once({ table, vault }, viewer, 'key', 'r', NOW, () => Promise.reject(new Error('down')))).rejects.toThrow('down');
    expect(await once({ table, vault }, viewer, 'key', 'r', NOW, async () => answer)).toEqual(answer);
  });

  test("a key is its member's own", async () => {
    const [one, two] = [await world(), await world()];
    const ask = (who: typeof one, body: string) => once({ table, vault: who.vault }, who.viewer, 'key', 'r', NOW, async () => body);
    expect([await ask(one, 'one'), await ask(two, 'two')]).toEqual(['one', 'two']);
  });
});

describe('the vault', () => {
  test('what is sealed for one tenant or one purpose opens for no other', async () => {
    const [one, two] = [await world(), await world()];
    const sealed = await one.vault.seal(one.viewer.tenant, 'a', 'text');
    expect(await one.vault.open(one.viewer.tenant, 'a', sealed)).toBe('text');
    expect(await one.vault.open(one.viewer.tenant, 'b', sealed)).toBeUndefined();
    expect(await one.vault.open(two.viewer.tenant, 'a', sealed)).toBeUndefined();
    expect(await one.vault.open(one.viewer.tenant, 'a', 'short')).toBeUndefined();
  });
});

test('GEN-6: a fresh tenant has the dropbox permission on Administrator and Standard, and on no other profile', async () => {
  const { viewer } = await world();
  const before = (await readSettings(table, viewer.tenant))?.profiles ?? new Map();
  expect([...before.values()].map(({ id, bccDropbox }) => [id, bccDropbox])).toEqual([
    ['administrator', true],
    ['standard', true],
  ]);
  const made = await createProfile(
    table,
    viewer,
    before,
    { name: 'Other', bccDropbox: false, manageProfiles: false, modules: {} },
    newId(NOW),
    NOW,
  );
  expect(made.modules.leads).toEqual({ view: false, create: false, edit: false });
});

test(`${MAX_PROFILES} profiles, one more is refused`, async () => {
  const { viewer } = await world();
  const full = new Map(Array.from({ length: MAX_PROFILES }, (_, i) => [String(i), viewer.profile]));
  const input = { name: 'More', bccDropbox: false, manageProfiles: false, modules: {} };
  await expect(createProfile(table, viewer, full, input, newId(NOW), NOW)).rejects.toMatchObject({ code: 'too-many-profiles' });
  full.delete('0');
  expect((await createProfile(table, viewer, full, input, newId(NOW), NOW)).name).toBe('More');
});

test(`R-4, R-6: excluded domains are normalised, public suffixes refused, ${MAX_EXCLUDED_DOMAINS} at most`, async () => {
  const { viewer } = await world();
  const patched = await patchTenant(
    table,
    viewer,
    { excludedDomains: ['Example.ORG', '@partner.example', '*.bücher.example', 'example.org.'] },
    NOW.toISOString(),
  );
  expect(patched.excludedDomains).toEqual(['example.org', 'partner.example', 'xn--bcher-kva.example']);
  const again = (await readViewer(table, viewer.tenant, viewer.member)) as Viewer;
  for (const bad of ['co.jp', 'com', 'a b.example', 'x@y@z', '192.0.2.1', '']) {
    await expect(patchTenant(table, again, { excludedDomains: [bad] }, NOW.toISOString())).rejects.toMatchObject({
      code: 'invalid-domain',
    });
  }
  const many = (count: number) =>
    tenantPatch.safeParse({ excludedDomains: Array.from({ length: count }, (_, i) => `d${i}.example`) }).success;
  expect([many(MAX_EXCLUDED_DOMAINS), many(MAX_EXCLUDED_DOMAINS + 1)]).toEqual([true, false]);
});

test(`an activity entry is shown for ${ACTIVITY_DAYS} days`, async () => {
  const { viewer } = await world();
  await putActivity(table, viewer.tenant, viewer.member, { id: stableId(NOW, sha256('x')), at: NOW.toISOString(), outcome: 'filed' });
  const shown = async (days: number) => (await listActivity(table, viewer, { limit: 10 }, later(days * 1440 * MINUTE))).items.length;
  expect([await shown(ACTIVITY_DAYS - 0.01), await shown(ACTIVITY_DAYS)]).toEqual([1, 0]);
});
