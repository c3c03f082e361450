import middy from '@middy/core';
import { planPolls } from '../../core/account/plan-polls-store.ts';
import { pollsQueue, table } from '../connect.ts';
import { log } from '../edge/log.ts';

/** Every minute: the mail accounts that are due are put into the queue. */
export const handler = middy().handler(async () => {
  const counts = await planPolls({ table: table(), polls: pollsQueue() }, new Date());
  log.info('polls planned', counts);
  return counts;
});
