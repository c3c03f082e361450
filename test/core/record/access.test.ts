import { mayEdit, mayRead, readable, requirePermission } from '../../../core/record/access.ts';
import type { Module } from '../../../core/record/module.ts';
import { aTenant, viewerOf } from './viewers.ts';

const tenant = aTenant();
const lead = (owner: string) => ({ module: 'leads' as Module, owner });

describe('R-41: who may read and edit a record', () => {
  test.each([
    // default, administrator, own, view, edit -> reads, edits
    ['everyone', false, false, true, true, true, true],
    ['everyone', false, false, true, false, true, false],
    ['everyone', false, false, false, true, false, false],
    ['everyone', false, true, false, true, false, false],
    ['everyone', true, false, false, false, true, true],
    ['owner-and-admins', false, false, true, true, false, false],
    ['owner-and-admins', false, true, true, true, true, true],
    ['owner-and-admins', false, true, true, false, true, false],
    ['owner-and-admins', false, true, false, true, false, false],
    ['owner-and-admins', true, false, true, true, true, true],
  ] as const)('R-41: default %s, administrator %s, own %s, view %s, edit %s', (access, administrator, own, view, edit, reads, edits) => {
    const viewer = viewerOf(tenant, { administrator, grants: { leads: { view, edit } }, recordAccess: { leads: access } });
    const record = lead(own ? 'mika' : 'other');
    expect([mayRead(viewer, record), mayEdit(viewer, record)]).toEqual([reads, edits]);
  });

  test('R-41: the default of one module says nothing of another', () => {
    const viewer = viewerOf(tenant, { recordAccess: { contacts: 'owner-and-admins' } });
    expect(mayRead(viewer, lead('other'))).toBe(true);
    expect(mayRead(viewer, { module: 'contacts', owner: 'other' })).toBe(false);
  });

  test("another's record, one of another module and none at all answer the same 404", () => {
    const viewer = viewerOf(tenant, { recordAccess: { leads: 'owner-and-admins' } });
    const answers = [lead('other'), undefined, { module: 'contacts' as Module, owner: 'mika' }].map((record) => {
      try {
        readable(viewer, 'leads', record);
        return 'read';
      } catch (error) {
        return JSON.stringify({ ...(error as object), message: (error as Error).message });
      }
    });
    expect(new Set(answers).size).toBe(1);
    expect(answers[0]).toContain('"status":404');
  });

  test('R-41: a module the profile does not grant is 403', () => {
    const viewer = viewerOf(tenant, { grants: { leads: { create: false } } });
    expect(() => requirePermission(viewer, 'leads', 'create')).toThrow(expect.objectContaining({ status: 403, code: 'no-permission' }));
    expect(() => requirePermission(viewer, 'leads', 'view')).not.toThrow();
  });
});
