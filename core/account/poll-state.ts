import { sha256 } from '../ids.ts';
import type { PollState, Pop3Account, SyncProgress } from './account.ts';
import type { Failure } from './failure.ts';
import { INTERVALS, type Interval, type Slot } from './slot.ts';

/** What a poll has to say about an account: its state, when it is looked at next, and what its owner is to be told. */
export type Change = {
  set: Partial<Omit<PollState, 'slot' | 'lease' | 'sync'>>;
  sync?: Partial<SyncProgress>;
  /** `undefined` takes it off the timetable. */
  slot: Slot | undefined;
  notices: Notice[];
};

/** A mail to the owner: one of a kind for each episode, which is a time. */
export type Notice = { kind: NoticeKind; episode: string };
export type NoticeKind = 'sync-done' | 'password-refused' | 'stopped' | 'locked-out' | 'failing';

/**
 * Minutes until a refused password is tried again: the provider may have had a bad hour. After one refusal more than there are
 * entries, which is the third, the account is left alone.
 */
const AFTER_REFUSAL = [30, 120];
/** Minutes until a server that could not be reached is tried again; doubled each time, up to six hours. */
const FIRST_BACK_OFF = 5;
/** A provider that shut the mailbox for a while is not knocked at before. */
const FIRST_LOCKED_OUT = 60;
const LONGEST_BACK_OFF = 6 * 60;
/** Hours of failure after which the owner is told. */
const WARN_AFTER_HOURS = 24;
/** Hours without new mail after which a mailbox is polled that much less often. */
const QUIET_HOURS: [number, Interval][] = [
  [24, 60],
  [12, 40],
  [4, 20],
  [1, 10],
  [0, 5],
];
/** Minutes in which a poll is over: it is looked at again if it was not. */
const SAFETY_NET = 6;

const HOUR_MS = 3_600_000;

/** What goes on after a poll that went well. `filing`: only the end of filing is waited for. `deletions`: of mails fetched just now. */
export type Next = 'nothing' | 'more-mail' | 'filing' | 'deletions';

/** After a poll that went well. `loginDelay`: seconds the server wants between two logins (RFC 2449 6.5). */
export function afterSuccess(account: Pop3Account, now: Date, poll: { newMail: boolean; next: Next; loginDelay: number }): Change {
  const at = now.toISOString();
  const state = account.sync.doneAt ? 'ok' : 'syncing';
  const lastNewMailAt = poll.newMail ? at : account.lastNewMailAt;
  const interval = intervalOf(hoursBetween(lastNewMailAt ?? account.sync.doneAt ?? account.createdAt, now), poll.loginDelay);
  return {
    set: {
      state,
      stateSince: account.state === state ? account.stateSince : at,
      authFailures: 0,
      connectFailures: 0,
      lastError: undefined,
      lastSuccessAt: at,
      lastNewMailAt,
    },
    slot: slotAfter(poll.next, interval, poll.loginDelay, now),
    notices: [],
  };
}

/** True when more mail may be fetched in another session right away. */
export const mayGoOn = (loginDelay: number) => loginDelay === 0;

/**
 * After a poll that failed. A refused password counts, a server out of reach makes the next poll wait longer, and a server
 * that asks for patience gets it without being counted. `progressed`: the session had brought mail before it broke.
 */
export function afterFailure(
  account: Pop3Account,
  now: Date,
  { code, effect, server, progressed }: Failure & { server?: string; progressed: boolean },
): Change {
  const at = now.toISOString();
  const day = at.slice(0, 10);
  const error = { lastError: { at, code, server } };
  const inState = (state: Pop3Account['state']) => ({ state, stateSince: account.state === state ? account.stateSince : at });
  if (effect === 'credentials') {
    const authFailures = account.authFailures + 1;
    const wait = AFTER_REFUSAL[authFailures - 1];
    if (wait === undefined) {
      return { set: { ...error, ...inState('auth-failed'), authFailures }, slot: undefined, notices: [{ kind: 'stopped', episode: at }] };
    }
    return {
      set: { ...error, ...inState('backing-off'), authFailures },
      slot: after(now, wait),
      notices: [{ kind: 'password-refused', episode: day }],
    };
  }
  if (effect === 'later') {
    const state = inState('backing-off');
    return { set: { ...error, ...state }, slot: after(now, code === 'login-delay' ? 10 : 5), notices: warning(state.stateSince, now) };
  }
  const connectFailures = progressed ? 1 : account.connectFailures + 1;
  const isLocked = code === 'web-login-required' || code === 'limit-exceeded';
  const state = inState(isLocked ? 'locked-out' : connectFailures > 1 ? 'unreachable' : 'backing-off');
  const wait = Math.min(LONGEST_BACK_OFF, (isLocked ? FIRST_LOCKED_OUT : FIRST_BACK_OFF) * 2 ** Math.min(connectFailures - 1, 10));
  return {
    set: { ...error, ...state, connectFailures },
    slot: after(now, wait * jitter(account.id, at)),
    notices: isLocked ? [{ kind: 'locked-out', episode: day }] : warning(state.stateSince, now),
  };
}

/** Minutes between two polls: by how long there was no new mail, and never more often than the server wants. */
export function intervalOf(quietHours: number, loginDelay: number): Interval {
  const [, wanted] = QUIET_HOURS.find(([hours]) => quietHours >= hours) ?? [0, 5];
  // More than the delay: a poll may come some seconds early, and the one before may have been late.
  return INTERVALS.find((minutes) => minutes >= wanted && minutes * 60 > loginDelay) ?? 60;
}

function slotAfter(next: Next, interval: Interval, loginDelay: number, now: Date): Slot {
  const delayMinutes = Math.ceil(loginDelay / 60);
  if (next === 'more-mail') return after(now, Math.max(SAFETY_NET, delayMinutes));
  if (next === 'filing') return after(now, 1);
  if (next === 'deletions') return after(now, Math.max(2, delayMinutes));
  return { every: interval };
}

/** One warning an episode, which begins when the state does. */
const warning = (since: string, now: Date): Notice[] =>
  hoursBetween(since, now) >= WARN_AFTER_HOURS ? [{ kind: 'failing', episode: since }] : [];

/** The minute that begins so many minutes from now: the planner must not be through with it already. */
const after = (now: Date, minutes: number): Slot => ({
  at: new Date(now.getTime() + Math.max(1, minutes) * 60_000 + 59_999).toISOString(),
});

/** 0.8 to 1: a server that comes back is not met by everybody in one second. */
const jitter = (...parts: string[]) => 0.8 + (0.2 * Number.parseInt(sha256(...parts).slice(0, 4), 16)) / 0xffff;

const hoursBetween = (from: string, to: Date) => (to.getTime() - Date.parse(from)) / HOUR_MS;
