import type { Viewer } from '../member/viewer.ts';
import { isLive, type Table } from '../table/client.ts';
import { accountPartition, pollPrefix } from '../table/keys.ts';
import { filledPage, type Page } from '../table/page.ts';
import { presetFor } from './account-form.ts';
import { readAccount } from './account-store.ts';
import { type Advice, adviceFor } from './advice.ts';
import type { PollEntry } from './poll-store.ts';

/** The last polls of an account of the viewer's, newest first; those that found nothing left no entry. Throws `not-found`. */
export async function listPolls(
  table: Table,
  viewer: Viewer,
  id: string,
  page: { limit: number; after?: string },
  now: Date,
): Promise<Page<PollEntry & { advice?: Advice }>> {
  const account = await readAccount(table, viewer, id);
  const query = { pk: accountPartition(viewer.tenant, id), begins: pollPrefix, limit: page.limit, descending: true };
  const { items, next } = await filledPage<PollEntry>(table, query, { after: page.after, keep: (entry) => isLive(entry, now) });
  const provider = account.protocol === 'hosted' ? undefined : presetFor(account.address, account.incoming.host);
  return { items: items.map((entry) => ({ ...entry, advice: entry.error && adviceFor(entry.error, 'incoming', provider) })), next };
}
