import middy from '@middy/core';
import { beginDeletions } from '../../core/retention/deletion-store.ts';
import { forgetPasswords } from '../../core/retention/forget-passwords-store.ts';
import { deletionsQueue, table } from '../connect.ts';
import { log } from '../edge/log.ts';

/** Once a day: passwords of mailboxes, and hidden mail, whose days are over go, and what is under way goes on. */
export const handler = middy().handler(async () => {
  const now = new Date();
  // Neither keeps the other from being done.
  const [passwords] = await Promise.allSettled([forgetPasswords(table(), now)]);
  const counts = await beginDeletions({ table: table(), queue: deletionsQueue() }, now);
  if (passwords.status === 'rejected') throw passwords.reason;
  const told = { ...counts, passwords: passwords.value };
  log.info('deletions begun', told);
  return told;
});
