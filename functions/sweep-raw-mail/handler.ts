import middy from '@middy/core';
import { sweepRawMail } from '../../core/dropbox/sweep-store.ts';
import { mailBucket, table } from '../connect.ts';
import { log } from '../edge/log.ts';

/** Once a day: the raw mail whose thirty days are over and that was never filed goes. */
export const handler = middy().handler(async () => {
  const counts = await sweepRawMail(table(), mailBucket(), new Date());
  log.info('raw mail swept', counts);
  return counts;
});
