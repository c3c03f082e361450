import { lockMember, unlockMember } from '../../core/addon-user/lock-store.ts';
import { type AuditEntry, listAudit } from '../../core/audit/audit-store.ts';
import { cancelBackup, endBackup } from '../../core/backup/backup-store.ts';
import { noteDownload, noteReading } from '../../core/backup/reading-store.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import { readVisible } from '../../core/message/visible-message-store.ts';
import type { Table } from '../../core/table/client.ts';
import { ownMailPartition } from '../../core/table/keys.ts';
import { BackupWorld, NINE } from '../support/backup-world.ts';
import { startTable } from '../support/engine.ts';
import { DAY } from '../support/retention-world.ts';

/** What administrators do when somebody leaves, and who read what of them: each stands in the audit, once, with who and when. */
let table: Table;
let end: () => Promise<void>;
beforeAll(async () => ({ table, end } = await startTable()));
afterAll(() => end());

const begin = () => new BackupWorld(table).begin();

async function entries({ leaver, now }: BackupWorld, action: string): Promise<AuditEntry[]> {
  const { items } = await listAudit(table, leaver.tenant, { limit: 100, now, since: NINE.toISOString() });
  return items.filter((item) => item.action === action && item.subject === `member:${leaver.member}`);
}

test('LCK-1: a lock, with its reason and its end', async () => {
  const world = await begin();
  const until = new Date(world.now.getTime() + DAY * 1000).toISOString();
  await lockMember(table, world.admin, world.leaver.member, { reason: 'Leaves', expiresAt: until }, world.tick());
  expect(await entries(world, 'addon-user.lock')).toMatchObject([
    { actor: world.admin.member, at: world.now.toISOString(), after: { reason: 'Leaves', until } },
  ]);
});

test('UNL-1: an unlock, with the lock that was', async () => {
  const world = await begin();
  await lockMember(table, world.admin, world.leaver.member, { reason: 'Leaves' }, world.tick());
  await unlockMember(table, world.admin, world.leaver.member, { reason: 'Stays' }, world.tick());
  expect(await entries(world, 'addon-user.unlock')).toMatchObject([
    { actor: world.admin.member, at: world.now.toISOString(), before: { reason: 'Leaves' }, after: { reason: 'Stays' } },
  ]);
});

test('R-33: a deactivation and a reactivation', async () => {
  const world = await begin();
  await world.setStatus('deactivated');
  const at = world.now.toISOString();
  expect(await entries(world, 'member.deactivate')).toMatchObject([
    { actor: world.admin.member, at, before: { status: 'active' }, after: { status: 'deactivated' } },
  ]);
  await world.setStatus('active');
  expect(await entries(world, 'member.reactivate')).toMatchObject([{ actor: world.admin.member, at: world.now.toISOString() }]);
});

test('R-16: a backup, begun with its scope and ended with its counts', async () => {
  const world = await begin();
  await world.fetched('one');
  await world.setStatus('deactivated');
  const { id } = await world.backUp('backup', 'all-records');
  const by = { actor: world.admin.member };
  expect(await entries(world, 'backup.start')).toMatchObject([{ ...by, after: { backup: id, scope: 'all-records' } }]);
  expect(await entries(world, 'backup.complete')).toMatchObject([{ ...by, after: { backup: id, mails: 1, missing: 0 } }]);
});

test('a backup that was cancelled, with who cancelled it; and one that failed', async () => {
  const world = await begin();
  await world.setStatus('deactivated');
  const cancelled = await world.start();
  await cancelBackup(world.startRoom(), world.admin, cancelled.id, world.tick());
  expect(await entries(world, 'backup.cancel')).toMatchObject([{ actor: world.admin.member, after: { backup: cancelled.id } }]);
  const failed = await world.start();
  await endBackup(table, world.leaver.tenant, failed, { state: 'failed', by: failed.startedBy, now: world.tick() });
  expect(await entries(world, 'backup.fail')).toMatchObject([{ actor: world.admin.member, after: { backup: failed.id } }]);
});

test('a download of a backup: each time, by whom, and what', async () => {
  const world = await begin();
  await world.fetched('one');
  await world.setStatus('deactivated');
  const backup = await world.backUp();
  for (let n = 0; n < 2; n++) await noteDownload(table, world.admin, backup, 'manifest', world.tick());
  const one = { actor: world.admin.member, after: { backup: backup.id, what: 'manifest' } };
  expect(await entries(world, 'backup.download')).toMatchObject([one, one]);
});

describe('who read mail that only a backup shows', () => {
  const open = async (world: BackupWorld, viewer: Viewer) => {
    const [row] = await table.all<{ message: string }>({ pk: ownMailPartition(world.leaver.tenant, world.leaver.member) });
    await noteReading(table, viewer, await readVisible(table, viewer, row!.message), world.now);
    return row!.message;
  };
  const backedUp = async () => {
    const world = await begin();
    await world.fetched('one');
    await world.setStatus('deactivated');
    await world.backUp();
    return world;
  };

  test('each reader of it once a day, with the mail', async () => {
    const world = await backedUp();
    for (let n = 0; n < 3; n++) await open(world, world.colleague);
    const message = await open(world, world.admin);
    expect(
      (await entries(world, 'backup.read')).map(({ actor, after }) => ({ actor, after })).sort((a, b) => (a.actor < b.actor ? -1 : 1)),
    ).toEqual(
      [world.colleague, world.admin]
        .map(({ member }) => ({ actor: member, after: { message } }))
        .sort((a, b) => (a.actor < b.actor ? -1 : 1)),
    );
    world.tick(DAY);
    await open(world, world.colleague);
    expect(await entries(world, 'backup.read')).toHaveLength(3);
  });

  test('nobody who sees it otherwise: its owner, or whoever it is shared with again', async () => {
    const world = await backedUp();
    await world.setStatus('active');
    await open(world, world.leaver);
    await open(world, world.colleague);
    expect(await entries(world, 'backup.read')).toEqual([]);
  });
});
