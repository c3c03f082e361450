import { randomBytes } from 'node:crypto';
import { KMSClient } from '@aws-sdk/client-kms';
import { newId, newTenantId } from '../../core/ids.ts';
import type { Member } from '../../core/member/member.ts';
import { builtInProfiles } from '../../core/member/profile.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import type { Table } from '../../core/table/client.ts';
import { memberKey, tenantKey } from '../../core/table/keys.ts';
import { newDataKey, Vault } from '../../core/tenant/data-key-store.ts';
import { createTenant, readViewer } from '../../core/tenant/tenant-store.ts';
import { keyService } from '../../lib/local/engine/keys.ts';
import { HOST, serve } from '../../lib/local/engine/server.ts';
import { startTable } from './engine.ts';

const MASTER_KEY = 'arn:aws:kms:eu-west-1:000000000000:key/of-tests';

/** Profiles by their ids, as an organisation has them that made none of its own. */
export const PROFILES = new Map(builtInProfiles().map((profile) => [profile.id, profile]));

/** A table and a KMS of a test file, both real, and a vault on them. */
export type Stores = { table: Table; kms: KMSClient; keyId: string; vault: Vault };

export async function startStores(): Promise<Stores & { end: () => Promise<void> }> {
  const { table, end: endTable } = await startTable();
  const service = await serve(keyService({ arn: MASTER_KEY, secret: randomBytes(32).toString('base64') }, {}));
  const credentials = { accessKeyId: HOST, secretAccessKey: 'local' };
  const kms = new KMSClient({ endpoint: service.url, region: 'eu-west-1', credentials });
  const end = async () => {
    kms.destroy();
    await Promise.all([service.end(), endTable()]);
  };
  return { table, kms, keyId: MASTER_KEY, vault: new Vault(kms, table), end };
}

/** A new organisation with its first administrator, and whoever joins it; who has not confirmed has no viewer. */
export async function newOrganisation(
  { table, kms, keyId }: Stores,
  now: Date,
  administrator = { name: 'Boss', email: 'boss@example.com' },
) {
  const tenant = newTenantId();
  const boss = newId(now);
  const input = { name: 'Example', timeZone: 'UTC', administrator };
  await createTenant(table, tenant, input, boss, now.toISOString(), [await newDataKey(kms, keyId, tenant)]);
  const viewerOf = async (id: string) => (await readViewer(table, tenant, id)) as Viewer;
  let joined = 0;
  const join = async (name: string, more: Partial<Member> = {}): Promise<Viewer> => {
    const id = newId(new Date(now.getTime() + ++joined));
    const email = `${name.toLowerCase()}@example.com`;
    const as = { profile: 'standard', status: 'active', confirmed: true, createdAt: now.toISOString(), version: 1 };
    const member = { id, name, email, ...as, ...more };
    await table.put({ ...memberKey(tenant, id), ...member });
    if (member.profile === 'administrator')
      await table.update(tenantKey(tenant), { update: 'SET administrators = administrators + :one', values: { ':one': 1 } });
    return viewerOf(id);
  };
  return { tenant, boss: await viewerOf(boss), viewerOf, join };
}
