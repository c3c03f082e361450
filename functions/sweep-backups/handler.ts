import middy from '@middy/core';
import { sweepBackups } from '../../core/backup/sweep-store.ts';
import { backupsQueue, table } from '../connect.ts';
import { log } from '../edge/log.ts';

/** Every minute: backups that nobody works on any more are given to a worker. */
export const handler = middy().handler(async () => {
  const woken = await sweepBackups({ table: table(), queue: backupsQueue() }, new Date());
  log.info('backups looked after', { woken });
  return { woken };
});
