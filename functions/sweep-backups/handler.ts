import middy from '@middy/core';
import { sweepBackups, sweepExports } from '../../core/backup/sweep-store.ts';
import { sweepOffboardings } from '../../core/offboarding/sweep-store.ts';
import { backupsQueue, exportsQueue, offboardingsQueue, table } from '../connect.ts';
import { log } from '../edge/log.ts';

/** Every minute: backups, exports of them and off-boardings that nobody works on any more are given to a worker. */
export const handler = middy().handler(async () => {
  const now = new Date();
  const woken = await sweepBackups({ table: table(), queue: backupsQueue() }, now);
  const exports = await sweepExports({ table: table(), queue: exportsQueue() }, now);
  const offboardings = await sweepOffboardings({ table: table(), queue: offboardingsQueue() }, now);
  log.info('backups, exports and off-boardings looked after', { woken, exports, offboardings });
  return { woken, exports, offboardings };
});
