import * as z from 'zod';
import { HELD_DAYS, HIDDEN_MAIL_DAYS, MAX_HIDDEN_MAIL_DAYS, MAX_POLICY_EXCLUSIONS, MIN_HIDDEN_MAIL_DAYS } from '../limits.ts';
import { type SharingType, sharingType } from './sharing-type.ts';

/** What an administrator sets for all members: it narrows what they share, and never widens it. */
export type MailPolicy = {
  /** Of members who have not chosen; never `public` (SHR-2). */
  defaultSharing: Exclude<SharingType, 'public'>;
  /** What members may choose; who chose another one before shares nothing until they choose anew. */
  allowedSharing: SharingType[];
  /** Never shared by anybody, beside what each member excludes: domains with their subdomains, and addresses. */
  excludedDomains: string[];
  excludedAddresses: string[];
  /** Mail that concerns no record is not kept. */
  storeOnlyRecordMail: boolean;
  /** Days the hidden mail of a deactivated member is kept at least; HIDDEN_MAIL_DAYS when not set. */
  hiddenMailDays?: number;
};

export const NO_POLICY: Required<MailPolicy> = {
  defaultSharing: 'private',
  allowedSharing: [...sharingType.options],
  excludedDomains: [],
  excludedAddresses: [],
  storeOnlyRecordMail: false,
  hiddenMailDays: HIDDEN_MAIL_DAYS,
};

const exclusions = (chars: number) => z.array(z.string().max(chars)).max(MAX_POLICY_EXCLUSIONS);

export const mailPolicyPatch = z
  .strictObject({
    defaultSharing: sharingType
      .exclude(['public'])
      .meta({ description: 'Of members who have not chosen; `public` must be chosen by each' }),
    allowedSharing: z
      .array(sharingType)
      .min(1)
      .meta({ description: 'Members who chose another one before share nothing until they choose anew' }),
    excludedDomains: exclusions(253).meta({ description: 'Never shared by anybody, subdomains included' }),
    excludedAddresses: exclusions(254),
    storeOnlyRecordMail: z.boolean().meta({
      description: `Mail that concerns no record is not kept, and stays on its server. That of a hosted mailbox has none: it is held for its owner, ${HELD_DAYS} days`,
    }),
    hiddenMailDays: z.int().min(MIN_HIDDEN_MAIL_DAYS).max(MAX_HIDDEN_MAIL_DAYS).meta({
      description: 'Days the hidden mail of a deactivated member is kept at least; administrators are told a week before they end',
    }),
  })
  .partial();

export const mailPolicyReturned = z.object({
  defaultSharing: sharingType,
  allowedSharing: z.array(sharingType),
  excludedDomains: z.array(z.string()),
  excludedAddresses: z.array(z.string()),
  storeOnlyRecordMail: z.boolean(),
  hiddenMailDays: z.int().default(HIDDEN_MAIL_DAYS),
});
