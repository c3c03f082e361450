import * as z from 'zod';
import { MAX_BACKUPS_AT_ONCE } from '../limits.ts';
import type { Sharing } from '../sharing/sharing.ts';
import { type BackupKind, refusalReturned } from './eligibility.ts';
import { type BackupScope, scopes } from './scope.ts';

export const backupStates = ['running', 'completed', 'failed', 'cancelled'] as const;
export type BackupState = (typeof backupStates)[number];

/** What came of the mails looked at. `mails` are those of this run; each counts once, on however many records. */
export type Tally = {
  /** Of the owner's list, looked at so far. */
  looked: number;
  /** Made visible by this run, or shown on further records. */
  mails: number;
  /** Entries on records. */
  entries: number;
  /** Of raw mail. */
  bytes: number;
  /** Shown by an earlier backup already. */
  known: number;
  /** Their raw bytes are gone: shown as far as lists go, and in the manifest without a hash. */
  missing: number;
};

export const NO_TALLY: Tally = { looked: 0, mails: 0, entries: 0, bytes: 0, known: 0, missing: 0 };

/** One run. Its scope is what was in force when it started, whatever changes meanwhile. */
export type Backup = {
  id: string;
  kind: BackupKind;
  /** Whose mail. */
  member: string;
  mailbox: string;
  scope: BackupScope;
  /** The sharing it goes by, exclusions included. */
  sharing: Sharing;
  /** Who started it, and when: mail received later is not in scope. */
  startedBy: string;
  startedAt: string;
  /** Of this off-boarding, which tells of its end: nobody is told twice. */
  offboarding?: string;
  state: BackupState;
  /** Completed backups before it, whose result it adds to. */
  earlier: string[];
  /** Mails of the owner's list up to `startedAt`; absent until they were counted. */
  total?: number;
  tally: Tally;
  /** Pages that are done, and where the next one begins: a position of the owner's list. */
  pages: number;
  cursor?: string;
  /** All pages are done: what is left is the manifest. */
  walked?: true;
  /** One worker at a time: `fence` grows with every lease, and who has an older one commits nothing. */
  fence: number;
  leaseUntil?: string;
  updatedAt: string;
  finishedAt?: string;
  error?: 'interrupted';
  /** SHA-256 of the manifest. */
  manifest?: string;
  /** That it ended was told to who started it; claimed before, so that it is told once. */
  noticeClaimedAt?: string;
  noticeSentAt?: string;
};

/** Where a member's backups stand: one item, read with the list of add-on users. */
export type BackupStanding = {
  /** The backup that is running; one at a time. */
  running?: string;
  /** The last one that ended, however. */
  last?: {
    id: string;
    kind: BackupKind;
    scope: BackupScope;
    state: BackupState;
    startedBy: string;
    startedAt: string;
    finishedAt: string;
  } & Pick<Tally, 'mails' | 'bytes' | 'missing'>;
  /** Those that completed, oldest first: together they are the result. */
  completed?: string[];
  /** When the last of them was begun. */
  backedUpAt?: string;
};

/** A page that is done: where its part of the manifest lies. */
export type BackupPage = { page: number; key: string; sha256: string; mails: number; entries: number; bytes: number };

/** A mail in the manifest, one line of JSON. */
export type BackedUpMail = {
  message: string;
  receivedAt: string;
  direction: 'sent' | 'received';
  rawKey: string;
  bytes: number;
  /** Of the raw mail; absent when its bytes are gone. */
  sha256?: string;
  records: { module: string; id: string }[];
  /** An earlier backup has it too, on other records. */
  again?: true;
};

/** What the worker's queue carries. */
export const backupJob = z.object({ tenant: z.string(), backup: z.string() });
export type BackupJob = z.infer<typeof backupJob>;

export const backupFolder = (tenant: string, id: string) => `t/${tenant}/backups/${id}`;
/** With the fence in its name: a worker that lost its lease cannot write over what its successor committed. */
export const partKey = (tenant: string, id: string, page: number, fence: number) =>
  `${backupFolder(tenant, id)}/parts/${String(page).padStart(6, '0')}-${fence}.jsonl`;
export const manifestKey = (tenant: string, id: string) => `${backupFolder(tenant, id)}/manifest.json`;

export const backupScopeInput = z.enum(scopes).default('shared').meta({
  description:
    '`shared`: the sharing in force when the member was deactivated; `all-records`: everything tied to a record. Excluded domains stay out of both (R-16)',
});
export const backupInput = z.strictObject({ scope: backupScopeInput });

export const backupsInput = z.strictObject({
  members: z.array(z.string().max(40)).min(1).max(MAX_BACKUPS_AT_ONCE).meta({ description: 'Those who are ticked in the list' }),
  scope: backupScopeInput,
});

export const backupsReturned = z.object({
  items: z.array(
    z.object({
      member: z.string(),
      outcome: z.enum(['started', 'refused']),
      backup: z.string().optional().meta({ description: 'Id of the backup that was started' }),
      code: z.string().optional().meta({ description: 'Of the refusal, as of the route for one member' }),
      detail: z.string().optional(),
      reasons: z.array(refusalReturned).optional(),
    }),
  ),
});
export type BackupsReturned = z.output<typeof backupsReturned>;

export const backupReturned = z.object({
  id: z.string(),
  kind: z.enum(['backup', 'latest-backup']),
  member: z.string(),
  mailbox: z.string(),
  scope: z.enum(scopes),
  startedBy: z.string(),
  startedAt: z.string(),
  state: z.enum(backupStates),
  progress: z.object({
    pages: z.number(),
    done: z.number().meta({ description: "Mails of the owner's list looked at" }),
    total: z.number().optional().meta({ description: 'Of so many; absent until they are counted' }),
    bytes: z.number(),
    errors: z.number().meta({ description: 'Mails whose raw bytes are gone' }),
    estimatedEnd: z.string().optional(),
  }),
  result: z.object({
    mails: z.number().meta({ description: 'Made visible by this run, each once' }),
    entries: z.number().meta({ description: 'On so many places of records' }),
    known: z.number().meta({ description: 'Shown by an earlier backup already' }),
  }),
  finishedAt: z.string().optional(),
  error: z.string().optional(),
  manifestSha256: z.string().optional(),
});

/** A backup as administrators are shown it. */
export function backupView(backup: Backup): z.input<typeof backupReturned> {
  const { id, kind, member, mailbox, scope, startedBy, startedAt, state, total, tally, finishedAt, error } = backup;
  const { mails, entries, known } = tally;
  const progress = {
    pages: backup.pages,
    done: tally.looked,
    total,
    bytes: tally.bytes,
    errors: tally.missing,
    estimatedEnd: endOf(backup),
  };
  const result = { mails, entries, known };
  return {
    id,
    kind,
    member,
    mailbox,
    scope,
    startedBy,
    startedAt,
    state,
    progress,
    result,
    finishedAt,
    error,
    manifestSha256: backup.manifest,
  };
}

/** As fast as so far. */
function endOf({ state, startedAt, updatedAt, total, tally }: Backup): string | undefined {
  if (state !== 'running' || !total || tally.looked === 0) return undefined;
  const start = Date.parse(startedAt);
  return new Date(start + ((Date.parse(updatedAt) - start) * total) / tally.looked).toISOString();
}
