import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { QueryCommand } from '@aws-sdk/lib-dynamodb';
import { sha256 } from '../core/ids.ts';
import { MAX_POLICY_EXCLUSIONS } from '../core/limits.ts';
import type { Viewer } from '../core/member/viewer.ts';
import { seriesOf } from '../core/message/counterpart.ts';
import type { Copy } from '../core/message/message.ts';
import { putCopy, putTimelineEntry } from '../core/message/message-store.ts';
import { joinThread } from '../core/message/thread-store.ts';
import { listTimeline } from '../core/message/timeline-store.ts';
import { listThread } from '../core/message/visible-message-store.ts';
import { canSee, type OwnerSettings } from '../core/sharing/can-see.ts';
import { type MailPolicy, NO_POLICY } from '../core/sharing/mail-policy.ts';
import { type Sharing, underPolicy } from '../core/sharing/sharing.ts';
import type { Item, Table } from '../core/table/client.ts';
import { holderKey, recordAddressKey, recordKey, recordPartition, tickKey, timelineKey, timelinePrefix } from '../core/table/keys.ts';
import { dropboxWorld, type World } from '../test/support/dropbox-world.ts';
import { startTable } from '../test/support/engine.ts';
import { atMost, type Figure, median, plain, timeOf } from './figures.ts';

const OWNERS = 50;
const MAILS = 10_000;
const PAGE = 50;
const ROUNDS = 15;
const BARE = 'bare';

/** The fifth of them shares with the viewer what the fourth does not: of the mails, three in ten are to be seen. */
const TYPES: Sharing[] = [
  { type: 'private' },
  { type: 'admin' },
  { type: 'custom' },
  { type: 'public', excludedDomains: ['customer.example'] },
  { type: 'public', excludedDomains: [] },
];
/** Whom the mails are from and to: each owner's stand in two series. */
const OTHER_SIDES = [['taro@customer.example'], ['aya@partner.example', 'taro@partner.example']];

/**
 * What it costs to page through a record whose mail is fifty owners', in all sharing types: beside the bare Query of as many rows,
 * the same record with its visible mail alone, and the same record grown a hundredfold.
 */
export async function benchSharing(): Promise<Figure[]> {
  const { table, end } = await startTable();
  try {
    const world = await dropboxWorld(table);
    const viewer = await world.addMember('jun', 'jun@example.com');
    const owners = await addOwners(world);
    const units = countReads(table);
    const mails = mailsOf(owners, MAILS);
    await fill(table, viewer, 'mixed', mails);
    await fill(table, viewer, 'visible', mails.filter(isVisible));
    await fill(
      table,
      viewer,
      BARE,
      mailsOf(owners.slice(4, 5), 2 * PAGE).map((mail) => ({ ...mail, others: OTHER_SIDES[0] as string[] })),
    );
    const seen = mails.filter(isVisible).slice(0, 200);
    await fill(table, viewer, 'few', seen);
    await fill(table, viewer, 'few and hidden', [
      ...seen,
      ...mails.filter((mail) => !isVisible(mail)),
      ...mailsOf(owners.slice(0, 1), MAILS),
    ]);
    await fill(table, viewer, 'small', mailsOf(owners, 1000));
    await fill(table, viewer, 'large', mailsOf(owners, 100_000));

    const newThread = async (name: string) => {
      const thread = sha256('thread', name).slice(0, 40);
      await converse(table, viewer, thread, owners[4] as Owner, 10);
      return thread;
    };
    const [alone, crowded, several, everOthers] = [
      await newThread('alone'),
      await newThread('crowded'),
      await newThread('several'),
      await newThread('ever others'),
    ];
    const unticked = owners.find(({ sharing, ticked }) => sharing.type === 'custom' && !ticked) as Owner;
    await converse(table, viewer, crowded, owners[0] as Owner, 500);
    await converse(table, viewer, crowded, owners[7] as Owner, 500);
    await converse(table, viewer, several, unticked, 1000, () => DOZEN.slice(0, 5));
    await converse(table, viewer, everOthers, unticked, 1000, threeOfTwelve);
    const thread = (id: string) => async () => {
      const rows = await listThread(table, viewer, id, 500);
      if (rows.length !== 10) throw new Error(`a thread of ${rows.length} mails`);
    };

    const list = (record: string) => async () => {
      const { items } = await listTimeline(table, viewer, record, { limit: PAGE });
      if (items.length !== PAGE) throw new Error(`a page of ${items.length} mails`);
    };
    const bare = () => bareQuery(table, viewer, owners[4]?.id as string);
    const compared = {
      bare,
      alone: thread(alone),
      crowded: thread(crowded),
      several: thread(several),
      'ever others': thread(everOthers),
      ...Object.fromEntries(['mixed', 'visible', 'few', 'few and hidden', 'small', 'large'].map((name) => [name, list(name)])),
    };
    const of = await compare(compared, units);
    const ratio = (a: string, b: string) => of(a).ms / of(b).ms;
    return [
      plain('bare Query of 50 rows', of('bare').ms, ' ms'),
      plain('bare Query of 50 rows: read units', of('bare').units, '', 1),
      plain('first page, 10,000 mails of 50 owners, mixed', of('mixed').ms, ' ms'),
      plain('first page, mixed: read units', of('mixed').units, '', 1),
      plain('first page, visible mail alone', of('visible').ms, ' ms'),
      plain('first page, visible mail alone: read units', of('visible').units, '', 1),
      plain('mixed / bare', ratio('mixed', 'bare'), ' x'),
      atMost('mixed / visible alone', ratio('mixed', 'visible'), 1.5, ' x'),
      atMost('200 mails and 17,000 hidden / 200 mails', ratio('few and hidden', 'few'), 1.5, ' x'),
      plain('200 mails and 17,000 hidden: read units', of('few and hidden').units, '', 1),
      plain('200 mails: read units', of('few').units, '', 1),
      atMost('100,000 mails / 1,000 mails', ratio('large', 'small'), 1.5, ' x'),
      atMost('100,000 mails / 1,000 mails: read units', of('large').units / of('small').units, 1.2, ' x'),
      atMost('thread of 10 mails and 1,000 hidden / of 10', ratio('crowded', 'alone'), 2, ' x'),
      plain('thread of 10 mails and 1,000 hidden: read units', of('crowded').units, '', 1),
      plain('thread of 10 mails: read units', of('alone').units, '', 1),
      atMost('thread of 10 mails and 1,000 hidden to the same five / of 10', ratio('several', 'alone'), 2, ' x'),
      plain('thread of 10 mails and 1,000 hidden to the same five: read units', of('several').units, '', 1),
      plain('thread of 10 mails and 1,000 hidden to ever other three / of 10', ratio('ever others', 'alone'), ' x'),
      plain('thread of 10 mails and 1,000 hidden to ever other three: read units', of('ever others').units, '', 1),
      atMost('deciding on one mail', decisionMicros(viewer), 5, ' µs', 3),
      atMost('deciding on one mail under the longest policy', decisionMicros(viewer, LONGEST_POLICY), 5, ' µs', 3),
    ];
  } finally {
    await end();
  }
}

type Owner = { id: string; sharing: Sharing; ticked: boolean };
type Mail = { owner: Owner; others: string[]; at: number };

async function addOwners(world: World): Promise<Owner[]> {
  const owners = Array.from({ length: OWNERS }, (_, n): Owner => {
    return { id: `owner-${String(n).padStart(2, '0')}`, sharing: TYPES[n % TYPES.length] as Sharing, ticked: n % 2 === 0 };
  });
  for (const { id, sharing } of owners) await world.addMember(id, `${id}@example.com`, { sharing });
  return owners;
}

const mailsOf = (owners: Owner[], count: number): Mail[] =>
  Array.from({ length: count }, (_, at) => ({
    owner: owners[at % owners.length] as Owner,
    others: OTHER_SIDES[Math.floor(at / owners.length) % 2] as string[],
    at,
  }));

/** As the rules have it, so that the bench shares no mistake. */
function isVisible({ owner: { sharing, ticked }, others }: Mail): boolean {
  if (sharing.type === 'custom') return ticked;
  return sharing.type === 'public' && !others.some((address) => sharing.excludedDomains.includes(address.split('@')[1] as string));
}

async function fill(table: Table, { tenant }: Viewer, record: string, mails: Mail[]): Promise<void> {
  const notes = new Map<string, Item>();
  const items = mails.map(({ owner: { id, ticked }, others, at }) => {
    const series = seriesOf({ member: id, channel: 'mailbox', counterparts: others });
    const note = holderKey(tenant, record, series);
    notes.set(note.sk, { ...note, ...series, counterparts: others });
    if (ticked) notes.set(`${id} tick`, { ...tickKey(tenant, record, id), owner: id });
    const message = sha256(String(at), id).slice(0, 40);
    const receivedAt = new Date(Date.UTC(2026, 0, 1) + at * 60_000).toISOString();
    return {
      ...timelineKey(tenant, record, series, receivedAt, message),
      message,
      owner: id,
      receivedAt,
      direction: 'received',
      subject: 'Your offer, and some questions of ours about it',
      from: others[0],
      to: [`${id}@example.com`],
      date: receivedAt,
      snippet: 'Thank you for the offer. We have looked at it and have some questions about the terms of delivery and payment. '
        .repeat(2)
        .slice(0, 150),
      attachments: 0,
    };
  });
  await table.putMany([...notes.values(), ...items]);
}

/** Who takes part in a long conversation, beside its owner. */
const DOZEN = Array.from({ length: 12 }, (_, n) => `someone-${n}@customer.example`);
/** Another three of them for each of 220 mails. */
const THREES = DOZEN.flatMap((a, i) => DOZEN.slice(i + 1).flatMap((b, j) => DOZEN.slice(i + j + 2).map((c) => [a, b, c])));
const threeOfTwelve = (n: number) => THREES[n % THREES.length] as string[];

/** Mails of an owner in a conversation, as they are filed. */
async function converse(
  table: Table,
  { tenant }: Viewer,
  thread: string,
  { id }: Owner,
  mails: number,
  to: (n: number) => string[] = () => OTHER_SIDES[0] as string[],
): Promise<void> {
  const on = [{ module: 'contacts', id: 'threads' }];
  await table.put({ ...recordKey(tenant, 'threads'), id: 'threads', module: 'contacts', owner: id });
  // By them a reader knows on which records a mail can be.
  const link = { record: 'threads', module: 'contacts', owner: id, name: '', createdAt: '' };
  const addresses = new Set(Array.from({ length: mails }, (_, n) => to(n)).flat());
  await table.putMany([...addresses].map((address) => ({ ...recordAddressKey(tenant, address, 'contacts', 'threads'), ...link })));
  for (let n = 0; n < mails; n++) {
    const message = sha256(thread, id, String(n)).slice(0, 40);
    const receivedAt = new Date(Date.UTC(2026, 0, 1) + n * 60_000).toISOString();
    const counterparts = to(n);
    const copy: Copy = {
      message,
      member: id,
      channel: 'mailbox',
      counterparts,
      direction: 'received',
      receivedAt,
      delivery: message,
      records: on,
    };
    await joinThread(table, tenant, thread, copy as Required<Copy>);
    await putCopy(table, tenant, copy);
    const row = {
      message,
      owner: id,
      receivedAt,
      subject: 'Our questions',
      from: counterparts[0] ?? '',
      to: [],
      snippet: '',
      attachments: 0,
    };
    await putTimelineEntry(table, tenant, 'threads', seriesOf(copy), { ...row, direction: 'received' });
  }
}

async function bareQuery(table: Table, { tenant }: Viewer, owner: string): Promise<void> {
  const begins = timelinePrefix(seriesOf({ member: owner, channel: 'mailbox', counterparts: OTHER_SIDES[0] }));
  const { Items = [] } = await table.client.send(
    new QueryCommand({
      TableName: table.name,
      KeyConditionExpression: 'pk = :pk AND begins_with(sk, :begins)',
      ExpressionAttributeValues: { ':pk': recordPartition(tenant, BARE), ':begins': begins },
      ScanIndexForward: false,
      Limit: PAGE,
      ConsistentRead: true,
    }),
  );
  if (Items.length !== PAGE) throw new Error(`a bare page of ${Items.length} mails`);
}

/** All of them in turn, again and again: the median time of each, and the read units of one. */
async function compare(works: Record<string, () => Promise<void>>, units: () => number) {
  const times = new Map<string, number[]>(Object.keys(works).map((name) => [name, []]));
  const read = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, work] of Object.entries(works)) {
      units();
      times.get(name)?.push(await timeOf(work));
      read.set(name, units());
    }
  }
  return (name: string) => ({ ms: median(times.get(name)?.slice(ROUNDS / 3) ?? []), units: read.get(name) ?? Number.NaN });
}

/** Read units the engine says it consumed since it was last asked. */
function countReads(table: Table): () => number {
  let sum = 0;
  (table.client as unknown as DynamoDBClient).middlewareStack.add(
    (next, context) => async (args) => {
      const isRead = /^(?:Get|BatchGet|Query)/.test((context as { commandName?: string }).commandName ?? '');
      const result = await next(isRead ? { ...args, input: { ...args.input, ReturnConsumedCapacity: 'TOTAL' } } : args);
      const { ConsumedCapacity } = result.output as { ConsumedCapacity?: Consumed | Consumed[] };
      if (isRead) for (const { CapacityUnits = 0 } of [ConsumedCapacity ?? []].flat()) sum += CapacityUnits;
      return result;
    },
    { step: 'initialize', priority: 'high' },
  );
  return () => {
    const read = sum;
    sum = 0;
    return read;
  };
}
type Consumed = { CapacityUnits?: number };

/** As much as an organisation may exclude. */
const LONGEST_POLICY: MailPolicy = {
  ...NO_POLICY,
  excludedDomains: Array.from({ length: MAX_POLICY_EXCLUSIONS }, (_, n) => `firm-${n}.example`),
  excludedAddresses: Array.from({ length: MAX_POLICY_EXCLUSIONS }, (_, n) => `person-${n}@a.example`),
};

/** One decision, with the most a member may exclude and a mail to twenty: microseconds. */
function decisionMicros(viewer: Viewer, policy?: MailPolicy): number {
  const counterparts = Array.from({ length: 20 }, (_, n) => `someone-${n}@department-${n}.customer.example`);
  const settings = TYPES.map((sharing): OwnerSettings => {
    const excluded = { type: 'public', excludedDomains: ['a.example', 'b.example', 'c.example', 'd.example', 'e.example'] } as const;
    const full: Sharing = sharing.type === 'public' ? { ...excluded, excludedDomains: [...excluded.excludedDomains] } : sharing;
    return { dropboxVisibility: 'sharing', sharing: underPolicy(full, policy), deactivated: false };
  });
  const times: number[] = [];
  for (let round = 0; round < 20; round++) {
    const began = performance.now();
    let visible = 0;
    for (let n = 0; n < 10_000; n++) {
      const copy = { owner: 'owner', channel: 'mailbox', counterparts } as const;
      if (canSee(viewer, copy, settings[n % settings.length] as OwnerSettings, { ticked: true }).visible) visible++;
    }
    if (visible === 0) throw new Error('nothing was visible');
    times.push(((performance.now() - began) * 1000) / 10_000);
  }
  return median(times);
}
