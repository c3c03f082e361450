import * as z from 'zod';
import { MODULES, type Module } from '../record/module.ts';

const modulePermissions = z.strictObject({ view: z.boolean(), create: z.boolean(), edit: z.boolean() });
export type ModulePermissions = z.infer<typeof modulePermissions>;

/** What a group of members may do. `administrator` and `standard` are there from the start; others are the tenant's own. */
export type Profile = {
  id: string;
  name: string;
  /** The profile of GEN-3: sees all records, manages members, reads the audit. Only the built-in one has it. */
  administrator: boolean;
  /** General permission "BCC dropbox" (GEN-5). */
  bccDropbox: boolean;
  /** May create and change profiles (GEN-7). */
  manageProfiles: boolean;
  modules: Record<Module, ModulePermissions>;
  version: number;
};

export const ADMINISTRATOR = 'administrator';
export const STANDARD = 'standard';

const modulesInput = z.strictObject(
  Object.fromEntries(Object.keys(MODULES).map((module) => [module, modulePermissions.partial().optional()])),
);
export const profileInput = z.strictObject({
  name: z.string().trim().min(1).max(100),
  bccDropbox: z.boolean().default(false).meta({ description: 'Off unless it is ticked (GEN-6)' }),
  manageProfiles: z.boolean().default(false),
  modules: modulesInput.default({}),
});
export const profilePatch = z
  .strictObject({ name: z.string().trim().min(1).max(100), bccDropbox: z.boolean(), manageProfiles: z.boolean(), modules: modulesInput })
  .partial();
export const profileReturned = z.object({
  id: z.string(),
  name: z.string(),
  administrator: z.boolean(),
  bccDropbox: z.boolean(),
  manageProfiles: z.boolean(),
  modules: z.object(Object.fromEntries(Object.keys(MODULES).map((module) => [module, z.object(modulePermissions.shape)]))),
});

/** The two profiles of a fresh tenant: both may use the dropbox (GEN-6). */
export function builtInProfiles(): Profile[] {
  const base = { bccDropbox: true, modules: permissions({}, true), version: 1 };
  return [
    { ...base, id: ADMINISTRATOR, name: 'Administrator', administrator: true, manageProfiles: true },
    { ...base, id: STANDARD, name: 'Standard', administrator: false, manageProfiles: false },
  ];
}

/** Permissions of every module: what is given, and `fallback` for the rest. */
export function permissions(
  given: Partial<Record<string, Partial<ModulePermissions>>>,
  fallback: boolean,
): Record<Module, ModulePermissions> {
  return Object.fromEntries(
    Object.keys(MODULES).map((module) => [module, { view: fallback, create: fallback, edit: fallback, ...given[module] }]),
  ) as Record<Module, ModulePermissions>;
}
