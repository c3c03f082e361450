import middy from '@middy/core';
import { warnOfHiddenMail } from '../../core/addon-user/hidden-mail-store.ts';
import { outbound, table } from '../connect.ts';
import { log } from '../edge/log.ts';

/** Once a day: administrators are told of hidden mail that is kept for a week more only. */
export const handler = middy().handler(async () => {
  const counts = await warnOfHiddenMail({ table: table(), tell: (mail) => outbound().send(mail) }, new Date());
  log.info('administrators told of hidden mail', counts);
  return counts;
});
