import * as z from 'zod';
import type { Route } from './route.ts';
import { addonUserRoutes } from './routes/addon-users.ts';
import { backupRoutes } from './routes/backups.ts';
import { dropboxRoutes } from './routes/dropbox.ts';
import { mailAccountRoutes } from './routes/mail-accounts.ts';
import { mailServerRoutes } from './routes/mail-server.ts';
import { messageRoutes } from './routes/messages.ts';
import { offboardingRoutes } from './routes/offboardings.ts';
import { peopleRoutes } from './routes/people.ts';
import { recordRoutes } from './routes/records.ts';
import { sharingRoutes } from './routes/sharing.ts';

/** THE CONTRACT: every route, in the order the documentation shows them. */
export const routes: readonly Route[] = [
  {
    method: 'GET',
    path: '/openapi.json',
    operation: 'readOpenapi',
    tag: 'Documentation',
    summary: 'This contract as an OpenAPI document',
    who: 'open',
    returns: z.looseObject({}),
  },
  ...peopleRoutes,
  ...dropboxRoutes,
  ...recordRoutes,
  ...messageRoutes,
  ...mailAccountRoutes,
  ...mailServerRoutes,
  ...sharingRoutes,
  ...addonUserRoutes,
  ...backupRoutes,
  ...offboardingRoutes,
];
