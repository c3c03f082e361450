import * as z from 'zod';
import type { Words } from '../account/presets.ts';
import { backupScopeInput } from '../backup/backup.ts';
import { type BackupScope, scopes } from '../backup/scope.ts';
import { adviceOf, advised, both, UNDOING } from './advice.ts';

/** What an off-boarding does, in this order. */
export const STEPS = ['lock', 'last-poll', 'deactivate', 'back-up', 'hand-over'] as const;
export type StepName = (typeof STEPS)[number];

const stepStates = ['waiting', 'running', 'done', 'skipped', 'failed', 'cancelled'] as const;
const states = ['running', 'completed', 'failed', 'cancelled'] as const;

export type Step = {
  state: (typeof stepStates)[number];
  startedAt?: string;
  endedAt?: string;
  /** What an administrator should know of a step that was done, or why it was skipped. */
  warning?: WarningCode;
  failure?: { code: string; detail: string };
  counts?: Record<string, number>;
  /** Where it stands: written before what it tells of is done, so that a worker who goes on does the same. */
  memo?: Memo;
  /** Waited for so many times, ever longer. */
  waits?: number;
};

export type WarningCode =
  | 'already-locked'
  | 'already-deactivated'
  | 'no-active-mailbox'
  | 'add-on-off'
  | 'password-refused'
  | 'no-password'
  | 'mail-server-failed'
  | 'poll-unfinished'
  | 'filing-unfinished'
  | 'records-left'
  | 'no-successor';

export type Memo = {
  /**
   * last-poll: which mailbox, since when an answer counts, until when it is waited for, mails filed from it before, and the lease of a
   * poll that was under way: what it listed may be older.
   */
  poll?: { account: string; askedAt: string; until: string; filed: number; inHand?: number };
  /** back-up: until when filing is waited for, and places in the ledger that are still being filed. */
  filing?: { until: string; open: string[] };
  /** back-up: the backup that was begun, or is about to be; and how many ended without being complete. */
  backup?: string;
  tries?: number;
  /** hand-over: where the next page begins, and the records of the page that is being given over. */
  page?: { module: string; after?: string; pending?: string[] };
};

/** One member who leaves, on the way. */
export type Offboarding = {
  id: string;
  member: string;
  scope: BackupScope;
  /** Who is to own the member's records. */
  successor?: string;
  /** Of the lock: the member is told it. */
  reason: string;
  startedBy: string;
  startedAt: string;
  /** By whose rights it goes on, and who is told of its end: who started it, or resumed it last. */
  actor: string;
  /** Who asked that nothing more be begun; it runs until its worker has seen that. */
  cancel?: { by: string; at: string };
  state: (typeof states)[number];
  steps: Record<StepName, Step>;
  /** One worker at a time: `fence` grows with every lease, and who has an older one commits nothing. */
  fence: number;
  /** Leases since the last commit; absent when there was none. */
  tries?: number;
  leaseUntil?: string;
  /** While it waits: words that come sooner are doubles. */
  wakeAt?: string;
  updatedAt: string;
  finishedAt?: string;
  /** That it ended was told to its actor; claimed before, so that it is told once. */
  noticeClaimedAt?: string;
  noticeSentAt?: string;
};

/** Where a member's off-boardings stand. */
export type OffboardingStanding = { running?: string; last?: string };

/** The first step that is not over; undefined when all are. */
export const nextStep = ({ steps }: Offboarding): StepName | undefined =>
  STEPS.find((name) => steps[name].state === 'waiting' || steps[name].state === 'running');

/** What the worker's queue carries: an off-boarding that has work to do, or a member who is to be told of a lock. */
export const offboardingJob = z.union([
  z.object({ tenant: z.string(), offboarding: z.string() }),
  z.object({
    lockNotice: z.object({
      tenant: z.string(),
      member: z.string(),
      what: z.enum(['locked', 'unlocked']),
      /** When; later ones make it void. */
      at: z.string(),
      by: z.string(),
      reason: z.string().optional(),
    }),
  }),
]);
export type OffboardingJob = z.output<typeof offboardingJob>;

export const offboardingInput = z.strictObject({
  scope: backupScopeInput,
  successor: z.string().max(40).optional().meta({ description: "Id of the active member who is to own the leaver's records" }),
  reason: z.string().trim().min(1).max(500).default('Off-boarding').meta({ description: 'Of the lock: the member is told it' }),
});

export const checkQuery = z.object({ successor: z.string().max(40).optional().meta({ description: 'As in the off-boarding to come' }) });

export const checkReturned = z.object({
  eligible: z.boolean(),
  reasons: z.array(advised),
  kind: z.enum(['backup', 'latest-backup']).meta({ description: 'Which backup would be taken' }),
  running: z.string().optional().meta({ description: 'Id of the off-boarding that is running' }),
  last: z.string().optional().meta({ description: 'Id of the last one that was begun' }),
});

const stepReturned = z.object({
  name: z.enum(STEPS),
  state: z.enum(stepStates),
  startedAt: z.string().optional(),
  endedAt: z.string().optional(),
  counts: z.record(z.string(), z.int()).optional(),
  warning: advised.optional().meta({ description: 'What to know of it, or why it was skipped' }),
  failure: advised.optional().meta({ description: 'Why it failed, and what to do before the off-boarding is resumed' }),
  backup: z.string().optional().meta({ description: 'Id of its backup' }),
  undo: both.optional().meta({ description: 'Of a cancelled off-boarding: how what this step did is undone; it is not undone by itself' }),
});

export const offboardingReturned = z.object({
  id: z.string(),
  member: z.string(),
  scope: z.enum(scopes),
  successor: z.string().optional(),
  reason: z.string(),
  startedBy: z.string(),
  startedAt: z.string(),
  state: z.enum(states),
  cancel: z
    .object({ by: z.string(), at: z.string() })
    .optional()
    .meta({ description: 'Who asked that it be cancelled: while it still runs, what was begun is ended first' }),
  steps: z.array(stepReturned),
  finishedAt: z.string().optional(),
});

/** An off-boarding as administrators are shown it. */
export function offboardingView(run: Offboarding): z.input<typeof offboardingReturned> {
  const { id, member, scope, successor, reason, startedBy, startedAt, state, cancel, finishedAt } = run;
  const steps = STEPS.map((name) => stepView(name, run));
  return { id, member, scope, successor, reason, startedBy, startedAt, state, cancel, steps, finishedAt };
}

function stepView(name: StepName, run: Offboarding): z.input<typeof stepReturned> {
  const { state, startedAt, endedAt, counts, warning, failure, memo } = run.steps[name];
  return {
    name,
    state,
    startedAt,
    endedAt,
    counts,
    warning: warning && adviceOf(warning),
    failure: failure && adviceOf(failure.code, failure.detail),
    backup: memo?.backup,
    undo: undoingOf(run, name),
  };
}

/** How to undo what a step of a cancelled off-boarding did, in whole or in part; nothing of one that did nothing. */
export function undoingOf({ state, steps }: Offboarding, name: StepName): Words | undefined {
  const { state: how, counts } = steps[name];
  const didSome = how === 'done' || (how === 'cancelled' && Object.values(counts ?? {}).some((count) => count > 0));
  return state === 'cancelled' && didSome ? UNDOING[name] : undefined;
}
