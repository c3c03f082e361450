import * as z from 'zod';
import { MAX_EXCLUDED_DOMAINS } from '../limits.ts';
import { MODULES, type Module } from '../record/module.ts';
import { type MailPolicy, mailPolicyPatch, mailPolicyReturned, NO_POLICY } from '../sharing/mail-policy.ts';

/** Who reads the records of a module besides their owner and administrators. */
export const recordAccess = z.enum(['everyone', 'owner-and-admins']);

/** Who may read their mailboxes over POP3: nobody, members who are ticked for it, or everyone (GEN-1). */
export const mailAddOn = z.enum(['off', 'selected', 'everyone']);

/** A company that uses the product. */
export type Tenant = {
  id: string;
  name: string;
  timeZone: string;
  /** Organisation default per module; a module that is not named is `everyone`. */
  recordAccess: Partial<Record<Module, z.infer<typeof recordAccess>>>;
  /** Domains that the dropbox never matches nor creates for; their subdomains too. */
  excludedDomains: string[];
  /** What holds for the mail of all members' mailboxes; nothing beyond the members' own settings when not set. */
  mailPolicy?: MailPolicy;
  /** `off` when not set (GEN-1). */
  mailAddOn?: z.infer<typeof mailAddOn>;
  createdAt: string;
  version: number;
  /** Counts the locks ever made, so that a policy judged by the locked members is refused when one is added meanwhile (LCK-8). */
  lockRound?: number;
};

const timeZone = z
  .string()
  .refine((zone) => isTimeZone(zone), { error: 'not an IANA time zone, such as Asia/Tokyo' })
  .meta({ description: 'IANA time zone', example: 'Asia/Tokyo' });

const accessByModule = z.object(Object.fromEntries(Object.keys(MODULES).map((module) => [module, recordAccess.optional()])));

export const tenantPatch = z
  .strictObject({
    name: z.string().trim().min(1).max(200),
    timeZone,
    recordAccess: accessByModule,
    excludedDomains: z.array(z.string().max(253)).max(MAX_EXCLUDED_DOMAINS),
    mailAddOn,
    mailPolicy: mailPolicyPatch,
  })
  .partial();

export const tenantReturned = z.object({
  id: z.string(),
  name: z.string(),
  timeZone: z.string(),
  recordAccess: accessByModule,
  excludedDomains: z.array(z.string()),
  mailAddOn: mailAddOn.default('off'),
  mailPolicy: mailPolicyReturned.default(NO_POLICY),
  createdAt: z.string(),
});

export const newTenantInput = z.strictObject({
  name: z.string().trim().min(1).max(200),
  timeZone: timeZone.default('UTC'),
  administrator: z.strictObject({ name: z.string().trim().min(1).max(200), email: z.string().max(254) }),
});

function isTimeZone(zone: string): boolean {
  try {
    return Boolean(new Intl.DateTimeFormat('en', { timeZone: zone }));
  } catch {
    return false;
  }
}
