import { ingestMailbox } from '../../core/account/ingest-mailbox.ts';
import { ingest } from '../../core/dropbox/ingest.ts';
import { newId, sha256 } from '../../core/ids.ts';
import { MAX_SEARCHED_MAILS } from '../../core/limits.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import { type BackfillJob, backfillView } from '../../core/message/backfill.ts';
import { type BackfillRoom, backfillMail, backfillPage, readBackfill } from '../../core/message/backfill-store.ts';
import type { Mailroom } from '../../core/message/mailroom.ts';
import { readMessage } from '../../core/message/message-store.ts';
import type { ParsedMail } from '../../core/message/parsed-mail.ts';
import { matcher } from '../../core/message/search-mail.ts';
import { countTimeline, listTimeline } from '../../core/message/timeline-store.ts';
import { listOwnMail, readVisible } from '../../core/message/visible-message-store.ts';
import type { RecordInput, RecordPatch } from '../../core/record/record.ts';
import { createRecord, detachAddress, findRecord, updateRecord } from '../../core/record/record-store.ts';
import type { Table } from '../../core/table/client.ts';
import { memberKey, recordPartition, timelineKey, timelinesPrefix } from '../../core/table/keys.ts';
import { delivery, dropboxWorld, MAIL_DOMAIN, mail, START, type World } from '../support/dropbox-world.ts';
import { startTable } from '../support/engine.ts';

let table: Table;
let end: () => Promise<void>;
beforeAll(async () => ({ table, end } = await startTable()));
afterAll(() => end());

const TARO = 'taro@customer.example';
const OLD = 'taro@former.example';
const mails = new Map<string, ParsedMail>();
const jobs: BackfillJob[] = [];
const queue = { send: async (job: BackfillJob) => void jobs.push(job) };
beforeEach(() => void jobs.splice(0));

const room = (): Mailroom => ({
  table,
  mailDomain: MAIL_DOMAIN,
  readRaw: async (key) => Buffer.from(key),
  readMail: async (raw) => mails.get(Buffer.from(raw).toString()),
  backfills: queue,
});
const worker = (pageMails = 2): BackfillRoom => ({ table, mailDomain: MAIL_DOMAIN, queue, pageMails });

let counter = 0;
const later = () => new Date(Date.parse(START) + ++counter * 1000).toISOString();

/** A mail that a poll of the member's mailbox has fetched. */
async function fetched(world: World, more: Partial<ParsedMail> = {}, member = 'mika', receivedAt = later()) {
  const parsed = mail({ from: [{ address: TARO, name: '' }], to: [{ address: `${member}@example.com`, name: '' }], ...more });
  const seen = sha256(member, parsed.messageId ?? '', receivedAt);
  mails.set(seen, parsed);
  await ingestMailbox(room(), { tenant: world.tenant, member, account: 'acc', seen, rawKey: seen, rawSize: 1, receivedAt });
  return parsed;
}
const sent = (world: World, to: string[], subject: string) =>
  fetched(world, {
    from: [{ address: 'mika@example.com', name: '' }],
    to: to.map((address) => ({ address, name: '' })),
    subject,
  });
async function bcc(world: World, to: string[], subject: string): Promise<void> {
  const taken = delivery([world.address], { receivedAt: later() });
  mails.set(taken.rawKey, mail({ to: to.map((address) => ({ address, name: '' })), subject }));
  await ingest(room(), taken);
}

const create = (world: World, addresses: string[], more: Partial<RecordInput> = {}) =>
  createRecord(
    table,
    world.viewer,
    'contacts',
    { name: { last: 'Yamada' }, addresses, ...more },
    { id: newId(new Date()), now: new Date(START), createdBy: { way: 'api' } },
  );
const change = (world: World, id: string, patch: RecordPatch) =>
  updateRecord(table, world.viewer, 'contacts', id, patch, { now: new Date(START) });
const detach = (world: World, id: string, address: string) =>
  detachAddress(table, world.viewer, 'contacts', id, address, { now: new Date(START) });

/** All that the queue is told, until it is told no more. */
async function run(world: World, record: string): Promise<void> {
  await backfillPage(worker(), world.tenant, record);
  for (let job = jobs.shift(); job; job = jobs.shift()) {
    const { backfill } = job;
    if (backfill.mail) await backfillMail(worker(), world.tenant, backfill.record, backfill.mail);
    else await backfillPage(worker(), world.tenant, backfill.record);
  }
}
const subjects = async (viewer: Viewer, record: string) =>
  (await listTimeline(table, viewer, record, { limit: 100 })).items.map(({ subject }) => subject);
const own = async (viewer: Viewer) => (await listOwnMail(table, viewer, { limit: 100 })).items;
const progress = async (world: World, record: string, viewer = world.viewer) =>
  backfillView(await findRecord(table, world.viewer, 'contacts', record), await readBackfill(table, world.tenant, record), viewer.member);

describe('ASC-1: an address that comes brings its earlier mail along', () => {
  test('of members’ mailboxes, sent and received, page by page, and each shows as if it had been filed so', async () => {
    const world = await dropboxWorld(table);
    await world.addMember('jun', 'jun@example.com');
    for (const subject of ['one', 'two', 'three']) await fetched(world, { subject });
    await sent(world, [TARO, 'other@elsewhere.example', 'third@elsewhere.example'], 'four');
    await fetched(world, { subject: "jun's" }, 'jun');
    const { id } = await create(world, [TARO]);
    expect(await subjects(world.viewer, id)).toEqual([]);
    expect(await progress(world, id)).toMatchObject({ state: 'waiting' });
    await run(world, id);
    expect(await subjects(world.viewer, id)).toEqual(['four', 'three', 'two', 'one']);
    expect((await own(world.viewer)).map(({ records }) => records)).toEqual(Array(4).fill([{ module: 'contacts', id }]));

    // The very same entries as those of a record that had the address before.
    const twin = await dropboxWorld(table);
    const known = await create(twin, [TARO]);
    await sent(twin, [TARO, 'other@elsewhere.example', 'third@elsewhere.example'], 'four');
    const strip = (item?: object) => ({ ...item, message: '', receivedAt: '', date: '', position: '', pk: '', sk: '' });
    const [pulled] = (await listTimeline(table, world.viewer, id, { limit: 1 })).items;
    const [filed] = (await listTimeline(table, twin.viewer, known.id, { limit: 1 })).items;
    expect(strip(pulled)).toEqual(strip(filed));
    expect(await readVisible(table, world.viewer, pulled?.message ?? '')).toMatchObject({ records: [{ id }] });
  });

  test('R-42: its progress tells each member of their own mail alone', async () => {
    const world = await dropboxWorld(table);
    const jun = await world.addMember('jun', 'jun@example.com');
    for (const subject of ['one', 'two', 'three']) await fetched(world, { subject });
    const { id } = await create(world, [TARO]);
    await run(world, id);
    expect(await progress(world, id)).toEqual({
      state: 'finished',
      addresses: [{ address: TARO, task: 'add', state: 'finished', found: 3, tied: 3 }],
    });
    expect(await progress(world, id, jun)).toMatchObject({ addresses: [{ found: 0, tied: 0 }] });
  });

  test('SHR-3: what others see of it is decided as ever: a private mailbox stays out of their sight', async () => {
    const world = await dropboxWorld(table);
    const jun = await world.addMember('jun', 'jun@example.com');
    await fetched(world, { subject: 'private' });
    await world.addMember('open', 'open@example.com', { sharing: { type: 'public', excludedDomains: [] } });
    await fetched(world, { subject: 'public' }, 'open');
    const { id } = await create(world, [TARO]);
    await run(world, id);
    expect(await subjects(jun, id)).toEqual(['public']);
  });

  test('R-24, R-41: only for owners who may read the record', async () => {
    const world = await dropboxWorld(table, { organisation: { recordAccess: { contacts: 'owner-and-admins' } } });
    const jun = await world.addMember('jun', 'jun@example.com');
    await fetched(world, { subject: "jun's" }, 'jun');
    const { id } = await create(world, [TARO]);
    await run(world, id);
    expect((await own(jun))[0]?.records).toEqual([]);
    expect(await progress(world, id, jun)).toMatchObject({ addresses: [{ found: 1, tied: 0 }] });
  });

  test("R-4: never by a colleague's address, nor one of a domain excluded meanwhile", async () => {
    for (const change of [
      (world: World) => world.addMember('taro', TARO),
      (world: World) =>
        table.put({ ...world.viewer.organisation, pk: `T#${world.tenant}#`, sk: 'TENANT', excludedDomains: ['customer.example'] }),
    ]) {
      const world = await dropboxWorld(table);
      await fetched(world);
      await change(world);
      const { id } = await create(world, [TARO]);
      await run(world, id);
      expect(await subjects(world.viewer, id)).toEqual([]);
    }
  });

  test('R-33: of a deactivated member too', async () => {
    const world = await dropboxWorld(table);
    await fetched(world);
    await table.update(memberKey(world.tenant, 'mika'), {
      update: 'SET #status = :status',
      names: { '#status': 'status' },
      values: { ':status': 'deactivated' },
    });
    const { id } = await create(world, [TARO]);
    await run(world, id);
    expect(await subjects(world.viewer, id)).toHaveLength(1);
  });

  test('a record made from a mail, and one whose address is added later; twice is once', async () => {
    const world = await dropboxWorld(table, { dropbox: { createIn: 'contacts' } });
    await fetched(world, { subject: 'before' });
    await bcc(world, [TARO], 'making');
    const [job] = jobs;
    expect(job).toMatchObject({ backfill: { record: expect.any(String) } });
    const id = job?.backfill.record ?? '';
    await run(world, id);
    expect(await subjects(world.viewer, id)).toEqual(['making', 'before']);
    await fetched(world, { subject: 'elsewhere', from: [{ address: OLD, name: '' }] });
    await change(world, id, { addresses: [TARO, OLD] });
    await Promise.all([run(world, id), run(world, id)]);
    expect(await subjects(world.viewer, id)).toEqual(['elsewhere', 'making', 'before']);
    expect(jobs).toEqual([]);
  });

  test('a mail of two addresses, of two records that come at once, is tied to both', async () => {
    const world = await dropboxWorld(table);
    for (const subject of ['one', 'two', 'three']) await sent(world, [TARO, OLD], subject);
    const [a, b] = [await create(world, [TARO]), await create(world, [OLD])];
    await Promise.all([run(world, a.id), run(world, b.id)]);
    for (const { id } of [a, b]) expect(await subjects(world.viewer, id)).toHaveLength(3);
    for (const { records } of await own(world.viewer)) expect(records.map(({ id }) => id).sort()).toEqual([a.id, b.id].sort());
  });
});

describe('R-9, ASC-3: an address that is changed, and one that is detached', () => {
  test('a former address keeps its mail, and new mail to it still ties', async () => {
    const world = await dropboxWorld(table);
    const { id } = await create(world, [OLD]);
    await fetched(world, { subject: 'then', from: [{ address: OLD, name: '' }] });
    await change(world, id, { addresses: [TARO] });
    await fetched(world, { subject: 'now', from: [{ address: OLD, name: '' }] });
    await run(world, id);
    expect(await subjects(world.viewer, id)).toEqual(['now', 'then']);
  });

  test('detached, mail tied through it alone is gone for everybody, of mailbox and dropbox; attached again, it is back', async () => {
    const world = await dropboxWorld(table);
    const jun = await world.addMember('jun', 'jun@example.com');
    const { id } = await create(world, [TARO, OLD]);
    await fetched(world, { subject: 'received', from: [{ address: OLD, name: '' }] });
    await bcc(world, [OLD], 'filed');
    await bcc(world, [OLD, TARO], 'to both');
    await fetched(world, { subject: 'other' });
    await run(world, id);
    await detach(world, id, OLD);
    await run(world, id);
    expect(await subjects(world.viewer, id)).toEqual(['other', 'to both']);
    expect(await subjects(jun, id)).toEqual(['to both']);
    const gone = (await own(world.viewer)).find(({ subject }) => subject === 'received');
    expect(gone?.records).toEqual([]);
    expect((await readMessage(table, world.tenant, gone?.message ?? ''))?.copies[0]?.records).toEqual([]);
    expect(await progress(world, id)).toMatchObject({
      addresses: [{ address: TARO }, { address: OLD, task: 'remove', tied: 1, found: 3 }],
    });
    await fetched(world, { subject: 'after', from: [{ address: OLD, name: '' }] });

    await change(world, id, { addresses: [TARO, OLD] });
    await run(world, id);
    expect(await subjects(world.viewer, id)).toEqual(['after', 'other', 'to both', 'filed', 'received']);
    expect(await subjects(jun, id)).toEqual(['to both', 'filed']);
  });

  test('dropbox mail that was taken off comes back to its own record, and to no other that takes the address', async () => {
    const world = await dropboxWorld(table);
    const first = await create(world, [TARO, OLD]);
    await bcc(world, [OLD], 'filed on purpose');
    await detach(world, first.id, OLD);
    await run(world, first.id);
    const second = await create(world, [OLD]);
    await run(world, second.id);
    expect(await subjects(world.viewer, second.id)).toEqual([]);
  });
});

describe('what is filed while addresses change is neither lost nor left behind', () => {
  /** Lets something happen at the moment when the filing of a mail has read the addresses and has not yet shown it. */
  async function during(world: World, what: () => Promise<unknown>, more: Partial<ParsedMail> = {}) {
    const put = table.put.bind(table);
    let done = false;
    table.put = async (item) => {
      if (!done && String(item.pk).includes('#H#')) {
        done = true;
        await what();
      }
      return put(item);
    };
    try {
      return await fetched(world, more);
    } finally {
      table.put = put;
    }
  }

  test('an address that comes meanwhile', async () => {
    const world = await dropboxWorld(table);
    let id = '';
    await during(world, async () => {
      ({ id } = await create(world, [TARO]));
      await run(world, id);
    });
    expect(await subjects(world.viewer, id)).toEqual([]);
    expect(jobs).toHaveLength(1);
    await run(world, id);
    expect(await subjects(world.viewer, id)).toHaveLength(1);
    expect((await own(world.viewer))[0]?.records).toEqual([{ module: 'contacts', id }]);
  });

  test('an address that is detached meanwhile', async () => {
    const world = await dropboxWorld(table);
    const { id } = await create(world, [TARO]);
    await run(world, id);
    await during(world, async () => {
      await detach(world, id, TARO);
      await run(world, id);
    });
    await run(world, id);
    expect(await subjects(world.viewer, id)).toEqual([]);
    expect((await own(world.viewer))[0]?.records).toEqual([]);
  });

  test('a late try of filing does not bring back what was taken off', async () => {
    const world = await dropboxWorld(table);
    const { id } = await create(world, [TARO]);
    const at = later();
    const parsed = await fetched(world, {}, 'mika', at);
    await run(world, id);
    const [entry = {}] = await table.all({ pk: recordPartition(world.tenant, id), begins: timelinesPrefix });
    await detach(world, id, TARO);
    await run(world, id);
    // It had read the copy before, wrote the entry now, and was killed; then the mail is delivered again.
    await table.put(entry);
    expect(await subjects(world.viewer, id)).toHaveLength(1);
    await fetched(world, parsed, 'mika', at);
    await run(world, id);
    expect(await subjects(world.viewer, id)).toEqual([]);
  });
});

describe('R-42: search and counts', () => {
  const find = (
    viewer: Viewer,
    record: string,
    filter: Parameters<typeof matcher>[0],
    page: { limit: number; after?: string } = { limit: 100 },
  ) => listTimeline(table, viewer, record, { ...page, matches: matcher(filter) });

  test('find by words of subject, addresses and text, in any case and width, by direction and by sender', async () => {
    const world = await dropboxWorld(table);
    const { id } = await create(world, [TARO]);
    await fetched(world, { subject: 'Invoice ＡＢＣ', text: 'Please pay' });
    await sent(world, [TARO], 'Re: invoice');
    const found = async (filter: Parameters<typeof matcher>[0]) =>
      (await find(world.viewer, id, filter)).items.map(({ subject }) => subject);
    expect(await found({ q: 'INVOICE' })).toEqual(['Re: invoice', 'Invoice ＡＢＣ']);
    expect(await found({ q: 'invoice abc' })).toEqual(['Invoice ＡＢＣ']);
    expect(await found({ q: 'please' })).toEqual(['Invoice ＡＢＣ']);
    expect(await found({ q: 'customer.example', direction: 'sent' })).toEqual(['Re: invoice']);
    expect(await found({ from: 'Taro@Customer.Example' })).toEqual(['Invoice ＡＢＣ']);
    expect(await found({ from: '@example.com' })).toEqual(['Re: invoice']);
    expect(await found({ q: 'nothing of that' })).toEqual([]);
  });

  test('only what the viewer may see is found and counted', async () => {
    const world = await dropboxWorld(table);
    const jun = await world.addMember('jun', 'jun@example.com');
    const { id } = await create(world, [TARO]);
    await fetched(world, { subject: 'hidden offer' });
    await bcc(world, [TARO], 'open offer');
    expect((await find(jun, id, { q: 'offer' })).items.map(({ subject }) => subject)).toEqual(['open offer']);
    expect(await countTimeline(table, jun, id, matcher({ q: 'offer' }))).toEqual({ count: 1, atLeast: false });
    expect(await countTimeline(table, world.viewer, id, () => true)).toEqual({ count: 2, atLeast: false });
  });

  test('a page looks at so many and goes on; a count says that there are more', async () => {
    const world = await dropboxWorld(table);
    const { id } = await create(world, [TARO]);
    await bcc(world, [TARO], 'the first');
    const entry = (await listTimeline(table, world.viewer, id, { limit: 1 })).items[0];
    const items = Array.from({ length: MAX_SEARCHED_MAILS }, (_, i) => {
      const [receivedAt, message] = [new Date(Date.parse('2026-04-01T00:00:00Z') + i * 1000).toISOString(), sha256(String(i)).slice(0, 40)];
      const key = timelineKey(world.tenant, id, { owner: 'mika', channel: 'dropbox' }, receivedAt, message);
      return { ...entry, ...key, receivedAt, message, subject: 'later' };
    });
    await table.putMany(items);
    const first = await find(world.viewer, id, { q: 'first' });
    expect(first).toMatchObject({ items: [], next: expect.any(String) });
    const second = await find(world.viewer, id, { q: 'first' }, { limit: 100, after: first.next });
    expect(second.items.map(({ subject }) => subject)).toEqual(['the first']);
    expect(second.next).toBeUndefined();
    expect(await countTimeline(table, world.viewer, id, matcher({ q: 'later' }))).toEqual({ count: MAX_SEARCHED_MAILS, atLeast: true });
    // Pages of a search come to the same as the list.
    let after: string | undefined;
    const all: string[] = [];
    do {
      const page = await find(world.viewer, id, { q: 'later' }, { limit: 300, after });
      all.push(...page.items.map(({ message }) => message));
      after = page.next;
    } while (after);
    expect(new Set(all).size).toBe(MAX_SEARCHED_MAILS);
    expect(all).toHaveLength(MAX_SEARCHED_MAILS);
  });
});
