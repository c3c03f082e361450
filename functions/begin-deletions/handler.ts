import middy from '@middy/core';
import { beginDeletions } from '../../core/retention/deletion-store.ts';
import { deletionsQueue, table } from '../connect.ts';
import { log } from '../edge/log.ts';

/** Once a day: hidden mail whose days are over begins to go, and what is under way goes on. */
export const handler = middy().handler(async () => {
  const counts = await beginDeletions({ table: table(), queue: deletionsQueue() }, new Date());
  log.info('deletions begun', counts);
  return counts;
});
