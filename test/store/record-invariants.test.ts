import { Problem } from '../../core/errors.ts';
import { newId } from '../../core/ids.ts';
import { claimants, matchAddress, readClaims } from '../../core/record/address-store.ts';
import { listRecords } from '../../core/record/list-store.ts';
import type { StoredRecord } from '../../core/record/record.ts';
import { createFromMail, createRecord, deleteRecord, readRecord, updateRecord } from '../../core/record/record-store.ts';
import { wordsOf } from '../../core/record/words.ts';
import type { Table } from '../../core/table/client.ts';
import { modulePartition, wordPartition } from '../../core/table/keys.ts';
import { aTenant, viewerOf } from '../core/record/viewers.ts';
import { startTable } from '../support/engine.ts';

const NOW = new Date('2026-11-22T10:00:00.000Z');
const ADDRESSES = ['a@x.example', 'b@x.example', 'c@y.example', 'd@y.example'];
const NAMES = ['Alpha', 'Alpine', 'Beta', 'Gamma', '山田'];
const STEPS = 120;
const AT_ONCE = 4;

let table: Table;
let end: () => Promise<void>;
beforeAll(async () => {
  ({ table, end } = await startTable());
});
afterAll(() => end());

test.each([1, 2, 3])(
  'whatever is done at the same time, claims, links, lists and words say what the records say (seed %i)',
  async (seed) => {
    const tenant = aTenant();
    const boss = viewerOf(tenant, { member: 'boss', administrator: true });
    const random = generator(seed);
    const pick = <T>(from: readonly T[]) => from[Math.floor(random() * from.length)] as T;
    const some = () => ADDRESSES.filter(() => random() < 0.4);
    const known: string[] = [];

    const step = (n: number): Promise<unknown> => {
      const [kind, id, addresses, name, allowDuplicate] = [random(), pick(known), some(), { last: pick(NAMES) }, random() < 0.5];
      const now = new Date(NOW.getTime() + n);
      if (!id || kind < 0.35) {
        const how = { id: newId(now), now, createdBy: { way: 'api' as const } };
        known.push(how.id);
        return createRecord(table, boss, 'leads', { name, addresses, allowDuplicate }, how);
      }
      if (kind < 0.45) {
        const fresh = newId(now);
        known.push(fresh);
        const mail = { tenant, module: 'leads' as const, address: pick(ADDRESSES), name: name.last, owner: 'boss', message: `m${n}` };
        return createFromMail(table, { ...mail, id: fresh, at: now.toISOString() });
      }
      if (kind < 0.8) return updateRecord(table, boss, 'leads', id, { name, addresses, allowDuplicate }, { now });
      return deleteRecord(table, boss, 'leads', id, { now });
    };
    for (let n = 0; n < STEPS; n += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => step(n + i).catch(onlyProblems)));
    }

    const records = (await Promise.all(known.map((id) => readRecord(table, tenant, id)))).filter((record) => record !== undefined);
    const having = (address: string) => ids(records.filter((record) => record.addresses.includes(address)));
    for (const address of ADDRESSES) {
      const { records: links } = await matchAddress(table, tenant, address, { consistent: true });
      expect(links.map((link) => link.record).sort()).toEqual(having(address));
      for (const link of links) expect(link.name).toBe(records.find((record) => record.id === link.record)?.name);
      expect(claimants((await readClaims(table, tenant, 'leads', [address])).get(address)).sort()).toEqual(having(address));
    }
    const listed = await table.all<{ record: string }>({ pk: modulePartition(tenant, 'leads') });
    expect(listed.map((row) => row.record).sort()).toEqual(ids(records));
    expect(await wordsInTable(tenant)).toEqual(records.flatMap((record) => wordsOf(record).map((word) => `${word}#${record.id}`)).sort());
    expect((await listRecords(table, boss, 'leads', { limit: 100 })).items).toHaveLength(Math.min(records.length, 100));
    expect(records.length).toBeGreaterThan(2);
  },
);

const ids = (records: StoredRecord[]) => records.map((record) => record.id).sort();

async function wordsInTable(tenant: ReturnType<typeof aTenant>): Promise<string[]> {
  const begins = [...NAMES.map((name) => name.toLowerCase()), ...ADDRESSES, 'a', 'b', 'c', 'd', 'x', 'y', 'example', 'al'];
  const partitions = [...new Set(begins.map((word) => wordPartition(tenant, 'leads', word)))];
  const rows = await Promise.all(partitions.map((pk) => table.all<{ sk: string }>({ pk })));
  return rows
    .flat()
    .map((row) => row.sk)
    .sort();
}

function onlyProblems(error: unknown): void {
  if (!(error instanceof Problem)) throw error;
}

/** mulberry32: the same numbers for the same seed. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
