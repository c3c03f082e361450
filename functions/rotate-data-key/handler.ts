import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import * as z from 'zod';
import { asTenantId } from '../../core/ids.ts';
import { addDataKey, Vault } from '../../core/tenant/data-key-store.ts';
import { rotateDataKey } from '../../core/tenant/key-rotation-store.ts';
import { keyId, kms, table } from '../connect.ts';
import { log } from '../edge/log.ts';

/** Left for the member in hand: twenty mail accounts with two passwords each. */
const NEEDS_MS = 30_000;

const asked = z.object({ tenant: z.string().regex(/^[0-9a-hjkmnp-tv-z]{16}$/) });

/** When an operator asks for it: a tenant gets a new data key, or a rotation that was begun goes on. */
export const handler = middy().handler(async (event: unknown, context: Context) => {
  const input = asked.safeParse(event);
  const unknown = { error: 'unknown-tenant', detail: ['There is no such tenant. Give the id that tenant:create printed.'] };
  if (!input.success) return unknown;
  const tenant = asTenantId(input.data.tenant);
  const now = new Date();
  const room = {
    table: table(),
    vault: new Vault(kms(), table()),
    addKey: (before: Parameters<typeof addDataKey>[4]) => addDataKey(kms(), keyId(), table(), tenant, before, now),
    hasTime: () => context.getRemainingTimeInMillis() > NEEDS_MS,
  };
  const result = await rotateDataKey(room, tenant, now);
  if (!result) return unknown;
  log.info('data key rotated', { tenant, ...result });
  return result;
});
