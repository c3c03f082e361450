import { asTenantId, newTenantId, type TenantId } from '../../../core/ids.ts';
import { permissions } from '../../../core/member/profile.ts';
import type { Viewer } from '../../../core/member/viewer.ts';
import type { Module } from '../../../core/record/module.ts';
import type { Tenant } from '../../../core/tenant/tenant.ts';

type Given = {
  member?: string;
  administrator?: boolean;
  grants?: Parameters<typeof permissions>[0];
  recordAccess?: Partial<Record<Module, 'everyone' | 'owner-and-admins'>>;
};

/** A viewer as the authoriser makes them, without a table. */
export function viewerOf(tenant: TenantId, given: Given = {}): Viewer {
  const { member = 'mika', administrator = false, grants = {}, recordAccess = {} } = given;
  const organisation: Tenant = {
    id: tenant,
    name: 'Example',
    timeZone: 'UTC',
    recordAccess,
    excludedDomains: [],
    createdAt: '2026-01-01T00:00:00.000Z',
    version: 1,
  };
  return {
    tenant,
    member,
    name: member,
    email: `${member}@example.com`,
    profile: {
      id: administrator ? 'administrator' : 'standard',
      name: 'a profile',
      administrator,
      bccDropbox: true,
      manageProfiles: administrator,
      modules: permissions(grants, true),
      version: 1,
    },
    organisation,
  };
}

export const aTenant = () => asTenantId(newTenantId());
