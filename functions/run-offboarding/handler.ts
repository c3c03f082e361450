import middy from '@middy/core';
import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { tellOfLock } from '../../core/addon-user/lock-notice-store.ts';
import { asTenantId } from '../../core/ids.ts';
import { OFFBOARDING_SECONDS } from '../../core/limits.ts';
import { offboardingJob } from '../../core/offboarding/offboarding.ts';
import { giveUp, runOffboarding } from '../../core/offboarding/run-offboarding.ts';
import type { OffboardingRoom } from '../../core/offboarding/step.ts';
import { backupsQueue, offboardingsQueue, outbound, pollsQueue, setting, table } from '../connect.ts';
import { errorForLog, log } from '../edge/log.ts';
import { type Job, queueHandler } from '../edge/queue.ts';
import { resources } from '../manifest.ts';

/** A turn, and the part of a step that was begun in its last moment. */
const NEEDS_MS = (OFFBOARDING_SECONDS + 30) * 1000;

/** When an off-boarding has work to do, or a member is to be told of a lock. */
export const handler = middy<SQSEvent, SQSBatchResponse>().handler(queueHandler(work, NEEDS_MS));

async function work({ body, attempt }: Job): Promise<void> {
  const job = offboardingJob.parse(body);
  const room: OffboardingRoom = {
    table: table(),
    queue: offboardingsQueue(),
    polls: pollsQueue(),
    backups: backupsQueue(),
    tell: (mail) => outbound().send(mail),
    publicUrl: setting('PUBLIC_URL'),
    clock: () => new Date(),
  };
  if ('lockNotice' in job) return tellOfLock(room, job.lockNotice, new Date());
  await takeTurn(room, job, attempt);
}

async function takeTurn(room: OffboardingRoom, { tenant: id, offboarding }: { tenant: string; offboarding: string }, attempt: number) {
  const tenant = asTenantId(id);
  try {
    const turn = await runOffboarding(room, tenant, offboarding, new Date(Date.now() + OFFBOARDING_SECONDS * 1000));
    log.info('off-boarding worked on', { tenant, offboarding, turn });
  } catch (error) {
    if (attempt < resources.offboardings.maxReceives) throw error;
    log.error('off-boarding stopped after its last try', { tenant, offboarding, ...errorForLog(error) });
    await giveUp(room, tenant, offboarding);
  }
}
