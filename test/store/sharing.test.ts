import { ingestMailbox } from '../../core/account/ingest-mailbox.ts';
import { ingest } from '../../core/dropbox/ingest.ts';
import { sha256 } from '../../core/ids.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import { seriesOf } from '../../core/message/counterpart.ts';
import { readHeaders } from '../../core/message/mail-headers.ts';
import type { Mailroom } from '../../core/message/mailroom.ts';
import { type Copy, isGathered, type OwnMailEntry, type TimelineEntry } from '../../core/message/message.ts';
import { putCopy, putOwnMail, putTimelineEntry } from '../../core/message/message-store.ts';
import type { RawField } from '../../core/message/mime-scan.ts';
import type { ParsedMail } from '../../core/message/parsed-mail.ts';
import { joinThread, linesOf } from '../../core/message/thread-store.ts';
import { listTimeline } from '../../core/message/timeline-store.ts';
import { listOwnMail, listThread, readVisible, searchOwnMail } from '../../core/message/visible-message-store.ts';
import { NO_POLICY } from '../../core/sharing/mail-policy.ts';
import { previewChange } from '../../core/sharing/preview-store.ts';
import type { Sharing } from '../../core/sharing/sharing.ts';
import type { Query, Table } from '../../core/table/client.ts';
import {
  holdersPartition,
  type Key,
  memberKey,
  ownMailKey,
  recordKey,
  threadKey,
  threadPartition,
  tickKey,
} from '../../core/table/keys.ts';
import { delivery, dropboxWorld, existing, MAIL_DOMAIN, mail, START, type World } from '../support/dropbox-world.ts';
import { startTable } from '../support/engine.ts';

let table: Table;
let end: () => Promise<void>;
beforeAll(async () => ({ table, end } = await startTable()));
afterAll(() => end());

const TARO = { address: 'taro@customer.example', name: 'Taro' };
const FRIEND = { address: 'friend@partner.example', name: '' };
const mails = new Map<string, ParsedMail>();
const room = (): Mailroom => ({
  table,
  mailDomain: MAIL_DOMAIN,
  readRaw: async (key) => Buffer.from(key),
  readMail: async (raw) => mails.get(Buffer.from(raw).toString()),
  backfills: { send: async () => {} },
});
let minute = 0;
const nextMinute = () => new Date(Date.UTC(2026, 2, 1, 9, ++minute)).toISOString();

/** A mail that a poll of the member's mailbox has fetched. */
async function fetched(world: World, parsed: ParsedMail, member = 'mika'): Promise<void> {
  const seen = sha256(String(minute), member, parsed.messageId ?? '');
  mails.set(seen, parsed);
  await ingestMailbox(room(), { tenant: world.tenant, member, account: 'acc', seen, rawKey: seen, rawSize: 1, receivedAt: nextMinute() });
}
const received = (subject: string, from = TARO) => mail({ subject, from: [from], to: [{ address: 'mika@example.com', name: '' }] });
const sent = (subject: string, to = [TARO]) => mail({ subject, to });
const share = (world: World, sharing: Sharing | undefined, member = 'mika') =>
  table.update(memberKey(world.tenant, member), { update: 'SET sharing = :sharing', values: { ':sharing': sharing } });
const subjects = async (viewer: Viewer, record: string, limit = 50) =>
  (await listTimeline(table, viewer, record, { limit })).items.map(({ subject }) => subject);

async function sharingWorld() {
  const world = await dropboxWorld(table);
  const contact = await existing(table, world, 'contacts', TARO.address);
  const jun = await world.addMember('jun', 'jun@example.com');
  const admin = await world.addMember('admin', 'admin@example.com', { profile: 'administrator' });
  return { world, contact, jun, admin };
}

describe('what colleagues see on a record', () => {
  test('R-7: a change of the type holds for the very next read, for old mail too, both ways', async () => {
    const { world, contact, jun, admin } = await sharingWorld();
    await fetched(world, received('in'));
    await fetched(world, sent('out'));
    const seen = async () => [await subjects(jun, contact), await subjects(admin, contact)];
    const both = ['out', 'in'];
    for (const [sharing, expected] of [
      [{ type: 'private' }, [[], []]],
      [{ type: 'public', excludedDomains: [] }, [both, both]],
      [{ type: 'admin' }, [[], both]],
      [{ type: 'custom' }, [[], []]],
      [{ type: 'public', excludedDomains: ['customer.example'] }, [[], []]],
      [{ type: 'public', excludedDomains: ['partner.example'] }, [both, both]],
      [{ type: 'private' }, [[], []]],
    ] as const) {
      await share(world, sharing as Sharing);
      expect(await seen()).toEqual(expected);
      expect(await subjects(world.viewer, contact)).toEqual(both);
    }
  });

  test('SHR-7, SHR-9, R-8, C-7: under custom the tick of that owner on that record decides', async () => {
    const { world, contact, jun } = await sharingWorld();
    const lead = await existing(table, world, 'leads', FRIEND.address);
    await share(world, { type: 'custom' });
    await fetched(world, received('on the contact'));
    await fetched(world, received('on the lead', FRIEND));
    await table.put({ ...tickKey(world.tenant, contact, 'jun'), owner: 'jun' });
    expect(await subjects(jun, contact)).toEqual([]);
    await table.put({ ...tickKey(world.tenant, contact, 'mika'), owner: 'mika' });
    expect([await subjects(jun, contact), await subjects(jun, lead)]).toEqual([['on the contact'], []]);
    await table.delete(tickKey(world.tenant, contact, 'mika'));
    expect(await subjects(jun, contact)).toEqual([]);
  });

  test('R-6: of one owner on one record, each mail by its own domains, however many they are', async () => {
    const { world, contact, jun } = await sharingWorld();
    const others = ['a', 'b', 'c', 'd'].map((name) => ({ address: `x@${name}.example`, name: '' }));
    await share(world, { type: 'public', excludedDomains: ['partner.example'] });
    await fetched(world, sent('alone'));
    await fetched(world, sent('with a friend', [TARO, FRIEND]));
    await fetched(world, sent('to many', [TARO, ...others]));
    await fetched(world, sent('to many and a friend', [TARO, ...others, FRIEND]));
    expect(await subjects(jun, contact)).toEqual(['to many', 'alone']);
    expect(await subjects(jun, contact, 1)).toEqual(['to many']);
  });

  test('R-6: a list looks at recipients it does not show: beyond the fiftieth, in CC alone, or too long to show', async () => {
    const { world, contact, jun } = await sharingWorld();
    const many = Array.from({ length: 60 }, (_, n) => ({ address: `p${n}@many.example`, name: '' }));
    const long = { address: `${'l'.repeat(60)}@${'d'.repeat(30)}.partner.example`, name: '' };
    await table.update(memberKey(world.tenant, 'mika'), { update: 'SET dropboxVisibility = :v', values: { ':v': 'sharing' } });
    await share(world, { type: 'public', excludedDomains: ['partner.example'] });
    const seen = async (more: Partial<ParsedMail>) => {
      const parcel = delivery([world.address], { receivedAt: nextMinute() });
      await fetched(world, mail({ ...more, subject: 'fetched' }));
      mails.set(parcel.rawKey, mail({ ...more, subject: 'filed' }));
      await ingest(room(), parcel);
      const listed = await subjects(jun, contact);
      await share(world, { type: 'private' });
      const all = (await subjects(world.viewer, contact)).length;
      await share(world, { type: 'public', excludedDomains: ['partner.example'] });
      return { listed: listed.length, all };
    };
    expect(await seen({ to: [TARO], cc: [...many, FRIEND] })).toEqual({ listed: 0, all: 2 });
    expect(await seen({ to: [], cc: [TARO, FRIEND] })).toEqual({ listed: 0, all: 4 });
    expect(await seen({ to: [TARO, long] })).toEqual({ listed: 0, all: 6 });
    expect(await seen({ to: [TARO], cc: many })).toEqual({ listed: 2, all: 8 });
  });

  test('R-6: an excluded recipient hides a mail whose address no record could have, or that is the thousand and first', async () => {
    const { world, contact, jun } = await sharingWorld();
    await share(world, { type: 'public', excludedDomains: ['partner.example'] });
    const to = (value: string) => ({ ...readHeaders([{ name: 'To', value }] as RawField[]), subject: value.slice(0, 20) });
    const many = Array.from({ length: 999 }, (_, n) => `p${n}@many.example`).join(', ');
    for (const value of [
      `${TARO.address}, sales#jp@partner.example`,
      `"a b"@mail.partner.example, ${TARO.address}`,
      `${TARO.address} friend@partner.example`,
      `${TARO.address}, ${many}, friend@partner.example`,
    ]) {
      const { to: recipients, others, subject } = to(value);
      await fetched(world, mail({ to: recipients, others, subject }));
      expect(await subjects(world.viewer, contact)).toContain(subject);
      expect(await subjects(jun, contact)).toEqual([]);
    }
    await share(world, { type: 'public', excludedDomains: ['elsewhere.example'] });
    expect(await subjects(jun, contact)).toHaveLength(4);
  });

  test('R-42, R-6: a stranger who writes as a customer and somebody new each time makes no series for each mail', async () => {
    const { world, contact, jun } = await sharingWorld();
    await share(world, { type: 'public', excludedDomains: ['partner.example'] });
    const from = (address: string) => ({ ...received(address), from: [TARO, { address, name: '' }] });
    for (let n = 0; n < 12; n++) await fetched(world, from(`x${n}@evil.example`));
    await fetched(world, from(FRIEND.address));
    await fetched(world, received('alone'));
    const notes = await table.all({ pk: holdersPartition(world.tenant, contact) });
    expect(notes).toHaveLength(2);
    expect((await subjects(jun, contact)).sort()).toEqual([...Array.from({ length: 12 }, (_, n) => `x${n}@evil.example`), 'alone'].sort());
    expect(await subjects(world.viewer, contact)).toHaveLength(14);
  });

  test("what the organisation excludes is nobody's to share: not by a tick, and not with administrators", async () => {
    const mailPolicy = { ...NO_POLICY, excludedDomains: ['partner.example'], excludedAddresses: ['boss@customer.example'] };
    const world = await dropboxWorld(table, { organisation: { mailPolicy } });
    const contact = await existing(table, world, 'contacts', TARO.address);
    const admin = await world.addMember('admin', 'admin@example.com', { profile: 'administrator' });
    await table.put({ ...tickKey(world.tenant, contact, 'mika'), owner: 'mika' });
    await fetched(world, sent('alone'));
    await fetched(world, sent('with a friend', [TARO, FRIEND]));
    await fetched(world, sent('with the boss', [TARO, { address: 'boss@customer.example', name: '' }]));
    for (const type of ['custom', 'admin'] as const) {
      await share(world, { type });
      expect(await subjects(admin, contact)).toEqual(['alone']);
    }
  });

  test('R-40: dropbox mail that follows the sharing type is held back by its recipients, named or not', async () => {
    const { world, contact, jun } = await sharingWorld();
    await table.update(memberKey(world.tenant, 'mika'), {
      update: 'SET dropboxVisibility = :sharing',
      values: { ':sharing': 'sharing' },
    });
    for (const [subject, to] of [
      ['one', [TARO]],
      ['two', [TARO, FRIEND]],
    ] as const) {
      const parcel = delivery([world.address], { receivedAt: nextMinute() });
      mails.set(parcel.rawKey, sent(subject, [...to]));
      await ingest(room(), parcel);
    }
    expect(await subjects(jun, contact)).toEqual([]);
    await share(world, { type: 'public', excludedDomains: ['partner.example'] });
    expect(await subjects(jun, contact)).toEqual(['one']);
    await share(world, { type: 'public', excludedDomains: [] });
    expect(await subjects(jun, contact)).toEqual(['two', 'one']);
  });

  test('GEN-9: a deactivated owner takes their mailbox along, nothing is deleted', async () => {
    const { world, contact, jun } = await sharingWorld();
    await share(world, { type: 'public', excludedDomains: [] });
    await fetched(world, received('in'));
    const status = (value: string) =>
      table.update(memberKey(world.tenant, 'mika'), { update: 'SET #s = :s', names: { '#s': 'status' }, values: { ':s': value } });
    await status('deactivated');
    expect(await subjects(jun, contact)).toEqual([]);
    await status('active');
    expect(await subjects(jun, contact)).toEqual(['in']);
  });

  test('R-31: a mail that two hold is seen as long as one of them shows it, and only that one is told', async () => {
    const { world, contact, jun, admin } = await sharingWorld();
    const parsed = received('both');
    await fetched(world, parsed);
    await fetched(world, parsed, 'jun');
    await share(world, { type: 'public', excludedDomains: [] }, 'jun');
    const { items } = await listTimeline(table, admin, contact, { limit: 5 });
    expect(items).toMatchObject([{ subject: 'both', owner: 'jun' }]);
    expect((await readVisible(table, admin, items[0]?.message ?? '')).copies.map(({ member }) => member)).toEqual(['jun']);
    expect(await subjects(jun, contact)).toEqual(['both']);
  });
});

describe('one mail, its thread and its records', () => {
  test('SHR-27, R-5: a shared mail is seen through a record that may be read, and names no other', async () => {
    const world = await dropboxWorld(table, { organisation: { recordAccess: { leads: 'owner-and-admins' } } });
    const jun = await world.addMember('jun', 'jun@example.com');
    const contact = await existing(table, world, 'contacts', TARO.address);
    await existing(table, world, 'leads', FRIEND.address);
    await share(world, { type: 'public', excludedDomains: [] });
    await fetched(world, sent('both', [TARO, FRIEND]));
    await fetched(world, sent('lead alone', [FRIEND]));
    await fetched(world, received('nobody', { address: 'x@home.example', name: '' }));
    const own = (await listOwnMail(table, world.viewer, { limit: 5 })).items;
    const [nobody, leadAlone, both] = own.map(({ message }) => message);
    expect((await readVisible(table, jun, both ?? '')).records).toEqual([{ module: 'contacts', id: contact }]);
    for (const hidden of [nobody, leadAlone])
      await expect(readVisible(table, jun, hidden ?? '')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('SHR-9: a tick on one record of a mail shows it there and names that record alone', async () => {
    const { world, contact, jun } = await sharingWorld();
    const lead = await existing(table, world, 'leads', FRIEND.address);
    await share(world, { type: 'custom' });
    await table.put({ ...tickKey(world.tenant, lead, 'mika'), owner: 'mika' });
    await fetched(world, sent('both', [TARO, FRIEND]));
    expect([await subjects(jun, lead), await subjects(jun, contact)]).toEqual([['both'], []]);
    const [{ message } = { message: '' }] = (await listTimeline(table, jun, lead, { limit: 1 })).items;
    expect((await readVisible(table, jun, message)).records).toEqual([{ module: 'leads', id: lead }]);
  });

  test('a thread shows of it what may be seen, also where others hold it', async () => {
    const { world, contact, jun } = await sharingWorld();
    await share(world, { type: 'public', excludedDomains: ['partner.example'] });
    const first = received('first');
    const reply = { references: [first.messageId ?? ''] };
    await fetched(world, first);
    await fetched(world, { ...sent('hidden', [TARO, FRIEND]), ...reply });
    await fetched(world, { ...sent('answer'), ...reply });
    const [row] = (await listTimeline(table, jun, contact, { limit: 1 })).items;
    const { message } = await readVisible(table, jun, row?.message ?? '');
    expect((await listThread(table, jun, message.thread, 9)).map(({ subject }) => subject)).toEqual(['first', 'answer']);
    expect((await listThread(table, world.viewer, message.thread, 9)).map(({ subject }) => subject)).toEqual(['first', 'hidden', 'answer']);
  });
});

describe('R-42: what is hidden of a thread costs no reads that would tell of it', () => {
  /** Mails of one conversation, as filing leaves them. */
  type Talk = { owner: string; other?: string; to?: (n: number) => string[]; record: string; mails: number };
  async function converse(world: World, thread: string, of: Talk) {
    const { owner, other = TARO.address, to = () => [other], record, mails } = of;
    for (let n = 0; n < mails; n++) {
      const message = sha256(thread, owner, other, String(n)).slice(0, 40);
      const counterparts = to(n).sort();
      const receivedAt = nextMinute();
      const copy: Copy = {
        message,
        member: owner,
        channel: 'mailbox',
        direction: 'received',
        receivedAt,
        delivery: message,
        records: [{ module: 'contacts', id: record }],
        counterparts,
      };
      await joinThread(table, world.tenant, thread, { message, member: owner, channel: 'mailbox', counterparts });
      await putCopy(table, world.tenant, copy);
      const row = { message, owner, receivedAt, subject: `${n}`, from: other, to: [], snippet: '', attachments: 0 };
      const entry: TimelineEntry = { ...row, direction: 'received' };
      await putTimelineEntry(table, world.tenant, record, seriesOf(copy), entry);
      await putOwnMail(table, world.tenant, { ...entry, records: copy.records });
    }
  }
  /** How much is read for the thread, and what is shown of it. */
  async function readsOf(viewer: Viewer, thread: string) {
    const [page, getMany, all] = [table.page.bind(table), table.getMany.bind(table), table.all.bind(table)];
    let [reads, copies] = [0, 0];
    table.page = async <T extends object>(query: Query) => {
      const found = await page<T>(query);
      reads += 1 + found.items.length;
      return found;
    };
    table.getMany = async <T extends object>(keys: Key[], options?: object) => {
      reads += keys.length;
      copies += keys.filter(({ sk }) => sk.startsWith('B#')).length;
      return getMany<T>(keys, options);
    };
    table.all = async <T extends object>(query: Query) => {
      const found = await all<T>(query);
      reads += 1 + found.length;
      return found;
    };
    try {
      return { shown: (await listThread(table, viewer, thread, 500)).length, reads, copies };
    } finally {
      Object.assign(table, { page, getMany, all });
    }
  }

  const PARTIES = [TARO.address, 'b@other.example', 'c@other.example', 'd@other.example'];
  test.each<[string, Sharing, string]>([
    ['to several on a record that is not ticked', { type: 'custom' }, 'several'],
    ['to several of whom one is excluded', { type: 'public', excludedDomains: ['other.example'] }, 'several'],
    ['of an owner who shares nothing', { type: 'private' }, 'contact'],
    ['of an owner who shares with administrators', { type: 'admin' }, 'contact'],
    ['of an excluded customer', { type: 'public', excludedDomains: ['customer.example'] }, 'contact'],
    ['on a record that is not ticked', { type: 'custom' }, 'contact'],
    ['on a record that the viewer may not read', { type: 'public', excludedDomains: [] }, 'lead'],
  ])('150 mails %s are passed over as 30 are, wherever they stand', async (_, sharing, on) => {
    const world = await dropboxWorld(table, { organisation: { recordAccess: { leads: 'owner-and-admins' } } });
    const jun = await world.addMember('jun', 'jun@example.com');
    const contact = await existing(table, world, 'contacts', TARO.address);
    const lead = await existing(table, world, 'leads', 'aya@customer.example');
    const to = () => (on === 'lead' ? ['aya@customer.example'] : on === 'several' ? [...PARTIES] : [TARO.address]);
    const hidden = { record: on === 'lead' ? lead : contact, to };
    for (const id of ['a', 'z']) await world.addMember(id, `${id}@example.com`, { sharing: { type: 'public', excludedDomains: [] } });
    await share(world, sharing);
    const reads: number[] = [];
    for (const mails of [30, 150]) {
      const thread = sha256(world.tenant, String(mails)).slice(0, 40);
      for (const owner of ['a', 'z']) await converse(world, thread, { owner, other: TARO.address, record: contact, mails: 5 });
      await converse(world, thread, { owner: 'mika', ...hidden, mails });
      const found = await readsOf(jun, thread);
      expect(found.shown).toBe(10);
      reads.push(found.reads);
      expect((await readsOf(world.viewer, thread)).shown).toBe(mails + 10);
    }
    expect(reads[1]).toBe(reads[0]);
  });

  /** Three of a dozen, another three each time. */
  const someOf = (n: number): string[] => {
    const [a, b, c] = [n % 11, Math.floor(n / 11) % 10, Math.floor(n / 110) % 9];
    const rest = Array.from({ length: 11 }, (_, i) => `p${i}@other.example`);
    return [...rest.splice(a, 1), ...rest.splice(b, 1), ...rest.splice(c, 1)];
  };

  test.each<[string, (n: number) => string[]]>([
    ['that are not ticked', (n) => [TARO.address, ...someOf(n)]],
    ['of which none may be read', someOf],
  ])('of 150 mails to ever others, on records %s, no copy is read', async (_, to) => {
    const { world, contact, jun } = await sharingWorld();
    for (const id of ['a', 'z']) await world.addMember(id, `${id}@example.com`, { sharing: { type: 'public', excludedDomains: [] } });
    await share(world, { type: 'custom' });
    const thread = sha256(world.tenant, 'ever others').slice(0, 40);
    for (const owner of ['a', 'z']) await converse(world, thread, { owner, record: contact, mails: 5 });
    await converse(world, thread, { owner: 'mika', to, record: contact, mails: 150 });
    expect(await readsOf(jun, thread)).toMatchObject({ shown: 10, copies: 10 });
    await table.put({ ...tickKey(world.tenant, contact, 'mika'), owner: 'mika' });
    if (to(0).includes(TARO.address)) expect(await readsOf(jun, thread)).toMatchObject({ shown: 160, copies: 160 });
  });

  test('mail with more addresses than are looked up, or than a line can name, is decided by its copies', async () => {
    const { world, contact, jun } = await sharingWorld();
    await share(world, { type: 'custom' });
    const many = (n: number, of: number) => [TARO.address, ...Array.from({ length: of }, (_, i) => `p${n}-${i}@other.example`)];
    for (const of of [3, 60]) {
      const thread = sha256(world.tenant, String(of)).slice(0, 40);
      await converse(world, thread, { owner: 'mika', to: (n) => many(n, of), record: contact, mails: 60 });
      expect((await readsOf(jun, thread)).shown).toBe(0);
      await table.put({ ...tickKey(world.tenant, contact, 'mika'), owner: 'mika' });
      expect((await readsOf(jun, thread)).shown).toBe(60);
      await table.delete(tickKey(world.tenant, contact, 'mika'));
    }
  });

  test('a line that stands where mail to several stood before it had series of its own is read, and goes with its copy', async () => {
    const { world, contact, jun } = await sharingWorld();
    await share(world, { type: 'public', excludedDomains: [] });
    const thread = sha256(world.tenant, 'mixed').slice(0, 40);
    await converse(world, thread, { owner: 'mika', to: () => [...PARTIES], record: contact, mails: 30 });
    const pk = threadPartition(world.tenant, thread);
    const lines = await table.all<{ sk: string; message: string; member: string }>({ pk });
    for (const [n, { sk, message, member }] of lines.entries()) {
      const mixed = threadKey(world.tenant, thread, { owner: 'mika', channel: 'mailbox', group: 'mixed' }, message);
      if (n % 2 === 0) await table.put({ ...mixed, message, member, channel: 'mailbox' });
      if (n % 4 === 0) await table.delete({ pk, sk });
      expect(linesOf(world.tenant, thread, { message, member, channel: 'mailbox', counterparts: [...PARTIES].sort() })).toEqual([
        { pk, sk },
        mixed,
      ]);
    }
    expect((await readsOf(jun, thread)).shown).toBe(30);
    await share(world, { type: 'private' });
    expect((await readsOf(jun, thread)).shown).toBe(0);
  });

  test('a long thread that may be seen is read to its end, whoever else is in it', async () => {
    const { world, contact, jun } = await sharingWorld();
    await share(world, { type: 'custom' });
    await table.put({ ...tickKey(world.tenant, contact, 'mika'), owner: 'mika' });
    const thread = sha256(world.tenant, 'long').slice(0, 40);
    await converse(world, thread, { owner: 'jun', other: TARO.address, record: contact, mails: 30 });
    await converse(world, thread, { owner: 'mika', other: TARO.address, record: contact, mails: 60 });
    expect((await readsOf(jun, thread)).shown).toBe(90);
    expect((await readsOf(world.viewer, thread)).shown).toBe(60);
    // Of a very long one the newest: whoever opened a mail came from there.
    expect((await listThread(table, world.viewer, thread, 3)).map(({ subject }) => subject)).toEqual(['57', '58', '59']);
  });

  test('of a thread that was begun before each copy had its line, all is found, once', async () => {
    const { world, contact } = await sharingWorld();
    const first = received('first');
    await fetched(world, first);
    await fetched(world, { ...sent('answer'), references: [first.messageId ?? ''] });
    const [row] = (await listTimeline(table, world.viewer, contact, { limit: 1 })).items;
    const { message } = await readVisible(table, world.viewer, row?.message ?? '');
    const pk = threadPartition(world.tenant, message.thread);
    for (const line of await table.all<{ sk: string; message: string }>({ pk })) {
      await table.put({ pk, sk: line.message, message: line.message, receivedAt: START });
      if (line.message === row?.message) await table.delete({ pk, sk: line.sk });
    }
    expect((await listThread(table, world.viewer, message.thread, 9)).map(({ subject }) => subject)).toEqual(['first', 'answer']);
  });
});

test('members whose items are so large that one read does not reach them all are looked at in a preview all the same', async () => {
  const { world } = await sharingWorld();
  await fetched(world, received('mail'));
  const member = { name: 'x'.repeat(20_000), email: '', profile: 'standard', status: 'active', confirmed: true };
  for (let n = 0; n < 60; n++) await table.put({ ...memberKey(world.tenant, `x${n}`), ...member, id: `x${n}` });
  const { becomeVisible, complete } = await previewChange(
    table,
    world.viewer,
    { sharing: { type: 'public', excludedDomains: [] } },
    new Date(START),
  );
  expect([becomeVisible.people, complete]).toEqual([62, true]);
});

test('MAG-1, ASC-2: a mail on four records stands in the own list on those that are left, and is gathered while there is one', async () => {
  const { world, contact } = await sharingWorld();
  const people = ['a', 'b', 'c'].map((name) => ({ address: `${name}@customer.example`, name }));
  const leads: string[] = [];
  for (const { address } of people) leads.push(await existing(table, world, 'leads', address));
  await fetched(world, mail({ from: [...people, TARO], to: [] }));
  const [row] = (await listOwnMail(table, world.viewer, { limit: 5 })).items;
  const named = row?.records.map(({ id }) => id) ?? [];
  expect(named).toHaveLength(3);
  const all = [...leads, contact];
  const left = all.filter((id) => !named.includes(id));
  for (const [n, gone] of named.entries()) {
    await table.delete(recordKey(world.tenant, gone));
    const [now] = (await listOwnMail(table, world.viewer, { limit: 5 })).items;
    expect(now?.records.map(({ id }) => id).sort()).toEqual([...named.slice(n + 1), ...left].sort());
    expect(now && isGathered(now)).toBe(true);
  }
  for (const last of left) await table.delete(recordKey(world.tenant, last));
  expect((await listOwnMail(table, world.viewer, { limit: 5 })).items).toMatchObject([{ records: [] }]);
});

test('MAG-1: of a long list a page looks at a thousand rows for what is gathered, and goes on from there', async () => {
  const { world } = await sharingWorld();
  const row = (n: number): OwnMailEntry => {
    const receivedAt = new Date(Date.UTC(2026, 0, 1) + n * 60_000).toISOString();
    const shown = { subject: `${n}`, from: TARO.address, to: [], snippet: '', attachments: 0, records: [] };
    return { message: `m${n}`, owner: 'mika', receivedAt, direction: n % 600 === 0 ? 'sent' : 'received', ...shown };
  };
  await table.putMany(Array.from({ length: 1201 }, (_, n) => row(n)).map((one) => ({ ...ownKey(world, one), ...one })));
  const page = (limit: number, after?: string) =>
    searchOwnMail(table, world.viewer, { limit, after, matches: ({ direction }) => direction === 'sent' });
  const first = await page(5);
  const second = await page(5, first.next);
  expect([first, second].map(({ items }) => items.map(({ subject }) => subject))).toEqual([['1200', '600'], ['0']]);
  expect(second.next).toBeUndefined();
  const one = await page(1);
  expect((await page(1, one.next)).items.map(({ subject }) => subject)).toEqual(['600']);
});
const ownKey = (world: World, { receivedAt, message }: OwnMailEntry) => ownMailKey(world.tenant, 'mika', receivedAt, message);

test('pages of many series go on without a gap or a repetition', async () => {
  const { world, contact, admin } = await sharingWorld();
  const owners = ['mika', 'o1', 'o2', 'o3', 'o4'];
  for (const owner of owners.slice(1)) await world.addMember(owner, `${owner}@example.com`);
  for (const owner of owners) await share(world, { type: 'public', excludedDomains: [] }, owner);
  const all: string[] = [];
  for (let i = 0; i < 60; i++) {
    // One owner has most of it, so that the others' series end early.
    const owner = i % 3 === 0 ? (owners[(i / 3) % owners.length] as string) : 'mika';
    await fetched(world, received(`m${i}`), owner);
    all.unshift(`m${i}`);
  }
  for (const limit of [1, 7, 50]) {
    const read: string[] = [];
    let after: string | undefined;
    do {
      const page = await listTimeline(table, admin, contact, { limit, after });
      read.push(...page.items.map(({ subject }) => subject));
      after = page.next;
    } while (after !== undefined);
    expect(read).toEqual(all);
  }
});

test.each([0, 60])('R-7: the settings of each of many owners count, in an organisation with %d others', async (others) => {
  const { world, contact, jun } = await sharingWorld();
  const name = (n: number) => `o${String(n).padStart(2, '0')}`;
  for (let n = 0; n < 12; n++) await world.addMember(name(n), `${name(n)}@example.com`, { sharing: { type: 'private' } });
  // Between their ids: more than are looked through.
  for (let n = 0; n < others; n++) await world.addMember(`o02-${n}`, `o02-${n}@example.com`);
  for (let n = 0; n < 12; n++) await fetched(world, received(name(n)), name(n));
  expect(await subjects(jun, contact)).toEqual([]);
  for (const n of [0, 5, 11]) await share(world, { type: 'public', excludedDomains: [] }, name(n));
  await table.delete(memberKey(world.tenant, name(3)));
  expect(await subjects(jun, contact)).toEqual([name(11), name(5), name(0)]);
});
