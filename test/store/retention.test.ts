import { readAddonUser } from '../../core/addon-user/addon-user-store.ts';
import { placeHold, releaseHold } from '../../core/addon-user/hold-store.ts';
import { listAudit } from '../../core/audit/audit-store.ts';
import type { Member } from '../../core/member/member.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import type { Table } from '../../core/table/client.ts';
import { memberKey } from '../../core/table/keys.ts';
import { BackupWorld, NINE } from '../support/backup-world.ts';
import { startTable } from '../support/engine.ts';

let table: Table;
let end: () => Promise<void>;
beforeAll(async () => ({ table, end } = await startTable()));
afterAll(() => end());

/** What the audit says of the leaver, newest first. */
const audited = async (world: BackupWorld) => {
  const { items } = await listAudit(table, world.leaver.tenant, { limit: 100, now: world.now, since: NINE.toISOString() });
  return items.filter(({ subject }) => subject === `member:${world.leaver.member}`);
};

describe('a hold on the mail of a member', () => {
  const begin = () => new BackupWorld(table).begin();
  const hold = (world: BackupWorld, by: Viewer, reason = 'Lawsuit') => placeHold(table, by, world.leaver.member, { reason }, world.tick());
  const held = async (world: BackupWorld) => (await readAddonUser(table, world.admin, world.leaver.member, world.now)).hold;

  test('R-29, GEN-3: administrators place it, in the list it is shown with who and why, and release it; each is in the audit', async () => {
    const world = await begin();
    await hold(world, world.admin);
    expect(await held(world)).toEqual({
      by: { id: world.admin.member, name: world.admin.name },
      since: world.now.toISOString(),
      reason: 'Lawsuit',
    });
    await hold(world, world.admin, 'Another lawsuit');
    expect((await held(world))?.reason).toBe('Another lawsuit');
    await hold(world, world.admin, 'Another lawsuit');
    await releaseHold(table, world.admin, world.leaver.member, world.tick());
    expect(await held(world)).toBeUndefined();
    const entries = (await audited(world)).filter(({ action }) => action.endsWith('hold'));
    expect(
      entries.map(({ action, actor, before, after }) =>
        [action, actor, before, after].map((one) => (one as { reason?: string })?.reason ?? one),
      ),
    ).toEqual([
      ['addon-user.release-hold', world.admin.member, 'Another lawsuit', undefined],
      ['addon-user.hold', world.admin.member, 'Lawsuit', 'Another lawsuit'],
      ['addon-user.hold', world.admin.member, undefined, 'Lawsuit'],
    ]);
    await expect(releaseHold(table, world.admin, world.leaver.member, world.now)).rejects.toMatchObject({
      status: 409,
      code: 'not-on-hold',
    });
  });

  test('GEN-4: nobody else does, for anybody; a refusal changes nothing', async () => {
    const world = await begin();
    const before = await table.get<Member>(memberKey(world.leaver.tenant, world.leaver.member));
    for (const by of [world.leaver, world.colleague]) {
      await expect(hold(world, by)).rejects.toMatchObject({ status: 403, code: 'administrators-only' });
      await expect(releaseHold(table, by, world.leaver.member, world.now)).rejects.toMatchObject({ code: 'administrators-only' });
    }
    for (const id of ['x', '0'.repeat(26)])
      await expect(placeHold(table, world.admin, id, { reason: 'x' }, world.now)).rejects.toMatchObject({ status: 404 });
    expect(await table.get(memberKey(world.leaver.tenant, world.leaver.member))).toEqual(before);
    expect((await audited(world)).filter(({ action }) => action.endsWith('hold'))).toEqual([]);
  });

  test('it outlives a deactivation and what else is changed of the member; an administrator may be put on hold by themselves', async () => {
    const world = await begin();
    await hold(world, world.admin);
    await world.setStatus('deactivated');
    await world.setStatus('active');
    expect((await held(world))?.reason).toBe('Lawsuit');
    await placeHold(table, world.admin, world.admin.member, { reason: 'Mine' }, world.tick());
    expect((await table.get<Member>(memberKey(world.admin.tenant, world.admin.member)))?.hold?.reason).toBe('Mine');
    await releaseHold(table, world.admin, world.admin.member, world.tick());
  });
});
