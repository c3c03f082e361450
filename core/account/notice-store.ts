import type { Member } from '../member/member.ts';
import type { ProductMail } from '../outbound/send.ts';
import type { Table } from '../table/client.ts';
import { accountNoticeKey, accountPartition, memberKey } from '../table/keys.ts';
import type { Pop3Account } from './account.ts';
import { noticeMail } from './notices.ts';
import type { NoticeKind } from './poll-state.ts';

/** A mail to an account's owner. Wanted by the transaction that gave the reason; claimed, sent, and noted as sent. */
type NoticeItem = { kind: NoticeKind; wanted: string; claimedAt?: string; claimed?: string; sent?: string };

type Post = { table: Table; tell: (mail: ProductMail) => Promise<void> };

/** Minutes after which a claim is void: who made it was killed before the mail was noted as sent. */
const CLAIM_MINUTES = 6;

/**
 * Sends what an account's owner is to be told and was not yet. What was wanted is told sooner or later, and once: only a worker
 * killed between sending and noting it makes a second mail of it.
 */
export async function tellOwner({ table, tell }: Post, account: Pop3Account, now: Date): Promise<void> {
  const items = await table.all<NoticeItem>({ pk: accountPartition(account.tenant, account.id), begins: 'N#' });
  const open = items.filter(({ wanted, sent }) => wanted !== sent);
  if (open.length === 0) return;
  const owner = await table.get<Member>(memberKey(account.tenant, account.member));
  for (const notice of open) {
    if (!(await claim(table, account, notice, now))) continue;
    if (owner?.status === 'active') await tell({ to: owner.email, ...noticeMail(notice.kind, account) });
    await table.update(accountNoticeKey(account.tenant, account.id, notice.kind), {
      update: 'SET #sent = :episode REMOVE #claimed, #claimedAt',
      names: { '#sent': 'sent', '#claimed': 'claimed', '#claimedAt': 'claimedAt' },
      values: { ':episode': notice.wanted },
    });
  }
}

async function claim(table: Table, { tenant, id }: Pop3Account, { kind, wanted }: NoticeItem, now: Date): Promise<boolean> {
  const claimed = await table.update(accountNoticeKey(tenant, id, kind), {
    update: 'SET #claimed = :episode, #claimedAt = :now',
    condition:
      '#wanted = :episode AND (attribute_not_exists(#sent) OR #sent <> :episode) AND (attribute_not_exists(#claimed) OR #claimed <> :episode OR #claimedAt <= :void)',
    names: { '#wanted': 'wanted', '#sent': 'sent', '#claimed': 'claimed', '#claimedAt': 'claimedAt' },
    values: { ':episode': wanted, ':now': now.toISOString(), ':void': new Date(now.getTime() - CLAIM_MINUTES * 60_000).toISOString() },
  });
  return claimed !== undefined;
}
