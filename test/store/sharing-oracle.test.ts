import { readFileSync } from 'node:fs';
import type { Viewer } from '../../core/member/viewer.ts';
import type { TimelineEntry } from '../../core/message/message.ts';
import { type MailFilter, matcher } from '../../core/message/search-mail.ts';
import { countTimeline, listTimeline } from '../../core/message/timeline-store.ts';
import { audienceOf, listOwnMail, listThread, readVisible } from '../../core/message/visible-message-store.ts';
import { findRecord } from '../../core/record/record-store.ts';
import { previewChange } from '../../core/sharing/preview-store.ts';
import { Table } from '../../core/table/client.ts';
import { START } from '../support/dropbox-world.ts';
import { startTable } from '../support/engine.ts';
import { MemoryDynamo } from '../support/memory-dynamo.ts';
import {
  type OracleMail,
  type OracleRecord,
  oracleAudience,
  oracleHoldersOn,
  oracleMatches,
  oraclePreview,
  oracleReads,
  oracleSights,
} from '../support/sharing-oracle.ts';
import { Dice, SharingWorld } from '../support/sharing-world.ts';

/** One seed, so that a run fails for what changed and for nothing else; `SHARING_SEED=$RANDOM` asks other worlds, SHARING_QUERIES more. */
const SEED = Number(process.env.SHARING_SEED ?? 20_261_122);
const QUERIES = Number(process.env.SHARING_QUERIES ?? 20_000);
const MAX_TOLD = 10;

test('the oracle knows nothing of the product', () => {
  expect(readFileSync(new URL('../support/sharing-oracle.ts', import.meta.url), 'utf8')).not.toMatch(/^import|import\(/m);
});

test('R-5..R-8, R-16, R-31, R-40..R-42, GEN-9: random tenants answer as the oracle does, and nothing hidden changes an answer', async () => {
  const asked = await askWorlds(() => new Table(new MemoryDynamo().client, 'memory'), { seed: SEED, queries: QUERIES, rounds: 3 });
  process.stdout.write(`sharing-oracle: SHARING_SEED=${SEED}: ${told(asked)}\n`);
  expect(asked.differences).toEqual([]);
  expect(asked.queries).toBeGreaterThanOrEqual(QUERIES);
  // A world in which everything is hidden, or nothing, would prove little.
  expect(Math.min(asked.visible, asked.hidden) / asked.queries).toBeGreaterThan(0.04);
  expect(asked.backups).toBeGreaterThan(5);
});

test('the same on the real engine', async () => {
  const { table, end } = await startTable();
  const asked = await askWorlds(() => table, { seed: SEED + 1, queries: 500, rounds: 2 });
  await end();
  expect(asked.differences).toEqual([]);
});

type Asked = { queries: number; visible: number; hidden: number; added: number; backups: number; differences: string[] };
const told = ({ queries, visible, hidden, added, backups }: Asked) =>
  `${queries} queries, single mails ${visible} visible and ${hidden} hidden, ${added} mails added behind somebody's back, ${backups} backups`;

/** Worlds, one after the other, until so much was asked or something was wrong. */
async function askWorlds(newTable: () => Table, wanted: { seed: number; queries: number; rounds: number }): Promise<Asked> {
  const asked: Asked = { queries: 0, visible: 0, hidden: 0, added: 0, backups: 0, differences: [] };
  for (let n = 0; asked.queries < wanted.queries && asked.differences.length === 0; n++) {
    const dice = new Dice(wanted.seed + n * 7919);
    const table = newTable();
    const world = new SharingWorld(table, dice);
    await world.settle();
    if (dice.chance(30)) await world.chatter();
    for (let round = 0; round < wanted.rounds; round++) {
      if (round > 0) await world.changeSettings();
      for (let mails = 4 + dice.below(6); mails > 0; mails--) await world.exchange();
      const here = `SHARING_SEED=${SEED}, world ${n}, round ${round}`;
      for (let backups = dice.below(4); backups > 0; backups--) noteBackup(await world.backUp(), asked, here);
      for (const viewer of await world.viewers()) await new Questions(table, world, viewer, dice, asked, here).ask();
      await addBehindBacks(table, world, dice, asked, here);
    }
  }
  return asked;
}

function noteBackup(backup: Awaited<ReturnType<SharingWorld['backUp']>>, asked: Asked, here: string): void {
  if (!backup) return;
  asked.queries++;
  if (!backup.refused) asked.backups++;
  if (backup.refused !== backup.expected) asked.differences.push(`${here}: a backup was ${backup.refused ? '' : 'not '}refused`);
}

/** Everything one viewer can ask of a world, held against the oracle. */
class Questions {
  private readonly self: string;
  private readonly table: Table;
  private readonly world: SharingWorld;
  private readonly viewer: Viewer;
  private readonly dice: Dice;
  private readonly asked: Asked;
  private readonly where: string;

  constructor(table: Table, world: SharingWorld, viewer: Viewer, dice: Dice, asked: Asked, where: string) {
    this.table = table;
    this.world = world;
    this.viewer = viewer;
    this.dice = dice;
    this.asked = asked;
    this.where = where;
    this.self = viewer.member;
  }

  async ask(): Promise<void> {
    const { oracle } = this.world;
    for (const record of oracle.records.values()) await this.askRecord(record);
    for (const mail of oracle.mails.keys()) await this.askMail(mail);
    await this.askOwnList();
    await this.askPreview();
  }

  private async askRecord(record: OracleRecord): Promise<void> {
    const { oracle } = this.world;
    const mayRead = oracleReads(oracle, this.self, record);
    const found = await findRecord(this.table, this.viewer, record.module, record.id).catch(() => undefined);
    this.compare(`may read ${record.id}`, found !== undefined, mayRead);
    if (!found) return;
    const rows = await this.walk((page) => listTimeline(this.table, this.viewer, record.id, page));
    const holders = new Map([...oracle.mails.keys()].map((mail) => [mail, oracleHoldersOn(oracle, this.self, record.id, mail)]));
    const visible = [...holders].flatMap(([mail, by]) => (by.size > 0 ? mail : []));
    this.compare(`mails on ${record.id}`, rows.map(({ message }) => message).sort(), visible.sort());
    await this.askSearch(record, rows);
    this.requireNewestFirst(`mails on ${record.id}`, rows);
    for (const { message, owner } of rows) {
      const by = holders.get(message) ?? new Set();
      this.compare(`whose copy of ${message} is listed`, owner, by.has(this.self) ? this.self : by.has(owner) ? owner : [...by]);
    }
  }

  private async askSearch(record: OracleRecord, all: TimelineEntry[]): Promise<void> {
    const { oracle } = this.world;
    const filter: MailFilter = {
      q: this.dice.one([undefined, 'offer', 'ＯＦＦＥＲ dear', '見積', 'terms taro', '@b.example', 'm1', String(this.dice.below(30))]),
      from: this.dice.one([undefined, undefined, '@example.com', '@a.example', 'aya@mail.a.example']),
      direction: this.dice.one([undefined, undefined, 'sent', 'received'] as const),
    };
    const what = `${JSON.stringify(filter)} on ${record.id}`;
    const { q, from, direction } = filter;
    const expected = all
      .filter((row) => oracleMatches(oracle.mails.get(row.message) as OracleMail, { q: q?.normalize('NFKC'), from }))
      .filter((row) => !direction || row.direction === direction)
      .map(({ message }) => message);
    const matches = matcher(filter);
    const found = await this.walk((page) => listTimeline(this.table, this.viewer, record.id, { ...page, matches }));
    this.compare(
      what,
      found.map(({ message }) => message),
      expected,
    );
    this.compare(`count of ${what}`, await countTimeline(this.table, this.viewer, record.id, matches), {
      count: expected.length,
      atLeast: false,
    });
    for (const { message, direction: shown } of all) {
      const by = oracleHoldersOn(oracle, this.self, record.id, message);
      const holders = by.has(this.self) ? new Set([this.self]) : by;
      const held = oracle.copies.filter(({ mail, holder }) => mail === message && holders.has(holder));
      this.compare(
        `direction of ${message}`,
        held.some((copy) => copy.direction === shown),
        true,
      );
    }
  }

  private async askPreview(): Promise<void> {
    const { oracle } = this.world;
    const sharing = this.world.someSharing() ?? { type: 'private' };
    const dropboxVisibility = this.dice.one(['record', 'sharing'] as const);
    const answered = await previewChange(this.table, this.viewer, { sharing, dropboxVisibility }, new Date(START));
    const what = `preview of ${JSON.stringify(sharing)}, dropbox by ${dropboxVisibility}`;
    this.compare(what, answered, oraclePreview(oracle, this.self, { sharing, dropboxVisibility }));
  }

  private async askMail(mail: string): Promise<void> {
    const { oracle } = this.world;
    const sights = oracleSights(oracle, this.self, mail);
    const found = await readVisible(this.table, this.viewer, mail).catch(() => undefined);
    this.compare(`sees ${mail}`, found !== undefined, sights.length > 0);
    if (sights.length > 0) this.asked.visible++;
    else this.asked.hidden++;
    if (!found) return;
    this.compare(`records of ${mail}`, found.records.map(({ id }) => id).sort(), unique(sights.flatMap(({ record }) => record ?? [])));
    this.compare(`holders of ${mail}`, unique(found.copies.map(({ member }) => member)), unique(sights.map(({ owner }) => owner)));
    const reasons = found.reasons.map(({ owner, because, record }) => `${owner} ${because} ${record?.id ?? ''}`);
    this.compare(`why ${mail}`, unique(reasons), unique(sights.map(({ owner, because, record }) => `${owner} ${because} ${record ?? ''}`)));
    await this.askThread(found.message.thread, mail);
    if (!sights.some(({ owner }) => owner === this.self)) return;
    const audience = await audienceOf(this.table, this.viewer, found);
    this.compare(`who else sees ${mail}`, audience.map(({ member }) => member).sort(), oracleAudience(oracle, this.self, mail).sort());
  }

  private async askThread(thread: string, of: string): Promise<void> {
    const { oracle } = this.world;
    const rows = await listThread(this.table, this.viewer, thread, 1000);
    const mails = [...oracle.mails.values()].filter((mail) => mail.thread === oracle.mails.get(of)?.thread);
    const visible = mails.filter(({ id }) => oracleSights(oracle, this.self, id).length > 0).map(({ id }) => id);
    this.compare(`thread of ${of}`, rows.map(({ message }) => message).sort(), visible.sort());
    this.requireNewestFirst(`thread of ${of}`, [...rows].reverse());
  }

  private async askOwnList(): Promise<void> {
    const { oracle } = this.world;
    const rows = await this.walk((page) => listOwnMail(this.table, this.viewer, page));
    const own = oracle.copies.filter(({ holder, channel }) => holder === this.self && channel === 'mailbox');
    this.compare('own list', rows.map(({ message }) => message).sort(), own.map(({ mail }) => mail).sort());
    this.requireNewestFirst('own list', rows);
    for (const { message, records } of rows) {
      const ties = own.find(({ mail }) => mail === message)?.ties ?? [];
      const readable = ties.filter((id) => oracleReads(oracle, this.self, oracle.records.get(id) as OracleRecord));
      const named = records.map(({ id }) => id).sort();
      // Three records at most are named in the list.
      if (ties.length <= 3) this.compare(`records of ${message} in the own list`, named, readable.sort());
      else
        this.compare(
          `records of ${message} in the own list are readable`,
          named.filter((id) => !readable.includes(id)),
          [],
        );
    }
  }

  /** All pages, of random lengths. */
  private async walk<T>(read: (page: { limit: number; after?: string }) => Promise<{ items: T[]; next?: string }>): Promise<T[]> {
    const rows: T[] = [];
    let after: string | undefined;
    do {
      const limit = this.dice.one([1, 2, 3, 7, 20, 50]);
      const page = await read({ limit, after });
      this.asked.queries++;
      if (page.items.length > limit || (page.next !== undefined && page.items.length < limit))
        this.compare('length of a page', page.items.length, limit);
      rows.push(...page.items);
      after = page.next;
    } while (after !== undefined);
    return rows;
  }

  private requireNewestFirst(what: string, rows: { receivedAt: string }[]): void {
    const order = rows.map(({ receivedAt }) => receivedAt);
    this.compare(`order of ${what}`, order, [...order].sort().reverse());
  }

  private compare(what: string, answered: unknown, expected: unknown): void {
    this.asked.queries++;
    if (JSON.stringify(answered) === JSON.stringify(expected) || this.asked.differences.length >= MAX_TOLD) return;
    this.asked.differences.push(
      `${this.where}: ${this.self}: ${what}: ${JSON.stringify(answered)}, the oracle: ${JSON.stringify(expected)}`,
    );
  }
}

/** new mails, and further copies of old ones. Who may not see what came has the same answers as before, byte by byte. */
async function addBehindBacks(table: Table, world: SharingWorld, dice: Dice, asked: Asked, where: string): Promise<void> {
  const { oracle } = world;
  const viewers = await world.viewers();
  const known = { copies: oracle.copies.length, mails: [...oracle.mails.keys()] };
  const before = new Map<string, string>();
  const look = (viewer: Viewer) => everything(table, world, viewer, known.mails);
  for (const viewer of viewers) before.set(viewer.member, await look(viewer));
  if (dice.chance(50)) await world.exchange();
  else await world.alsoHeld(dice.one(known.mails));
  const added = oracle.copies.slice(known.copies);
  for (const viewer of viewers) {
    const sees = added.some(({ mail, holder }) => oracleSights(oracle, viewer.member, mail).some(({ owner }) => owner === holder));
    if (sees || added.length === 0) continue;
    asked.added++;
    asked.queries++;
    if ((await look(viewer)) !== before.get(viewer.member))
      asked.differences.push(`${where}: ${viewer.member} notices ${JSON.stringify(added)}`);
  }
}

/** All answers to a viewer, as text. */
async function everything(table: Table, world: SharingWorld, viewer: Viewer, mails: string[]): Promise<string> {
  const answers: unknown[] = [];
  for (const record of world.oracle.records.values()) {
    const found = await findRecord(table, viewer, record.module, record.id).catch(() => undefined);
    if (!found) continue;
    for (const limit of [2, 50]) answers.push(await listTimeline(table, viewer, record.id, { limit }));
    for (const filter of [{ q: 'offer' }, { direction: 'sent' as const }, { from: '@a.example' }]) {
      answers.push(await listTimeline(table, viewer, record.id, { limit: 3, matches: matcher(filter) }));
      answers.push(await countTimeline(table, viewer, record.id, matcher(filter)));
    }
  }
  for (const mail of mails) {
    const found = await readVisible(table, viewer, mail).catch(() => undefined);
    answers.push(found);
    if (!found) continue;
    answers.push(await listThread(table, viewer, found.message.thread, 1000));
    if (found.copies.some(({ member }) => member === viewer.member))
      answers.push((await audienceOf(table, viewer, found)).map(({ member }) => member));
  }
  answers.push(await listOwnMail(table, viewer, { limit: 3 }), await listOwnMail(table, viewer, { limit: 100 }));
  // An engine gives the attributes of an item in any order.
  const sorted = (_: string, value: unknown) =>
    value && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  return JSON.stringify(answers, sorted);
}

const unique = (words: string[]) => [...new Set(words)].sort();
