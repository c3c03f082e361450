import middy from '@middy/core';
import { sweepBackups } from '../../core/backup/sweep-store.ts';
import { sweepOffboardings } from '../../core/offboarding/sweep-store.ts';
import { backupsQueue, offboardingsQueue, table } from '../connect.ts';
import { log } from '../edge/log.ts';

/** Every minute: backups and off-boardings that nobody works on any more are given to a worker. */
export const handler = middy().handler(async () => {
  const now = new Date();
  const woken = await sweepBackups({ table: table(), queue: backupsQueue() }, now);
  const offboardings = await sweepOffboardings({ table: table(), queue: offboardingsQueue() }, now);
  log.info('backups and off-boardings looked after', { woken, offboardings });
  return { woken, offboardings };
});
