import type { TenantId } from '../ids.ts';
import type { Module } from '../record/module.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { ModulePermissions, Profile } from './profile.ts';

/** For whom something is done: always an argument, never ambient, so that nobody can forget it. */
export type Viewer = {
  tenant: TenantId;
  member: string;
  name: string;
  /** Login address. */
  email: string;
  profile: Profile;
  organisation: Tenant;
  /** Ticked for the mail add-on: counts while the organisation says `selected` (GEN-1). */
  mailAddOn?: boolean;
};

export const isAdministrator = (viewer: Viewer): boolean => viewer.profile.administrator;

/** May the viewer set mail accounts up? An administrator enables it for everyone, or for members one by one (GEN-1). */
export function mayUseMailAddOn({ organisation, mailAddOn }: Pick<Viewer, 'organisation' | 'mailAddOn'>): boolean {
  return organisation.mailAddOn === 'everyone' || (organisation.mailAddOn === 'selected' && mailAddOn === true);
}

/** What the viewer's profile grants on a module. */
export function may(viewer: Viewer, module: Module, what: keyof ModulePermissions): boolean {
  return viewer.profile.administrator || viewer.profile.modules[module]?.[what] === true;
}
