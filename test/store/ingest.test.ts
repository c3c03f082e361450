import { listActivity } from '../../core/dropbox/activity-store.ts';
import type { HeldReason } from '../../core/dropbox/gate.ts';
import { discard, findHeld, listHeld, markReplaying } from '../../core/dropbox/held-store.ts';
import { holdUnprocessed, ingest, ingestHeld } from '../../core/dropbox/ingest.ts';
import { sweepRawMail } from '../../core/dropbox/sweep-store.ts';
import { newId } from '../../core/ids.ts';
import { MAX_ATTACHMENT_BYTES, MAX_MATCHED_ADDRESSES, MAX_THREAD_MAILS } from '../../core/limits.ts';
import type { Delivery } from '../../core/message/delivery.ts';
import { messageIdOf } from '../../core/message/identity.ts';
import type { Mailroom } from '../../core/message/mailroom.ts';
import { putMessage } from '../../core/message/message-store.ts';
import type { ParsedMail } from '../../core/message/parsed-mail.ts';
import { listTimeline } from '../../core/message/timeline-store.ts';
import { listThread, readVisible } from '../../core/message/visible-message-store.ts';
import { matchAddress } from '../../core/record/address-store.ts';
import { createRecord, readRecord } from '../../core/record/record-store.ts';
import type { Table } from '../../core/table/client.ts';
import { copyKey, dropboxKey, memberKey, timelineKey } from '../../core/table/keys.ts';
import { delivery, dropboxWorld, existing, MAIL_DOMAIN, mail, OWN_MARK, START, sweptInto, type World } from '../support/dropbox-world.ts';
import { startTable } from '../support/engine.ts';

let table: Table;
let end: () => Promise<void>;
beforeAll(async () => ({ table, end } = await startTable()));
afterAll(() => end());

const NOW = new Date('2026-03-01T09:05:00.000Z');
const TARO = 'taro@customer.example';

/** Mails by their raw key, as the bucket would hold them; unreadable ones are there as bytes alone. */
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

async function arrives(world: World, parsed: ParsedMail | 'unreadable', more: Partial<Delivery> = {}): Promise<Delivery> {
  const arrived = delivery([world.address], more);
  mails.set(arrived.rawKey, parsed);
  await ingest(room, arrived);
  return arrived;
}
const timeline = async (world: World, record: string, viewer = world.viewer) =>
  (await listTimeline(table, viewer, record, { limit: 100 })).items;
const activity = async (world: World) => (await listActivity(table, world.viewer, { limit: 100 }, NOW)).items;
const heldReasons = async (world: World): Promise<HeldReason[]> =>
  (await listHeld(table, world.viewer, { limit: 100 }, NOW)).items.map(({ reason }) => reason);
const recordsAt = async (world: World, address: string) => (await matchAddress(table, world.tenant, address, { consistent: true })).records;

describe('what is filed', () => {
  test('BCC-4, BCC-25, ASC-1: a mail to a contact with the dropbox in BCC is a copy on that contact, and nothing is made', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    await arrives(world, mail({ subject: 'Our offer' }));
    expect(await timeline(world, contact)).toEqual([
      expect.objectContaining({ subject: 'Our offer', from: 'mika@example.com', to: [TARO], owner: 'mika' }),
    ]);
    expect((await activity(world)).map(({ outcome, records }) => ({ outcome, records }))).toEqual([
      { outcome: 'filed', records: [{ module: 'contacts', id: contact, created: false }] },
    ]);
    expect(await recordsAt(world, TARO)).toHaveLength(1);
  });

  test('BCC-24, R-40: dropbox mail of a registered sender is listed as sent', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    await arrives(world, mail());
    expect((await timeline(world, contact))[0]?.direction).toBe('sent');
  });

  test('R-34: the order is that of receipt; a Date header in 2096, in 1970 or absent changes nothing', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    await arrives(world, mail({ subject: 'first', date: '2096-01-01T00:00:00.000Z', dateHeader: 'a' }), {
      receivedAt: '2026-03-01T09:00:01.000Z',
    });
    await arrives(world, mail({ subject: 'second', date: undefined, dateHeader: undefined }), { receivedAt: '2026-03-01T09:00:02.000Z' });
    await arrives(world, mail({ subject: 'third', date: '1970-01-01T00:00:00.000Z', dateHeader: 'c' }), {
      receivedAt: '2026-03-01T09:00:03.000Z',
    });
    expect((await timeline(world, contact)).map(({ subject }) => subject)).toEqual(['third', 'second', 'first']);
  });

  test('R-3: every To and CC address is matched; only To addresses become records', async () => {
    const world = await dropboxWorld(table);
    const known = await existing(table, world, 'contacts', 'known@customer.example');
    await arrives(
      world,
      mail({ to: [address('new@customer.example')], cc: [address('known@customer.example'), address('other@customer.example')] }),
    );
    const [made] = await recordsAt(world, 'new@customer.example');
    expect(await timeline(world, known)).toHaveLength(1);
    expect(await timeline(world, made?.record ?? '')).toHaveLength(1);
    expect(await recordsAt(world, 'other@customer.example')).toEqual([]);
    expect((await activity(world))[0]?.skipped).toEqual([{ address: 'other@customer.example', reason: 'cc-only' }]);
  });

  test('R-3: addresses in a BCC header are neither matched nor made records', async () => {
    const world = await dropboxWorld(table);
    const known = await existing(table, world, 'contacts', 'hidden@customer.example');
    const bcc = ['hidden', 'stranger'].map((name) => ({ address: `${name}@customer.example`, name: '' }));
    await arrives(world, mail({ bcc }));
    expect(await timeline(world, known)).toEqual([]);
    const [entry] = await activity(world);
    expect(entry?.records).toHaveLength(1);
  });

  test(`R-3: ${MAX_MATCHED_ADDRESSES} addresses are matched, one more is not, and the owner is told`, async () => {
    const world = await dropboxWorld(table);
    const last = await existing(table, world, 'contacts', `c${MAX_MATCHED_ADDRESSES}@customer.example`);
    const beyond = await existing(table, world, 'contacts', `c${MAX_MATCHED_ADDRESSES + 1}@customer.example`);
    const cc = Array.from({ length: MAX_MATCHED_ADDRESSES + 1 }, (_, i) => address(`c${i + 1}@customer.example`));
    await arrives(world, mail({ to: [], cc }));
    expect(await timeline(world, last)).toHaveLength(1);
    expect(await timeline(world, beyond)).toEqual([]);
    expect((await activity(world))[0]?.skipped).toContainEqual({ address: '1 more', reason: 'beyond-limit' });
  });

  test('BCC-22, R-11: 10 MB of attachments are kept; one byte more and the mail is kept without any of them', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const attached = (size: number) => ({ index: 0, filename: 'a.pdf', contentType: 'application/pdf', size, inline: false });
    await arrives(world, mail({ subject: 'fits', attachments: [attached(MAX_ATTACHMENT_BYTES - 1), attached(1)] }));
    await arrives(world, mail({ subject: 'over', attachments: [attached(MAX_ATTACHMENT_BYTES), { ...attached(1), inline: true }] }));
    const rows = await timeline(world, contact);
    expect(rows.find(({ subject }) => subject === 'fits')).toMatchObject({ attachments: 2 });
    expect(rows.find(({ subject }) => subject === 'over')).toMatchObject({ attachments: 0, attachmentsOmitted: true });
    expect((await activity(world)).map(({ outcome, attachmentsOmitted }) => [outcome, attachmentsOmitted])).toEqual(
      expect.arrayContaining([
        ['filed', true],
        ['filed', undefined],
      ]),
    );
  });
});

describe('search patterns, truth table 2.5', () => {
  const rows = [
    ['BCC-9', 'contacts', 'leads', true, true, 'contacts'],
    ['BCC-9', 'contacts', 'leads', true, false, 'contacts'],
    ['BCC-10, R-22', 'contacts', 'leads', false, true, 'new contacts'],
    ['BCC-10', 'contacts', 'leads', false, false, 'new contacts'],
    ['BCC-11', 'leads', 'contacts', true, true, 'leads'],
    ['BCC-11', 'leads', 'contacts', false, true, 'leads'],
    ['BCC-12, C-1', 'leads', 'contacts', true, false, 'new leads'],
    ['BCC-12, C-1', 'leads', 'contacts', false, false, 'new leads'],
    ['BCC-13', 'contacts-then-leads', 'leads', true, true, 'contacts'],
    ['BCC-13', 'contacts-then-leads', 'leads', true, false, 'contacts'],
    ['BCC-14', 'contacts-then-leads', 'contacts', false, true, 'leads'],
    ['BCC-15', 'contacts-then-leads', 'leads', false, false, 'new leads'],
    ['BCC-15', 'contacts-then-leads', 'contacts', false, false, 'new contacts'],
  ] as const;

  test.each(rows)(
    '%s: pattern %s (creates %s), in contacts %s, in leads %s -> %s',
    async (_rule, pattern, createIn, inContacts, inLeads, expected) => {
      const world = await dropboxWorld(table, { dropbox: { pattern, createIn } });
      const contact = inContacts ? await existing(table, world, 'contacts', TARO) : undefined;
      const lead = inLeads ? await existing(table, world, 'leads', TARO) : undefined;
      await arrives(world, mail());
      const [entry] = await activity(world);
      const module = expected.split(' ').at(-1);
      const created = expected.startsWith('new');
      expect(entry?.records).toEqual([{ module, id: created ? expect.any(String) : module === 'contacts' ? contact : lead, created }]);
      expect(entry?.outcome).toBe(created ? 'created' : 'filed');
      expect(await recordsAt(world, TARO)).toHaveLength(Number(inContacts) + Number(inLeads) + Number(created));
    },
  );

  test('R-22: a contact made beside a lead with the same address is marked as a possible duplicate of it', async () => {
    const world = await dropboxWorld(table, { dropbox: { pattern: 'contacts' } });
    const lead = await existing(table, world, 'leads', TARO);
    await arrives(world, mail());
    const made = (await recordsAt(world, TARO)).find(({ module }) => module === 'contacts');
    expect(JSON.stringify((await readRecord(table, world.tenant, made?.record ?? ''))?.possibleDuplicateOf)).toContain(lead);
  });

  test('BCC-16, R-21: a created record has the address in its mail field and the parsed display name', async () => {
    const world = await dropboxWorld(table);
    await arrives(world, mail({ to: [{ address: TARO, name: 'Taro Yamada' }, address('noname@customer.example')] }));
    const [named] = await recordsAt(world, TARO);
    const [bare] = await recordsAt(world, 'noname@customer.example');
    expect(await readRecord(table, world.tenant, named?.record ?? '')).toMatchObject({
      addresses: [TARO],
      person: { first: 'Taro', last: 'Yamada' },
    });
    expect(await readRecord(table, world.tenant, bare?.record ?? '')).toMatchObject({
      addresses: ['noname@customer.example'],
      person: { last: 'noname@customer.example' },
    });
  });

  test('BCC-8: only leads and contacts are matched and made, whatever the pattern', async () => {
    for (const pattern of ['contacts', 'leads', 'contacts-then-leads'] as const) {
      const world = await dropboxWorld(table, { dropbox: { pattern } });
      await arrives(world, mail({ to: [address(`${pattern}@customer.example`)] }));
      expect(['leads', 'contacts']).toContain((await recordsAt(world, `${pattern}@customer.example`))[0]?.module);
    }
  });

  test('BCC-18: a pattern holds for its own member only', async () => {
    const world = await dropboxWorld(table, { dropbox: { pattern: 'contacts' } });
    await world.addMember('ken', 'ken@example.com');
    const ken = await world.addDropbox('ken', ['ken@example.com'], { pattern: 'leads' });
    await arrives(world, mail({ to: [address('a@customer.example')] }));
    await arrives({ ...world, address: ken.address }, mail({ from: [address('ken@example.com')], to: [address('b@customer.example')] }));
    expect((await recordsAt(world, 'a@customer.example')).map(({ module }) => module)).toEqual(['contacts']);
    expect((await recordsAt(world, 'b@customer.example')).map(({ module }) => module)).toEqual(['leads']);
  });
});

describe('several records with one address', () => {
  async function shared(dropbox = {}) {
    const world = await dropboxWorld(table, { dropbox });
    const older = await existing(table, world, 'contacts', TARO);
    const newer = await createRecord(
      table,
      world.viewer,
      'contacts',
      { name: { last: 'Second' }, addresses: [TARO], allowDuplicate: true },
      { id: newId(NOW), now: NOW, createdBy: { way: 'api' } },
    );
    return { world, older, newer: newer.id };
  }
  test('R-24: a mail is tied to all the owner may read', async () => {
    const { world, older, newer } = await shared();
    await arrives(world, mail());
    expect(await timeline(world, older)).toHaveLength(1);
    expect(await timeline(world, newer)).toHaveLength(1);
  });
  test('R-24: or to the newest alone, when so chosen', async () => {
    const { world, older, newer } = await shared({ severalRecords: 'newest' });
    await arrives(world, mail());
    expect(await timeline(world, older)).toEqual([]);
    expect(await timeline(world, newer)).toHaveLength(1);
  });
});

describe('who is never a customer (R-4)', () => {
  const cases: [string, string][] = [
    ['a colleague', 'ken@example.com'],
    ['another dropbox', `abc@${MAIL_DOMAIN}`],
    ['an excluded domain', 'x@partner.example'],
    ['a subdomain of an excluded domain', 'x@mail.partner.example'],
    ['a no-reply address', 'no-reply@shop.example'],
    ['a bounce address', 'bounces+123@list.example'],
    ['the owner', 'mika@example.com'],
  ];
  test.each(cases)('R-4, ASC-2: %s (%s) is not matched and not created; a mail to nobody else is held', async (_what, to) => {
    const world = await dropboxWorld(table, { organisation: { excludedDomains: ['partner.example'] } });
    await world.addMember('ken', 'ken@example.com');
    await arrives(world, mail({ to: [address(to)] }));
    expect(await recordsAt(world, to)).toEqual([]);
    expect(await heldReasons(world)).toEqual(['nothing-to-file']);
  });

  test('R-4: beside them, the customer is filed', async () => {
    const world = await dropboxWorld(table);
    await world.addMember('ken', 'ken@example.com');
    await arrives(world, mail({ to: [address('ken@example.com'), address(TARO)] }));
    expect(await recordsAt(world, TARO)).toHaveLength(1);
    expect((await activity(world))[0]?.skipped).toEqual([{ address: 'ken@example.com', reason: 'colleague' }]);
  });
});

describe('the gate', () => {
  test('BCC-5, BCC-6: only mail from a registered, verified sender is taken', async () => {
    const world = await dropboxWorld(table, {
      dropbox: {
        senders: [
          { id: '1', address: 'mika@example.com', addedAt: START, verifiedAt: START },
          { id: '2', address: 'unverified@example.com', addedAt: START },
        ],
      },
    });
    await arrives(world, mail({ from: [address('mika@example.com')] }));
    await arrives(world, mail({ from: [address('unverified@example.com')] }));
    await arrives(world, mail({ from: [address('stranger@evil.example')] }));
    await arrives(world, mail({ from: [address('mika@example.com'), address('stranger@evil.example')] }));
    await arrives(world, mail({ from: [] }));
    expect((await activity(world)).filter(({ outcome }) => outcome === 'created' || outcome === 'filed')).toHaveLength(1);
    expect(await heldReasons(world)).toEqual(Array(4).fill('unregistered-sender'));
  });

  test('GEN-5: without the BCC dropbox permission nothing is taken; with it, the same mail is', async () => {
    const world = await dropboxWorld(table, { profile: { bccDropbox: false } });
    await arrives(world, mail());
    expect(await heldReasons(world)).toEqual(['no-dropbox-permission']);
    expect(await recordsAt(world, TARO)).toEqual([]);
  });

  test('truth table 2.5: the sender comes before the permission', async () => {
    const world = await dropboxWorld(table, { profile: { bccDropbox: false } });
    await arrives(world, mail({ from: [address('stranger@evil.example')] }));
    expect(await heldReasons(world)).toEqual(['unregistered-sender']);
  });

  test('R-23: what the owner may not create is not made, and the mail is held', async () => {
    const none = { view: true, create: false, edit: false };
    const world = await dropboxWorld(table, { profile: { modules: { leads: none, contacts: none, deals: none } } });
    await arrives(world, mail());
    expect(await heldReasons(world)).toEqual(['no-permission']);
    expect(await recordsAt(world, TARO)).toEqual([]);
  });

  test('R-23, R-24, R-41: a record the owner may not read is not tied to, and no second one is made', async () => {
    const world = await dropboxWorld(table, { organisation: { recordAccess: { contacts: 'owner-and-admins' } } });
    await world.addMember('ken', 'ken@example.com');
    const kens = await existing(table, world, 'contacts', TARO, 'ken');
    await arrives(world, mail());
    expect(await timeline(world, kens)).toEqual([]);
    expect(await heldReasons(world)).toEqual(['no-permission']);
    expect(await recordsAt(world, TARO)).toHaveLength(1);
  });

  test('R-33: mail received before the deactivation is still filed, mail after it is not', async () => {
    const world = await dropboxWorld(table, { dropbox: { deactivatedAt: '2026-03-01T10:00:00.000Z' } });
    await arrives(world, mail({ to: [address('before@customer.example')] }), { receivedAt: '2026-03-01T09:59:59.999Z' });
    await arrives(world, mail({ to: [address('after@customer.example')] }), { receivedAt: '2026-03-01T10:00:00.000Z' });
    expect(await recordsAt(world, 'before@customer.example')).toHaveLength(1);
    expect(await recordsAt(world, 'after@customer.example')).toEqual([]);
    expect(await heldReasons(world)).toEqual(['member-deactivated']);
  });

  test('our own mail is never filed: no loop can begin', async () => {
    const world = await dropboxWorld(table);
    await arrives(world, mail({ ownMark: OWN_MARK }));
    expect((await activity(world)).map(({ outcome, reason }) => [outcome, reason])).toEqual([['ignored', 'own-mail']]);
    expect(await recordsAt(world, TARO)).toEqual([]);
  });

  test('R-35: automatic mail is tied to what is there and creates nothing', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    await arrives(world, mail({ automatic: 'auto-submitted', to: [address(TARO), address('new@customer.example')] }));
    expect(await timeline(world, contact)).toHaveLength(1);
    expect(await recordsAt(world, 'new@customer.example')).toEqual([]);
  });
});

describe('where mail comes in', () => {
  test('R-13: an address that was regenerated is dead at once; its owner sees that mail still comes there', async () => {
    const world = await dropboxWorld(table);
    const { dropbox } = world;
    await table.put({ ...dropboxKey(dropbox.hash), hash: dropbox.hash, tenant: world.tenant, member: 'mika', retiredAt: START });
    await arrives(world, mail());
    expect((await activity(world)).map(({ outcome, reason }) => [outcome, reason])).toEqual([['ignored', 'unknown-recipient']]);
    expect(await recordsAt(world, TARO)).toEqual([]);
    expect(await heldReasons(world)).toEqual([]);
  });

  test("mail to nobody's address is ignored and its raw bytes are swept after thirty days", async () => {
    const unknown = delivery([`nobody@${MAIL_DOMAIN}`]);
    mails.set(unknown.rawKey, mail());
    expect(await ingest(room, unknown)).toEqual([{ recipient: `nobody@${MAIL_DOMAIN}`, outcome: 'ignored', reason: 'unknown-recipient' }]);
    const deleted: string[] = [];
    await sweepRawMail(table, sweptInto(deleted), new Date('2026-03-31T00:00:00.000Z'));
    expect(deleted).not.toContain(unknown.rawKey);
    await sweepRawMail(table, sweptInto(deleted), new Date('2026-04-01T12:00:00.000Z'));
    expect(deleted).toContain(unknown.rawKey);
  });

  test('an envelope with several dropbox addresses is handled for each, on its own', async () => {
    const world = await dropboxWorld(table);
    const ken = await world.addMember('ken', 'ken@example.com');
    const kens = await world.addDropbox('ken', ['mika@example.com'], { pattern: 'leads' });
    const otherTenant = await dropboxWorld(table, { dropbox: { senders: [] } });
    const arrived = delivery([world.address, kens.address.toUpperCase(), otherTenant.address, `nobody@${MAIL_DOMAIN}`]);
    mails.set(arrived.rawKey, mail());
    const outcomes = await ingest(room, arrived);
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['created', 'filed', 'held', 'ignored']);
    const [lead] = await recordsAt(world, TARO);
    expect(await timeline(world, lead?.record ?? '')).toHaveLength(1);
    expect(await timeline(world, lead?.record ?? '', ken)).toHaveLength(1);
    expect(await heldReasons(otherTenant)).toEqual(['unregistered-sender']);
    expect(await recordsAt(otherTenant, TARO)).toEqual([]);
  });

  test('a raw mail that is not there is an error, so that the queue brings it again', async () => {
    const world = await dropboxWorld(table);
    await expect(ingest(room, delivery([world.address]))).rejects.toThrow('the raw mail is not there');
  });
});

describe('when two mails are the same (R-32)', () => {
  test('R-32: the same mail delivered again, or redelivered, changes nothing but the activity', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const same = mail();
    const first = await arrives(world, same);
    await ingest(room, first);
    await arrives(world, same, { receivedAt: '2026-03-01T09:00:09.000Z' });
    expect(await timeline(world, contact)).toHaveLength(1);
    expect((await activity(world)).map(({ outcome }) => outcome)).toEqual(['duplicate', 'filed']);
  });

  test.each([
    ['another Date makes two', { dateHeader: 'Mon, 2 Mar 2026 09:00:00 +0000' }, 2],
    ['another From makes two', { from: [{ address: 'mika2@example.com', name: '' }] }, 2],
    ['another Message-ID makes two', { messageId: 'other@example.com' }, 2],
    ['another subject and text (a list footer, say) stays one', { subject: '[list] Our offer', text: 'Dear Taro\n-- \nfooter' }, 1],
  ])('R-32: the same mail with %s', async (_what, change: Partial<ParsedMail>, expected) => {
    const senders = ['mika@example.com', 'mika2@example.com'].map((sender, i) => ({
      id: String(i),
      address: sender,
      addedAt: START,
      verifiedAt: START,
    }));
    const world = await dropboxWorld(table, { dropbox: { senders } });
    const contact = await existing(table, world, 'contacts', TARO);
    const one = mail();
    await arrives(world, one);
    await arrives(world, { ...one, ...change });
    expect(await timeline(world, contact)).toHaveLength(expected);
  });

  test('R-32: the same mail with other References stays one, at its first place', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const one = mail();
    await arrives(world, one);
    await arrives(world, { ...one, references: ['other@example.com'] }, { receivedAt: '2026-03-01T09:00:09.000Z' });
    expect((await timeline(world, contact)).map(({ receivedAt }) => receivedAt)).toEqual([START]);
  });

  test('R-32: a mail whose first delivery died after the copy was written is shown by its second', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const one = mail();
    await arrives(world, one);
    const [row] = await timeline(world, contact);
    await table.delete(
      timelineKey(world.tenant, contact, { owner: 'mika', channel: 'dropbox' }, row?.receivedAt ?? '', row?.message ?? ''),
    );
    await arrives(world, one);
    expect(await timeline(world, contact)).toHaveLength(1);
  });

  test('R-32: without a Message-ID the bytes decide', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const anonymous = mail({ messageId: undefined });
    await arrives(world, anonymous);
    await arrives(world, anonymous);
    // The raw keys, which stand for the bytes here, differ.
    expect(await timeline(world, contact)).toHaveLength(2);
  });

  test('R-31: two members who file the same mail hold one message, with a copy each', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const ken = await world.addMember('ken', 'ken@example.com');
    const kens = await world.addDropbox('ken', ['mika@example.com']);
    const same = mail();
    await arrives(world, same);
    await arrives({ ...world, address: kens.address }, same, { receivedAt: '2026-03-01T09:00:30.000Z' });
    const [row, ...more] = await timeline(world, contact);
    expect(more).toEqual([]);
    expect((await readVisible(table, ken, row?.message ?? '')).copies.map(({ member }) => member).sort()).toEqual(['ken', 'mika']);
  });

  test('R-31: a third member sees one row of a mail that two hold, though it reached them with other References', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    await world.addMember('ken', 'ken@example.com');
    const third = await world.addMember('jun', 'jun@example.com');
    const kens = await world.addDropbox('ken', ['mika@example.com']);
    const same = mail();
    await arrives(world, same);
    await arrives(
      { ...world, address: kens.address },
      { ...same, references: ['x@example.com'] },
      { receivedAt: '2026-03-01T09:00:30.000Z' },
    );
    expect(await timeline(world, contact, third)).toHaveLength(1);
  });

  test("R-31: raw bytes stay as long as a colleague's filing needs them, though their own delivery ended as held", async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    await world.addMember('ken', 'ken@example.com');
    const kens = await world.addDropbox('ken', ['mika@example.com']);
    const same = mail();
    const first = await arrives(world, same);
    // As if the first filing had been killed right after the message was written, and the sender removed before the next try.
    const [row] = await timeline(world, contact);
    await table.delete(copyKey(world.tenant, row?.message ?? '', 'mika', 'dropbox'));
    await table.delete(
      timelineKey(world.tenant, contact, { owner: 'mika', channel: 'dropbox' }, row?.receivedAt ?? '', row?.message ?? ''),
    );
    await table.update(dropboxKey(world.dropbox.hash), { update: 'SET senders = :none', values: { ':none': [] } });
    await ingest(room, first);
    expect(await heldReasons(world)).toEqual(['unregistered-sender']);
    await arrives({ ...world, address: kens.address }, same);
    const deleted: string[] = [];
    await sweepRawMail(table, sweptInto(deleted), new Date('2026-04-01T12:00:00.000Z'));
    expect(deleted).not.toContain(first.rawKey);
  });

  test('reliability: the bytes of a mail that failed on every try stay when a colleague has filed the same mail on its message', async () => {
    const world = await dropboxWorld(table);
    await world.addMember('ken', 'ken@example.com');
    const kens = await world.addDropbox('ken', ['mika@example.com']);
    const same = mail({ dateHeader: 'Sun, 01 Mar 2026 09:00:00 +0000' });
    const failed = delivery([world.address]);
    // Each try got as far as the message, and was held unread when there was none left.
    const { rawKey, receivedAt } = failed;
    const id = messageIdOf(world.tenant, same, Buffer.from(rawKey));
    await putMessage(table, world.tenant, { id, thread: 't', rawKey, rawSize: 1, delivery: failed.id, receivedAt });
    await holdUnprocessed(room, failed);
    const kensOwn = await arrives({ ...world, address: kens.address }, same);
    const bytes = `From: ${same.from[0]?.address}\r\nDate: ${same.dateHeader}\r\nMessage-ID: <${same.messageId}>\r\n\r\nHello\r\n`;
    const deleted: string[] = [];
    await sweepRawMail(table, sweptInto(deleted, { [rawKey]: bytes }), new Date('2026-04-01T12:00:00.000Z'));
    expect([deleted.includes(rawKey), deleted.includes(kensOwn.rawKey)]).toEqual([false, true]);
  });
});

describe('held mail', () => {
  test('R-12: a held mail is kept thirty days with its reason, once, however often it is delivered', async () => {
    const world = await dropboxWorld(table, { dropbox: { senders: [] } });
    const arrived = await arrives(world, mail());
    await ingest(room, arrived);
    const { items } = await listHeld(table, world.viewer, { limit: 10 }, NOW);
    expect(items).toHaveLength(1);
    expect(new Date((items[0]?.ttl ?? 0) * 1000).toISOString()).toBe('2026-03-31T09:00:00.000Z');
    expect((await listHeld(table, world.viewer, { limit: 10 }, new Date('2026-03-31T09:00:01.000Z'))).items).toEqual([]);
  });

  test('a replay after the sender was registered files it, once, and its raw mail is not swept', async () => {
    const world = await dropboxWorld(table, { dropbox: { senders: [] } });
    const contact = await existing(table, world, 'contacts', TARO);
    const arrived = await arrives(world, mail());
    const [held] = (await listHeld(table, world.viewer, { limit: 10 }, NOW)).items;
    await replay(world, held?.id ?? '');
    expect(await heldReasons(world)).toEqual(['unregistered-sender']);

    const senders = [{ id: '1', address: 'mika@example.com', addedAt: START, verifiedAt: START }];
    await table.update(dropboxKey(world.dropbox.hash), { update: 'SET senders = :s', values: { ':s': senders } });
    await replay(world, held?.id ?? '');
    await ingest(room, arrived);
    expect(await timeline(world, contact)).toHaveLength(1);
    expect(await heldReasons(world)).toEqual([]);
    expect((await activity(world)).map(({ outcome, replayed }) => [outcome, replayed])).toEqual([['filed', true]]);
    const deleted: string[] = [];
    await sweepRawMail(table, sweptInto(deleted), new Date('2026-04-01T12:00:00.000Z'));
    expect(deleted).not.toContain(arrived.rawKey);
  });

  test('what was discarded stays discarded when the queue brings it again', async () => {
    const world = await dropboxWorld(table, { dropbox: { senders: [] } });
    const arrived = await arrives(world, mail());
    const [held] = (await listHeld(table, world.viewer, { limit: 10 }, NOW)).items;
    await discard(table, world.viewer, held?.id ?? '', NOW);
    await ingest(room, arrived);
    expect(await heldReasons(world)).toEqual([]);
  });

  test('what is being replayed cannot be discarded: it would be filed, and then its raw mail swept', async () => {
    const world = await dropboxWorld(table, { dropbox: { senders: [] } });
    await arrives(world, mail());
    const [held] = (await listHeld(table, world.viewer, { limit: 10 }, NOW)).items;
    await markReplaying(table, world.viewer, held?.id ?? '', NOW);
    await expect(discard(table, world.viewer, held?.id ?? '', NOW)).rejects.toMatchObject({ status: 409, code: 'changed-meanwhile' });
    expect((await findHeld(table, world.tenant, 'mika', held?.id ?? ''))?.state).toBe('replaying');
  });

  test('R-12: the raw mail of a delivery that was held untried is swept after its thirty days too', async () => {
    const world = await dropboxWorld(table);
    const arrived = delivery([world.address]);
    await holdUnprocessed(room, arrived);
    expect(await heldReasons(world)).toEqual(['failed']);
    const deleted: string[] = [];
    await sweepRawMail(table, sweptInto(deleted), new Date('2026-03-31T09:00:00.000Z'));
    expect(deleted).not.toContain(arrived.rawKey);
    await sweepRawMail(table, sweptInto(deleted), new Date('2026-04-01T12:00:00.000Z'));
    expect(deleted).toContain(arrived.rawKey);
  });

  test('a replay vouches for the sender: failed checks and spam no longer hold it, a virus does', async () => {
    const failing = { spam: 'FAIL', virus: 'PASS', spf: 'FAIL', dkim: 'FAIL', dmarc: 'FAIL' } as const;
    const world = await dropboxWorld(table);
    await arrives(world, mail({ subject: 'forged?' }), { verdicts: failing });
    await arrives(world, mail({ subject: 'ill' }), { verdicts: { ...failing, virus: 'FAIL' } });
    for (const { id } of (await listHeld(table, world.viewer, { limit: 10 }, NOW)).items) await replay(world, id);
    expect(await heldReasons(world)).toEqual(['virus']);
    expect((await activity(world)).filter(({ outcome }) => outcome === 'created').map(({ subject }) => subject)).toEqual(['forged?']);
  });

  test('a mail that no parser can read is held with its bytes, never dropped', async () => {
    const world = await dropboxWorld(table);
    await arrives(world, 'unreadable');
    expect(await heldReasons(world)).toEqual(['unreadable']);
  });

  test('nobody sees or touches the held mail of another', async () => {
    const world = await dropboxWorld(table, { dropbox: { senders: [] } });
    const ken = await world.addMember('ken', 'ken@example.com', { profile: 'administrator' });
    await arrives(world, mail());
    const [held] = (await listHeld(table, world.viewer, { limit: 10 }, NOW)).items;
    expect((await listHeld(table, ken, { limit: 10 }, NOW)).items).toEqual([]);
    await expect(discard(table, ken, held?.id ?? '', NOW)).rejects.toMatchObject({ status: 404 });
    await expect(markReplaying(table, ken, held?.id ?? '', NOW)).rejects.toMatchObject({ status: 404 });
  });
});

describe('threads', () => {
  test('a reply joins the thread of what it refers to, inside its tenant', async () => {
    const world = await dropboxWorld(table);
    const other = await dropboxWorld(table);
    const first = mail({ messageId: 'root@example.com', subject: 'Root' });
    const reply = mail({ references: ['root@example.com'], subject: 'Re: Root' });
    await arrives(world, first, { receivedAt: '2026-03-01T09:00:01.000Z' });
    await arrives(world, reply, { receivedAt: '2026-03-01T09:00:02.000Z' });
    await arrives(other, reply);
    const [entry] = await activity(world);
    const { message } = await readVisible(table, world.viewer, entry?.message ?? '');
    expect((await listThread(table, world.viewer, message.thread, MAX_THREAD_MAILS)).map(({ subject }) => subject)).toEqual([
      'Root',
      'Re: Root',
    ]);
  });

  test('forged References tie a mail to no record: only its own addresses do', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    await arrives(world, mail({ messageId: 'root@example.com' }));
    await arrives(world, mail({ references: ['root@example.com'], to: [address('elsewhere@other.example')] }));
    expect(await timeline(world, contact)).toHaveLength(1);
  });
});

test('MAX_THREAD_MAILS: so many mails of a thread are listed, its newest ones, the oldest of them first', async () => {
  const world = await dropboxWorld(table);
  await existing(table, world, 'contacts', TARO);
  for (let i = 0; i < 4; i++) {
    await arrives(world, mail({ messageId: `t${i}@example.com`, references: ['t0@example.com'], subject: `t${i}` }), {
      receivedAt: `2026-03-01T09:00:0${i}.000Z`,
    });
  }
  const [entry] = await activity(world);
  const { message } = await readVisible(table, world.viewer, entry?.message ?? '');
  const subjects = async (limit: number) => (await listThread(table, world.viewer, message.thread, limit)).map(({ subject }) => subject);
  expect([await subjects(4), await subjects(3)]).toEqual([
    ['t0', 't1', 't2', 't3'],
    ['t1', 't2', 't3'],
  ]);
});

describe('who sees dropbox mail (R-5, R-40, R-42)', () => {
  test('R-40: it goes with the record: whoever may read the record sees it, also after its owner has left', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const ken = await world.addMember('ken', 'ken@example.com');
    await arrives(world, mail());
    await table.update(memberKey(world.tenant, 'mika'), {
      update: 'SET #s = :s',
      names: { '#s': 'status' },
      values: { ':s': 'deactivated' },
    });
    const [row] = await timeline(world, contact, ken);
    expect((await readVisible(table, ken, row?.message ?? '')).copies.map(({ member }) => member)).toEqual(['mika']);
  });

  test("R-40: when set to follow the owner's sharing type (private, R-1), only the owner sees it, at once", async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const ken = await world.addMember('ken', 'ken@example.com', { profile: 'administrator' });
    await arrives(world, mail());
    const [row] = await timeline(world, contact, ken);
    await table.update(memberKey(world.tenant, 'mika'), { update: 'SET dropboxVisibility = :v', values: { ':v': 'sharing' } });
    expect(await timeline(world, contact, ken)).toEqual([]);
    await expect(readVisible(table, ken, row?.message ?? '')).rejects.toMatchObject({ status: 404 });
    expect(await timeline(world, contact)).toHaveLength(1);
  });

  test('R-5: one readable record is enough to see a mail tied to several, and the others are not told', async () => {
    const world = await dropboxWorld(table, { organisation: { recordAccess: { leads: 'owner-and-admins' } } });
    const ken = await world.addMember('ken', 'ken@example.com');
    const contact = await existing(table, world, 'contacts', TARO);
    const lead = await existing(table, world, 'leads', 'secret@lead.example');
    await arrives(world, mail({ to: [address(TARO), address('secret@lead.example')] }));
    const [row] = await timeline(world, contact, ken);
    expect((await readVisible(table, ken, row?.message ?? '')).records).toEqual([{ module: 'contacts', id: contact }]);
    expect((await readVisible(table, world.viewer, row?.message ?? '')).records.map(({ id }) => id).sort()).toEqual([contact, lead].sort());
  });

  test('R-5: without a readable record it is not there', async () => {
    const world = await dropboxWorld(table, { organisation: { recordAccess: { leads: 'owner-and-admins' } } });
    const ken = await world.addMember('ken', 'ken@example.com');
    await arrives(world, mail());
    const [entry] = await activity(world);
    await expect(readVisible(table, ken, entry?.message ?? '')).rejects.toMatchObject({ status: 404 });
  });

  test('R-42: pages are filled though hidden mail lies between, and cursors walk through all that is visible', async () => {
    const world = await dropboxWorld(table);
    const contact = await existing(table, world, 'contacts', TARO);
    const ken = await world.addMember('ken', 'ken@example.com', { dropboxVisibility: 'sharing' });
    const kens = await world.addDropbox('ken', ['ken@example.com']);
    for (let i = 0; i < 9; i++) {
      const at = { receivedAt: `2026-03-01T09:00:0${i}.000Z` };
      if (i % 3 === 0) await arrives(world, mail({ subject: `visible ${i}` }), at);
      else await arrives({ ...world, address: kens.address }, mail({ from: [address('ken@example.com')], subject: `hidden ${i}` }), at);
    }
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = await listTimeline(table, world.viewer, contact, { limit: 2, after });
      expect(page.items.length).toBeGreaterThan(0);
      seen.push(...page.items.map(({ subject }) => subject));
      after = page.next;
    } while (after);
    expect(seen).toEqual(['visible 6', 'visible 3', 'visible 0']);
    expect(await timeline(world, contact, ken)).toHaveLength(9);
  });
});

test('fifty first mails to the same stranger at once make one record', async () => {
  const world = await dropboxWorld(table);
  await Promise.all(Array.from({ length: 50 }, (_, i) => arrives(world, mail({ subject: `mail ${i}` }))));
  const records = await recordsAt(world, TARO);
  expect(records).toHaveLength(1);
  expect(await timeline(world, records[0]?.record ?? '')).toHaveLength(50);
});

const address = (text: string) => ({ address: text, name: '' });

async function replay(world: World, id: string): Promise<void> {
  await markReplaying(table, world.viewer, id, NOW);
  const held = await findHeld(table, world.tenant, world.viewer.member, id);
  if (held) await ingestHeld(room, world.tenant, world.viewer.member, held);
}
