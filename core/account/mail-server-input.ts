import * as z from 'zod';
import { accountInput } from './account-input.ts';

const words = z.object({ en: z.string(), ja: z.string() });
const advice = z.object({ what: words, todo: words, link: z.string().optional() }).meta({
  id: 'Advice',
  description: 'What it means and what to do, in English and Japanese, and where',
});
const security = z.enum(['implicit', 'starttls', 'none']);
const server = z.object({ host: z.string(), port: z.int(), security });

/** The form of an account as it stands: what would be created is tried, before it is (POP-18). Its name may wait. */
export const trialInput = accountInput.partial({ name: true });

const certificate = z.object({
  subject: z.string(),
  issuer: z.string(),
  validFrom: z.string(),
  validTo: z.string(),
  names: z.array(z.string()),
  problem: z.string().meta({ description: 'Why it is refused, in terms of OpenSSL; empty when it is not' }),
});

const step = z.object({
  name: z.enum(['resolve', 'connect', 'tls', 'greeting', 'capabilities', 'login', 'mailbox']),
  outcome: z
    .enum(['ok', 'failed', 'skipped', 'warning'])
    .meta({ description: 'Behind a failed step all are skipped. Of a server that is not reached, resolve is too: connect says so' }),
  ms: z.int().optional(),
  address: z.string().optional(),
  tls: z.object({ protocol: z.string(), certificate }).optional(),
  greeting: z.string().optional(),
  capabilities: z.array(z.string()).optional(),
  mailbox: z.object({ count: z.int(), octets: z.int() }).optional(),
  failure: z
    .object({
      code: z.string(),
      server: z.string().optional().meta({ description: "The server's own words" }),
      certificate: certificate.optional(),
    })
    .optional(),
  advice: advice.optional(),
});
const serverTrial = z.object({
  ok: z.boolean(),
  provider: z.string().optional().meta({ description: 'Id of the provider that was recognised' }),
  steps: z.array(step),
});
export const trialReturned = z.object({ ok: z.boolean(), incoming: serverTrial, outgoing: serverTrial.optional() });

const provider = z
  .object({
    id: z.string(),
    name: z.string(),
    domains: z.array(z.string()),
    incoming: server.optional().meta({ description: 'Absent where mail cannot be read over POP3 with a password; notes say what to do' }),
    outgoing: server.optional(),
    userName: z.enum(['address', 'local-part']).meta({ description: 'The whole address, or what stands before its @' }),
    loginDelay: z.int().optional().meta({ description: 'Seconds the provider wants between two logins' }),
    appPassword: z.object({ needed: z.enum(['always', 'with-two-step-verification']), link: z.string().optional() }).optional(),
    enablePop: z.object({ how: words, link: z.string().optional() }).optional().meta({ description: 'POP is off until it is turned on' }),
    sharedUserName: z
      .string()
      .optional()
      .meta({ description: 'The user name when other POP clients read the mailbox too; mail must then be left on the server' }),
    notes: words.optional(),
  })
  .meta({ id: 'MailProvider' });
export const providersReturned = z.object({ items: z.array(provider) });

export const discoverQuery = z.object({ address: z.string().max(254).meta({ example: 'mika@example.com' }) });
export const discoveryReturned = z.object({
  source: z.enum(['provider', 'hosted', 'published', 'guess', 'unknown']).meta({
    description:
      'provider: by the domain of the address. hosted: by who takes the mail of the domain (MX). published: by the SRV records of the domain. guess: usual names that exist, not more. unknown: ask the provider.',
  }),
  provider: provider.optional(),
  incoming: server.optional(),
  outgoing: server.optional(),
  userName: z.string(),
  confirm: z.boolean().meta({ description: 'The domain names servers outside itself: let the user say that they are right' }),
  advice: advice.optional(),
});
