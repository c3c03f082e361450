import { forbidden, notFound } from '../errors.ts';
import { isAdministrator, may, type Viewer } from '../member/viewer.ts';
import { type Module, moduleRow } from './module.ts';

/** What access is decided by: of a record, and of every item that points at one. */
export type Owned = { module: Module; owner: string };

/**
 * the profile lets the viewer see the module, and the organisation's default for it is `everyone`, or the record
 * is the viewer's own, or the viewer is an administrator. The one place where this is decided.
 */
export function mayRead(viewer: Viewer, record: Owned): boolean {
  if (!may(viewer, record.module, 'view')) return false;
  return (
    isAdministrator(viewer) || record.owner === viewer.member || viewer.organisation.recordAccess[record.module] !== 'owner-and-admins'
  );
}

/** who may read a record and has the profile's permission to edit its module, may change and delete it. */
export function mayEdit(viewer: Viewer, record: Owned): boolean {
  return mayRead(viewer, record) && may(viewer, record.module, 'edit');
}

/** The record, if the viewer may read it; else the same 404 as for one that does not exist. */
export function readable<T extends Owned>(viewer: Viewer, module: Module, record: T | undefined): T {
  if (!record || record.module !== module || !mayRead(viewer, record)) throw notFound(moduleRow(module).singular);
  return record;
}

/** Throws 403 unless the profile grants `what` on the module. Says nothing of any record. */
export function requirePermission(viewer: Viewer, module: Module, what: 'view' | 'create' | 'edit'): void {
  if (may(viewer, module, what)) return;
  throw forbidden('no-permission', `Your profile does not let you ${what} ${module}. Ask an administrator to change it.`);
}
