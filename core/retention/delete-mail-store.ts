import type { TenantId } from '../ids.ts';
import { MAX_MATCHED_ADDRESSES } from '../limits.ts';
import { seriesOf } from '../message/counterpart.ts';
import { shownRecords } from '../message/file-mail.ts';
import type { Copy, Message, OwnMailEntry } from '../message/message.ts';
import { linesOf } from '../message/thread-store.ts';
import { type Expression, type Table, TransactionRefused, type Write } from '../table/client.ts';
import { type Channel, copyKey, findableKey, type Key, messageKey, ownMailKey, remainsKey, timelineKey } from '../table/keys.ts';
import { counted, type Deletion, Held, HOLDING, nothingHolds, Over, type Remains } from './deletion.ts';

/** A mail of the member's, by one of the two ways it came. */
export type MailRef = { message: string; receivedAt: string; channel: Channel };
type Row = OwnMailEntry & { sk: string };
type Meta = Pick<Message, 'id' | 'thread' | 'rawKey'>;
/** All that is known of it. A row without a copy is what a late try of filing wrote back. */
type Found = { ref: MailRef; copy?: Copy; row?: Row; meta?: Meta };

/** Mails read at once: with seven writes each they fit a transaction. */
const MAILS_AT_ONCE = 13;
/** DynamoDB's hundred, without the checks, the count, and a mail's own rows. */
const MOST_WRITES = 100 - HOLDING - 1;
/** Records a mail on very many is taken off at once, before the last of them and the mail itself go together. */
const MOST_RECORDS = 40;
const TRIES = 8;

/**
 * Deletes the member's copies of these mails, with all that finds them: each mail in one transaction, which also marks its message as
 * unheld and notes what remains of it. So whoever reads sees all of a mail or nothing, wherever a worker is killed. Throws `Held` when
 * something holds the mail, `Over` when the deletion has ended.
 */
export async function deleteMails(table: Table, tenant: TenantId, deletion: Deletion, refs: MailRef[], now: Date): Promise<void> {
  let left = refs;
  let tries = 0;
  while (left.length > 0) {
    const found = await findAll(table, tenant, deletion.member, left.slice(0, MAILS_AT_ONCE));
    const there = found.filter(({ copy, row }) => copy || row);
    const { writes, whole } = await pack(table, tenant, deletion.member, there, now);
    if (writes.length > 0 && !(await commit(table, tenant, deletion, writes, whole.length, now))) {
      if (++tries === TRIES) throw new Error('the same mail is being changed all the time');
      continue;
    }
    tries = 0;
    // Gone before, or now. A mail on very many records takes more than one transaction: it is looked at again.
    const done = new Set(found.filter((one) => !there.includes(one) || whole.includes(one)).map(({ ref }) => ref));
    left = left.filter((ref) => !done.has(ref));
  }
}

async function findAll(table: Table, tenant: TenantId, member: string, refs: MailRef[]): Promise<Found[]> {
  const [copies, rows, metas] = await Promise.all([
    table.getMany<Copy>(refs.map(({ message, channel }) => copyKey(tenant, message, member, channel))),
    table.getMany<Row>(refs.map(({ receivedAt, message }) => ownMailKey(tenant, member, receivedAt, message))),
    table.getMany<Meta>(
      refs.map(({ message }) => messageKey(tenant, message)),
      { only: ['id', 'thread', 'rawKey'] },
    ),
  ]);
  return refs.map((ref, i) => ({ ref, copy: copies[i], row: ref.channel === 'mailbox' ? rows[i] : undefined, meta: metas[i] }));
}

/** As many of them, from the first, as fit a transaction. */
async function pack(table: Table, tenant: TenantId, member: string, found: Found[], now: Date) {
  const writes: Write[] = [];
  const whole: Found[] = [];
  for (const one of found) {
    const entries = await findables(table, tenant, member, one);
    const thin = thinner(tenant, one, entries, now);
    const its = thin ?? writesOf(tenant, member, one, entries, now);
    if (writes.length + its.length > MOST_WRITES) break;
    writes.push(...its);
    if (thin) break;
    whole.push(one);
  }
  return { writes, whole };
}

/** The first of it, of a mail that is more than a transaction takes. */
function thinner(tenant: TenantId, one: Found, findable: Key[], now: Date): Write[] | undefined {
  if (findable.length > MAX_MATCHED_ADDRESSES) return findable.slice(0, MAX_MATCHED_ADDRESSES).map((key) => ({ delete: key }));
  return one.copy && one.copy.records.length > MOST_RECORDS ? thinned(tenant, one.copy, one, now) : undefined;
}

function writesOf(tenant: TenantId, member: string, { ref, copy, row, meta }: Found, findable: Key[], now: Date): Write[] {
  const { message, receivedAt, channel } = ref;
  const records = (copy ?? row)?.records ?? [];
  const counterparts = (copy ?? row)?.counterparts ?? [];
  const series = seriesOf({ member, channel, counterparts });
  const key = copyKey(tenant, message, member, channel);
  return [
    copy ? { delete: key, ...asRead(copy) } : { check: key, condition: 'attribute_not_exists(pk)' },
    ...(row ? [{ delete: ownMailKey(tenant, member, receivedAt, message), condition: 'attribute_exists(pk)' }] : []),
    ...records.map(({ id }) => ({ delete: timelineKey(tenant, id, series, receivedAt, message) })),
    ...(meta ? linesOf(tenant, meta.thread, { message, member, channel, counterparts }).map((line) => ({ delete: line })) : []),
    ...findable.map((one) => ({ delete: one })),
    ...remaining(tenant, member, { ref, meta }, { records, counterparts, turn: copy?.turn ?? 0 }, now),
  ];
}

/** Takes a mail off some of its very many records, as if their addresses had been detached. */
function thinned(tenant: TenantId, copy: Copy, { ref, row, meta }: Found, now: Date): Write[] {
  const { message, receivedAt, member, counterparts = [], turn = 0 } = copy;
  const [gone, kept] = [copy.records.slice(0, MOST_RECORDS), copy.records.slice(MOST_RECORDS)];
  const series = seriesOf(copy);
  const { condition, names, values } = asRead(copy);
  const onRow = { condition: 'attribute_exists(pk)', names: { '#records': 'records' }, values: { ':records': shownRecords(kept) } };
  return [
    {
      update: copyKey(tenant, message, member, copy.channel),
      with: {
        update: 'SET #records = :records, #turn = :next',
        condition,
        names: { ...names, '#records': 'records' },
        values: { ...values, ':records': kept, ':next': turn + 1 },
      },
    },
    ...(row ? [{ update: ownMailKey(tenant, member, receivedAt, message), with: { update: 'SET #records = :records', ...onRow } }] : []),
    ...gone.map(({ id }) => ({ delete: timelineKey(tenant, id, series, receivedAt, message) })),
    ...remaining(tenant, member, { ref, meta }, { records: gone, counterparts, turn }, now),
  ];
}

/** The message goes a day later, unless others hold it: until then it is marked, and listed. */
function remaining(
  tenant: TenantId,
  member: string,
  { ref, meta }: Pick<Found, 'ref' | 'meta'>,
  { turn, ...where }: Pick<Remains, 'records' | 'counterparts'> & { turn: number },
  now: Date,
): Write[] {
  const since = now.toISOString();
  const { message, channel } = ref;
  const remains: Omit<Remains, 'sk'> = { message, channel, since, turn, rawKey: meta?.rawKey ?? '', ...where };
  return [
    ...(meta
      ? [
          {
            update: messageKey(tenant, message),
            with: { update: 'SET unheldSince = :since', condition: 'attribute_exists(pk)', values: { ':since': since } },
          },
        ]
      : []),
    { put: { ...remainsKey(tenant, member, remains), ...remains } },
  ];
}

/** Where a record would find the mail by an address; of the dropbox only the records it was taken off. */
async function findables(table: Table, tenant: TenantId, member: string, { ref, copy, row }: Found): Promise<Key[]> {
  const mail = { ...ref, member };
  const { counterparts = [] } = copy ?? row ?? {};
  const parted = copy?.parted ?? [];
  const keys =
    ref.channel === 'mailbox'
      ? counterparts.map((address) => findableKey(tenant, address, mail))
      : counterparts
          .slice(0, MAX_MATCHED_ADDRESSES)
          .flatMap((address) => parted.map((record) => findableKey(tenant, address, { ...mail, record })));
  if (keys.length <= MAX_SURE) return keys;
  const there = await table.getMany(keys, { only: ['message'] });
  return keys.filter((_, i) => there[i]);
}

/** Of more addresses than this it is looked which of them find the mail: a mail to hundreds is found by some. */
const MAX_SURE = 3;

/** Nobody has changed its records since: who ties it to another one meanwhile is refused, or this is. */
const asRead = ({ turn }: Copy): Expression & { condition: string } =>
  turn === undefined
    ? { condition: 'attribute_exists(pk) AND attribute_not_exists(#turn)', names: { '#turn': 'turn' } }
    : { condition: '#turn = :turn', names: { '#turn': 'turn' }, values: { ':turn': turn } };

/** False when one of the mails was changed meanwhile. */
async function commit(table: Table, tenant: TenantId, deletion: Deletion, writes: Write[], mails: number, now: Date): Promise<boolean> {
  try {
    await table.transact([...nothingHolds(tenant, deletion, now), counted(tenant, deletion, { mails }), ...writes]);
    return true;
  } catch (error) {
    if (!(error instanceof TransactionRefused)) throw error;
    if (error.reasons.slice(0, HOLDING).includes(true)) throw new Held('something holds the mail');
    if (error.reasons[HOLDING]) throw new Over('the deletion has ended');
    return false;
  }
}
