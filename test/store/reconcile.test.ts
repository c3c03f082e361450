import { listActivity } from '../../core/dropbox/activity-store.ts';
import { type Held, listHeld } from '../../core/dropbox/held-store.ts';
import { ingest } from '../../core/dropbox/ingest.ts';
import { reconcileRawMail } from '../../core/dropbox/reconcile-store.ts';
import { sweepRawMail } from '../../core/dropbox/sweep-store.ts';
import type { Delivery } from '../../core/message/delivery.ts';
import type { Table } from '../../core/table/client.ts';
import { recordPartition } from '../../core/table/keys.ts';
import { delivery, dropboxWorld, existing, MAIL_DOMAIN, mail, sweptInto, type World } from '../support/dropbox-world.ts';
import { startTable } from '../support/engine.ts';

let table: Table;
let end: () => Promise<void>;
let world: World;
let contact: string;
/** The bucket: what SES stored. */
let objects: Map<string, { delivery: Delivery; mail: ReturnType<typeof mail>; modified: string }>;
let reads: number;

beforeAll(async () => ({ table, end } = await startTable()));
afterAll(() => end());
beforeEach(async () => {
  world = await dropboxWorld(table);
  contact = await existing(table, world, 'contacts', 'taro@customer.example');
  objects = new Map();
  reads = 0;
  await table.delete({ pk: 'X#reconcile', sk: 'ROUND' });
});

/** Letters and digits, as SES's own ids; the millisecond is in the notification alone. */
let count = 0;
function store(more: Partial<ReturnType<typeof mail>> = {}, recipients = [world.address]): Delivery {
  const second = new Date(Date.parse('2026-03-01T09:00:00Z') + count * 1000).toISOString();
  const id = `id${String(++count).padStart(6, '0')}`;
  const made = delivery(recipients, { id, rawKey: `raw/${id}`, receivedAt: second.replace('.000', '.123') });
  objects.set(made.rawKey, { delivery: made, mail: mail(more), modified: new Date(Date.parse(second) + 2000).toISOString() });
  return made;
}

const headOf = ({ id, receivedAt, recipients, source }: Delivery) =>
  Buffer.from(
    `Return-Path: <${source}>\r\nReceived: from x by inbound-smtp.eu-west-1.amazonaws.com with SMTP id ${id}` +
      `${recipients.length === 1 ? ` for ${recipients[0]}` : ''}; ${new Date(receivedAt).toUTCString().replace('GMT', '+0000 (UTC)')}\r\n` +
      'X-SES-Spam-Verdict: PASS\r\nX-SES-Virus-Verdict: PASS\r\nAuthentication-Results: amazonses.com; spf=pass; dkim=pass; dmarc=pass\r\n\r\n',
  );

const room = { readRaw: async () => Buffer.from('raw'), mailDomain: MAIL_DOMAIN, backfills: { send: async () => {} } };
const takeIn = (one: Delivery) => ingest({ ...room, table, readMail: async () => objects.get(one.rawKey)?.mail }, one);

async function reconcile(now = '2026-03-02T09:00:00.000Z', { page = 1000, pages = Number.POSITIVE_INFINITY } = {}) {
  const again: Delivery[] = [];
  const result = await reconcileRawMail(
    {
      table,
      mailDomain: MAIL_DOMAIN,
      list: async (after) => {
        const keys = [...objects.keys()].sort().filter((key) => after === undefined || key > after);
        return { objects: keys.slice(0, page).map((key) => ({ key, modified: objects.get(key)!.modified })), more: keys.length > page };
      },
      readBeginning: async (key) => {
        reads++;
        return headOf(objects.get(key)!.delivery);
      },
      again: async (one) => void again.push(one),
    },
    new Date(now),
    { minutes: 60, hasTime: () => --pages > 0 },
  );
  for (const one of again) await takeIn(one);
  return { ...result, again };
}

const filed = async () => (await table.all({ pk: recordPartition(world.tenant, contact), begins: 'O#' })).length;
const activity = async () => (await listActivity(table, world.viewer, { limit: 100 }, new Date('2026-03-02'))).items;
const held = async () => (await listHeld(table, world.viewer, { limit: 100 }, new Date('2026-03-02'))).items as Held[];

test('of 200 mails the notification of every tenth is lost: one round heals all of them, and none that was well', async () => {
  const deliveries = Array.from({ length: 200 }, () => store());
  for (const [i, one] of deliveries.entries()) if (i % 10 !== 3) await takeIn(one);
  expect(await filed()).toBe(180);
  expect(await reconcile()).toMatchObject({ looked: 200, healed: 20, unknown: [], complete: true });
  expect(await filed()).toBe(200);
  expect(new Set((await activity()).map(({ id }) => id)).size).toBe(100);
});

test('every outcome is left alone: filed, duplicate, held, ignored, discarded addresses; and what was held needs no look inside', async () => {
  const same = { messageId: 'same@example.com' };
  for (const one of [store(same), store(same), store({ from: [{ address: 'x@other.example', name: '' }] })]) await takeIn(one);
  for (const one of [store({}, [`nobody@${MAIL_DOMAIN}`]), store({}, [world.address, `nobody@${MAIL_DOMAIN}`])]) await takeIn(one);
  const before = [await filed(), await activity(), await held()];
  const result = await reconcile();
  expect(result).toMatchObject({ looked: 5, healed: 0, unknown: [] });
  expect(reads).toBe(1);
  expect([await filed(), await activity(), await held()]).toEqual(before);
});

test('of a mail for two dropboxes whose notification was lost the key is told: only that one knew whose it was', async () => {
  const lost = store({}, [world.address, `nobody@${MAIL_DOMAIN}`]);
  expect(await reconcile()).toMatchObject({ looked: 1, healed: 0, unknown: [lost.rawKey] });
});

test('R-12: a mail filed for two dropboxes outlives the sweep that looks at its note', async () => {
  const one = store({}, [world.address, `nobody@${MAIL_DOMAIN}`]);
  await takeIn(one);
  const deleted: string[] = [];
  const later = new Date(Date.parse(one.receivedAt) + 32 * 86_400_000);
  const { kept } = await sweepRawMail(table, sweptInto(deleted), later);
  expect([kept > 0, deleted.includes(one.rawKey)]).toEqual([true, false]);
});

test('a worker that dies after any of its writes: what it left is taken in as the redelivery it is, shown once, told once', async () => {
  let kills = 0;
  for (let survived = 0; ; survived++) {
    const one = store({
      to: [
        { address: `new-${survived}@prospect.example`, name: 'New' },
        { address: 'taro@customer.example', name: '' },
      ],
    });
    const before = await filed();
    const died = await ingest({ ...room, table: dyingAfter(survived), readMail: async () => objects.get(one.rawKey)?.mail }, one).catch(
      () => 'killed' as const,
    );
    const stored = Date.parse(objects.get(one.rawKey)!.modified);
    const { healed } = await reconcile(new Date(stored + 3_600_000).toISOString());
    expect([survived, healed]).toEqual([survived, died === 'killed' ? 1 : 0]);
    expect([survived, await filed()]).toEqual([survived, before + 1]);
    expect((await activity()).filter(({ at }) => Math.abs(Date.parse(at) - Date.parse(one.receivedAt)) < 500)).toHaveLength(1);
    if (died !== 'killed') break;
    kills++;
  }
  expect(kills).toBeGreaterThanOrEqual(6);
});

/** The table, for a worker that is killed at its next write but so many. */
function dyingAfter(writes: number): Table {
  const dying = Object.create(table) as Table;
  const killed = () => (writes-- > 0 ? undefined : Promise.reject(new Error('killed')));
  dying.put = (...args) => killed() ?? table.put(...args);
  dying.putNew = (...args) => killed() ?? table.putNew(...args);
  dying.update = (...args) => killed() ?? table.update(...args);
  dying.transact = (...args) => killed() ?? table.transact(...args);
  return dying;
}

test('what is younger than an hour waits; each object is looked at once; a round that runs out of time goes on where it was', async () => {
  for (let i = 0; i < 5; i++) store();
  const last = [...objects.values()].at(-1)!.modified;
  expect(await reconcile(new Date(Date.parse(last) + 59 * 60_000).toISOString())).toMatchObject({ looked: 0 });
  const later = new Date(Date.parse(last) + 61 * 60_000).toISOString();
  expect(await reconcile(later, { page: 2, pages: 2 })).toMatchObject({ complete: false });
  expect(await reconcile(later, { page: 2 })).toMatchObject({ looked: 1, healed: 1, complete: true });
  expect(await filed()).toBe(5);
  expect(await reconcile('2026-03-03T09:00:00.000Z')).toMatchObject({ looked: 0, complete: true });
});
