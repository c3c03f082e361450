import * as z from 'zod';
import { refusalReturned } from '../backup/eligibility.ts';
import { sharingType } from '../sharing/sharing-type.ts';

export const lockInput = z.strictObject({
  reason: z.string().trim().min(1).max(500).meta({ description: 'The member is told it' }),
  expiresAt: z.iso
    .datetime({ offset: true })
    .optional()
    .meta({ description: 'Then the lock ends by itself; without it, by an unlock alone' }),
});

export const unlockInput = z.strictObject({ reason: z.string().trim().min(1).max(500).optional() });

export const holdInput = z.strictObject({ reason: z.string().trim().min(1).max(500).meta({ description: 'Administrators see it' }) });

const status = z.enum(['active', 'deactivated']);

/** Which rows of the list are wanted; each narrows. */
export const addonUserFilter = z.object({
  status: status.optional(),
  locked: z.enum(['true', 'false']).optional(),
  sharing: sharingType.optional().meta({ description: 'The type in force' }),
  q: z
    .string()
    .trim()
    .min(1)
    .max(100)
    .optional()
    .meta({ description: 'Part of the name, the login address or the address of the mailbox' }),
});
export type AddonUserFilter = z.output<typeof addonUserFilter>;

export const lockReturned = z.object({
  by: z.object({ id: z.string(), name: z.string() }),
  since: z.string(),
  reason: z.string(),
  until: z.string().optional(),
});

const holdReturned = z.object({ by: z.object({ id: z.string(), name: z.string() }), since: z.string(), reason: z.string() });

const backupOffer = z.object({ eligible: z.boolean(), reasons: z.array(refusalReturned) });
const backupDetailsReturned = z.object({
  running: z.string().optional().meta({ description: 'Id of the backup that is running' }),
  last: z
    .object({
      id: z.string(),
      kind: z.enum(['backup', 'latest-backup']),
      scope: z.enum(['shared', 'all-records']),
      state: z.enum(['running', 'completed', 'failed', 'cancelled']),
      startedBy: z.string(),
      startedAt: z.string(),
      finishedAt: z.string(),
      mails: z.int(),
      bytes: z.int(),
      missing: z.int(),
    })
    .optional()
    .meta({ description: 'The last one that ended, however' }),
  backup: backupOffer.meta({ description: 'Whether you may take a backup now; if not, every reason, with what to do about it' }),
  latestBackup: backupOffer.meta({ description: 'The same of a latest backup' }),
});

/** A row of the list (ADM-2): of a deactivated member, how it was when they left. */
export const addonUserReturned = z.object({
  id: z.string(),
  name: z.string(),
  email: z.string(),
  administrator: z.boolean(),
  status,
  deactivatedAt: z.string().optional(),
  reactivatedAt: z.string().optional(),
  hiddenMailKeptUntil: z
    .string()
    .optional()
    .meta({ description: 'Of a deactivated member: until then at least their hidden mail is kept' }),
  mailbox: z
    .object({
      id: z.string(),
      address: z.string(),
      protocol: z.enum(['pop3', 'hosted']),
      state: z
        .enum(['never-synced', 'syncing', 'ok', 'backing-off', 'auth-failed', 'unreachable', 'locked-out', 'receiving', 'removed'])
        .meta({ description: '`receiving`: a hosted mailbox, whose mail comes by itself' }),
      lastSyncAt: z.string().optional(),
    })
    .optional()
    .meta({
      description: 'The one that is read; else the main one; else, `removed`, the last one there was. Absent when there never was one',
    }),
  sharing: z.object({
    chosen: sharingType.optional().meta({ description: 'Absent while the member has not chosen' }),
    inForce: sharingType.meta({ description: 'What it comes to under the policy of the organisation' }),
  }),
  locked: lockReturned.optional(),
  hold: holdReturned.optional().meta({ description: 'Their mail is on hold: nothing of it is deleted' }),
  savedAt: z.string().optional().meta({ description: 'When the member last saved their mail settings' }),
  settingsSavedSince: z.boolean().optional().meta({
    description: 'Of a member who was reactivated: whether they have saved their mail settings since (a latest backup asks for it)',
  }),
  backup: backupDetailsReturned.optional().meta({ description: 'Of a deactivated member (ADM-3)' }),
});
export type AddonUserRow = z.output<typeof addonUserReturned>;
