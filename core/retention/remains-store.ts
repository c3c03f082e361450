import { Lane } from '../account/lane.ts';
import { deliveryOf } from '../dropbox/received.ts';
import type { TenantId } from '../ids.ts';
import { MAX_MATCHED_ADDRESSES, REMAINS_HOURS, REMAINS_PAGE } from '../limits.ts';
import { seriesOf } from '../message/counterpart.ts';
import type { Copy, Message } from '../message/message.ts';
import { holderMark } from '../message/message-store.ts';
import type { MailBucket } from '../message/raw-mail.ts';
import { type Item, type Table, TransactionRefused, type Write } from '../table/client.ts';
import {
  holderKey,
  holdersOf,
  holdersPartition,
  mailAccountKey,
  memberKey,
  messageKey,
  messagePartition,
  oldThreadKey,
  recordAddressKey,
  recordPartition,
  remainsKey,
  remainsPartition,
  tickKey,
  timelinePrefix,
} from '../table/keys.ts';
import { Held, type Remains } from './deletion.ts';

export type RemainsRoom = { table: Table; files: Pick<MailBucket, 'delete' | 'list' | 'readBeginning'> };

/** Looked at side by side: each waits for S3 some four times. */
const AT_ONCE = 10;

/**
 * The transactions one after another, for each checks the member's item: DynamoDB cancels all but one of those that meet there, and after
 * some tries the worker's turn would fail.
 */
type Stage = RemainsRoom & { alone: Lane };

/** Enough for the lines SES writes above a mail. */
const HEAD_BYTES = 16 * 1024;

/**
 * Looks at a page of what deleted copies have left, a day after: a message that nobody holds goes, with its bytes and what was made of
 * them; one that others hold, or have begun to file, stays with them. Done again, or broken off anywhere, it comes to the same. Answers
 * where the next page begins; nothing when there is no more whose day is over. Throws `Held` while the member's mail is on hold.
 */
export async function clearRemains(
  room: RemainsRoom,
  tenant: TenantId,
  member: string,
  after: string | undefined,
  now: Date,
): Promise<{ next?: string }> {
  const ripe = new Date(now.getTime() - REMAINS_HOURS * 3_600_000).toISOString();
  const { items, more } = await room.table.page<Remains>({ pk: remainsPartition(tenant, member), after, limit: REMAINS_PAGE });
  const due = items.filter(({ since }) => since <= ripe);
  const stage: Stage = { ...room, alone: new Lane(1) };
  for (let start = 0; start < due.length; start += AT_ONCE) {
    await Promise.all(due.slice(start, start + AT_ONCE).map((remains) => clear(stage, tenant, member, remains, ripe, now)));
  }
  return more && due.length === items.length ? { next: items.at(-1)?.sk } : {};
}

export async function hasRemains(table: Table, tenant: TenantId, member: string): Promise<boolean> {
  return (await table.page({ pk: remainsPartition(tenant, member), limit: 1, only: ['sk'] })).items.length > 0;
}

async function clear(room: Stage, tenant: TenantId, member: string, remains: Remains, ripe: string, now: Date): Promise<void> {
  const { table, files } = room;
  const { message, rawKey } = remains;
  const { meta, copies } = await read(table, tenant, message);
  const isUnheld = meta !== undefined && copies.length === 0 && meta.rawKey === rawKey;
  if (isUnheld) {
    if (meta.unheldSince === undefined || meta.unheldSince > ripe) return laterOn(table, tenant, member, remains, meta, now);
    // Taken up in the same moment, or gone with another note of it.
    if (!(await room.alone.run(() => deleteMessage(table, tenant, member, meta)))) return clear(room, tenant, member, remains, ripe, now);
  } else if (meta?.unheldSince && copies.length > 0) {
    await table.update(messageKey(tenant, message), { update: 'REMOVE unheldSince', condition: 'attribute_exists(pk)' });
  }
  // The mail itself, or these bytes of it alone: whoever filed it anew meanwhile has brought their own.
  const isGone = isUnheld || (meta === undefined && copies.length === 0);
  if (isGone) for (const made of ['attachments', 'shown']) await deleteAll(room, `t/${tenant}/${made}/${message}/`);
  else await files.delete(`t/${tenant}/shown/${message}/${member}`);
  const isNeeded = !rawKey || !(isGone || (meta && meta.rawKey !== rawKey));
  if (!isNeeded && !(await mayBeOthers(room, rawKey)) && !(await isStoredAnew(room, tenant, member, remains))) await files.delete(rawKey);
  await forgetHolder(room, tenant, member, remains);
  await table.delete(keyOf(tenant, member, remains));
}

async function read(table: Table, tenant: TenantId, message: string): Promise<{ meta?: Message; copies: Copy[] }> {
  const items = await table.all<Item & { sk: string }>({ pk: messagePartition(tenant, message) });
  const meta = items.find(({ sk }) => sk === 'META') as unknown as Message | undefined;
  return { meta, copies: items.filter(({ sk }) => sk.startsWith('B#')) as unknown as Copy[] };
}

/** Whoever has taken the message up is filing it, or was killed at it: another day tells. */
async function laterOn(table: Table, tenant: TenantId, member: string, remains: Remains, meta: Message, now: Date): Promise<void> {
  const since = now.toISOString();
  if (meta.unheldSince === undefined) {
    await table.update(messageKey(tenant, meta.id), {
      update: 'SET unheldSince = :since',
      condition: 'attribute_exists(pk) AND attribute_not_exists(unheldSince)',
      values: { ':since': since },
    });
  }
  const later: Remains = { ...remains, since, deletedAt: deletedAt(remains) };
  await table.put({ ...later, ...keyOf(tenant, member, later) });
  await table.delete(keyOf(tenant, member, remains));
}

/** Only while nobody has taken it up: false then. Throws `Held`. */
async function deleteMessage(table: Table, tenant: TenantId, member: string, { id, thread, unheldSince }: Message): Promise<boolean> {
  try {
    await table.transact([
      notOnHold(tenant, member),
      { delete: messageKey(tenant, id), condition: 'unheldSince = :since', values: { ':since': unheldSince } },
      { delete: oldThreadKey(tenant, thread, id) },
    ]);
    return true;
  } catch (error) {
    if (!(error instanceof TransactionRefused)) throw error;
    if (error.reasons[0]) throw new Held('the mail is on hold');
    return false;
  }
}

const notOnHold = (tenant: TenantId, member: string): Write => ({
  check: memberKey(tenant, member),
  condition: 'attribute_not_exists(#hold)',
  names: { '#hold': 'hold' },
});

async function deleteAll({ files }: RemainsRoom, folder: string): Promise<void> {
  for (let more = true; more; ) {
    const page = await files.list(folder, undefined);
    for (const { key } of page.objects) await files.delete(key);
    more = page.more;
  }
}

/**
 * A mail that SES received for several dropboxes at once is one object, and another organisation may have filed it too: SES names the
 * recipient in its first line only when there is one.
 */
async function mayBeOthers({ files }: RemainsRoom, rawKey: string): Promise<boolean> {
  if (!rawKey.startsWith('raw/')) return false;
  const head = await files.readBeginning(rawKey, HEAD_BYTES);
  return head !== undefined && deliveryOf(rawKey.slice('raw/'.length), rawKey, head)?.recipients.length !== 1;
}

/**
 * Bytes of a mailbox lie where their content says. Who came back while their mail was being deleted has the mailbox still, and a server that
 * numbers its mails anew hands out all of them again: these are on their way to be filed, and go, if ever, with what becomes of that.
 */
async function isStoredAnew({ table, files }: RemainsRoom, tenant: TenantId, member: string, remains: Remains): Promise<boolean> {
  const { rawKey } = remains;
  if (rawKey.startsWith('raw/')) return false;
  const [, , , account = ''] = rawKey.split('/');
  if (!(await table.get(mailAccountKey(tenant, member, account)))) return false;
  const { objects } = await files.list(rawKey, undefined);
  return objects.some(({ modified }) => modified > deletedAt(remains));
}

const deletedAt = (remains: Remains) => remains.deletedAt ?? remains.since;

/**
 * Where none of the member's mail of its series is left on a record, nothing notes any longer that there was: neither beside the record
 * nor beside its addresses, and with the last series their tick goes. Not of who is active again: their next mail may be on its way.
 */
async function forgetHolder(
  { table, alone }: Stage,
  tenant: TenantId,
  member: string,
  { channel, records, counterparts }: Remains,
): Promise<void> {
  const series = seriesOf({ member, channel, counterparts });
  const key = (record: string) => holderKey(tenant, record, series);
  for (const { id, module } of records) {
    if (!(await table.get(key(id)))) continue;
    const [left] = (await table.page({ pk: recordPartition(tenant, id), begins: timelinePrefix(series), limit: 1, only: ['sk'] })).items;
    if (left) continue;
    const links = counterparts.slice(0, MAX_MATCHED_ADDRESSES).map((address) => recordAddressKey(tenant, address, module, id));
    const marked = links.length > 0 ? await table.getMany<{ holders?: Set<string> }>(links, { only: ['holders'] }) : [];
    const mark = holderMark(series);
    const change = { update: 'DELETE holders :mark', condition: 'attribute_exists(pk)', values: { ':mark': new Set([mark]) } };
    await alone.run(async () => {
      const noted = await table.all<{ sk: string }>({ pk: holdersPartition(tenant, id), begins: holdersOf(member), only: ['sk'] });
      const tick = tickKey(tenant, id, member);
      const isLast = noted.every(({ sk }) => sk === key(id).sk || sk === tick.sk);
      await whileAway(table, tenant, member, [
        ...links.filter((_, i) => marked[i]?.holders?.has(mark)).map((link) => ({ update: link, with: change })),
        { delete: key(id) },
        ...(isLast ? [{ delete: tick }] : []),
      ]);
    });
  }
}

async function whileAway(table: Table, tenant: TenantId, member: string, writes: Write[]): Promise<void> {
  try {
    await table.transact([
      {
        check: memberKey(tenant, member),
        condition: '#status = :deactivated',
        names: { '#status': 'status' },
        values: { ':deactivated': 'deactivated' },
      },
      ...writes,
    ]);
  } catch (error) {
    if (!(error instanceof TransactionRefused)) throw error;
  }
}

const keyOf = (tenant: TenantId, member: string, remains: Remains) => remainsKey(tenant, member, remains);
