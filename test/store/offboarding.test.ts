import { tellOfLock } from '../../core/addon-user/lock-notice-store.ts';
import { lockMember, unlockMember } from '../../core/addon-user/lock-store.ts';
import { cancelBackup } from '../../core/backup/backup-store.ts';
import { newId } from '../../core/ids.ts';
import { OFFBOARDING_LEASE_SECONDS, OFFBOARDING_TRIES } from '../../core/limits.ts';
import { patchMember } from '../../core/member/member-store.ts';
import { builtInProfiles } from '../../core/member/profile.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import { type Offboarding, STEPS } from '../../core/offboarding/offboarding.ts';
import { checkOffboarding } from '../../core/offboarding/offboarding-store.ts';
import { runOffboarding } from '../../core/offboarding/run-offboarding.ts';
import { sweepOffboardings } from '../../core/offboarding/sweep-store.ts';
import { createRecord } from '../../core/record/record-store.ts';
import type { Table } from '../../core/table/client.ts';
import { mailAccountKey, memberKey, runningOffboardingsPartition, seenMailKey, tenantKey } from '../../core/table/keys.ts';
import { startTable } from '../support/engine.ts';
import { OffboardingWorld } from '../support/offboarding-world.ts';

let table: Table;
let end: () => Promise<void>;
beforeAll(async () => ({ table, end } = await startTable()));
afterAll(() => end());

const make = (...more: Parameters<typeof OffboardingWorld.make> extends [unknown, ...infer Rest] ? Rest : never) =>
  OffboardingWorld.make(table, ...more);
const profiles = new Map(builtInProfiles().map((profile) => [profile.id, profile]));
const setStatus = (world: OffboardingWorld, who: Viewer, status: 'active' | 'deactivated', by = world.admin) =>
  patchMember(table, by, profiles, who.member, { status }, world.tick());
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: { code?: string; extra?: { reasons?: { code: string }[] } }) => [error.code, error.extra?.reasons?.map(({ code }) => code)],
  );
/** The order in which DynamoDB gives back the fields of a map is not that of the steps. */
const states = ({ steps }: Offboarding) => STEPS.map((name) => [name, steps[name].state, steps[name].warning].filter(Boolean).join(' '));

describe('a member leaves', () => {
  test('R-43: whose mailbox is hosted here: there is nothing to poll and nothing to warn of; what was received is backed up', async () => {
    const world = await make();
    const address = 'leaver-7k3m9q2x@in.example.com';
    await world.hosted(address);
    await world.received('sent here', address);
    const { id } = await world.offboard({ successor: world.successor.member });
    await world.untilQuiet();
    const run = await world.readRun(id);
    expect(states(run)).toEqual(['lock done', 'last-poll skipped', 'deactivate done', 'back-up done', 'hand-over done']);
    expect(run.steps['back-up'].counts).toMatchObject({ mails: 1 });
    expect([world.polls, await world.seen()]).toEqual([[], ['sent here']]);
  });

  test('LCK-2, BKP-8, R-29: locked, read, deactivated, backed up, handed over; each step once, told once', async () => {
    const world = await make();
    await world.fetched('before');
    const { id } = await world.offboard({ successor: world.successor.member });
    await world.untilQuiet();
    const run = await world.readRun(id);
    expect(states(run)).toEqual(['lock done', 'last-poll done', 'deactivate done', 'back-up done', 'hand-over done']);
    expect([run.state, run.steps['last-poll'].counts, run.steps['hand-over'].counts]).toEqual([
      'completed',
      { mails: 1 },
      { records: 2, left: 0 },
    ]);
    expect(run.steps['back-up'].counts).toEqual({ mails: 2, entries: 2, known: 0, missing: 0 });
    expect(await world.readLeaver()).toMatchObject({
      status: 'deactivated',
      locked: { reason: 'Leaves in March', by: world.admin.member },
    });
    expect((await world.readLeaver()).locked?.until).toBeUndefined();
    expect(await world.seen()).toEqual(['last', 'before']);
    expect(await world.owners()).toEqual([world.successor.member, world.successor.member]);
    const audited = await world.audited();
    for (const once of [
      'addon-user.lock',
      'member.deactivate',
      'backup.start',
      'backup.complete',
      'offboarding.start',
      'offboarding.complete',
    ])
      expect(audited.filter((line) => line === once)).toEqual([once]);
    expect(audited.filter((line) => line.startsWith('offboarding.step'))).toHaveLength(5);
    // The leaver of the lock; the administrator of the end, and not of the backup beside.
    expect(world.told.map(({ to }) => to)).toEqual(['leaver@example.com', 'admin@example.com']);
    expect(world.told[1]?.text).toContain(`https://crm.example.com/v1/offboardings/${id}`);
    expect(world.told[1]?.text).toMatch(/Records handed over: done \(records 2, left 0\)[\s\S]*データの引き継ぎ: 完了/);
    expect(
      (await table.all<{ tenant: string }>({ pk: runningOffboardingsPartition })).filter(({ tenant }) => tenant === world.leaver.tenant),
    ).toEqual([]);
  });

  test('without a successor the records keep their owner', async () => {
    const world = await make();
    const { id } = await world.offboard();
    await world.untilQuiet();
    expect((await world.readRun(id)).steps['hand-over']).toMatchObject({ state: 'skipped', warning: 'no-successor' });
    expect(await world.owners()).toEqual([world.leaver.member, world.leaver.member]);
  });

  test('asked twice, at once or later, it is the one that runs; when it is over, another one', async () => {
    const world = await make();
    const [one, other] = await Promise.all([world.offboard(), world.offboard()]);
    expect(other?.id).toBe(one?.id);
    expect((await world.offboard()).id).toBe(one?.id);
    await world.untilQuiet();
    const again = await world.offboard();
    expect(again.id).not.toBe(one?.id);
    await world.untilQuiet();
    expect(states(await world.readRun(again.id))).toContain('deactivate skipped already-deactivated');
  });

  test('more records than a page are handed over, those of others and later ones not; each is counted once', async () => {
    const world = await make();
    for (let i = 0; i < 120; i++) {
      const how = { id: newId(world.tick()), now: world.now, createdBy: { way: 'api', memberId: world.leaver.member } } as const;
      await createRecord(table, i % 3 === 2 ? world.colleague : world.leaver, 'contacts', { name: { last: `Number ${i}` } }, how);
    }
    const { id } = await world.offboard({ successor: world.successor.member });
    await world.untilQuiet();
    expect((await world.readRun(id)).steps['hand-over'].counts).toEqual({ records: 82, left: 0 });
  });
});

describe('what stands in its way', () => {
  const unchanged = async (world: OffboardingWorld, work: () => Promise<unknown>) => {
    const before = [await world.readLeaver(), await world.readAccount(), await world.owners(), await world.audited()];
    const told = await codeOf(work());
    expect([await world.readLeaver(), await world.readAccount(), await world.owners(), await world.audited()]).toEqual(before);
    expect([world.words, world.polls, world.jobs]).toEqual([[], [], []]);
    return told;
  };

  test('LCK-3, BKP-3, BKP-9: private, and a successor nobody knows: both are told, and nothing is changed', async () => {
    const world = await make('private');
    const reasons = ['private-account', 'unknown-successor'];
    expect(await unchanged(world, () => world.offboard({ successor: newId(world.now) }))).toEqual(['private-account', reasons]);
    const given = { successor: 'nobody', now: world.now };
    const check = await checkOffboarding(table, world.admin, world.leaver.member, given);
    expect([check.eligible, check.reasons.map(({ code }) => code), check.kind]).toEqual([false, reasons, 'backup']);
  });

  test('the successor of another tenant is one nobody knows', async () => {
    const [world, other] = [await make(), await make()];
    expect(await unchanged(world, () => world.offboard({ successor: other.successor.member }))).toEqual([
      'unknown-successor',
      ['unknown-successor'],
    ]);
  });

  test('the successor themselves, one who is deactivated, one who has not confirmed', async () => {
    const world = await make();
    expect(await unchanged(world, () => world.offboard({ successor: world.leaver.member }))).toEqual([
      'successor-is-leaver',
      ['successor-is-leaver'],
    ]);
    await setStatus(world, world.successor, 'deactivated');
    expect(await unchanged(world, () => world.offboard({ successor: world.successor.member }))).toEqual([
      'successor-inactive',
      ['successor-inactive'],
    ]);
    const invited = await world.world.addMember(newId(world.tick()), 'invited@example.com', { confirmed: false });
    expect(await unchanged(world, () => world.offboard({ successor: invited.member }))).toEqual([
      'successor-inactive',
      ['successor-inactive'],
    ]);
  });

  test('LCK-4, R-25: oneself; and the last administrator', async () => {
    const world = await make();
    await table.update(memberKey(world.leaver.tenant, world.leaver.member), {
      update: 'SET profile = :administrator',
      values: { ':administrator': 'administrator' },
    });
    const self = { ...world.leaver, profile: world.admin.profile };
    expect(await unchanged(world, () => world.offboard({ actor: self }))).toEqual(['own-lock', ['own-lock']]);
    const alone = await make('public', { administrators: 1 });
    await table.update(memberKey(alone.leaver.tenant, alone.leaver.member), {
      update: 'SET profile = :administrator',
      values: { ':administrator': 'administrator' },
    });
    expect(await unchanged(alone, () => alone.offboard())).toEqual(['last-administrator', ['last-administrator']]);
  });

  test('a lock that ends by itself; a lock without an end is no hindrance', async () => {
    const world = await make();
    const lock = (expiresAt?: string) => lockMember(table, world.second, world.leaver.member, { reason: 'x', expiresAt }, world.tick());
    await lock('2030-01-01T00:00:00.000Z');
    expect(await unchanged(world, () => world.offboard())).toEqual(['lock-ends', ['lock-ends']]);
    await unlockMember(table, world.second, world.leaver.member, {}, world.tick());
    await lock();
    const { id } = await world.offboard();
    await world.untilQuiet();
    expect(states(await world.readRun(id))).toContain('lock skipped already-locked');
  });

  test('a backup that runs', async () => {
    const world = await make();
    await setStatus(world, world.leaver, 'deactivated');
    await world.start();
    world.jobs.length = 0;
    expect(await unchanged(world, () => world.offboard())).toEqual(['already-running', ['already-running']]);
  });
});

describe('the last poll', () => {
  test('a mail server that is down keeps nobody active: when the time is over it goes on, and says so', async () => {
    const world = await make();
    world.server = 'down';
    const { id } = await world.offboard();
    const begun = world.now.getTime();
    await world.untilQuiet();
    const run = await world.readRun(id);
    expect([run.state, run.steps['last-poll']]).toMatchObject(['completed', { state: 'done', warning: 'mail-server-failed' }]);
    const waited = Date.parse(run.steps['last-poll'].endedAt ?? '') - begun;
    expect(waited).toBeGreaterThanOrEqual(15 * 60_000);
    expect(waited).toBeLessThan(16 * 60_000);
    expect(world.told.at(-1)?.text).toMatch(/could not be read until the time was over/);
  });

  test('a password that is refused, no mailbox that is read, the add-on switched off: not waited for', async () => {
    for (const [more, warning] of [
      [{ state: 'auth-failed' }, 'password-refused'],
      [{}, 'add-on-off'],
    ] as const) {
      const world = await make('public', warning === 'add-on-off' ? { mailAddOn: 'off' } : {});
      if (warning === 'password-refused') await world.account({ ...(await world.readAccount()), ...more });
      const { id } = await world.offboard();
      await world.untilQuiet();
      expect((await world.readRun(id)).steps['last-poll']).toMatchObject({ state: 'skipped', warning });
      expect(world.polls).toEqual([]);
    }
  });
});

describe('a mailbox that is not polled any more while it is waited for', () => {
  const changes: [string, (world: OffboardingWorld) => Promise<unknown>][] = [
    ['already-deactivated', (world) => setStatus(world, world.leaver, 'deactivated', world.second)],
    ['add-on-off', (world) => table.update(tenantKey(world.leaver.tenant), { update: 'SET mailAddOn = :off', values: { ':off': 'off' } })],
  ];
  test.each(changes)('R-33, GEN-1: %s: it goes on at once', async (warning, change) => {
    const world = await make();
    world.server = 'down';
    const { id } = await world.offboard();
    await world.untilQuiet({}, async () => (await world.readRun(id)).steps['last-poll'].waits === 2);
    const before = world.now.getTime();
    await change(world);
    await world.untilQuiet();
    const { state, steps } = await world.readRun(id);
    expect([state, steps['last-poll']]).toMatchObject(['completed', { state: 'done', warning }]);
    expect(Date.parse(steps['last-poll'].endedAt ?? '') - before).toBeLessThan(60_000);
  });
});

describe('a poll that was under way when the last one was asked for', () => {
  test('is no answer: it had listed the mailbox before; another one is asked for', async () => {
    const world = await make();
    const { id } = await world.offboard();
    const lease = { until: world.tick(300).toISOString(), fence: 3 };
    await world.account({ ...(await world.readAccount()), lease });
    world.now = new Date(world.now.getTime() - 300_000);
    const key = mailAccountKey(world.leaver.tenant, world.leaver.member, 'acc');
    await world.untilQuiet({}, async () => world.polls.length > 0);
    world.polls.length = 0;
    // As it ends: back at its usual place.
    await table.update(key, {
      update: 'SET lastSuccessAt = :at, slot = :slot, #lease = :lease',
      names: { '#lease': 'lease' },
      values: { ':at': world.tick().toISOString(), ':slot': 'R5#0#0', ':lease': { until: world.now.toISOString(), fence: 3 } },
    });
    await world.untilQuiet({}, async () => world.polls.length > 0);
    expect((await world.readRun(id)).steps['last-poll'].state).toBe('running');
    expect(await world.readLeaver()).toMatchObject({ status: 'active' });
    await world.untilQuiet();
    expect((await world.readRun(id)).steps['last-poll']).toMatchObject({ state: 'done', counts: { mails: 1 } });
  });
});

describe('another administrator meanwhile', () => {
  const whileItWaits = async (world: OffboardingWorld) => {
    world.server = 'down';
    const { id } = await world.offboard();
    await world.untilQuiet({}, async () => (await world.readRun(id)).steps['last-poll'].waits === 2);
    return id;
  };

  test('LCK-2: who is unlocked before their deactivation is not deactivated; resumed, it locks them again', async () => {
    const world = await make();
    const id = await whileItWaits(world);
    await unlockMember(table, world.second, world.leaver.member, {}, world.tick());
    await world.untilQuiet();
    const { state, steps } = await world.readRun(id);
    expect([state, steps.deactivate]).toMatchObject(['failed', { state: 'failed', failure: { code: 'unlocked-meanwhile' } }]);
    expect(await world.readLeaver()).toMatchObject({ status: 'active' });
    await world.resume(id);
    await world.untilQuiet();
    expect([(await world.readRun(id)).state, (await world.readLeaver()).locked?.by]).toEqual(['completed', world.second.member]);
  });

  test('BKP-9: who went private meanwhile is not deactivated, for no backup would show their mail again', async () => {
    const world = await make();
    const id = await whileItWaits(world);
    await world.share({ type: 'private' });
    await world.untilQuiet();
    expect((await world.readRun(id)).steps.deactivate).toMatchObject({ state: 'failed', failure: { code: 'private-account' } });
    expect(await world.readLeaver()).toMatchObject({ status: 'active' });
  });

  test('who was reactivated before their records were handed over keeps them', async () => {
    const world = await make();
    const { id } = await world.offboard({ successor: world.successor.member });
    await world.untilQuiet({}, async () => (await world.standing())?.running !== undefined);
    // The backup ends, and before the off-boarding hears of it they are back.
    await world.work();
    await setStatus(world, world.leaver, 'active');
    await world.untilQuiet();
    expect((await world.readRun(id)).steps['hand-over']).toMatchObject({ state: 'failed', failure: { code: 'reactivated-meanwhile' } });
    expect(await world.owners()).toEqual([world.leaver.member, world.leaver.member]);
    await setStatus(world, world.leaver, 'deactivated');
    await world.resume(id);
    await world.untilQuiet();
    expect(await world.owners()).toEqual([world.successor.member, world.successor.member]);
  });

  test('a lock that ends by itself, made after the off-boarding was checked, is no lock for good', async () => {
    const world = await make();
    const { id } = await world.offboard();
    const input = { reason: 'x', expiresAt: '2030-01-01T00:00:00.000Z' };
    await lockMember(table, world.second, world.leaver.member, input, world.tick());
    await world.untilQuiet();
    expect((await world.readRun(id)).steps.lock).toMatchObject({ state: 'failed', failure: { code: 'lock-ends' } });
    await unlockMember(table, world.second, world.leaver.member, {}, world.tick());
    await world.resume(id);
    await world.untilQuiet();
    expect([(await world.readRun(id)).state, (await world.readLeaver()).locked?.until]).toEqual(['completed', undefined]);
  });
});

describe('mail that is still being filed', () => {
  const underWay = async (world: OffboardingWorld) => {
    await table.put({ ...seenMailKey(world.leaver.tenant, 'acc', 'under way'), receivedAt: world.tick().toISOString(), size: 1 });
    const { id } = await world.offboard();
    await world.untilQuiet({}, async () => (await world.readRun(id)).steps['back-up'].waits === 2);
    expect(await world.readLeaver()).toMatchObject({ status: 'deactivated' });
    return id;
  };

  test('is waited for before the backup is begun', async () => {
    const world = await make();
    const id = await underWay(world);
    expect((await world.standing())?.running).toBeUndefined();
    await table.update(seenMailKey(world.leaver.tenant, 'acc', 'under way'), {
      update: 'SET outcome = :filed',
      values: { ':filed': 'filed' },
    });
    await world.untilQuiet();
    const { state, steps } = await world.readRun(id);
    expect([state, steps['back-up'].warning]).toEqual(['completed', undefined]);
  });

  test('five minutes at most: then the backup takes what is there, and it is said', async () => {
    const world = await make();
    const id = await underWay(world);
    await world.untilQuiet();
    const { state, steps } = await world.readRun(id);
    expect([state, steps['back-up'].warning]).toEqual(['completed', 'filing-unfinished']);
    const took = Date.parse(steps['back-up'].endedAt ?? '') - Date.parse(steps['back-up'].startedAt ?? '');
    expect([took >= 5 * 60_000, took < 6 * 60_000]).toEqual([true, true]);
  });
});

describe('a step that fails', () => {
  test('a backup that was cancelled: resumed by another administrator it takes another one, and goes on', async () => {
    const world = await make();
    await world.fetched('mail');
    const { id } = await world.offboard({ successor: world.successor.member });
    // Before its worker hears of it.
    const isBegun = async () => (await world.standing())?.running !== undefined;
    await world.untilQuiet({}, isBegun);
    await cancelBackup(world.startRoom(), world.admin, (await world.standing())?.running ?? '', world.tick());
    await world.untilQuiet();
    const failed = await world.readRun(id);
    expect([failed.state, failed.steps['back-up'], failed.steps['hand-over'].state]).toMatchObject([
      'failed',
      { state: 'failed', failure: { code: 'backup-cancelled' } },
      'waiting',
    ]);
    expect(world.told.at(-1)).toMatchObject({ to: 'admin@example.com', subject: expect.stringMatching(/has stopped/) });
    await world.resume(id);
    await world.untilQuiet();
    const run = await world.readRun(id);
    expect([run.state, run.actor, run.startedBy]).toEqual(['completed', world.second.member, world.admin.member]);
    expect(await world.seen()).toEqual(['last', 'mail']);
    expect(world.told.at(-1)).toMatchObject({ to: 'second@example.com', subject: expect.stringMatching(/is complete/) });
    expect(await codeOf(world.resume(id))).toEqual(['not-failed', undefined]);
  });

  test('who started it is no administrator any longer; the successor has left', async () => {
    const world = await make();
    const { id } = await world.offboard({ successor: world.successor.member });
    await patchMember(table, world.second, profiles, world.admin.member, { profile: 'standard' }, world.tick());
    await world.untilQuiet();
    expect((await world.readRun(id)).steps.lock).toMatchObject({ state: 'failed', failure: { code: 'actor-gone' } });
    // Who can resume it is told, not who cannot.
    expect(world.told.map(({ to, subject }) => [to, /has stopped/.test(subject)])).toEqual([['second@example.com', true]]);
    await setStatus(world, world.successor, 'deactivated', world.second);
    await world.resume(id);
    await world.untilQuiet();
    const run = await world.readRun(id);
    expect(run.steps['hand-over']).toMatchObject({ state: 'failed', failure: { code: 'unknown-owner' } });
    await setStatus(world, world.successor, 'active', world.second);
    await world.resume(id);
    await world.untilQuiet();
    expect([(await world.readRun(id)).state, await world.owners()]).toEqual([
      'completed',
      [world.successor.member, world.successor.member],
    ]);
  });

  test('the leaver cannot resume their own', async () => {
    const world = await make();
    const { id } = await world.offboard();
    expect(await codeOf(world.resume(id, { ...world.leaver, profile: world.admin.profile }))).toEqual(['own-lock', undefined]);
  });
});

describe('who looks after them', () => {
  test('a word that was lost is said again after a lease; one that comes too soon is dropped', async () => {
    const world = await make();
    const { id } = await world.offboard();
    world.words.length = 0;
    const sweep = () => sweepOffboardings({ table, queue: world.wordQueue() }, world.now);
    await sweep();
    const mine = () => world.words.filter(({ job }) => 'offboarding' in job && job.offboarding === id).length;
    expect(mine()).toBe(0);
    world.tick(200);
    await sweep();
    expect(mine()).toBe(1);
    world.words.length = 0;
    world.server = 'down';
    const turn = () => runOffboarding(world.offboardingRoom(), world.leaver.tenant, id, new Date(world.now.getTime() + 60_000));
    expect(await turn()).toBe('waiting');
    world.tick(2);
    expect(await turn()).toBe('waiting');
    world.words.length = 0;
    expect(await turn()).toBe('not-mine');
    expect(world.words).toEqual([]);
  });
});

test('reliability 40: one whose workers stop each time fails in the end, and its actor is told', async () => {
  const world = await make();
  const { id } = await world.offboard();
  // The member is to be told of the lock, and the queue takes nothing.
  const queue = { send: () => Promise.reject(new Error('no queue')) };
  const turn = () => runOffboarding(world.offboardingRoom({ queue }), world.leaver.tenant, id, new Date(world.now.getTime() + 60_000));
  for (let i = 0; i <= OFFBOARDING_TRIES && (await world.readRun(id)).state === 'running'; i++) {
    await turn().catch(() => {});
    world.tick(OFFBOARDING_LEASE_SECONDS + 1);
  }
  expect(await world.readRun(id)).toMatchObject({ state: 'failed', steps: { lock: { failure: { code: 'interrupted' } } } });
  expect(world.told.at(-1)?.subject).toMatch(/has stopped/);
});

describe('notices of locks', () => {
  const notice = (world: OffboardingWorld, at: string) =>
    ({ tenant: world.leaver.tenant, member: world.leaver.member, what: 'locked', at, by: world.admin.member, reason: 'Leaves' }) as const;

  test('one that could not be sent is sent when it is tried again, once', async () => {
    const world = await make();
    const { locked } = await lockMember(table, world.admin, world.leaver.member, { reason: 'Leaves' }, world.tick());
    const job = notice(world, locked?.at ?? '');
    const down = { table, tell: async () => Promise.reject(new Error('no mail goes out')) };
    await expect(tellOfLock(down, job, world.tick())).rejects.toThrow('no mail goes out');
    const well = { table, tell: async (mail: (typeof world.told)[number]) => void world.told.push(mail) };
    await tellOfLock(well, job, world.tick());
    await tellOfLock(well, job, world.tick());
    expect(world.told).toHaveLength(1);
    expect(world.told[0]?.text).toMatch(/Reason: Leaves/);
  });

  test('INB-14: words that come twice, at once and out of order: a lock is told once, and so is its end', async () => {
    const world = await make();
    const { locked } = await lockMember(table, world.admin, world.leaver.member, { reason: 'Leaves' }, world.tick());
    const jobs: Parameters<typeof tellOfLock>[1][] = [notice(world, locked?.at ?? '')];
    const tellAll = () =>
      Promise.allSettled([...jobs, ...jobs].reverse().map((job) => tellOfLock(world.offboardingRoom(), job, world.tick())));
    await tellAll();
    await unlockMember(table, world.admin, world.leaver.member, {}, world.tick());
    jobs.push({ ...notice(world, world.now.toISOString()), what: 'unlocked' });
    for (let i = 0; i < 2; i++) await tellAll();
    const again = await lockMember(table, world.admin, world.leaver.member, { reason: 'Leaves after all' }, world.tick());
    jobs.push(notice(world, again.locked?.at ?? ''));
    for (let i = 0; i < 2; i++) await tellAll();
    expect(world.told.map(({ subject }) => subject.split(' /')[0])).toEqual([
      'Your mail settings were locked',
      'Your mail settings are unlocked',
      'Your mail settings were locked',
    ]);
  });

  test('what was overtaken is not told: unlocked again meanwhile', async () => {
    const world = await make();
    const { locked } = await lockMember(table, world.admin, world.leaver.member, { reason: 'Leaves' }, world.tick());
    await unlockMember(table, world.admin, world.leaver.member, {}, world.tick());
    await tellOfLock(world.offboardingRoom(), notice(world, locked?.at ?? ''), world.tick());
    expect(world.told).toEqual([]);
    await tellOfLock(world.offboardingRoom(), { ...notice(world, world.now.toISOString()), what: 'unlocked' }, world.tick());
    expect(world.told).toHaveLength(1);
  });
});
