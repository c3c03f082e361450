import { cancelBackup, listBackups } from '../../core/backup/backup-store.ts';
import { runBackup } from '../../core/backup/run-backup.ts';
import { sweepBackups } from '../../core/backup/sweep-store.ts';
import { newId, sha256 } from '../../core/ids.ts';
import type { BackfillJob } from '../../core/message/backfill.ts';
import { backfillPage } from '../../core/message/backfill-store.ts';
import { listThread, readVisible } from '../../core/message/visible-message-store.ts';
import { detachAddress } from '../../core/record/record-store.ts';
import type { Sharing } from '../../core/sharing/sharing.ts';
import type { Table } from '../../core/table/client.ts';
import { auditPartition, backupKey, mailAccountKey, memberKey, ownMailPartition, tickKey } from '../../core/table/keys.ts';
import { BackupWorld, FRIEND, TARO } from '../support/backup-world.ts';
import { startTable } from '../support/engine.ts';

let table: Table;
let end: () => Promise<void>;
beforeAll(async () => ({ table, end } = await startTable()));
afterAll(() => end());

const begin = (sharing?: Sharing, organisation?: object) => new BackupWorld(table).begin(sharing, organisation);
const refusal = async (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: { code?: string; extra?: { reasons?: { code: string }[] } }) => ({
      code: error.code,
      reasons: error.extra?.reasons?.map(({ code }) => code),
    }),
  );
const idOf = async (world: BackupWorld, subject: string) => {
  const rows = await table.all<{ subject: string; message: string }>({ pk: ownMailPartition(world.leaver.tenant, world.leaver.member) });
  return rows.find((row) => row.subject === subject)?.message ?? '';
};

describe('a backup makes mail visible again', () => {
  test('GEN-9, BKP-7, BKP-8: hidden with the deactivation, back on its records when the backup is completed', async () => {
    const world = await begin();
    await world.fetched('one');
    await world.fetched('two');
    expect(await world.seen()).toEqual(['two', 'one']);
    await world.setStatus('deactivated');
    expect(await world.seen()).toEqual([]);
    const id = await idOf(world, 'one');
    await expect(readVisible(table, world.colleague, id)).rejects.toMatchObject({ code: 'not-found' });

    const backup = await world.backUp();
    expect(backup).toMatchObject({ state: 'completed', total: 2, tally: { looked: 2, mails: 2, entries: 2, missing: 0 } });
    expect(await world.seen()).toEqual(['two', 'one']);
    const visible = await readVisible(table, world.colleague, id);
    expect(visible.reasons).toEqual([
      { owner: world.leaver.member, channel: 'backup', because: 'backed-up', record: { module: 'contacts', id: world.contact } },
    ]);
    expect(await listThread(table, world.colleague, visible.message.thread, 10)).toMatchObject([{ subject: 'one' }]);
  });

  test('BKP-3, BKP-4, R-43: mail of a hosted mailbox is backed up like that of one read over POP3', async () => {
    const world = await begin();
    const address = 'leaver-7k3m9q2x@in.example.com';
    await world.hosted(address);
    await world.received('sent here', address);
    await world.setStatus('deactivated');
    expect(await world.seen()).toEqual([]);
    expect(await world.backUp()).toMatchObject({ state: 'completed', total: 1, tally: { mails: 1, entries: 1, missing: 0 } });
    expect(await world.seen()).toEqual(['sent here']);
  });

  test('BKP-6, SHR-27: what is tied to no record is not backed up, and stays out of sight', async () => {
    const world = await begin();
    await world.fetched('private matter', { from: [{ address: 'nobody@elsewhere.example', name: '' }] });
    await world.fetched('business');
    await world.setStatus('deactivated');
    const backup = await world.backUp('backup', 'all-records');
    expect(backup.tally).toMatchObject({ looked: 2, mails: 1 });
    await expect(readVisible(table, world.admin, await idOf(world, 'private matter'))).rejects.toMatchObject({ code: 'not-found' });
  });

  test('R-16: `shared` is what was shared: of `custom` the ticked records, of `public` all but what is excluded', async () => {
    const custom = await begin({ type: 'custom' });
    await custom.fetched('on the contact');
    await custom.fetched('on the lead', { from: [{ address: FRIEND, name: '' }] });
    await table.put({ ...tickKey(custom.leaver.tenant, custom.contact, custom.leaver.member), owner: custom.leaver.member });
    await custom.setStatus('deactivated');
    await custom.backUp();
    expect([await custom.seen(), await custom.seen(custom.lead)]).toEqual([['on the contact'], []]);

    const open = await begin({ type: 'public', excludedDomains: ['partner.example'] });
    await open.fetched('on the contact');
    await open.fetched('on the lead', { from: [{ address: FRIEND, name: '' }] });
    await open.fetched('to both', {
      from: [{ address: 'leaver@example.com', name: '' }],
      to: [TARO, FRIEND].map((address) => ({ address, name: '' })),
    });
    await open.setStatus('deactivated');
    await open.backUp();
    expect([await open.seen(), await open.seen(open.lead)]).toEqual([['on the contact'], []]);
  });

  test('R-16: `all-records` is all that is tied to a record; what is excluded, by the member or for everybody, still stays out', async () => {
    const world = await begin({ type: 'custom' });
    await world.fetched('not ticked');
    await world.setStatus('deactivated');
    await world.backUp('backup', 'all-records');
    expect(await world.seen()).toEqual(['not ticked']);

    for (const [sharing, mailPolicy] of [
      [{ type: 'public', excludedDomains: ['partner.example'] }, undefined],
      [
        { type: 'custom' },
        { defaultSharing: 'private', allowedSharing: ['custom'], excludedDomains: ['partner.example'], excludedAddresses: [] },
      ],
    ] as [Sharing, object | undefined][]) {
      const strict = await begin(sharing, { mailPolicy });
      await strict.fetched('fine');
      await strict.fetched('excluded', { from: [{ address: FRIEND, name: '' }] });
      await strict.setStatus('deactivated');
      await strict.backUp('backup', 'all-records');
      expect([await strict.seen(), await strict.seen(strict.lead)]).toEqual([['fine'], []]);
    }
  });

  test('R-16: what a backup made visible stays so after the member came back, and after they turned private', async () => {
    const world = await begin();
    await world.fetched('kept');
    await world.setStatus('deactivated');
    await world.backUp();
    await world.setStatus('active');
    await world.saveSettings({ type: 'private' });
    await world.fetched('new and private');
    expect(await world.seen()).toEqual(['kept']);
    expect(await world.seen(world.contact, world.leaver)).toEqual(['new and private', 'kept']);
  });

  test('a mail on more records than its row names is shown on all of them', async () => {
    const world = await begin();
    const addresses = ['a', 'b', 'c', 'd', 'e'].map((name) => `${name}@many.example`);
    const { existing } = await import('../support/dropbox-world.ts');
    const records: string[] = [];
    for (const address of addresses) records.push(await existing(table, world.world, 'contacts', address));
    await world.fetched('to many', {
      from: [{ address: 'leaver@example.com', name: '' }],
      to: addresses.map((address) => ({ address, name: '' })),
    });
    await world.setStatus('deactivated');
    const backup = await world.backUp();
    expect(backup.tally).toMatchObject({ mails: 1, entries: 5 });
    for (const record of records) expect(await world.seen(record)).toEqual(['to many']);
  });

  test('R-41, R-5: a backup opens no record: who may not read it sees nothing', async () => {
    const world = await begin(undefined, { recordAccess: { contacts: 'owner-and-admins' } });
    await world.fetched('on a record of its owner alone');
    await world.setStatus('deactivated');
    await world.backUp();
    const id = await idOf(world, 'on a record of its owner alone');
    await expect(readVisible(table, world.colleague, id)).rejects.toMatchObject({ code: 'not-found' });
    expect((await readVisible(table, world.admin, id)).reasons).toMatchObject([{ because: 'backed-up' }]);
  });
});

describe('the run', () => {
  test('the scope is what was in force when it started: mail that comes later is not in it, nor what the organisation changes', async () => {
    const world = await begin();
    for (const subject of ['a', 'b', 'c']) await world.fetched(subject);
    await world.setStatus('deactivated');
    const { id } = await world.start();
    await world.work({ pageMails: 1 });
    await world.fetched('too late');
    expect(await world.read(id)).toMatchObject({ state: 'completed', total: 3, tally: { looked: 3, mails: 3 } });
    expect(await world.seen()).toEqual(['c', 'b', 'a']);
  });

  test('page by page: each turn goes on where the last one stood, and the manifest names all parts with their hashes', async () => {
    const world = await begin();
    const subjects = Array.from({ length: 7 }, (_, i) => `mail ${i}`);
    for (const subject of subjects) await world.fetched(subject);
    await world.setStatus('deactivated');
    const { id } = await world.start();
    await world.work({ pageMails: 2 });
    const backup = await world.read(id);
    expect(backup).toMatchObject({ state: 'completed', pages: 4, tally: { mails: 7 } });
    const manifest = await world.manifest(id);
    expect(sha256(Buffer.from(JSON.stringify(manifest)))).toBe(backup.manifest);
    const lines = manifest.parts.flatMap((part: { key: string; sha256: string }) => {
      const bytes = world.files.get(part.key) as Uint8Array;
      expect(sha256(bytes)).toBe(part.sha256);
      return Buffer.from(bytes)
        .toString()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
    });
    expect(lines.map((line: { sha256: string }) => line.sha256)).toEqual(subjects.map((subject) => sha256(Buffer.from(subject))));
    expect(manifest).toMatchObject({ scope: 'shared', startedBy: world.admin.member, result: { mails: 7 } });
  });

  test('a mail whose raw bytes are gone is shown, counted, and has no hash', async () => {
    const world = await begin();
    const key = await world.fetched('without source');
    world.files.delete(key);
    await world.setStatus('deactivated');
    expect((await world.backUp()).tally).toMatchObject({ mails: 1, missing: 1, bytes: 0 });
    expect(await world.seen()).toEqual(['without source']);
  });

  test('a page ends at its bytes, too', async () => {
    const world = await begin();
    for (const subject of ['12345678', '87654321', 'abcdefgh']) await world.fetched(subject);
    await world.setStatus('deactivated');
    const { id } = await world.start();
    await world.work({ pageBytes: 16 });
    expect(await world.read(id)).toMatchObject({ state: 'completed', pages: 2, tally: { mails: 3, bytes: 24 } });
  });

  test('who started it is told once when it ends, with counts and link; the audit tells its start and its end', async () => {
    const world = await begin();
    await world.fetched('one');
    await world.setStatus('deactivated');
    const { id } = await world.backUp();
    world.jobs.push({ tenant: world.leaver.tenant, backup: id });
    await world.work();
    expect(world.told).toMatchObject([{ to: 'admin@example.com', subject: expect.stringContaining('complete') }]);
    expect(world.told[0]?.text).toMatch(new RegExp(`Mails made visible: 1,[^]*https://crm.example.com/v1/backups/${id}`));
    const audit = await table.all<{ action: string; after: object }>({ pk: auditPartition(world.leaver.tenant, '2026-03') });
    expect(audit.filter(({ action }) => action.startsWith('backup.'))).toMatchObject([
      { action: 'backup.start', actor: world.admin.member, after: { backup: id, scope: 'shared' } },
      { action: 'backup.complete', after: { backup: id, mails: 1 } },
    ]);
  });

  test('INB-14: words of its end that come to two workers at once, and again: it is told once', async () => {
    const world = await begin();
    await world.setStatus('deactivated');
    const { id } = await world.backUp();
    world.told.length = 0;
    // As it is before anybody was told.
    await table.update(backupKey(world.leaver.tenant, id), {
      update: 'REMOVE #sent, #claimed',
      names: { '#sent': 'noticeSentAt', '#claimed': 'noticeClaimedAt' },
    });
    const turn = () => runBackup(world.room(), world.leaver.tenant, id, world.now);
    await Promise.all([turn(), turn(), turn()]);
    await turn();
    expect(world.told).toHaveLength(1);
  });

  test('who started it is no administrator when it ends: those who are get to know', async () => {
    const world = await begin();
    const second = await world.world.addMember(newId(world.tick()), 'second@example.com', { profile: 'administrator' });
    await world.world.addMember(newId(world.tick()), 'gone@example.com', { profile: 'administrator', status: 'deactivated' });
    await world.setStatus('deactivated');
    await world.start();
    await table.update(memberKey(world.admin.tenant, world.admin.member), {
      update: 'SET profile = :standard',
      values: { ':standard': 'standard' },
    });
    await world.work();
    expect(world.told.map(({ to }) => to)).toEqual([second.email]);
  });

  test('cancelled: what it showed stays, nothing more comes, and the next one makes the result whole', async () => {
    const world = await begin();
    for (const subject of ['a', 'b', 'c']) await world.fetched(subject);
    await world.setStatus('deactivated');
    const { id } = await world.start();
    const [job] = world.jobs.splice(0);
    let minutes = 0;
    const slow = world.room({ pageMails: 1, clock: () => new Date(world.now.getTime() + minutes++ * 10_000) });
    await runBackup(slow, world.leaver.tenant, job!.backup, new Date(world.now.getTime() + 15_000));
    expect(await world.seen()).toEqual(['a']);
    expect(await cancelBackup(world.startRoom(), world.admin, id, world.tick())).toMatchObject({ state: 'cancelled' });
    expect(await refusal(cancelBackup(world.startRoom(), world.admin, id, world.tick()))).toMatchObject({ code: 'not-running' });
    await world.work();
    expect([await world.seen(), await world.manifest(id)]).toEqual([['a'], undefined]);
    expect(world.told).toMatchObject([{ subject: expect.stringContaining('cancelled') }]);

    const whole = await world.backUp();
    expect(whole).toMatchObject({ state: 'completed', tally: { mails: 3, known: 0 } });
    expect((await world.manifest(whole.id)).result.mails).toBe(3);
    expect(await world.seen()).toEqual(['c', 'b', 'a']);
    const { items } = await listBackups(table, world.admin, world.leaver.member, { limit: 10 });
    expect(items.map(({ state }) => state)).toEqual(['completed', 'cancelled']);
  });

  test('a backup whose worker was killed is given to another one when its lease is over, not before', async () => {
    const world = await begin();
    await world.fetched('one');
    await world.setStatus('deactivated');
    const { id } = await world.start();
    world.jobs.splice(0);
    const killed = { ...world.room(), files: { ...world.room().files, write: () => Promise.reject(new Error('killed')) } };
    await expect(runBackup(killed, world.leaver.tenant, id, new Date(world.now.getTime() + 1))).rejects.toThrow('killed');
    const woken = async () => {
      await sweepBackups(world.startRoom(), world.now);
      return world.jobs.splice(0).filter(({ backup }) => backup === id).length;
    };
    expect(await woken()).toBe(0);
    world.tick(121);
    expect(await woken()).toBe(1);
    expect(await runBackup(world.room(), world.leaver.tenant, id, new Date(world.now.getTime() + 1))).toBe('ended');
    expect(await world.read(id)).toMatchObject({ state: 'completed', tally: { mails: 1 } });
    expect(await woken()).toBe(0);
  });

  test('in the same moment: of two starts one runs; while it runs the member cannot come back', async () => {
    const world = await begin();
    await world.fetched('one');
    await world.setStatus('deactivated');
    const both = await Promise.all([refusal(world.start()), refusal(world.start())]);
    expect(both).toContain('done');
    expect(both).toContainEqual({ code: 'already-running', reasons: ['already_running'] });
    expect(await refusal(world.setStatus('active'))).toMatchObject({ code: 'backup-running' });
    await world.work();
    expect(await world.setStatus('active')).toMatchObject({ status: 'active' });
  });
});

describe('who may not be backed up', () => {
  test('BKP-1, BKP-2, BKP-3, BKP-4, BKP-9, R-14, R-15: refused with the first reason and all of them, and nothing is changed', async () => {
    const world = await begin();
    const refused = async (kind: 'backup' | 'latest-backup' = 'backup') => {
      const standing = await world.standing();
      const answer = await refusal(world.start(kind));
      expect([await world.standing(), world.jobs.length]).toEqual([standing, 0]);
      return answer;
    };
    expect(await refused()).toEqual({ code: 'user-active', reasons: ['user_active'] });
    await world.setStatus('deactivated');
    await world.account({ protocol: 'imap' as 'pop3', address: 'leaver@other.example' });
    expect(await refused()).toEqual({ code: 'imap-not-supported', reasons: ['imap_not_supported', 'domain_mismatch'] });
    await world.account({ address: 'leaver@sub.example.com' });
    expect(await refused()).toEqual({ code: 'domain-mismatch', reasons: ['domain_mismatch'] });
    await world.account({});
    await world.share({ type: 'private' });
    expect(await refused()).toEqual({ code: 'private-account', reasons: ['private_account'] });
    await world.share({ type: 'admin' });
    expect(await refused()).toEqual({ code: 'account-type-not-eligible', reasons: ['account_type_not_eligible'] });
    await world.share({ type: 'custom' });
    await table.delete(mailAccountKey(world.leaver.tenant, world.leaver.member, 'acc'));
    expect(await refused()).toEqual({ code: 'no-account', reasons: ['no_account'] });
  });

  test('BKP-5, GEN-4: who is no administrator', async () => {
    const world = await begin();
    await world.setStatus('deactivated');
    expect(await refusal(world.start('backup', 'shared', world.colleague))).toMatchObject({ reasons: ['not_administrator'] });
  });
});

describe('the latest backup (truth table 2.4)', () => {
  test('LBK-1, LBK-2, R-17: after coming back and saving in person it adds what is new, and nothing twice', async () => {
    const world = await begin();
    await world.fetched('old');
    await world.setStatus('deactivated');
    const first = await world.backUp();
    expect(await refusal(world.start('latest-backup'))).toEqual({ code: 'not-reactivated', reasons: ['not_reactivated'] });

    await world.setStatus('active');
    await world.fetched('new');
    await world.setStatus('deactivated');
    expect(await refusal(world.start('latest-backup'))).toEqual({ code: 'settings-not-saved', reasons: ['settings_not_saved'] });
    expect(await refusal(world.start('backup'))).toEqual({ code: 'use-latest-backup', reasons: ['use_latest_backup'] });
    expect(await world.seen()).toEqual(['old']);

    await world.setStatus('active');
    await world.saveSettings();
    await world.setStatus('deactivated');
    const latest = await world.backUp('latest-backup');
    expect(latest).toMatchObject({ state: 'completed', earlier: [first.id], tally: { looked: 2, mails: 1, known: 1 } });
    expect(await world.seen()).toEqual(['new', 'old']);
    expect(await world.manifest(latest.id)).toMatchObject({ run: { mails: 1 }, result: { mails: 2 }, parts: [{ mails: 1 }, { mails: 1 }] });
    expect(await world.standing()).toMatchObject({ completed: [first.id, latest.id], last: { id: latest.id, state: 'completed' } });
  });

  test('LBK-3, C-16: gone private it is refused; back to public and saved it is allowed', async () => {
    const world = await begin();
    await world.fetched('old');
    await world.setStatus('deactivated');
    await world.backUp();
    await world.setStatus('active');
    await world.saveSettings({ type: 'private' });
    await world.setStatus('deactivated');
    expect(await refusal(world.start('latest-backup'))).toEqual({ code: 'private-account', reasons: ['private_account'] });
    await world.setStatus('active');
    await world.saveSettings({ type: 'public', excludedDomains: [] });
    await world.setStatus('deactivated');
    expect((await world.backUp('latest-backup')).state).toBe('completed');
  });

  test('R-17: mail first received by a colleague, long before, is new all the same', async () => {
    const world = await begin();
    const shared = { messageId: 'shared@customer.example' };
    await world.fetched('of both', shared, world.colleague);
    await world.fetched('old');
    await world.setStatus('deactivated');
    await world.backUp();
    await world.setStatus('active');
    await world.saveSettings();
    await world.fetched('of both', shared);
    await world.setStatus('deactivated');
    expect((await world.backUp('latest-backup')).tally).toMatchObject({ mails: 1, known: 1 });
    expect(await world.seen(world.contact, world.admin)).toEqual(['old', 'of both']);
  });
});

test('R-9: an address that is detached takes its mail off the record, what a backup shows included', async () => {
  const world = await begin();
  await world.fetched('of the old address');
  await world.setStatus('deactivated');
  await world.backUp();
  expect(await world.seen()).toEqual(['of the old address']);
  await detachAddress(table, world.admin, 'contacts', world.contact, TARO, { now: world.tick() });
  const queue: BackfillJob[] = [];
  const room = { table, mailDomain: 'in.example.com', queue: { send: async (job: BackfillJob) => void queue.push(job) } };
  await backfillPage(room, world.leaver.tenant, world.contact);
  expect(await world.seen()).toEqual([]);
  await expect(readVisible(table, world.colleague, await idOf(world, 'of the old address'))).rejects.toMatchObject({ code: 'not-found' });
});
