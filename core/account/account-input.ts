import * as z from 'zod';
import { MAX_PASSWORD_CHARS } from '../limits.ts';
import { sharingInput } from './mail-settings.ts';

/** Control characters end a command of POP3 and SMTP: what held one could say something else to the server. */
const CONTROL = /\p{Cc}/u;
const line = (most: number) =>
  z
    .string()
    .min(1)
    .max(most)
    .regex(/^\P{Cc}+$/u, 'no control characters');

const security = z
  .enum(['implicit', 'starttls', 'none'])
  .meta({ description: 'implicit: TLS from the first byte. starttls: TLS before the password. none: everybody on the way reads along' });
const host = line(253).meta({ description: 'Name of the server', example: 'pop.example.com' });
const port = z.int().min(1).max(65_535);
const userName = line(255).meta({ description: 'A user name or a whole mail address, whichever the server wants' });
const password = z
  .string()
  .min(1)
  .max(MAX_PASSWORD_CHARS)
  .refine((text) => !CONTROL.test(text), 'no control characters')
  .meta({ description: 'Kept sealed, never shown. With two-step verification: an app password' });

const deletion = z
  .discriminatedUnion('policy', [
    z.strictObject({ policy: z.literal('leave') }),
    z.strictObject({ policy: z.literal('delete-after-days'), days: z.int().min(1).max(365) }),
    z.strictObject({ policy: z.literal('delete-at-once') }),
  ])
  .meta({ description: 'When mail is deleted from the server; only ever after it is stored here' });

const incoming = z.strictObject({ host, port, security, userName, password }).partial();
const outgoing = z.strictObject({
  host,
  port: port.optional(),
  security: security.optional(),
  sameCredentials: z.boolean().optional().meta({ description: 'The outgoing server takes the user name and password of the incoming one' }),
  userName: userName.optional(),
  password: password.optional(),
});
const name = z.string().trim().min(1).max(100).meta({ description: 'What you call it', example: 'Sales' });
const address = z.string().max(254).meta({ example: 'mika@example.com' });

/** The form of a new account (POP-8). What is left out is filled in where the provider is known (POP-14). */
export const accountInput = z.strictObject({
  name,
  address,
  protocol: z.enum(['pop3', 'imap']).default('pop3').meta({ description: '`imap` is not supported' }),
  incoming: incoming.required({ password: true }),
  outgoing: outgoing.optional(),
  deletion: deletion.default({ policy: 'leave' }),
  since: z.iso
    .datetime({ offset: true })
    .optional()
    .meta({ description: 'Mail that reached the server before is left alone: thirty days ago unless you say' }),
  sharing: sharingInput.optional().meta({ description: 'How mail is shared; also in your mail settings. Not chosen: not shared' }),
  readByOtherClients: z
    .boolean()
    .default(false)
    .meta({ description: 'Gmail alone: other programs read it over POP too, so that the user name becomes `recent:...`' }),
});
export type AccountInput = z.output<typeof accountInput>;

/** The form of a mailbox that is received here. */
export const hostedMailboxInput = z.strictObject({
  name,
  localPart: z.string().max(100).optional().meta({
    description:
      'What its address begins with; some letters and digits are added, so that nobody can guess it. Else that of your login address',
    example: 'mika.sales',
  }),
  sharing: accountInput.shape.sharing,
});
export type HostedMailboxInput = z.output<typeof hostedMailboxInput>;

/** A server that changes needs its password again: a stored one is never sent to a host that is new. */
export const accountPatch = z.strictObject({ name, address, incoming, outgoing: outgoing.nullable(), deletion }).partial();
export type AccountPatch = z.output<typeof accountPatch>;

export const incomingPasswordInput = z.strictObject({ password });
/** With a user name or without: from then on the outgoing server has credentials of its own (POP-26). */
export const outgoingPasswordInput = z.strictObject({ password, userName: userName.optional() });

const count = z.int();
const words = z.object({ en: z.string(), ja: z.string() });
export const adviceReturned = z.object({ what: words, todo: words, link: z.string().optional() });
export const hostedMailboxReturned = z.object({
  id: z.string(),
  name: z.string(),
  address: z.string().meta({
    description: 'Mail that is sent here is yours, whether the mailbox is the active one or not',
    example: 'mika-7k3m9q2x@mail.example.com',
  }),
  protocol: z.literal('hosted'),
  createdAt: z.string(),
  active: z.boolean(),
  main: z.boolean(),
  warnings: z.array(z.object({ code: z.string(), advice: adviceReturned })),
  state: z.literal('receiving'),
});
const pop3AccountReturned = z.object({
  id: z.string(),
  name: z.string(),
  address: z.string(),
  protocol: z.literal('pop3'),
  incoming: z.object({ host: z.string(), port: count, security, userName: z.string() }),
  outgoing: z
    .object({ host: z.string(), port: count, security, sameCredentials: z.boolean(), userName: z.string().optional() })
    .optional()
    .meta({ description: 'Absent when your provider is not known: ask it, and enter what it says' }),
  deletion: z.object({ policy: z.enum(['leave', 'delete-after-days', 'delete-at-once']), days: count.optional() }),
  since: z.string(),
  createdAt: z.string(),
  active: z.boolean().meta({ description: 'The one of your accounts that is read' }),
  main: z.boolean(),
  warnings: z.array(z.object({ code: z.string(), advice: adviceReturned })),
  state: z.enum(['never-synced', 'syncing', 'ok', 'backing-off', 'auth-failed', 'unreachable', 'locked-out']),
  stateSince: z.string(),
  nextPollAt: z.string().optional().meta({ description: 'Absent while it is not read' }),
  lastSuccessAt: z.string().optional(),
  lastNewMailAt: z.string().optional(),
  lastError: z.object({ at: z.string(), code: z.string(), server: z.string().optional(), advice: adviceReturned }).optional(),
  sync: z
    .object({
      startedAt: z.string().optional(),
      found: count,
      fetched: count,
      filed: count,
      skipped: count,
      bytes: count,
      doneAt: z.string().optional(),
      estimatedEndAt: z.string().optional(),
    })
    .meta({ description: 'The first sync: mails on the server, fetched, filed, and skipped because they are older than `since`' }),
  totals: z.object({ filed: count, deleted: count }),
});
export const accountReturned = z.discriminatedUnion('protocol', [pop3AccountReturned, hostedMailboxReturned]).meta({ id: 'MailAccount' });

export const pollReturned = z.object({
  id: z.string(),
  at: z.string(),
  took: count.meta({ description: 'Milliseconds' }),
  found: count.optional().meta({ description: 'Mails in the mailbox; absent when it was not reached' }),
  fetched: count,
  skipped: count,
  deleted: count,
  bytes: count,
  error: z.string().optional(),
  server: z.string().optional().meta({ description: 'What the server said' }),
  advice: adviceReturned.optional(),
});

export const accountsReturned = z.object({
  items: z.array(accountReturned),
  notice: z
    .object({ code: z.enum(['mailbox-unavailable']), text: z.string() })
    .optional()
    .meta({ description: 'There is no mailbox that is read any more: activate one of the list' }),
});

export const fromAddressInput = z.strictObject({ address });
export const fromAddressesReturned = z.object({
  items: z.array(
    z.object({
      address: z.string(),
      chosen: z.boolean(),
      sources: z
        .array(z.enum(['login', 'sender', 'account']))
        .meta({ description: 'Your login address, a proved sender of your dropbox, a mail account' }),
    }),
  ),
});
