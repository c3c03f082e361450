import { ScanCommand } from '@aws-sdk/lib-dynamodb';
import { readAddonUser } from '../../core/addon-user/addon-user-store.ts';
import { placeHold, releaseHold } from '../../core/addon-user/hold-store.ts';
import { lockMember, unlockMember } from '../../core/addon-user/lock-store.ts';
import { listAudit } from '../../core/audit/audit-store.ts';
import { cancelBackup } from '../../core/backup/backup-store.ts';
import { sweepRawMail } from '../../core/dropbox/sweep-store.ts';
import { sha256 } from '../../core/ids.ts';
import type { Member } from '../../core/member/member.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import { readVisible } from '../../core/message/visible-message-store.ts';
import type { Sharing } from '../../core/sharing/sharing.ts';
import { setTick } from '../../core/sharing/tick-store.ts';
import type { Table } from '../../core/table/client.ts';
import {
  addressPartition,
  copyKey,
  findableKey,
  findablePartition,
  hiddenMailKey,
  hostedAddressKey,
  mailAccountKey,
  memberKey,
  messageKey,
  ownMailPartition,
  recordPartition,
  remainsPartition,
  tenantKey,
} from '../../core/table/keys.ts';
import { BackupWorld, FRIEND, NINE, TARO } from '../support/backup-world.ts';
import { existing } from '../support/dropbox-world.ts';
import { startTable } from '../support/engine.ts';
import { interrupted } from '../support/interrupted.ts';
import { DAY, RetentionWorld } from '../support/retention-world.ts';

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

/** Every item of the table, by its key. */
async function snapshot(): Promise<Map<string, Record<string, unknown>>> {
  const items = new Map<string, Record<string, unknown>>();
  let ExclusiveStartKey: Record<string, unknown> | undefined;
  do {
    const page = await table.client.send(new ScanCommand({ TableName: table.name, ExclusiveStartKey }));
    for (const item of page.Items ?? []) items.set(`${item.pk} ${item.sk}`, item);
    ExclusiveStartKey = page.LastEvaluatedKey;
  } while (ExclusiveStartKey);
  return items;
}

/** Ids of messages differ from run to run: what a key is about. */
const kindOf = (key: string, { leaver, contact, lead }: RetentionWorld) =>
  key
    .replaceAll(leaver.tenant, 't')
    .replaceAll(leaver.member, 'leaver')
    .replaceAll(contact, 'contact')
    .replaceAll(lead, 'lead')
    .replaceAll(/A#[0-9a-f]{64}/g, 'A#dropbox')
    .replaceAll(/[0-9a-f]{40}/g, 'message')
    .replaceAll(/#[0-9a-f]{24}/g, '#group')
    .replaceAll(/20\d\d-\d\d-\d\dT[\d:.]+Z/g, 'time');

describe('R-29: hidden mail whose days are over is deleted', () => {
  const begin = (sharing?: Sharing, organisation?: object) => new RetentionWorld(table).begin(sharing, organisation);
  /** Each daily round goes through the one list there is: it begins empty. */
  beforeEach(async () => {
    for (const pk of ['D#HIDDEN', 'D#DELETIONS']) {
      for (const { sk } of await table.all<{ sk: string }>({ pk })) await table.delete({ pk, sk });
    }
  });

  test('the mail with all that finds it, its bytes and what was made of them, the mailboxes; and nothing else changes', async () => {
    const world = await begin();
    const { leaver, colleague, contact, lead } = world;
    await world.fetched('colleague alone', {}, colleague);
    const kept = await world.fetched('theirs first', {}, colleague);
    await world.dropped('filed on purpose', 'record');
    const [before, files] = [await snapshot(), new Map(world.files)];
    const raw = await world.fetched('with Taro');
    await world.fetched('with both', { from: [TARO, FRIEND].map((address) => ({ address, name: '' })) });
    await world.fetched('with nobody', { from: [{ address: 'nobody@elsewhere.example', name: '' }] });
    await world.fetched('theirs first');
    const rows = await table.all<{ message: string; subject: string }>({ pk: ownMailPartition(leaver.tenant, leaver.member) });
    const { message } = rows.find(({ subject }) => subject === 'with Taro')!;
    for (const made of [`attachments/${message}/0`, `shown/${message}/${colleague.member}`])
      world.files.set(`t/${leaver.tenant}/${made}`, Buffer.from('made of it'));
    // The second copy's own bytes, which no message needs, went when they were a month old.
    await sweepRawMail(table, world.rawMail(), new Date(world.now.getTime() + 32 * DAY * 1000));
    await world.leave();
    await world.deleteAll();

    expect(await world.deletion()).toMatchObject({ state: 'ended', mails: 4, accounts: 1 });
    expect(world.files.has(raw)).toBe(false);
    expect(world.files.has(kept)).toBe(true);
    expect([...world.files.keys()].sort()).toEqual([...files.keys()].sort());
    const after = await snapshot();
    const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
      (key) => JSON.stringify(before.get(key), sorted) !== JSON.stringify(after.get(key), sorted),
    );
    expect(changed.map((key) => `${before.has(key) ? (after.has(key) ? '~' : '-') : '+'} ${kindOf(key, world)}`).sort()).toEqual(
      [
        '- T#t#U#leaver X#acc',
        // Of their leaving.
        '~ A#dropbox DROPBOX',
        '~ T#t#U leaver',
        '~ T#t#U#leaver SETTINGS',
        '+ D#HIDDEN t#leaver',
        '+ T#t#U#leaver DELETION',
        ...[...after.keys()].filter((key) => /#Z#|#X#acc |BACKFILL/.test(key) && !before.has(key)).map((key) => `+ ${kindOf(key, world)}`),
      ].sort(),
    );
    expect(world.forgotten).toEqual(['acc']);
    expect(await world.seen(contact, colleague)).toEqual(['filed on purpose', 'theirs first', 'colleague alone']);
    expect(await world.seen(lead, colleague)).toEqual([]);
    expect(JSON.stringify([...after.entries()].filter(([key]) => !key.includes('#Z#') && !key.includes('#U')))).not.toContain(FRIEND_MARK);
  });

  test('the audit tells its begin and its end with counts; administrators are told by mail', async () => {
    const world = await begin();
    await world.fetched('one');
    await world.fetched('two');
    await world.leave();
    await world.deleteAll();
    const entries = (await audited(world)).filter(({ action }) => action.startsWith('hidden-mail'));
    const of = (action: string) => entries.find((entry) => entry.action === action);
    expect(entries).toHaveLength(2);
    expect(of('hidden-mail.delete')).toMatchObject({ actor: 'retention', after: { deactivatedAt: expect.any(String) } });
    expect(of('hidden-mail.deleted')).toMatchObject({ actor: 'retention', after: { mails: 2, accounts: 1 } });
    expect(world.told.map(({ to }) => to)).toEqual([world.admin.email]);
    expect(world.told[0]?.text).toMatch(/deleted for good[\s\S]*削除したメール: 2\n/);
    expect((await readAddonUser(table, world.admin, world.leaver.member, world.now)).mailbox).toMatchObject({ state: 'removed' });
  });

  /** A member who left, with a mail, at the moment their days are over. */
  const leaver = async (organisation?: object) => {
    const world = await begin(undefined, organisation);
    await world.fetched('mail');
    await world.leave();
    return world;
  };
  const all = (world: RetentionWorld) => table.all({ pk: ownMailPartition(world.leaver.tenant, world.leaver.member) });
  const hold = (world: RetentionWorld) => placeHold(table, world.admin, world.leaver.member, { reason: 'Lawsuit' }, world.now);
  const lock = (world: RetentionWorld, more: object = {}) =>
    lockMember(table, world.admin, world.leaver.member, { reason: 'Lawsuit', ...more }, world.now);
  const policy = (world: RetentionWorld, hiddenMailDays: number) =>
    table.update(tenantKey(world.leaver.tenant), { update: 'SET mailPolicy = :policy', values: { ':policy': { hiddenMailDays } } });
  /** Each of them holds the mail, whenever it comes. */
  const holders: [string, (world: RetentionWorld) => Promise<unknown>][] = [
    ['hold', hold],
    ['lock', lock],
    ['backup', (world) => world.start()],
    ['reactivated', (world) => world.setStatus('active')],
    ['kept-longer', (world) => policy(world, 400)],
  ];

  test.each(holders)('nothing is begun while something holds the mail: %s', async (_, keeps) => {
    const world = await leaver();
    await keeps(world);
    expect(await world.daily()).toBe(0);
    expect(world.words).toEqual([]);
    expect(await all(world)).toHaveLength(1);
  });

  test('nothing is begun before the days are over by what the organisation says today, or within a week of the warning', async () => {
    const world = await leaver();
    world.tick(-2);
    expect(await world.daily()).toBe(0);
    world.tick(2);
    await policy(world, 92);
    expect(await world.daily()).toBe(0);
    await policy(world, 30);
    world.tick(-DAY);
    await world.warned();
    expect(await world.daily()).toBe(0);
    world.tick(7 * DAY - 1);
    expect(await world.daily()).toBe(0);
    world.tick(1);
    expect(await world.daily()).toBe(1);
    expect(await world.daily()).toBe(0);
  });

  test('who was never warned keeps their mail; a hold or a lock, or more days, make a warning void', async () => {
    const world = await leaver();
    const warning = hiddenMailKey(world.leaver.tenant, world.leaver.member);
    await table.update(warning, { update: 'REMOVE warnedAt' });
    expect(await world.daily()).toBe(0);
    for (const [keeps, ends] of [
      [hold, () => releaseHold(table, world.admin, world.leaver.member, world.now)],
      [lock, () => unlockMember(table, world.admin, world.leaver.member, {}, world.now)],
      [(one: RetentionWorld) => policy(one, 400), () => policy(world, 30)],
    ] as const) {
      await world.warned();
      world.tick(7 * DAY);
      await keeps(world);
      await world.daily();
      await ends();
      expect(await world.daily()).toBe(0);
      expect(await table.get(warning)).not.toHaveProperty('warnedAt');
    }
    await world.warned();
    world.tick(7 * DAY);
    expect(await world.daily()).toBe(1);
  });

  test.each(holders)('half-way through, nothing more is deleted: %s; what is left is whole', async (reason, keeps) => {
    const world = await begin();
    for (let n = 0; n < 5; n++) await world.fetched(`mail ${n}`);
    await world.leave();
    await world.daily();
    // A page of two, and the time is over.
    let looks = 0;
    expect(
      await world.turn({ clock: () => new Date(world.now.getTime() + (looks++ > 3 ? DAY : 0)) }, new Date(world.now.getTime() + 1)),
    ).toBe('handed-on');
    const left = (await all(world)).length;
    expect([1, 3]).toContain(left);
    await keeps(world);
    await world.work();
    await world.deletePages();
    expect(await all(world)).toHaveLength(left);
    expect(await world.deletion()).toMatchObject({ state: 'stopped', because: reason, mails: 5 - left, accounts: 0 });
    const stopped = (await audited(world)).find(({ action }) => action === 'hidden-mail.delete-stopped');
    expect(stopped?.after).toMatchObject({ because: reason, mails: 5 - left });
    expect(world.told.some(({ subject }) => subject.includes('was stopped'))).toBe(true);
    if (reason === 'reactivated') expect(await world.seen()).toHaveLength(left);
    if (reason === 'backup') expect(await world.seen()).toHaveLength(left);
  });

  test('R-33, R-26: reactivated, put on hold or locked in the very moment of a page: nothing of that page goes', async () => {
    for (const [, keeps] of holders.slice(0, 4)) {
      const world = await leaver();
      await world.daily();
      const racing = interrupted(table, () => keeps(world));
      await world.turn({ table: racing });
      expect(await all(world)).toHaveLength(1);
      expect((await world.deletion())?.state).toBe('stopped');
    }
  });

  test('a backup is not begun of mail that is half deleted without saying so: what is left is backed up', async () => {
    const world = await begin();
    for (let n = 0; n < 3; n++) await world.fetched(`mail ${n}`);
    await world.leave();
    await world.daily();
    const { id } = await world.start();
    await world.deletePages();
    world.tick();
    await world.work();
    expect(await world.read(id)).toMatchObject({ state: 'completed', tally: { mails: 3 } });
  });

  test('a backup that was broken off has shown mail: it holds it too', async () => {
    const world = await leaver();
    const { id } = await world.start();
    await cancelBackup(world.startRoom(), world.admin, id, world.now);
    expect(await world.daily()).toBe(0);
  });

  test('hold: what remains of deleted copies is kept as well, until it is released', async () => {
    const world = await leaver();
    await world.daily();
    await world.deletePages();
    world.tick(DAY);
    await hold(world);
    const files = world.files.size;
    await world.daily();
    await world.deletePages();
    expect(world.files.size).toBe(files);
    await releaseHold(table, world.admin, world.leaver.member, world.now);
    await world.daily();
    await world.deletePages();
    expect(world.files.size).toBe(files - 1);
    expect(await table.all({ pk: 'D#DELETIONS' })).toEqual([]);
  });

  test('R-31: the same mail, filed by a colleague at any moment of its deletion, is the colleague’s, with its bytes', async () => {
    const moments: ((world: RetentionWorld, file: () => Promise<unknown>) => Promise<void>)[] = [
      async (world, file) => {
        await world.daily();
        await file();
        await world.deletePages();
      },
      async (world, file) => {
        await world.daily();
        await world.deletePages();
        await file();
      },
      // Begun before the mark was set, ended after.
      async (world, file) => {
        await world.daily();
        const filing = file();
        await world.deletePages();
        await filing;
      },
      async (world, file) => {
        await world.daily();
        await world.deletePages();
        world.tick(DAY);
        await world.daily();
        await world.deletePages({ table: interrupted(table, file) });
      },
      async (world, file) => {
        await world.daily();
        await world.deletePages();
        world.tick(DAY);
        await world.daily();
        const filing = file();
        await world.deletePages();
        await filing;
      },
    ];
    for (const moment of moments) {
      const world = await leaver();
      await moment(world, () => world.fetched('mail', {}, world.colleague));
      for (let days = 0; days < 3; days++) {
        world.tick(DAY);
        await world.daily();
        await world.deletePages();
      }
      expect(await world.seen(world.contact, world.colleague)).toEqual(['mail']);
      const [row] = await table.all<{ message: string }>({ pk: ownMailPartition(world.leaver.tenant, world.colleague.member) });
      const found = await readVisible(table, world.colleague, row!.message);
      expect(found.message).not.toHaveProperty('unheldSince');
      expect(world.files.has(found.message.rawKey)).toBe(true);
      expect(found.copies.map(({ member }) => member)).toEqual([world.colleague.member]);
      expect(await table.all({ pk: 'D#DELETIONS' })).toEqual([]);
    }
  });

  test('a message that was marked anew, by the deletion of another holder’s copy, has its day from then', async () => {
    const world = await leaver();
    await world.daily();
    await world.deletePages();
    const [remains] = await table.all<{ message: string }>({ pk: remainsPartition(world.leaver.tenant, world.leaver.member) });
    const meta = messageKey(world.leaver.tenant, remains!.message);
    world.tick(DAY - 3600);
    await table.update(meta, { update: 'SET unheldSince = :now', values: { ':now': world.now.toISOString() } });
    world.tick(3600);
    await world.daily();
    await world.deletePages();
    expect(await table.get(meta)).toBeDefined();
    world.tick(DAY);
    await world.daily();
    await world.deletePages();
    expect(await table.get(meta)).toBeUndefined();
  });

  test('two who left hold the same mail: it goes with the last of them', async () => {
    const world = await begin();
    const raw = await world.fetched('mail');
    await world.fetched('mail', {}, world.colleague);
    await world.leave();
    await world.deleteAll();
    expect(world.files.has(raw)).toBe(true);
    world.leaver = world.colleague;
    await world.leave();
    await world.deleteAll();
    expect(world.files.has(raw)).toBe(false);
  });

  test('a mail on more records than a transaction takes goes all the same, and where there is none left nothing notes its holder', async () => {
    const world = await begin({ type: 'custom' });
    const addresses = Array.from({ length: 47 }, (_, n) => `many-${n}@customer.example`);
    const records: string[] = [];
    for (const address of addresses)
      for (const module of ['contacts', 'leads'] as const)
        records.push(await existing(table, world.world, module, address, world.leaver.member));
    const from = { address: world.leaver.email, name: '' };
    await world.fetched('to many', { from: [from], to: addresses.map((address) => ({ address, name: '' })) });
    const onRecords = async () => {
      const found = await Promise.all(records.map((id) => table.all({ pk: recordPartition(world.leaver.tenant, id), begins: 'O#' })));
      return found.filter((entries) => entries.length > 0).length;
    };
    expect(await onRecords()).toBe(94);
    await setTick(table, world.leaver, records[0]!, true, world.now);
    await world.leave();
    await world.deleteAll();
    expect(await onRecords()).toBe(0);
    expect(await world.deletion()).toMatchObject({ mails: 1 });
    const left = [...(await snapshot()).keys()].filter((key) => key.startsWith(`T#${world.leaver.tenant}`) && /#[WFG]#/.test(key));
    expect(left).toEqual([]);
    const [link] = await table.all<{ holders?: Set<string> }>({ pk: addressPartition(world.leaver.tenant, addresses[0]!), begins: 'R#' });
    expect(link?.holders).toBeUndefined();
  });

  test('R-40: dropbox mail goes when it follows the sharing type, for then it is hidden; what is filed on its record stays', async () => {
    const world = await begin();
    const raw = await world.dropped('dropped', 'record');
    await world.leave();
    await world.deleteAll();
    expect(world.files.has(raw)).toBe(true);
    expect(await world.seen()).toEqual(['dropped']);
    await table.update(memberKey(world.leaver.tenant, world.leaver.member), {
      update: 'SET dropboxVisibility = :sharing',
      values: { ':sharing': 'sharing' },
    });
    await world.fetched('late');
    await world.deleteAll();
    expect(world.files.has(raw)).toBe(false);
    expect(await table.all({ pk: recordPartition(world.leaver.tenant, world.contact), begins: 'O#' })).toEqual([]);
  });

  test('a mail SES received for several dropboxes at once is one object, that another organisation may have: it stays', async () => {
    const world = await begin();
    const raw = await world.dropped('dropped');
    const text = Buffer.from(world.files.get(raw)!).toString();
    world.files.set(raw, Buffer.from(text.replace(/ for \S+;/, ';')));
    await world.leave();
    await world.deleteAll();
    expect(await table.all({ pk: recordPartition(world.leaver.tenant, world.contact), begins: 'O#' })).toEqual([]);
    expect(world.files.has(raw)).toBe(true);
  });

  test('R-43: a hosted mailbox goes as well, and its address is nobody’s from then on', async () => {
    const world = await begin();
    await world.hosted('leaver@in.example.com');
    await world.received('received here', 'leaver@in.example.com');
    await world.leave();
    await world.deleteAll();
    expect(await all(world)).toEqual([]);
    expect(await table.get(hostedAddressKey(sha256('leaver@in.example.com')))).toMatchObject({ retiredAt: expect.any(String) });
  });

  test('mail that comes late, when all is over, goes with the next daily round', async () => {
    const world = await leaver();
    await world.deleteAll();
    expect(await world.daily()).toBe(0);
    const raw = await world.fetched('late');
    await world.deleteAll();
    expect(world.files.has(raw)).toBe(false);
    expect(await world.deletion()).toMatchObject({ state: 'ended', mails: 1 });
  });

  test('who comes back after the deletion starts anew: their next mail is shown, also where their old series was', async () => {
    const world = await leaver();
    await world.deleteAll();
    await world.setStatus('active');
    await world.fetched('new');
    expect(await world.seen()).toEqual(['new']);
  });

  test('a hold or a lock makes the warning void, also when it is ended before the next daily round', async () => {
    for (const [keeps, ends] of [
      [hold, (world: RetentionWorld) => releaseHold(table, world.admin, world.leaver.member, world.now)],
      [lock, (world: RetentionWorld) => unlockMember(table, world.admin, world.leaver.member, {}, world.now)],
    ] as const) {
      const world = await leaver();
      await keeps(world);
      await ends(world);
      expect(await world.daily()).toBe(0);
      await world.warned();
      world.tick(7 * DAY);
      expect(await world.daily()).toBe(1);
    }
  });

  test('a hold of who is active, or comes back in the same moment, puts nobody on the list of those who left', async () => {
    const world = await leaver();
    await hold(world);
    const racing = interrupted(table, () => world.setStatus('active'));
    await releaseHold(racing, world.admin, world.leaver.member, world.now);
    expect(await table.get(hiddenMailKey(world.leaver.tenant, world.leaver.member))).toBeUndefined();
    expect((await table.get<Member>(memberKey(world.leaver.tenant, world.leaver.member)))?.hold).toBeUndefined();
  });

  test('what remains is cleared by one transaction at a time: each checks the member, where DynamoDB cancels all that meet', async () => {
    const world = await begin();
    for (let n = 0; n < 6; n++) await world.fetched(`mail ${n}`);
    await world.leave();
    await world.daily();
    await world.deletePages();
    world.tick(DAY);
    await world.daily();
    let [atOnce, most] = [0, 0];
    const watched = Object.assign(Object.create(table) as Table, {
      transact: async (...args: Parameters<Table['transact']>) => {
        most = Math.max(most, ++atOnce);
        await table.transact(...args).finally(() => atOnce--);
      },
    });
    await world.deletePages({ table: watched });
    expect(await table.all({ pk: remainsPartition(world.leaver.tenant, world.leaver.member) })).toEqual([]);
    expect(most).toBe(1);
  });

  test('bytes that a mailbox has handed out again since, to who came back in the middle, are kept for their filing', async () => {
    const world = await leaver();
    await world.daily();
    const { rawKey, file } = world.fetching('mail');
    const back = interrupted(
      table,
      () => world.setStatus('active'),
      (writes) => JSON.stringify(writes).includes('X#acc"'),
    );
    await world.turn({ table: back });
    expect(await all(world)).toEqual([]);
    expect(await world.deletion()).toMatchObject({ state: 'stopped', because: 'reactivated', mails: 1 });
    world.tick(DAY);
    // Its server numbers its mails anew: what it has is stored again, and waits to be filed.
    const modified = world.now.toISOString();
    world.tick(60);
    const { files } = world.deletionRoom();
    const list = async (prefix: string) => {
      const page = await files.list(prefix, undefined);
      return { ...page, objects: page.objects.map((object) => ({ ...object, modified })) };
    };
    await world.daily();
    await world.deletePages({ files: { ...files, list } });
    expect(await table.all({ pk: remainsPartition(world.leaver.tenant, world.leaver.member) })).toEqual([]);
    expect(world.files.has(rawKey)).toBe(true);
    await file(table);
    expect(await world.seen()).toEqual(['mail']);
  });

  test('what a second deletion leaves is not forgotten by a slow worker of the first', async () => {
    const world = await leaver();
    await world.daily();
    await world.deletePages();
    world.tick(DAY);
    const raw = await world.fetched('late');
    let done = false;
    const slow = Object.assign(Object.create(table) as Table, {
      page: async (query: Parameters<Table['page']>[0]) => {
        const page = await table.page(query);
        if (!done && query.limit === 1 && query.pk === remainsPartition(world.leaver.tenant, world.leaver.member)) {
          done = true;
          await world.daily();
          await world.deletePages();
        }
        return page;
      },
    });
    await world.turn({ table: slow });
    expect(await world.deletion()).toMatchObject({ state: 'ended', mails: 1 });
    expect(await all(world)).toEqual([]);
    world.tick(DAY);
    await world.daily();
    await world.deletePages();
    expect(world.files.has(raw)).toBe(false);
    expect(await table.all({ pk: 'D#DELETIONS' })).toEqual([]);
  });

  test('stopped between two mailboxes: what is left of the one that is gone is cleared away', async () => {
    const world = await leaver();
    const { tenant, member } = world.leaver;
    const account = await table.get<object>(mailAccountKey(tenant, member, 'acc'));
    await table.put({ ...account, ...mailAccountKey(tenant, member, 'other'), id: 'other' });
    await world.daily();
    await world.turn({
      table: interrupted(
        table,
        () => hold(world),
        (writes) => JSON.stringify(writes).includes('X#acc"'),
      ),
    });
    expect(await world.deletion()).toMatchObject({ state: 'stopped', because: 'hold', accounts: 1 });
    expect(await table.get(mailAccountKey(tenant, member, 'acc'))).toBeDefined();
    expect(world.forgotten).toEqual(['other']);
  });

  test('a mail that more records find than a transaction takes goes all the same', async () => {
    const world = await begin();
    await world.dropped('dropped');
    const { tenant, member } = world.leaver;
    const [entry] = await table.all<{ message: string; receivedAt: string }>({ pk: recordPartition(tenant, world.contact), begins: 'O#' });
    const { message, receivedAt } = entry!;
    const parted = Array.from({ length: 120 }, (_, n) => `parted-${n}`);
    await table.update(copyKey(tenant, message, member, 'dropbox'), { update: 'SET parted = :parted', values: { ':parted': parted } });
    const findable = { message, member, channel: 'dropbox' as const, receivedAt };
    await table.putMany(parted.map((record) => ({ ...findableKey(tenant, TARO, { ...findable, record }), ...findable, record })));
    await world.leave();
    await world.deleteAll();
    expect(await world.deletion()).toMatchObject({ state: 'ended', mails: 1 });
    expect(await table.all({ pk: findablePartition(tenant, TARO) })).toEqual([]);
  });
});

const FRIEND_MARK = 'nobody@elsewhere.example';
const sorted = (_: string, value: unknown) =>
  value instanceof Set
    ? [...value].map(String).sort()
    : value && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
