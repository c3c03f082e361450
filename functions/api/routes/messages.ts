import * as z from 'zod';
import { MAX_SEARCHED_MAILS, MAX_THREAD_MAILS } from '../../../core/limits.ts';
import { backfillReturned } from '../../../core/message/backfill.ts';
import { messageReturned, ownMailReturned, timelineReturned } from '../../../core/message/message.ts';
import { countReturned, mailFilter } from '../../../core/message/search-mail.ts';
import { MODULES } from '../../../core/record/module.ts';
import { tickReturned } from '../../../core/sharing/visibility.ts';
import { pageOf, pageQuery } from '../../../core/table/page.ts';
import type { Route } from '../route.ts';

const recordMailReturned = pageOf(timelineReturned).extend({
  shareMail: tickReturned
    .optional()
    .meta({ description: 'Whether you share your own mail of this record; there only while your sharing type is `custom`' }),
});

const searched = `a page looks at the newest ${MAX_SEARCHED_MAILS} mails you may see and goes on from there, so it may be short and have a \`next\``;

const counts: Route[] = Object.entries(MODULES)
  .filter(([, row]) => row.addresses)
  .map(([module, row]) => ({
    method: 'GET',
    path: `/v1/${module}/{recordId}/messages/count`,
    operation: `count${row.title}Messages`,
    tag: 'Mail',
    summary: `How many mails of a ${row.singular} you may see`,
    description: `Of the newest ${MAX_SEARCHED_MAILS} that you may see, those that match; \`atLeast\` says that there are more to look at. Others' hidden mails are in no number.`,
    who: 'member',
    query: mailFilter,
    returns: countReturned,
  }));

const backfills: Route[] = Object.entries(MODULES)
  .filter(([, row]) => row.addresses)
  .map(([module, row]) => ({
    method: 'GET',
    path: `/v1/${module}/{recordId}/mail-backfill`,
    operation: `read${row.title}Backfill`,
    tag: 'Mail',
    summary: `How far the mail of a ${row.singular} follows its addresses`,
    description:
      "An address that is added brings the earlier mail of members' mailboxes along; one that is detached takes its mail off. It happens after the answer to the change, newest mail first. Counted are your own mails alone.",
    who: 'member',
    returns: backfillReturned,
  }));

const recordMail: Route[] = Object.entries(MODULES)
  .filter(([, row]) => row.addresses)
  .map(([module, row]) => ({
    method: 'GET',
    path: `/v1/${module}/{recordId}/messages`,
    operation: `list${row.title}Messages`,
    tag: 'Mail',
    summary: `The mail of a ${row.singular}, newest first`,
    description: `In the order this system received it: a Date header can say anything. You see what you may see, and nothing tells of the rest. With a filter ${searched}.`,
    who: 'member',
    query: pageQuery.extend(mailFilter.shape),
    returns: recordMailReturned,
    problems: ['bad-cursor'],
  }));

/** Reading mail. */
export const messageRoutes: Route[] = [
  ...recordMail,
  ...counts,
  ...backfills,
  {
    method: 'GET',
    path: '/v1/mail',
    operation: 'listOwnMail',
    tag: 'Mail',
    summary: 'All mail of your own mailboxes, newest first',
    description: `Yours alone to see in this list, also what concerns no record of the CRM: that has no \`records\`. With \`gather\` in your mail settings, what you received from leads and contacts says in which folder or under which label it is gathered; with \`gathered\` ${searched}.`,
    who: 'member',
    query: pageQuery.extend({
      gathered: z
        .enum(['true', 'false'])
        .optional()
        .meta({ description: '`true`: what is gathered alone, which is nothing while your settings have no `gather`; `false`: the rest' }),
    }),
    returns: pageOf(ownMailReturned),
    problems: ['bad-cursor'],
  },
  {
    method: 'GET',
    path: '/v1/messages/{messageId}',
    operation: 'readMessage',
    tag: 'Mail',
    summary: 'One mail: headers, text, HTML made safe, attachments',
    who: 'member',
    returns: messageReturned,
    problems: ['unreadable'],
  },
  {
    method: 'GET',
    path: '/v1/messages/{messageId}/thread',
    operation: 'readThread',
    tag: 'Mail',
    summary: 'The conversation a mail belongs to, oldest first',
    description: `As far as you may see it. Of a longer one, the newest ${MAX_THREAD_MAILS} mails.`,
    who: 'member',
    returns: z.object({ items: z.array(timelineReturned) }),
  },
  {
    method: 'GET',
    path: '/v1/messages/{messageId}/raw',
    operation: 'downloadRaw',
    tag: 'Mail',
    summary: 'The raw source',
    description: 'Byte for byte for who sent it; for others without BCC, and with the dropbox addresses of others blotted out.',
    who: 'member',
    returns: 'redirect',
    status: 302,
  },
  {
    method: 'GET',
    path: '/v1/messages/{messageId}/attachments/{index}',
    operation: 'downloadAttachment',
    tag: 'Mail',
    summary: 'Download an attachment',
    description: 'Sends you to a link that lives five minutes (curl: -L).',
    who: 'member',
    returns: 'redirect',
    status: 302,
    problems: ['attachments-omitted', 'unreadable'],
  },
];
