import { holdMailbox, ingestMailbox } from '../../core/account/ingest-mailbox.ts';
import type { MailboxDelivery } from '../../core/account/mailbox-delivery.ts';
import type { SeenMail } from '../../core/account/seen-mail-store.ts';
import { listHeld, markReplaying } from '../../core/dropbox/held-store.ts';
import { ingest } from '../../core/dropbox/ingest.ts';
import { sweepRawMail } from '../../core/dropbox/sweep-store.ts';
import { sha256 } from '../../core/ids.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import type { Mailroom } from '../../core/message/mailroom.ts';
import { readMessage } from '../../core/message/message-store.ts';
import type { ParsedMail } from '../../core/message/parsed-mail.ts';
import { listTimeline } from '../../core/message/timeline-store.ts';
import { listOwnMail, listThread, readVisible } from '../../core/message/visible-message-store.ts';
import { matchAddress } from '../../core/record/address-store.ts';
import { NO_POLICY } from '../../core/sharing/mail-policy.ts';
import type { Table } from '../../core/table/client.ts';
import { mailAccountKey, memberKey, seenMailKey } from '../../core/table/keys.ts';
import { delivery, dropboxWorld, existing, MAIL_DOMAIN, mail, START, sweptInto, type World } from '../support/dropbox-world.ts';
import { startTable } from '../support/engine.ts';

let table: Table;
let end: () => Promise<void>;
beforeAll(async () => ({ table, end } = await startTable()));
afterAll(() => end());

const TARO = 'taro@customer.example';
const received = (more: Partial<ParsedMail> = {}) =>
  mail({ from: [{ address: TARO, name: 'Taro' }], to: [{ address: 'mika@example.com', name: 'Mika' }], subject: 'A question', ...more });

const mails = new Map<string, ParsedMail | 'unreadable'>();
const room: Mailroom = {
  get table() {
    return table;
  },
  mailDomain: MAIL_DOMAIN,
  readRaw: async (key) => (mails.has(key) ? Buffer.from(key) : undefined),
  readMail: async (raw) => {
    const found = mails.get(Buffer.from(raw).toString());
    return found === 'unreadable' ? undefined : found;
  },
  backfills: { send: async () => {} },
};

let counter = 0;
/** A mail as a poll of this member's account hands it on. */
function fetched(world: World, parsed: ParsedMail | 'unreadable', more: Partial<MailboxDelivery> = {}): MailboxDelivery {
  const seen = sha256(String(++counter));
  const rawKey = `t/${world.tenant}/mail/acc/${seen}.eml`;
  mails.set(more.rawKey ?? rawKey, parsed);
  return { tenant: world.tenant, member: 'mika', account: 'acc', seen, rawKey, rawSize: 100, receivedAt: START, ...more };
}
async function arrives(world: World, parsed: ParsedMail | 'unreadable', more: Partial<MailboxDelivery> = {}) {
  const arrived = fetched(world, parsed, more);
  return { ...arrived, outcome: await ingestMailbox(room, arrived) };
}
const line = ({ tenant, account, seen }: MailboxDelivery) => table.get<SeenMail>(seenMailKey(tenant, account, seen));
const timeline = async (viewer: Viewer, record: string) => (await listTimeline(table, viewer, record, { limit: 100 })).items;
const own = async (viewer: Viewer) => (await listOwnMail(table, viewer, { limit: 100 })).items;
const withAccount = (world: World, address = 'mika@example.com') =>
  table.put({ ...mailAccountKey(world.tenant, 'mika', 'acc'), id: 'acc', address, active: true, sync: { filed: 0 } });

describe('what a mailbox gives', () => {
  test('ASC-1, POP-27: mail from a contact stands on the contact, as received, and in the own list', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const { outcome } = await arrives(world, received());
    expect(outcome).toBe('filed');
    expect(await timeline(world.viewer, contact)).toMatchObject([{ subject: 'A question', direction: 'received', from: TARO }]);
    expect(await own(world.viewer)).toMatchObject([{ subject: 'A question', records: [{ module: 'contacts', id: contact }] }]);
  });

  test('ASC-1: leads and contacts with the address alike are tied to, R-24: as far as the owner may read them', async () => {
    const world = await dropboxWorld(table, { organisation: { recordAccess: { leads: 'owner-and-admins' } } });
    const contact = await existing(table, world, 'contacts', TARO);
    const lead = await existing(table, world, 'leads', TARO, 'somebody-else');
    await arrives(world, received());
    const [entry] = await own(world.viewer);
    expect(entry?.records).toEqual([{ module: 'contacts', id: contact }]);
    const stored = await readMessage(table, world.tenant, entry?.message ?? '');
    expect(stored?.copies[0]?.records.map(({ id }) => id)).not.toContain(lead);
  });

  test('ASC-2: mail of nobody in the CRM stays with its owner alone, and makes no record', async () => {
    const world = await dropboxWorld(table);
    const admin = await world.addMember('admin', 'admin@example.com', { profile: 'administrator' });
    await arrives(world, received());
    const [entry] = await own(world.viewer);
    expect(entry).toMatchObject({ records: [] });
    expect((await matchAddress(table, world.tenant, TARO, { consistent: true })).records).toEqual([]);
    expect(await readVisible(table, world.viewer, entry?.message ?? '')).toMatchObject({ records: [] });
    await expect(readVisible(table, admin, entry?.message ?? '')).rejects.toMatchObject({ code: 'not-found' });
  });

  test("POP-17: `recent:` hands out sent mail too: the owner's own stands on the records it went to, as sent", async () => {
    const world = await dropboxWorld(table);
    await withAccount(world, 'mika@elsewhere.example');
    const contact = await existing(table, world, 'contacts', TARO);
    const cc = await existing(table, world, 'contacts', 'hana@customer.example');
    for (const from of ['mika@elsewhere.example', 'mika@example.com']) {
      await arrives(world, mail({ from: [{ address: from, name: '' }], cc: [{ address: 'hana@customer.example', name: '' }] }));
    }
    expect(await timeline(world.viewer, contact)).toMatchObject([{ direction: 'sent' }, { direction: 'sent' }]);
    expect(await timeline(world.viewer, cc)).toHaveLength(2);
  });

  test('R-4: colleagues, excluded domains and no-reply addresses are nobody to tie to', async () => {
    const world = await dropboxWorld(table, { organisation: { excludedDomains: ['partner.example'] } });
    await world.addMember('jun', 'jun@example.com');
    const senders = ['jun@example.com', 'a@sub.partner.example', 'no-reply@customer.example'];
    for (const address of senders) {
      await existing(table, world, 'contacts', address);
      await arrives(world, received({ from: [{ address, name: '' }] }));
    }
    expect((await own(world.viewer)).flatMap(({ records }) => records)).toEqual([]);
  });

  test('R-35: automatic mail is stored and tied to what is there', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    await arrives(world, received({ automatic: 'auto-submitted' }));
    expect(await timeline(world.viewer, contact)).toHaveLength(1);
  });

  test('SHR-3, SHR-24, SHR-26, R-1: nobody else sees it on the record, administrators included', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const colleague = await world.addMember('jun', 'jun@example.com');
    const admin = await world.addMember('admin', 'admin@example.com', { profile: 'administrator' });
    await arrives(world, received());
    expect([await timeline(colleague, contact), await timeline(admin, contact)]).toEqual([[], []]);
    expect(await own(admin)).toEqual([]);
  });

  test('"store only mail that concerns a record": the rest is not kept, and so is never deleted from the server', async () => {
    const world = await dropboxWorld(table, { organisation: { mailPolicy: { ...NO_POLICY, storeOnlyRecordMail: true } } });
    const contact = await existing(table, world, 'contacts', TARO);
    const kept = await arrives(world, received());
    const other = await arrives(world, received({ from: [{ address: 'friend@home.example', name: '' }], subject: 'Sunday' }));
    expect([kept.outcome, other.outcome]).toEqual(['filed', 'not-kept']);
    expect((await own(world.viewer)).map(({ subject }) => subject)).toEqual(['A question']);
    expect(await timeline(world.viewer, contact)).toHaveLength(1);
    const gone: string[] = [];
    await sweepRawMail(table, sweptInto(gone), new Date('2026-03-03T12:00:00.000Z'));
    expect(gone).toContain(other.rawKey);
    expect(gone).not.toContain(kept.rawKey);
  });

  test('R-33: what was on its way when its owner was deactivated is still stored', async () => {
    const world = await dropboxWorld(table);
    await table.update(memberKey(world.tenant, 'mika'), {
      update: 'SET #status = :status',
      names: { '#status': 'status' },
      values: { ':status': 'deactivated' },
    });
    expect((await arrives(world, received())).outcome).toBe('filed');
  });
});

describe('R-31, R-32: one mail, whoever holds it and however it came', () => {
  test('a redelivery changes nothing; the same mail at another place of the mailbox is a duplicate', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const parsed = received();
    const first = fetched(world, parsed);
    expect([await ingestMailbox(room, first), await ingestMailbox(room, first)]).toEqual(['filed', 'filed']);
    const again = await arrives(world, parsed, { receivedAt: '2026-03-01T10:00:00.000Z' });
    expect(again.outcome).toBe('duplicate');
    expect(await timeline(world.viewer, contact)).toHaveLength(1);
    expect(await own(world.viewer)).toMatchObject([{ receivedAt: START }]);
    const gone: string[] = [];
    await sweepRawMail(table, sweptInto(gone), new Date('2026-04-02T12:00:00.000Z'));
    expect(gone).toContain(again.rawKey);
    expect(gone).not.toContain(first.rawKey);
  });

  test('dropbox and mailbox of one member, and the mailbox of a colleague: one message, three associations', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const jun = await world.addMember('jun', 'jun@example.com');
    const parsed = mail();
    const sent = delivery([world.address]);
    mails.set(sent.rawKey, parsed);
    await ingest(room, sent);
    expect((await arrives(world, parsed)).outcome).toBe('filed');
    expect((await arrives(world, parsed, { member: 'jun' })).outcome).toBe('filed');
    expect(await timeline(world.viewer, contact)).toHaveLength(1);
    expect(await own(jun)).toHaveLength(1);
    const message = (await own(world.viewer))[0]?.message ?? '';
    const stored = await readMessage(table, world.tenant, message);
    expect(stored?.copies.map(({ member, channel }) => `${member} ${channel}`).sort()).toEqual([
      'jun mailbox',
      'mika dropbox',
      'mika mailbox',
    ]);
    expect(stored?.message.rawKey).toBe(sent.rawKey);
  });

  test('the same mail of one mailbox read by two members stands in the own list of each', async () => {
    const world = await dropboxWorld(table);
    const jun = await world.addMember('jun', 'jun@example.com');
    const parsed = received();
    await arrives(world, parsed);
    await arrives(world, parsed, { member: 'jun' });
    expect([await own(world.viewer), await own(jun)].map((list) => list.length)).toEqual([1, 1]);
    expect((await own(jun))[0]?.owner).toBe('jun');
  });

  test('a thread shows its mails that are on no record too, to who holds them', async () => {
    const world = await dropboxWorld(table);
    const jun = await world.addMember('jun', 'jun@example.com');
    const first = received();
    await arrives(world, first);
    await arrives(world, received({ subject: 'Re', references: [first.messageId ?? ''] }), { receivedAt: '2026-03-01T10:00:00.000Z' });
    const message = (await own(world.viewer))[0]?.message ?? '';
    const { message: found } = await readVisible(table, world.viewer, message);
    expect((await listThread(table, world.viewer, found.thread, 10)).map(({ subject }) => subject)).toEqual(['A question', 'Re']);
    expect(await listThread(table, jun, found.thread, 10)).toEqual([]);
  });
});

describe('the ledger', () => {
  test('R-36: a line is settled when all is done, with what became of the mail', async () => {
    const world = await dropboxWorld(table);
    const arrived = await arrives(world, received());
    const message = (await own(world.viewer))[0]?.message ?? '';
    expect(await line(arrived)).toMatchObject({ outcome: 'filed', message, receivedAt: START });
  });

  test('R-39: the first sync counts each mail once, whatever is delivered twice', async () => {
    const world = await dropboxWorld(table);
    await withAccount(world);
    const arrived = fetched(world, received(), { firstSync: true });
    await ingestMailbox(room, arrived);
    await ingestMailbox(room, arrived);
    expect(await table.get(mailAccountKey(world.tenant, 'mika', 'acc'))).toMatchObject({ sync: { filed: 1 } });
  });

  test('an account that was removed meanwhile does not come back as a counter', async () => {
    const world = await dropboxWorld(table);
    await arrives(world, received(), { firstSync: true });
    expect(await table.get(mailAccountKey(world.tenant, 'mika', 'acc'))).toBeUndefined();
  });

  test('a raw mail that is not there yet is tried again', async () => {
    const world = await dropboxWorld(table);
    const arrived = fetched(world, received());
    mails.delete(arrived.rawKey);
    await expect(ingestMailbox(room, arrived)).rejects.toThrow('not there');
    expect(await line(arrived)).toBeUndefined();
  });
});

describe('R-12: what cannot be filed is held', () => {
  const heldOf = async (world: World) => (await listHeld(table, world.viewer, { limit: 10 }, new Date(START))).items;

  test('an unreadable mail is held once, however often and late it is delivered, and counts as held', async () => {
    const world = await dropboxWorld(table);
    const arrived = fetched(world, 'unreadable');
    await ingestMailbox(room, arrived);
    await ingestMailbox(room, { ...arrived, receivedAt: '2026-03-01T11:00:00.000Z' });
    expect(await heldOf(world)).toMatchObject([{ reason: 'unreadable', receivedAt: START }]);
    expect(await line(arrived)).toMatchObject({ outcome: 'held' });
  });

  test('it can be replayed, and is filed when it can be read by then', async () => {
    const world = await dropboxWorld(table);
    const arrived = await arrives(world, 'unreadable');
    const [held] = await heldOf(world);
    await markReplaying(table, world.viewer, held?.id ?? '', new Date(START));
    await ingestMailbox(room, arrived, held?.id);
    expect(await heldOf(world)).toMatchObject([{ state: 'held', reason: 'unreadable' }]);
    mails.set(arrived.rawKey, received());
    await markReplaying(table, world.viewer, held?.id ?? '', new Date(START));
    await ingestMailbox(room, arrived, held?.id);
    expect(await heldOf(world)).toEqual([]);
    expect(await own(world.viewer)).toHaveLength(1);
    expect(await line(arrived)).toMatchObject({ outcome: 'filed' });
  });

  test('one that is too large is told of, and one that failed every time', async () => {
    const world = await dropboxWorld(table);
    expect((await arrives(world, received(), { tooLarge: true })).outcome).toBe('too-large');
    await holdMailbox(room, fetched(world, received()), 'failed');
    expect((await heldOf(world)).map(({ reason }) => reason).sort()).toEqual(['failed', 'too-large']);
  });
});
