import type { MailAccount, Pop3Account, SyncProgress } from './account.ts';
import { presetFor } from './account-form.ts';
import type { Mailboxes } from './account-store.ts';
import { adviceFor, noPasswordPop, PLAIN_CONNECTION } from './advice.ts';
import { nextOf } from './slot.ts';

/** An account as its owner sees it: never its passwords. */
export function accountShown(account: MailAccount, settings: { main?: string }, now: Date) {
  if (account.protocol !== 'hosted') return pop3AccountShown(account, settings, now);
  return { ...account, main: account.id === settings.main, warnings: [], state: 'receiving' as const };
}

export function pop3AccountShown(account: Pop3Account, { main }: { main?: string }, now: Date) {
  return {
    ...account,
    main: account.id === main,
    lastError: account.lastError && { ...account.lastError, advice: adviceFor(account.lastError.code, 'incoming', providerOf(account)) },
    warnings: warningsOf(account),
    nextPollAt: account.slot && nextOf(account.slot, now),
    sync: { ...account.sync, estimatedEndAt: estimatedEnd(account.sync, now) },
  };
}

/**
 * All of them. When none is read any more, or the one that is does not answer for its user any longer, the owner is told to
 * choose another (POP-28, R-44).
 */
export function accountsShown({ accounts, settings }: Mailboxes, now: Date) {
  const active = accounts.find(({ id }) => id === settings.active);
  const isLost = settings.version > 0 && (!active || (active.protocol !== 'hosted' && active.lastError?.code === 'mailbox-unavailable'));
  return {
    items: accounts.map((account) => accountShown(account, settings, now)),
    ...(isLost ? { notice: { code: 'mailbox-unavailable', text: UNAVAILABLE } } : {}),
  };
}

const UNAVAILABLE = 'The mailbox configured before cannot be accessed any more. Choose a new one: activate an account, or add one.';

/** What its owner should know before anything goes wrong. */
function warningsOf(account: Pop3Account) {
  const provider = providerOf(account);
  const noPop = provider && noPasswordPop(provider);
  return [
    ...(account.incoming.security === 'none' ? [{ code: 'incoming-not-encrypted', advice: PLAIN_CONNECTION }] : []),
    ...(account.outgoing?.security === 'none' ? [{ code: 'outgoing-not-encrypted', advice: PLAIN_CONNECTION }] : []),
    ...(hasLostPassword(account) ? [{ code: 'no-outgoing-password', advice: adviceFor('no-password', 'outgoing') }] : []),
    ...(noPop ? [{ code: 'no-password-pop', advice: noPop }] : []),
  ];
}

/** What the outgoing server had for itself is gone; what the incoming one had, its last error tells. */
const hasLostPassword = ({ outgoing, outgoingPassword }: Pop3Account) =>
  outgoing !== undefined && !outgoing.sameCredentials && outgoingPassword === undefined;

const providerOf = ({ address, incoming }: Pop3Account) => presetFor(address, incoming.host);

/** When the first sync ends if it goes on as it went so far. */
function estimatedEnd({ startedAt, doneAt, found, fetched, skipped }: SyncProgress, now: Date): string | undefined {
  const done = fetched + skipped;
  if (!startedAt || doneAt || done === 0 || done > found) return undefined;
  const elapsed = now.getTime() - Date.parse(startedAt);
  return new Date(now.getTime() + (elapsed * (found - done)) / done).toISOString();
}
