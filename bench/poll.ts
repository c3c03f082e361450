import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { MailAccount } from '../core/account/account.ts';
import { Lane } from '../core/account/lane.ts';
import { listedMails, snapshotOf } from '../core/account/listing.ts';
import { type PollRoom, poll } from '../core/account/poll.ts';
import { openPop3 } from '../core/account/pop3-client.ts';
import { slotOf } from '../core/account/slot.ts';
import { newTenantId } from '../core/ids.ts';
import type { Table } from '../core/table/client.ts';
import { mailAccountKey } from '../core/table/keys.ts';
import { functions } from '../functions/manifest.ts';
import { startTable } from '../test/support/engine.ts';
import { type Pop3Server, startPop3Server } from '../test/support/pop3-server.ts';
import { prices, sum } from './cost.ts';
import { atMost, type Figure, plain } from './figures.ts';

/** What the least that can be called for a poll costs, per million: docs/cost.md says which. */
const FLOOR = 0.25;
const MAILS = 100_000;
const NEW = 100;
const MEMBER = 'mika';

type Counts = { readUnits: number; writeUnits: number; puts: number; sends: number; bytes: number; turns: number };

/**
 * What a poll calls and hears in a mailbox of 100,000 mails: one that finds nothing, and one that finds a hundred new ones. By the
 * product's own poll and client, against the local engine and a scripted server behind a wire that counts.
 */
export async function benchPoll(): Promise<Figure[]> {
  const { table, client, end } = await startTable();
  const server = await startPop3Server({ mails: Array.from({ length: MAILS }, (_, n) => mailOf(n)) });
  const wire = await countingWire(server.port);
  try {
    const bench = await newBench(table, client as unknown as DynamoDBClient, server, wire);
    const empty = await bench.poll('quiet');
    for (let n = 0; n < NEW; n++) server.add(mailOf(MAILS + n));
    const found = await bench.poll('polled');
    return [
      atMost('nothing new: round trips after the login', empty.turns, 2, '', 0),
      atMost('nothing new: bytes received after the login', empty.bytes, 2048, '', 0),
      atMost('nothing new: write units', empty.writeUnits, 0, '', 0),
      atMost('nothing new: read units', empty.readUnits, 1, '', 1),
      ...costOf(empty),
      atMost(`${NEW} new: write units for each`, found.writeUnits / NEW, 1.2, '', 2),
      atMost(`${NEW} new: read units for each`, found.readUnits / NEW, 1.2, '', 2),
      atMost(`${NEW} new: S3 PUTs and sends for each`, (found.puts + found.sends) / NEW, 2, '', 0),
    ];
  } finally {
    wire.server.close();
    await server.end();
    await end();
  }
}

/** US dollars per million polls that find nothing, by the price table of docs/cost.md. */
function costOf({ readUnits, writeUnits }: Counts): Figure[] {
  const price = prices('docs/cost.md');
  const { batchSize } = functions['poll-mailbox'].trigger;
  const parts = {
    'DynamoDB reads': readUnits * price('DynamoDB read unit'),
    'DynamoDB writes': writeUnits * price('DynamoDB write unit'),
    // Sent, taken and deleted in batches.
    'SQS, batches full': (3 / batchSize) * price('SQS request'),
    'Lambda requests, batches full': price('Lambda request') / batchSize,
  };
  const listed = Object.entries(parts).map(([name, usd]) => plain(`  ${name}`, usd, ' $', 3));
  return [
    atMost('nothing new: a million polls', sum(parts), 0.5, ' $', 3),
    ...listed,
    plain('  floor', FLOOR, ' $'),
    plain('  KMS, for a mailbox that is the only one of its tenant', price('KMS request'), ' $'),
  ];
}

async function newBench(table: Table, client: DynamoDBClient, server: Pop3Server, wire: Wire) {
  const account = await accountOf(table, server);
  const counts: Counts = { readUnits: 0, writeUnits: 0, puts: 0, sends: 0, bytes: 0, turns: 0 };
  countUnits(client, counts);
  const room: PollRoom = {
    table,
    storeRaw: async () => void counts.puts++,
    inbound: { send: async () => void counts.sends++ },
    polls: { send: async () => {} },
    tell: async () => {},
    open: async () => {
      const login = { userName: 'taro', password: 'open sesame' };
      const session = await openPop3({ host: '127.0.0.1', address: '127.0.0.1', port: wire.port, security: 'none', login });
      wire.reset();
      return session;
    },
    isEnabled: async () => true,
    clock: () => new Date(),
    memory: new Lane(2 ** 30),
  };
  const job = { tenant: account.tenant, member: MEMBER, account: account.id };
  return {
    poll: async (outcome: 'quiet' | 'polled'): Promise<Counts> => {
      Object.assign(counts, { readUnits: 0, writeUnits: 0, puts: 0, sends: 0 });
      const result = await poll(room, job, new Date(Date.now() + 600_000));
      if (result.outcome !== outcome) throw new Error(`the poll was ${JSON.stringify(result)}`);
      return { ...counts, ...wire.heard() };
    },
  };
}

/** An account whose polls have seen all there is. */
async function accountOf(table: Table, server: Pop3Server): Promise<MailAccount> {
  const at = new Date().toISOString();
  const mails = listedMails(new Map(server.mails.map(({ uid }, i) => [i + 1, uid])));
  const account: MailAccount = {
    id: '01hxxxxxxxxxxxxxxxxxxxxxxx',
    tenant: newTenantId(),
    member: MEMBER,
    name: 'Work',
    address: 'taro@example.com',
    protocol: 'pop3',
    incoming: { host: '127.0.0.1', port: 110, security: 'none', userName: 'taro' },
    incomingPassword: 'sealed'.repeat(20),
    deletion: { policy: 'leave' },
    since: at,
    createdAt: at,
    version: 1,
    credentials: 1,
    active: true,
    state: 'ok',
    stateSince: at,
    authFailures: 0,
    connectFailures: 0,
    lastSuccessAt: at,
    snapshot: snapshotOf(
      mails,
      server.mails.reduce((bytes, { raw }) => bytes + raw.length, 0),
    ),
    sync: { found: MAILS, fetched: MAILS, filed: MAILS, skipped: 0, bytes: 0, startedAt: at, fetchedAllAt: at, doneAt: at },
    totals: { filed: MAILS, deleted: 0 },
  };
  const slot = slotOf(account, { every: 5 });
  await table.put({ ...mailAccountKey(account.tenant, MEMBER, account.id), ...account, slot });
  return account;
}

/** The units are what the engine says each call consumed. */
function countUnits(client: DynamoDBClient, counts: Counts): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const { commandName = '' } = context as { commandName?: string };
      const result = await next({ ...args, input: { ...args.input, ReturnConsumedCapacity: 'TOTAL' } });
      const { ConsumedCapacity } = result.output as { ConsumedCapacity?: { CapacityUnits?: number } | { CapacityUnits?: number }[] };
      const units = [ConsumedCapacity ?? []].flat().reduce((total, { CapacityUnits = 0 }) => total + CapacityUnits, 0);
      counts[/^(?:Get|BatchGet|Query)/.test(commandName) ? 'readUnits' : 'writeUnits'] += units;
      return result;
    },
    { step: 'initialize', priority: 'high' },
  );
}

type Wire = { port: number; server: Server; reset: () => void; heard: () => { bytes: number; turns: number } };

/** Counts what the server says, and how often it was asked: what is asked in one go is one round trip. */
async function countingWire(to: number): Promise<Wire> {
  let bytes = 0;
  let turns = 0;
  const server = createServer((client) => {
    const upstream = connect(to, '127.0.0.1');
    let isAnswering = true;
    client.on('data', (chunk) => {
      if (isAnswering) turns++;
      isAnswering = false;
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      bytes += chunk.length;
      isAnswering = true;
      client.write(chunk);
    });
    const close = () => [client, upstream].map((socket) => socket.destroy());
    for (const socket of [client, upstream]) socket.on('close', close).on('error', close);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const reset = () => {
    bytes = 0;
    turns = 0;
  };
  return { port: (server.address() as AddressInfo).port, server, reset, heard: () => ({ bytes, turns }) };
}

const mailOf = (n: number) => `From: a@customer.example\r\nSubject: ${n}\r\nMessage-ID: <${n}@customer.example>\r\n\r\nHello\r\n`;
