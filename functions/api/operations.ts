import { setting } from '../connect.ts';
import type { Operation } from './call.ts';
import { openapiDocument } from './openapi.ts';
import { addonUserOperations } from './operations/addon-users.ts';
import { backupOperations } from './operations/backups.ts';
import { dropboxOperations } from './operations/dropbox.ts';
import { mailAccountOperations } from './operations/mail-accounts.ts';
import { messageOperations } from './operations/messages.ts';
import { offboardingOperations } from './operations/offboardings.ts';
import { peopleOperations } from './operations/people.ts';
import { recordOperations } from './operations/records.ts';
import { sharingOperations } from './operations/sharing.ts';

/** What each route of the contract does, by the name it has there; but those that the manifest leads to `mail-servers`. */
export const operations: Record<string, Operation> = {
  readOpenapi: async () => ({ body: openapiDocument(setting('PUBLIC_URL')) }),
  ...peopleOperations,
  ...dropboxOperations,
  ...recordOperations,
  ...messageOperations,
  ...mailAccountOperations,
  ...sharingOperations,
  ...addonUserOperations,
  ...backupOperations,
  ...offboardingOperations,
};
