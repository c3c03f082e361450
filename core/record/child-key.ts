import type { TenantId } from '../ids.ts';
import { type Key, recordPartition } from '../table/keys.ts';

/** Beside a record, for each record that belongs to it. */
export const childKey = (t: TenantId, parent: string, module: string, record: string): Key => ({
  pk: recordPartition(t, parent),
  sk: `C#${module}#${record}`,
});
