import * as z from 'zod';
import { mailSettingsInput, mailSettingsReturned, previewInput, previewReturned } from '../../../core/account/mail-settings.ts';
import { MODULES } from '../../../core/record/module.ts';
import { tickInput, tickReturned, visibilityReturned } from '../../../core/sharing/visibility.ts';
import type { Route } from '../route.ts';

const ticks: Route[] = Object.entries(MODULES)
  .filter(([, row]) => row.addresses)
  .map(([module, row]) => ({
    method: 'PUT',
    path: `/v1/${module}/{recordId}/mail-sharing`,
    operation: `share${row.title}Mail`,
    tag: 'Sharing',
    summary: `Share your mail of this ${row.singular}, or no longer`,
    description: 'For the sharing type `custom`: off until you tick it. It holds for your mail alone, and for the very next read.',
    who: 'add-on',
    body: tickInput,
    example: { shared: true },
    returns: tickReturned,
    problems: ['not-shared-by-record', 'locked'],
  }));

const settingsProblems = ['sharing-not-allowed', 'invalid-domain', 'too-many-excluded-domains'];

/** What members let others see of their mail, and who sees what. */
export const sharingRoutes: Route[] = [
  {
    method: 'GET',
    path: '/v1/mail-settings',
    operation: 'readMailSettings',
    tag: 'Sharing',
    summary: 'Your mail settings, what there is to choose from, and what your organisation has decided',
    who: 'add-on',
    returns: mailSettingsReturned,
  },
  {
    method: 'PUT',
    path: '/v1/mail-settings',
    operation: 'saveMailSettings',
    tag: 'Sharing',
    summary: 'Save your mail settings, as a whole',
    description:
      'sharing: `private` shares nothing; `custom` the records you tick; `public` all mail of leads and contacts but that of `excludedDomains`; `admin` all of it with administrators alone. It holds at once, for old mail too. Send the ETag you read in If-Match.',
    who: 'add-on',
    body: mailSettingsInput,
    example: {
      activeMailbox: null,
      fromAddress: 'mika@example.com',
      sharing: { type: 'public', excludedDomains: ['example.org'] },
      dropboxVisibility: 'record',
      gather: null,
    },
    returns: mailSettingsReturned,
    problems: [...settingsProblems, 'unknown-mailbox', 'not-your-address', 'no-mailbox', 'stale', 'changed-meanwhile', 'locked'],
  },
  {
    method: 'POST',
    path: '/v1/mail-settings/preview',
    operation: 'previewMailSettings',
    tag: 'Sharing',
    summary: 'What a change of sharing would come to, without making it',
    description: 'How many of your mails would become visible or hidden, to how many people.',
    who: 'add-on',
    body: previewInput,
    example: { sharing: { type: 'custom' }, dropboxVisibility: 'record' },
    returns: previewReturned,
    idempotent: false,
    problems: settingsProblems,
  },
  ...ticks,
  {
    method: 'GET',
    path: '/v1/messages/{messageId}/visibility',
    operation: 'explainVisibility',
    tag: 'Sharing',
    summary: 'Why you see a mail; and of your own, who else does',
    who: 'member',
    query: z.object({}),
    returns: visibilityReturned,
  },
];
