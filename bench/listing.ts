import { BatchWriteCommand, QueryCommand } from '@aws-sdk/lib-dynamodb';
import { sha256 } from '../core/ids.ts';
import type { Viewer } from '../core/member/viewer.ts';
import { listTimeline } from '../core/message/timeline-store.ts';
import type { Item, Table } from '../core/table/client.ts';
import { copyKey, holderKey, recordPartition, timelineKey, timelinePrefix } from '../core/table/keys.ts';
import { dropboxWorld } from '../test/support/dropbox-world.ts';
import { startTable } from '../test/support/engine.ts';
import { atMost, type Figure, median, plain, timeOf } from './figures.ts';

const MAILS = 10_000;
const PAGE = 50;
const ROUNDS = 60;
const RECORD = 'record';

/**
 * A page of a record with 10,000 mails, beside the bare Query of the same items with the same client, turn by turn: for the
 * owner of the mails and for another member, the first page and the hundredth.
 */
export async function benchListing(): Promise<Figure[]> {
  const { table, end } = await startTable();
  try {
    const { viewer: owner, addMember } = await dropboxWorld(table);
    const other = await addMember('jun', 'jun@example.com');
    const positions = await fill(table, owner);
    const hundredth = positions[MAILS - 1 - 99 * PAGE + 1] as string;
    const figures: Figure[] = [];
    for (const [whose, viewer] of [
      ['owner', owner],
      ['another', other],
    ] as const) {
      for (const [page, after] of [
        ['page 1', undefined],
        ['page 100', hundredth],
      ] as const) {
        const { listed, bare } = await compare(table, viewer, owner.member, after);
        figures.push(
          plain(`${whose}, ${page}: bare Query`, bare, ' ms'),
          plain(`${whose}, ${page}: listed`, listed, ' ms'),
          atMost(`${whose}, ${page}: listed / bare`, listed / bare, 2, ' x'),
        );
      }
    }
    return figures;
  } finally {
    await end();
  }
}

async function compare(table: Table, viewer: Viewer, owner: string, after: string | undefined) {
  const listed: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    bare.push(await timeOf(() => bareQuery(table, viewer, owner, after)));
    listed.push(
      await timeOf(async () => {
        const { items } = await listTimeline(table, viewer, RECORD, { limit: PAGE, after });
        if (items.length !== PAGE) throw new Error(`a page of ${items.length} mails`);
      }),
    );
  }
  return { listed: median(listed.slice(ROUNDS / 3)), bare: median(bare.slice(ROUNDS / 3)) };
}

async function bareQuery(table: Table, viewer: Viewer, owner: string, after: string | undefined): Promise<void> {
  const pk = recordPartition(viewer.tenant, RECORD);
  const begins = timelinePrefix({ owner, channel: 'dropbox' });
  await table.client.send(
    new QueryCommand({
      TableName: table.name,
      KeyConditionExpression: 'pk = :pk AND begins_with(sk, :begins)',
      ExpressionAttributeValues: { ':pk': pk, ':begins': begins },
      ScanIndexForward: false,
      Limit: PAGE,
      ConsistentRead: true,
      ...(after === undefined ? {} : { ExclusiveStartKey: { pk, sk: begins + after } }),
    }),
  );
}

/** Writes the mails straight to the table; answers their positions, oldest first. */
async function fill(table: Table, { tenant, member }: Viewer): Promise<string[]> {
  const items: Item[] = [{ ...holderKey(tenant, RECORD, { owner: member, channel: 'dropbox' }), owner: member, channel: 'dropbox' }];
  const positions: string[] = [];
  for (let n = 0; n < MAILS; n++) {
    const receivedAt = new Date(Date.UTC(2026, 0, 1) + n * 60_000).toISOString();
    const message = sha256(String(n)).slice(0, 26);
    const key = timelineKey(tenant, RECORD, { owner: member, channel: 'dropbox' }, receivedAt, message);
    positions.push(key.sk.slice(timelinePrefix({ owner: member, channel: 'dropbox' }).length));
    items.push({
      ...key,
      message,
      owner: member,
      receivedAt,
      direction: 'sent',
      subject: `Our offer, number ${n}, with a subject of the usual length`,
      from: 'mika@example.com',
      to: ['taro@customer.example'],
      date: receivedAt,
      snippet: 'Thank you for your time on the phone. As discussed, here is our offer for the coming quarter, with all the terms. '.slice(
        0,
        150,
      ),
      attachments: 1,
    });
    items.push({
      ...copyKey(tenant, message, member, 'dropbox'),
      message,
      member,
      channel: 'dropbox',
      direction: 'sent',
      receivedAt,
      delivery: `delivery-${n}`,
      records: [{ module: 'contacts', id: RECORD }],
    });
  }
  for (let start = 0; start < items.length; start += 25) {
    const requests = items.slice(start, start + 25).map((item) => ({ PutRequest: { Item: item } }));
    await table.client.send(new BatchWriteCommand({ RequestItems: { [table.name]: requests } }));
  }
  return positions;
}
