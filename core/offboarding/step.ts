import type { PollJob } from '../account/poll-job.ts';
import type { BackupJob } from '../backup/backup.ts';
import type { TenantId } from '../ids.ts';
import type { Viewer } from '../member/viewer.ts';
import type { ProductMail } from '../outbound/send.ts';
import type { Memo, Offboarding, Step, WarningCode } from './offboarding.ts';
import type { StartRoom } from './offboarding-store.ts';

/** What the steps work with. */
export type OffboardingRoom = StartRoom & {
  polls: { send: (job: PollJob) => Promise<void> };
  backups: { send: (job: BackupJob) => Promise<void> };
  tell: (mail: ProductMail) => Promise<void>;
  /** Where the API is reached from outside. */
  publicUrl: string;
  clock: () => Date;
};

/** Where a step is called: it may have been called before, in whole or in part, and does only what is left. */
export type At = { room: OffboardingRoom; tenant: TenantId; viewer: Viewer; run: Offboarding; step: Step; now: Date };

/** What a call of a step came to: it is over; it goes on at once, with what it has noted; or it looks again later. */
export type Outcome =
  | { end: 'done' | 'skipped'; warning?: WarningCode; counts?: Record<string, number> }
  | { end: 'failed'; failure: { code: string; detail: string } }
  | { goOn: Memo; counts?: Record<string, number> }
  | { wait: Memo | undefined };
