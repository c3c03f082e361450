import type * as z from 'zod';
import { newId } from '../../../core/ids.ts';
import type { Viewer } from '../../../core/member/viewer.ts';
import { cancelOffboarding } from '../../../core/offboarding/cancel-store.ts';
import { type checkQuery, type Offboarding, type offboardingInput, offboardingView } from '../../../core/offboarding/offboarding.ts';
import {
  checkOffboarding,
  findOffboarding,
  listOffboardings,
  resumeOffboarding,
  type StartRoom,
  startOffboarding,
} from '../../../core/offboarding/offboarding-store.ts';
import { offboardingsQueue, tableOf } from '../../connect.ts';
import { errorForLog, log } from '../../edge/log.ts';
import type { Call, Operation, Reply } from '../call.ts';

export const offboardingOperations = {
  checkOffboarding: async ({ viewer, params, query, now }: Call<z.output<typeof checkQuery>>) => ({
    body: await checkOffboarding(tableOf(viewer.tenant), viewer, params.memberId ?? '', { successor: query.successor, now }),
  }),
  startOffboarding: async ({ viewer, params, body, now }: Call<never, z.output<typeof offboardingInput>>) => {
    const run = await startOffboarding(room(viewer), viewer, params.memberId ?? '', {
      ...body,
      successor: body.successor,
      id: newId(now),
      now,
    });
    return { ...shown(run), headers: { location: `/v1/offboardings/${run.id}` } };
  },
  listOffboardings: async ({ viewer, query }: Call<{ limit: number; cursor?: string }>) => {
    const { items, next } = await listOffboardings(tableOf(viewer.tenant), viewer, { limit: query.limit, after: query.cursor });
    return { body: { items: items.map(offboardingView), next } };
  },
  readOffboarding: async ({ viewer, params }: Call) =>
    shown(await findOffboarding(tableOf(viewer.tenant), viewer, params.offboardingId ?? '')),
  resumeOffboarding: async ({ viewer, params, now }: Call) =>
    shown(await resumeOffboarding(room(viewer), viewer, params.offboardingId ?? '', now)),
  cancelOffboarding: async ({ viewer, params, now }: Call) =>
    shown(await cancelOffboarding(room(viewer), viewer, params.offboardingId ?? '', now)),
} satisfies Record<string, Operation>;

/** A word that cannot be sent now is said again within minutes, by `sweep-backups`: what was begun is answered as begun. */
const room = ({ tenant }: Viewer): StartRoom => ({
  table: tableOf(tenant),
  queue: {
    send: async (job) => {
      try {
        await offboardingsQueue().send(job);
      } catch (error) {
        log.error('the worker of an off-boarding was not told', errorForLog(error));
      }
    },
  },
});

const shown = (run: Offboarding): Reply => ({ body: offboardingView(run) });
