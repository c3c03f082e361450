import type { HostedAddress } from '../../core/account/hosted-address.ts';
import { ingestMailbox } from '../../core/account/ingest-mailbox.ts';
import { listActivity } from '../../core/dropbox/activity-store.ts';
import { listHeld, markReplaying } from '../../core/dropbox/held-store.ts';
import { holdUnprocessed, ingest } from '../../core/dropbox/ingest.ts';
import { reconcileRawMail } from '../../core/dropbox/reconcile-store.ts';
import { sweepRawMail } from '../../core/dropbox/sweep-store.ts';
import { sha256 } from '../../core/ids.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import type { Delivery } from '../../core/message/delivery.ts';
import type { Mailroom } from '../../core/message/mailroom.ts';
import { readMessage } from '../../core/message/message-store.ts';
import type { ParsedMail } from '../../core/message/parsed-mail.ts';
import { listTimeline } from '../../core/message/timeline-store.ts';
import { listOwnMail } from '../../core/message/visible-message-store.ts';
import { NO_POLICY } from '../../core/sharing/mail-policy.ts';
import type { Table } from '../../core/table/client.ts';
import { accountPartition, hostedAddressKey, mailAccountKey, memberKey } from '../../core/table/keys.ts';
import { delivery, dropboxWorld, existing, MAIL_DOMAIN, mail, START, sweptInto, type World } from '../support/dropbox-world.ts';
import { startTable } from '../support/engine.ts';

let table: Table;
let end: () => Promise<void>;
beforeAll(async () => ({ table, end } = await startTable()));
afterAll(() => end());

const TARO = 'taro@customer.example';
/** When all that is thirty days old has been swept. */
const SWEPT = new Date('2026-04-03T12:00:00.000Z');
const LATER = '2026-03-02T09:00:00.000Z';

/** What SES stored, by key. */
const mails = new Map<string, ParsedMail | 'unreadable'>();
const roomOf = (one: Table): Mailroom => ({
  table: one,
  mailDomain: MAIL_DOMAIN,
  readRaw: async (key) => (mails.has(key) ? Buffer.from(key) : undefined),
  readMail: async (raw) => {
    const found = mails.get(Buffer.from(raw).toString());
    return found === 'unreadable' ? undefined : found;
  },
  backfills: { send: async () => {} },
});
const take = (one: Delivery) => ingest(roomOf(table), one);

let count = 0;
/** Mika's hosted mailbox, or another member's, written straight to the table. */
async function hosted(world: World, { member = 'mika', ...more }: Partial<HostedAddress> & { active?: boolean } = {}) {
  const account = `acc${++count}`;
  const address = `${member}-${String(count).padStart(8, '0')}@${MAIL_DOMAIN}`;
  const { active = true, ...stone } = more;
  await table.put({ ...hostedAddressKey(sha256(address)), tenant: world.tenant, member, account, ...stone });
  const item = { id: account, tenant: world.tenant, member, address, protocol: 'hosted', active };
  if (!stone.retiredAt) await table.put({ ...mailAccountKey(world.tenant, member, account), ...item });
  return { account, address };
}
/** A mail as SES took it, for these addresses. */
function sent(to: string[], parsed: ParsedMail | 'unreadable' = question(), more: Partial<Delivery> = {}): Delivery {
  const accepted = delivery(to, { source: TARO, ...more });
  mails.set(accepted.rawKey, parsed);
  return accepted;
}
const question = (more: Partial<ParsedMail> = {}) =>
  mail({ from: [{ address: TARO, name: 'Taro' }], to: [{ address: 'mika@example.com', name: 'Mika' }], subject: 'A question', ...more });
const AND_EVIL = { from: ['a@evil.example', 'mika@example.com'].map((address) => ({ address, name: '' })) };
const failing = (what: 'spam' | 'virus'): Partial<Delivery> => ({ verdicts: { ...delivery([]).verdicts, [what]: 'FAIL' } });

const timeline = async (viewer: Viewer, record: string) => (await listTimeline(table, viewer, record, { limit: 100 })).items;
const own = async (viewer: Viewer) => (await listOwnMail(table, viewer, { limit: 100 })).items;
const held = async (viewer: Viewer) => (await listHeld(table, viewer, { limit: 100 }, new Date(START))).items;
const activity = async (viewer: Viewer) => (await listActivity(table, viewer, { limit: 100 }, new Date(START))).items;
const ledger = (world: World, account: string) => table.all({ pk: accountPartition(world.tenant, account) });
async function swept(now = SWEPT): Promise<string[]> {
  const gone: string[] = [];
  const bytes = [...mails].flatMap(([key, parsed]) => (parsed === 'unreadable' ? [] : [[key, sourceOf(parsed)]]));
  await sweepRawMail(table, sweptInto(gone, Object.fromEntries(bytes)), now);
  return gone;
}
/** As much of its source as tells which mail it is. */
const sourceOf = ({ messageId, dateHeader, from }: ParsedMail) =>
  `Message-ID: <${messageId}>\r\nDate: ${dateHeader}\r\nFrom: ${from[0]?.address}\r\n\r\n`;
/** Taken in again from the held list, as the queue's worker does it. */
async function replay(viewer: Viewer) {
  const [item] = await held(viewer);
  const marked = await markReplaying(table, viewer, item?.id ?? '', new Date(START));
  return ingestMailbox(roomOf(table), marked.mailbox!, marked.id);
}

describe('R-43: mail to a hosted mailbox', () => {
  test.each([true, false])('POP-1: stands on the record and in the own list, picked or not (%p), from whomsoever', async (active) => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const { account, address } = await hosted(world, { active });
    const one = sent([address]);
    expect(await take(one)).toEqual([{ recipient: address, outcome: 'filed', reason: undefined }]);
    expect(await timeline(world.viewer, contact)).toMatchObject([{ subject: 'A question', direction: 'received' }]);
    const [entry] = await own(world.viewer);
    expect(entry).toMatchObject({ subject: 'A question', records: [{ id: contact }] });
    expect((await readMessage(table, world.tenant, entry?.message ?? ''))?.message.rawKey).toBe(one.rawKey);
    expect(await ledger(world, account)).toMatchObject([{ outcome: 'filed', message: entry?.message, receivedAt: START }]);
    expect(await swept()).not.toContain(one.rawKey);
  });

  test('ASC-2: of nobody in the CRM, such as a provider that asks to confirm a forwarding, it is in the own list alone, and no record is made', async () => {
    const world = await dropboxWorld(table);
    const colleague = await world.addMember('jun', 'jun@example.com');
    const { address } = await hosted(world);
    const confirm = { address: 'forwarding-noreply@provider.example', name: '' };
    await take(
      sent([address], question({ from: [confirm], to: [{ address, name: '' }], subject: 'Confirm', automatic: 'auto-submitted' })),
    );
    expect(await own(world.viewer)).toMatchObject([{ subject: 'Confirm', records: [] }]);
    expect(await own(colleague)).toEqual([]);
  });

  test('forwarded by a provider, only the envelope is another: From and To tie it, and what the owner sent is sent', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const { address } = await hosted(world);
    await take(sent([address], question(), { source: 'mika+caf_=x@provider.example' }));
    await take(sent([address], mail({ subject: 'My answer' }), { source: 'mika+caf_=x@provider.example' }));
    await take(sent([address], mail({ subject: 'From here', from: [{ address, name: 'Mika' }] })));
    const shown = (await timeline(world.viewer, contact)).map(({ subject, direction }) => `${subject} ${direction}`);
    expect(shown.sort()).toEqual(['A question received', 'From here sent', 'My answer sent']);
  });

  test("with the owner's address in From it is sent by them only if the checks do not speak against it; else it is in their list alone", async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const { address } = await hosted(world);
    const verdicts = { ...delivery([]).verdicts, spf: 'FAIL', dkim: 'FAIL', dmarc: 'FAIL' } as const;
    await take(sent([address], mail({ subject: 'Never said' }), { verdicts }));
    await take(sent([address], mail({ subject: 'From here', from: [{ address, name: '' }] }), { verdicts }));
    expect(await timeline(world.viewer, contact)).toEqual([]);
    expect(await own(world.viewer)).toMatchObject([
      { direction: 'received', records: [] },
      { direction: 'received', records: [] },
    ]);
    await take(sent([address], question(), { verdicts }));
    expect(await timeline(world.viewer, contact)).toMatchObject([{ subject: 'A question', direction: 'received' }]);
  });

  test.each<[string, Partial<Delivery['verdicts']>, string, Partial<ParsedMail>, boolean]>([
    ['checks that are all unsure prove nothing', {}, 'mika@example.com', {}, false],
    ['SPF of the domain in From does', { spf: 'PASS' }, 'mika@example.com', {}, true],
    ['SPF of whoever passes it on does not', { spf: 'PASS' }, 'mika@evil.example', {}, false],
    ['a signature of that domain does', { dkim: 'PASS' }, 'mika@provider.example', {}, true],
    ['one beside another may be the one that failed', { dkim: 'PASS' }, '', { dkimDomains: ['evil.example', 'example.com'] }, false],
    [
      'a stranger who writes the owner beside them proves their own address',
      { spf: 'PASS', dmarc: 'PASS' },
      'a@evil.example',
      AND_EVIL,
      false,
    ],
  ])('R-43: everybody knows its address: in From, the owner counts as who sent it only when that is proved: %s', async (...row) => {
    const [, verdicts, source, more, isSent] = row;
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const { address } = await hosted(world);
    const unsure = { spam: 'PASS', virus: 'PASS', spf: 'GRAY', dkim: 'GRAY', dmarc: 'GRAY' } as const;
    await take(sent([address], mail(more), { source, verdicts: { ...unsure, ...verdicts } }));
    expect((await timeline(world.viewer, contact)).map(({ direction }) => direction)).toEqual(isSent ? ['sent'] : []);
    expect(await own(world.viewer)).toMatchObject([{ direction: isSent ? 'sent' : 'received' }]);
  });

  test('a forged one that failed, or could not be read, is not sent by its owner either when they replay it', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const { address } = await hosted(world);
    const verdicts = { ...delivery([]).verdicts, spf: 'FAIL', dkim: 'FAIL', dmarc: 'FAIL' } as const;
    await holdUnprocessed(roomOf(table), sent([address], mail(), { verdicts }));
    expect(await replay(world.viewer)).toBe('filed');
    expect(await timeline(world.viewer, contact)).toEqual([]);
    expect(await own(world.viewer)).toMatchObject([{ direction: 'received', records: [] }]);
  });

  test('RFC 5233: with a tag behind a plus it is the same mailbox, once; a dropbox is reached by its whole address alone', async () => {
    const world = await dropboxWorld(table);
    const { account, address } = await hosted(world);
    const tagged = (tag: string, to: string) => to.replace('@', `+${tag}@`);
    const secret = tagged('x', world.address);
    const outcomes = await take(sent([tagged('fair', address), tagged('Shop+two', address), address, secret]));
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['filed', 'ignored']);
    expect([(await own(world.viewer)).length, (await ledger(world, account)).length]).toEqual([1, 1]);
    expect((await held(world.viewer)).length).toBe(0);
  });

  test('a redelivery changes nothing; a second mailbox of the same member does not show it twice', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const [one, two] = [await hosted(world), await hosted(world)];
    const both = sent([one.address, two.address]);
    const outcomes = async () => (await take(both)).map(({ outcome }) => outcome);
    expect([await outcomes(), await outcomes()]).toEqual([
      ['filed', 'duplicate'],
      ['filed', 'duplicate'],
    ]);
    expect([await timeline(world.viewer, contact), await own(world.viewer)].map((list) => list.length)).toEqual([1, 1]);
  });

  test('R-31: one envelope for dropboxes and mailboxes of two tenants: each has it, and the bytes stay while one needs them', async () => {
    const world = await dropboxWorld(table, { organisation: { mailPolicy: { ...NO_POLICY, storeOnlyRecordMail: true } } });
    const theirs = await dropboxWorld(table);
    const contact = await existing(table, theirs, 'contacts', TARO);
    const [mine, other] = [await hosted(world), await hosted(theirs)];
    const all = sent([world.address, mine.address, other.address, `nobody@${MAIL_DOMAIN}`]);
    const outcomes = await take(all);
    expect(outcomes.map(({ outcome, reason }) => reason ?? outcome)).toEqual([
      'unregistered-sender',
      'no-record',
      'filed',
      'unknown-recipient',
    ]);
    expect([(await own(world.viewer)).length, (await timeline(theirs.viewer, contact)).length]).toEqual([0, 1]);
    expect(await swept()).not.toContain(all.rawKey);
  });

  test('what policy says not to store is held for its owner, for nobody else keeps it; replayed once it concerns a record, it is filed', async () => {
    const world = await dropboxWorld(table, { organisation: { mailPolicy: { ...NO_POLICY, storeOnlyRecordMail: true } } });
    const { account, address } = await hosted(world);
    const [one, other] = [sent([address]), sent([address])];
    for (const each of [one, other, one]) expect(await take(each)).toMatchObject([{ outcome: 'held', reason: 'no-record' }]);
    expect(await held(world.viewer)).toMatchObject([{ subject: 'A question' }, { subject: 'A question' }]);
    expect(await replay(world.viewer)).toBe('held');
    expect(await held(world.viewer)).toMatchObject([{ reason: 'no-record' }, { reason: 'no-record' }]);
    const contact = await existing(table, world, 'contacts', TARO);
    expect(await replay(world.viewer)).toBe('filed');
    expect([(await held(world.viewer)).length, (await timeline(world.viewer, contact)).length]).toEqual([1, 1]);
    expect((await ledger(world, account)).map((line) => String(line.outcome)).sort()).toEqual(['filed', 'held']);
    expect((await swept()).filter((key) => [one.rawKey, other.rawKey].includes(key))).toHaveLength(1);
  });

  test('R-33: of a deactivated member it is filed, for a mailbox has nowhere else to keep it; nobody else sees it', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const colleague = await world.addMember('jun', 'jun@example.com');
    const { address } = await hosted(world);
    const set = { update: 'SET #status = :off, deactivatedAt = :at, sharing = :sharing', names: { '#status': 'status' } };
    const values = { ':off': 'deactivated', ':at': START, ':sharing': { type: 'public', excludedDomains: [] } };
    await table.update(memberKey(world.tenant, 'mika'), { ...set, values });
    expect(await take(sent([address], question(), { receivedAt: LATER }))).toMatchObject([{ outcome: 'filed' }]);
    expect([(await own(world.viewer)).length, await timeline(colleague, contact)]).toEqual([1, []]);
  });

  test('R-13: a removed one ignores mail, and says so to who had it; what was on its way by then is theirs still', async () => {
    const world = await dropboxWorld(table);
    const removed = await hosted(world, { retiredAt: LATER });
    const late = sent([removed.address], question(), { receivedAt: LATER });
    expect(await take(late)).toMatchObject([{ outcome: 'ignored', reason: 'removed-mailbox' }]);
    await take(late);
    expect([await own(world.viewer), await activity(world.viewer)]).toMatchObject([
      [],
      [{ outcome: 'ignored', reason: 'removed-mailbox', from: TARO }],
    ]);
    expect(await take(sent([removed.address]))).toMatchObject([{ outcome: 'filed' }]);
    expect(await swept()).toContain(late.rawKey);
  });
});

describe('R-12: what is held of a hosted mailbox', () => {
  test('spam is held with its subject and sender, and filed when its owner replays it; its bytes are then kept', async () => {
    const world = await dropboxWorld(table);
    const { account, address } = await hosted(world);
    const one = sent([address], question(), failing('spam'));
    expect(await take(one)).toMatchObject([{ outcome: 'held', reason: 'spam' }]);
    await take(one);
    expect(await held(world.viewer)).toMatchObject([{ reason: 'spam', subject: 'A question', from: [TARO], receivedAt: START }]);
    expect(await own(world.viewer)).toEqual([]);
    expect(await replay(world.viewer)).toBe('filed');
    expect([await held(world.viewer), (await own(world.viewer)).length]).toEqual([[], 1]);
    expect(await ledger(world, account)).toMatchObject([{ outcome: 'filed' }]);
    expect(await swept()).not.toContain(one.rawKey);
  });

  test('a virus stays held, however often it is replayed, and is gone after thirty days', async () => {
    const world = await dropboxWorld(table);
    const { address } = await hosted(world);
    const one = sent([address], question(), failing('virus'));
    await take(one);
    expect(await replay(world.viewer)).toBe('held');
    expect(await held(world.viewer)).toMatchObject([{ state: 'held', reason: 'virus' }]);
    expect(await swept()).toContain(one.rawKey);
  });

  test('what nobody could read, or failed every time, is held once; replayed when it can be read, its bytes are kept', async () => {
    const world = await dropboxWorld(table);
    const { address } = await hosted(world);
    const one = sent([address], 'unreadable');
    await take(one);
    const other = sent([address]);
    const failed = await holdUnprocessed(roomOf(table), other);
    expect(failed).toMatchObject([{ recipient: address, outcome: 'held', reason: 'failed' }]);
    expect((await held(world.viewer)).map(({ reason }) => reason).sort()).toEqual(['failed', 'unreadable']);
    mails.set(one.rawKey, question({ subject: 'Now it can be read' }));
    expect([await replay(world.viewer), await replay(world.viewer)]).toEqual(['filed', 'filed']);
    const gone = await swept();
    expect(gone).not.toContain(one.rawKey);
    expect(gone).not.toContain(other.rawKey);
  });

  test('a replay that is killed before its last write is done again, and its bytes are kept all the same', async () => {
    for (let survived = 0; ; survived++) {
      const world = await dropboxWorld(table);
      const { account, address } = await hosted(world);
      const one = sent([address], question(), failing('spam'));
      await take(one);
      const [item] = await held(world.viewer);
      const marked = await markReplaying(table, world.viewer, item?.id ?? '', new Date(START));
      const work = (using: Table) => ingestMailbox(roomOf(using), marked.mailbox!, marked.id);
      const died = await work(dyingAt(survived)).catch(() => 'killed');
      // What the queue's worker asks before it begins.
      if ((await held(world.viewer))[0]?.state === 'replaying') await work(table);
      expect([survived, await held(world.viewer), (await own(world.viewer)).length]).toEqual([survived, [], 1]);
      expect(await ledger(world, account)).toMatchObject([{ outcome: 'filed' }]);
      expect(await swept()).not.toContain(one.rawKey);
      if (died !== 'killed') break;
    }
  });
});

describe('whatever is lost on the way', () => {
  test("a replay that comes to a duplicate does not give away another tenant's bytes", async () => {
    const [world, theirs] = [await dropboxWorld(table), await dropboxWorld(table)];
    const [mine, other] = [await hosted(world), await hosted(theirs)];
    const same = question();
    await take(sent([mine.address], same));
    const both = sent([mine.address, other.address], same, failing('spam'));
    await take(both);
    expect([await replay(theirs.viewer), await replay(world.viewer)]).toEqual(['filed', 'duplicate']);
    expect(await swept()).not.toContain(both.rawKey);
  });

  test('killed before or after any write of a delivery for a dropbox and two mailboxes: once each, nothing more', async () => {
    let kills = 0;
    for (let point = 0; ; point++) {
      const world = await dropboxWorld(table, { dropbox: { pattern: 'contacts' } });
      const theirs = await dropboxWorld(table);
      const contact = await existing(table, world, 'contacts', TARO);
      const [mine, other] = [await hosted(world), await hosted(theirs)];
      // From mika to taro: registered with the dropbox, and sent in the mailbox.
      const all = sent([world.address, mine.address, other.address], mail());
      const died = await ingest(roomOf(dyingAt(Math.floor(point / 2), point % 2 === 1)), all).catch(() => 'killed');
      await take(all);
      expect([point, (await timeline(world.viewer, contact)).length, (await own(world.viewer)).length]).toEqual([point, 1, 1]);
      expect([point, (await own(theirs.viewer)).length, (await activity(world.viewer)).length]).toEqual([point, 1, 1]);
      expect(await ledger(world, mine.account)).toMatchObject([{ outcome: 'filed' }]);
      expect(await ledger(theirs, other.account)).toMatchObject([{ outcome: 'filed' }]);
      if (died !== 'killed') break;
      kills++;
    }
    expect(kills).toBeGreaterThanOrEqual(30);
  });

  test('a lost notification is noticed by the missing line in the ledger and healed, and nothing that was well is', async () => {
    const world = await dropboxWorld(table);
    const { address } = await hosted(world);
    const id = () => `id${String(++count).padStart(6, '0')}`;
    const mine = [id(), id(), id(), id()].map((each) => sent([address], question(), { id: each, rawKey: `raw/${each}` }));
    const [well, lost, spam, cutOff] = mine;
    await take(well!);
    await take({ ...spam!, ...failing('spam') });
    // Its line was begun; that it is held was never written.
    await expect(ingest(roomOf(dyingAt(1)), { ...cutOff!, ...failing('spam') })).rejects.toThrow('killed');
    const again: Delivery[] = [];
    await table.delete({ pk: 'X#reconcile', sk: 'ROUND' });
    const room = {
      table,
      mailDomain: MAIL_DOMAIN,
      list: async () => ({ objects: mine.map((one) => ({ key: one.rawKey, modified: START })), more: false }),
      readBeginning: async (key: string) => headOf(mine.find((one) => one.rawKey === key)!),
      again: async (one: Delivery) => void again.push(one),
    };
    const reconciled = await reconcileRawMail(room, new Date(LATER), { minutes: 60, hasTime: () => true });
    expect(reconciled).toMatchObject({ looked: 4, healed: 2, unknown: [] });
    expect(again.map((one) => one.rawKey).sort()).toEqual([lost!.rawKey, cutOff!.rawKey]);
    for (const one of again) await take(one);
    expect([(await own(world.viewer)).length, (await held(world.viewer)).length]).toEqual([3, 1]);
  });
});

const headOf = ({ id, receivedAt, recipients, source }: Delivery) =>
  Buffer.from(
    `Return-Path: <${source}>\r\nReceived: from x by inbound-smtp.eu-west-1.amazonaws.com with SMTP id ${id} for ${recipients[0]};` +
      ` ${new Date(receivedAt).toUTCString().replace('GMT', '+0000 (UTC)')}\r\nX-SES-Spam-Verdict: PASS\r\nX-SES-Virus-Verdict: PASS\r\n\r\n`,
  );

/** The table, for a worker that is killed at its so-manieth write: before it, or when it is done. */
function dyingAt(writes: number, isDone = false): Table {
  const dying = Object.create(table) as Table;
  let left = writes;
  const guard = async <Answer>(write: () => Promise<Answer>): Promise<Answer> => {
    if (left < 0) throw new Error('killed');
    if (left-- > 0) return write();
    if (isDone) await write();
    throw new Error('killed');
  };
  dying.put = (...args) => guard(() => table.put(...args));
  dying.putNew = (...args) => guard(() => table.putNew(...args));
  dying.update = (...args) => guard(() => table.update(...args));
  dying.transact = (...args) => guard(() => table.transact(...args));
  return dying;
}
