import { Problem } from '../errors.ts';
import type { TenantId } from '../ids.ts';
import { OFFBOARDING_PAGE_RECORDS } from '../limits.ts';
import { readMember } from '../member/member-store.ts';
import { MODULES, type Module } from '../record/module.ts';
import { readRecords, updateRecord } from '../record/record-store.ts';
import type { Table } from '../table/client.ts';
import { modulePartition } from '../table/keys.ts';
import type { Memo, Offboarding } from './offboarding.ts';
import type { At, Outcome } from './step.ts';

type Row = { sk: string; record: string; owner: string };
type Page = NonNullable<Memo['page']>;

const MODULE_NAMES = Object.keys(MODULES) as Module[];
/** Rows of a module looked at in one page: far below the 1 MB where DynamoDB ends one. */
const ROWS_AT_ONCE = 1000;
const LANES = 4;

/**
 * The leaver's records get the successor as their owner, page by page. A page's records are noted before they are changed, and
 * counted by whose they are afterwards: done twice, or by two at once, it comes to the same.
 */
export async function handOver(at: At): Promise<Outcome> {
  const { successor } = at.run;
  if (successor === undefined) return { end: 'skipped', warning: 'no-successor' };
  const page: Page = at.step.memo?.page ?? { module: MODULE_NAMES[0] as string };
  const counts = at.step.counts ?? { records: 0, left: 0 };
  if (page.pending) return (await isBack(at)) ? REACTIVATED : givePage(at, successor, page, counts);
  const next = await nextPage(at, page);
  return next ? { goOn: { page: next }, counts } : { end: 'done', counts, ...((counts.left ?? 0) > 0 ? { warning: 'records-left' } : {}) };
}

/** Who was reactivated meanwhile works with their records again: nobody takes those away that they still have. */
async function isBack({ room, viewer, run }: At): Promise<boolean> {
  return (await readMember(room.table, viewer, run.member)).status === 'active';
}

const REACTIVATED: Outcome = { end: 'failed', failure: { code: 'reactivated-meanwhile', detail: '' } };

async function nextPage({ room, tenant, run }: At, { module, after }: Page): Promise<Page | undefined> {
  const { items, more } = await room.table.page<Row>({ pk: modulePartition(tenant, module as Module), after, limit: ROWS_AT_ONCE });
  const owned = items.filter(({ owner }) => owner === run.member);
  const last = owned[OFFBOARDING_PAGE_RECORDS - 1] ?? items.at(-1);
  const pending = owned.slice(0, OFFBOARDING_PAGE_RECORDS).map(({ record }) => record);
  if (pending.length > 0 || more) return { module, after: last?.sk, ...(pending.length > 0 ? { pending } : {}) };
  const following = MODULE_NAMES[MODULE_NAMES.indexOf(module as Module) + 1];
  return following && { module: following };
}

async function givePage(at: At, successor: string, { pending = [], ...page }: Page, counts: Record<string, number>): Promise<Outcome> {
  const waiting = [...pending];
  const lane = async () => {
    for (let id = waiting.shift(); id; id = waiting.shift()) await give(at, page.module as Module, id, successor);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return { goOn: { page }, counts: await withPage(at.room.table, at.tenant, at.run, pending, counts) };
}

/** The counts with those of a page's records, by whose they are now. */
async function withPage(
  table: Table,
  tenant: TenantId,
  { member, successor }: Offboarding,
  page: string[],
  counts: Record<string, number>,
): Promise<Record<string, number>> {
  const owners = (await readRecords(table, tenant, page)).map((record) => record?.owner);
  const count = (owner: string | undefined) => owners.filter((each) => each === owner).length;
  return { records: (counts.records ?? 0) + count(successor), left: (counts.left ?? 0) + count(member) };
}

/** How many records have been handed over, of a step that is not gone on with: of its last page some may have been. */
export async function countHandedOver(table: Table, tenant: TenantId, run: Offboarding): Promise<Record<string, number> | undefined> {
  const { memo, counts } = run.steps['hand-over'];
  const pending = memo?.page?.pending ?? [];
  const { records = 0 } = pending.length > 0 ? await withPage(table, tenant, run, pending, counts ?? {}) : (counts ?? {});
  return records > 0 ? { records } : undefined;
}

/** One that is refused for itself, or gone meanwhile, does not keep the others from being handed over. */
async function give({ room, tenant, viewer, run, now }: At, module: Module, id: string, successor: string): Promise<void> {
  const [record] = await readRecords(room.table, tenant, [id]);
  if (record?.owner !== run.member) return;
  try {
    await updateRecord(room.table, viewer, module, id, { ownerId: successor }, { now });
  } catch (error) {
    if (!(error instanceof Problem) || error.code === 'unknown-owner' || error.code === 'busy') throw error;
  }
}
