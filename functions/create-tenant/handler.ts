import middy from '@middy/core';
import { Problem } from '../../core/errors.ts';
import { newId, newTenantId } from '../../core/ids.ts';
import { newToken } from '../../core/member/token-store.ts';
import { newDataKey } from '../../core/tenant/data-key-store.ts';
import { newTenantInput } from '../../core/tenant/tenant.ts';
import { createTenant } from '../../core/tenant/tenant-store.ts';
import { keyId, kms, table } from '../connect.ts';

/** When an operator asks for it: a new tenant with its first administrator, whose first token is shown this once. */
export const handler = middy().handler(async (event: unknown) => {
  const input = newTenantInput.safeParse(event);
  if (!input.success) return { error: 'invalid', detail: input.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) };
  const now = new Date();
  const tenant = newTenantId();
  const member = newId(now);
  const { write, token } = newToken(tenant, member, { id: newId(now), name: 'first token' }, now.toISOString());
  try {
    await createTenant(table(), tenant, input.data, member, now.toISOString(), [await newDataKey(kms(), keyId(), tenant), write]);
  } catch (error) {
    if (error instanceof Problem) return { error: error.code, detail: [error.message] };
    throw error;
  }
  return { tenant, member, token };
});
