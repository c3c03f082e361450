import type { TenantId } from '../ids.ts';
import { DELETION_PAGE_MAILS, DELETION_TURN_PAGES } from '../limits.ts';
import { readAdministrators } from '../member/administrators-store.ts';
import type { Member } from '../member/member.ts';
import type { OwnMailEntry } from '../message/message.ts';
import type { ProductMail } from '../outbound/send.ts';
import { hiddenMailDeletedMail } from '../outbound/texts.ts';
import { memberKey, ownMailPartition, tenantKey } from '../table/keys.ts';
import type { Tenant } from '../tenant/tenant.ts';
import { deleteAccounts } from './delete-account-store.ts';
import { deleteDropboxMail } from './delete-dropbox-store.ts';
import { deleteMails } from './delete-mail-store.ts';
import { type Deletion, type DeletionJob, Held, Over, type StopReason } from './deletion.ts';
import { endDeletion, isTimeOver, noteNoticeSent, offTheList, readDeletion, whatHolds } from './deletion-store.ts';
import { clearRemains, hasRemains, type RemainsRoom } from './remains-store.ts';

export type DeletionRoom = RemainsRoom & {
  queue: { send: (job: DeletionJob) => Promise<void> };
  /** Where what is left of a removed account is cleared away. */
  polls: { send: (job: { forget: { tenant: string; account: string } }) => Promise<void> };
  tell: (mail: ProductMail) => Promise<void>;
  clock: () => Date;
  /** Mails of a page when not DELETION_PAGE_MAILS. */
  pageMails?: number;
};

/** What a worker's turn came to: `waiting` is what remains for a day. */
export type Turn = 'handed-on' | 'waiting' | 'done';

/**
 * A worker's turn at the deletion of a member's hidden mail: pages, begun before `until`, then word to the next worker. First the mail of
 * their mailboxes, then of the dropbox as far as it is hidden, then the mail accounts; then administrators are told; and a day after
 * each mail the messages and bytes that nobody holds. Killed anywhere and begun again, or done by two at once, it comes to the same:
 * nothing notes how far the mailbox's mail has come but what is still there.
 */
export async function runDeletion(room: DeletionRoom, tenant: TenantId, member: string, until: Date): Promise<Turn> {
  const begun = await readDeletion(room.table, tenant, member);
  if (!begun) return 'done';
  if (begun.state === 'running' && !(await goOn(room, tenant, begun, until))) return handOn(room, tenant, member);
  const deletion = await readDeletion(room.table, tenant, member);
  // Refused at its very end, or another one was begun: the next turn sees to it.
  if (!deletion || deletion.state === 'running') return handOn(room, tenant, member);
  await tell(room, tenant, deletion);
  return clearAll(room, tenant, deletion, until);
}

/** True when the deletion is over: ended, or stopped by what holds the mail. */
async function goOn(room: DeletionRoom, tenant: TenantId, deletion: Deletion, until: Date): Promise<boolean> {
  const { table, clock } = room;
  const hasTime = () => clock() < until;
  try {
    if (!(await isTimeOver(table, tenant, deletion, clock()))) throw new Held('it is kept for longer now');
    if (!(await deleteMailboxMail(room, tenant, deletion, hasTime))) return false;
    if (!(await deleteDropboxMail(room, tenant, deletion, hasTime))) return false;
    await forgetAccounts(room, tenant, await deleteAccounts(table, tenant, deletion, clock()));
    await endDeletion(table, tenant, deletion, undefined, clock());
  } catch (error) {
    if (error instanceof Over) return true;
    if (!(error instanceof Held)) throw error;
    // Stopped between two accounts: the one that is gone has a ledger to be cleared away.
    await forgetAccounts(room, tenant, (await readDeletion(table, tenant, deletion.member)) ?? deletion);
    await endDeletion(table, tenant, deletion, await whatHolds(table, tenant, deletion, clock()), clock());
  }
  return true;
}

async function forgetAccounts({ polls }: DeletionRoom, tenant: TenantId, { forget }: Deletion): Promise<void> {
  for (const account of forget) await polls.send({ forget: { tenant, account } });
}

/** Page by page from the first: what is done is not there any more. False when time is over first. */
async function deleteMailboxMail({ table, clock, pageMails }: DeletionRoom, tenant: TenantId, deletion: Deletion, hasTime: () => boolean) {
  const pk = ownMailPartition(tenant, deletion.member);
  for (let pages = 0; ; pages++) {
    const { items } = await table.page<OwnMailEntry>({ pk, limit: pageMails ?? DELETION_PAGE_MAILS, only: ['message', 'receivedAt'] });
    if (items.length === 0) return true;
    if (pages === DELETION_TURN_PAGES || !hasTime()) return false;
    const refs = items.map(({ message, receivedAt }) => ({ message, receivedAt, channel: 'mailbox' as const }));
    await deleteMails(table, tenant, deletion, refs, clock());
  }
}

async function clearAll(room: DeletionRoom, tenant: TenantId, deletion: Deletion, until: Date): Promise<Turn> {
  const { member } = deletion;
  try {
    let after: string | undefined;
    do {
      const { next } = await clearRemains(room, tenant, member, after, room.clock());
      if (next && room.clock() >= until) return handOn(room, tenant, member);
      after = next;
    } while (after);
    if (!(await hasRemains(room.table, tenant, member))) {
      await offTheList(room.table, tenant, deletion);
      return 'done';
    }
  } catch (error) {
    if (!(error instanceof Held)) throw error;
  }
  // What waits for its day, or for the end of a hold, is looked at again by the daily round.
  return 'waiting';
}

async function handOn({ queue }: DeletionRoom, tenant: TenantId, member: string): Promise<Turn> {
  await queue.send({ tenant, member });
  return 'handed-on';
}

/** Administrators are told what became of it: at least once, and as a rule once. */
async function tell({ table, tell: send, clock }: DeletionRoom, tenant: TenantId, deletion: Deletion): Promise<void> {
  if (deletion.noticeSentAt !== undefined) return;
  const [organisation, member] = await Promise.all([
    table.get<Tenant>(tenantKey(tenant)),
    table.get<Member>(memberKey(tenant, deletion.member)),
  ]);
  if (organisation && member) {
    const notice = hiddenMailDeletedMail(organisation.name, {
      ...member,
      ...deletion,
      because: deletion.because && REASONS[deletion.because],
    });
    for (const { email } of await readAdministrators(table, tenant)) await send({ to: email, ...notice });
  }
  await noteNoticeSent(table, tenant, deletion, clock());
}

const REASONS: Record<StopReason, { en: string; ja: string }> = {
  reactivated: { en: 'the member was reactivated', ja: 'ユーザーが有効に戻されたため' },
  hold: { en: 'the mail was put on hold', ja: 'メールの保全が指定されたため' },
  lock: { en: 'the mail settings were locked', ja: 'メール設定がロックされたため' },
  backup: { en: 'a backup was begun', ja: 'バックアップが開始されたため' },
  'kept-longer': { en: 'hidden mail is kept for longer now', ja: '保存期間が延長されたため' },
};
