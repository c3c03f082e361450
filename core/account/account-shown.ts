import type { SyncProgress } from './account.ts';
import type { Mailboxes } from './account-store.ts';
import { nextOf } from './slot.ts';

/** An account as its owner sees it: never its passwords. */
export function accountShown(account: Mailboxes['accounts'][number], { main }: { main?: string }, now: Date) {
  return {
    ...account,
    main: account.id === main,
    warnings: warningsOf(account),
    nextPollAt: account.slot && nextOf(account.slot, now),
    sync: { ...account.sync, estimatedEndAt: estimatedEnd(account.sync, now) },
  };
}

/** All of them. When none is read any more, the owner is told to choose another (POP-28, R-44). */
export function accountsShown({ accounts, settings }: Mailboxes, now: Date) {
  const isLost = settings.version > 0 && settings.active === undefined;
  return {
    items: accounts.map((account) => accountShown(account, settings, now)),
    ...(isLost ? { notice: { code: 'mailbox-unavailable', text: UNAVAILABLE } } : {}),
  };
}

const UNAVAILABLE = 'The mailbox configured before cannot be accessed any more. Choose a new one: activate an account, or add one.';

function warningsOf({ incoming, outgoing }: Mailboxes['accounts'][number]) {
  return [
    ...(incoming.security === 'none' ? [{ code: 'incoming-not-encrypted', text: open('incoming') }] : []),
    ...(outgoing?.security === 'none' ? [{ code: 'outgoing-not-encrypted', text: open('outgoing') }] : []),
  ];
}

const open = (side: string) =>
  `The connection to the ${side} server is not encrypted: whoever is on the way reads the password and the mail. Use TLS if the server has it.`;

/** When the first sync ends if it goes on as it went so far. */
function estimatedEnd({ startedAt, doneAt, found, fetched, skipped }: SyncProgress, now: Date): string | undefined {
  const done = fetched + skipped;
  if (!startedAt || doneAt || done === 0 || done > found) return undefined;
  const elapsed = now.getTime() - Date.parse(startedAt);
  return new Date(now.getTime() + (elapsed * (found - done)) / done).toISOString();
}
