import * as z from 'zod';
import { lockReturned } from '../addon-user/addon-user.ts';
import { visibility } from '../dropbox/dropbox.ts';
import { sharingType } from '../sharing/sharing-type.ts';

const excludedDomains = z
  .array(z.string().max(253))
  .default([])
  .meta({ description: 'At most five; subdomains are included. Mail from them, and mail sent to anybody there, stays yours alone' });

/** The sharing type and what belongs to it: a domain is excluded from `public` sharing and from no other (SHR-19). */
export const sharingInput = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('private') }),
  z.strictObject({ type: z.literal('custom') }),
  z.strictObject({ type: z.literal('public'), excludedDomains }),
  z.strictObject({ type: z.literal('admin') }),
]);
export type SharingInput = z.output<typeof sharingInput>;

const gather = z
  .strictObject({ in: z.enum(['folder', 'label']), name: z.string().trim().min(1).max(100) })
  .nullable()
  .meta({
    description:
      'Where mail received from leads and contacts is gathered: one folder, or one label (MAG-1, MAG-2). `GET /v1/mail` shows it there',
  });

/** All of it at once: what is left out is not "as before" but missing, so that nobody saves half of what they saw. */
export const mailSettingsInput = z.strictObject({
  activeMailbox: z.string().max(40).nullable().meta({ description: 'Id of the mail account that is read; null for none' }),
  fromAddress: z.string().max(254).meta({ description: 'One of `fromAddresses`' }),
  sharing: sharingInput,
  dropboxVisibility: visibility,
  gather,
});
export type MailSettingsInput = z.output<typeof mailSettingsInput>;

/** What a change of sharing would come to: what is going to be saved, as it is; the parts that show nothing to anybody may be left out. */
export const previewInput = mailSettingsInput.partial({ activeMailbox: true, fromAddress: true, gather: true });

export const sharingReturned = z.object({ type: sharingType, excludedDomains: z.array(z.string()).optional() });

export const mailSettingsReturned = z.object({
  configured: z.boolean().meta({ description: 'False until you have saved them once: then what stands here are the defaults' }),
  savedAt: z.string().optional(),
  settingsSavedSince: z
    .boolean()
    .optional()
    .meta({ description: 'When you were deactivated and came back: whether you have saved your settings since' }),
  locked: lockReturned.optional().meta({ description: 'An administrator has locked these settings: only passwords may be changed' }),
  activeMailbox: z.string().nullable(),
  mailboxes: z
    .array(z.object({ id: z.string(), name: z.string(), address: z.string() }))
    .meta({ description: 'Those there are to choose from' }),
  fromAddress: z.string(),
  fromAddresses: z.array(z.string()),
  sharing: sharingReturned.meta({ description: 'As you chose it' }),
  sharingInForce: sharingReturned.meta({ description: 'What it comes to under the policy of your organisation' }),
  dropboxVisibility: visibility,
  gather,
  policy: z
    .object({
      allowedSharing: z.array(sharingType),
      excludedDomains: z.array(z.string()),
      excludedAddresses: z.array(z.string()),
      storeOnlyRecordMail: z.boolean(),
      decides: z.array(z.enum(['sharing', 'excludedDomains', 'storeOnlyRecordMail'])),
    })
    .meta({ description: 'What an administrator has set for everybody; `decides` names which of your settings it touches' }),
});

export const previewReturned = z.object({
  becomeVisible: z.object({ mails: z.number(), people: z.number() }),
  becomeHidden: z.object({ mails: z.number(), people: z.number() }),
  complete: z.boolean().meta({
    description:
      'False when only the newest mails, dropbox mail of the last 90 days, or some of the members were looked at: there may be more',
  }),
});
