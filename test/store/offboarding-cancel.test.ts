import { lockMember } from '../../core/addon-user/lock-store.ts';
import { newId } from '../../core/ids.ts';
import { patchMember } from '../../core/member/member-store.ts';
import { builtInProfiles } from '../../core/member/profile.ts';
import { cancelOffboarding } from '../../core/offboarding/cancel-store.ts';
import { type Offboarding, offboardingView, STEPS } from '../../core/offboarding/offboarding.ts';
import { lease, listOffboardings } from '../../core/offboarding/offboarding-store.ts';
import { runOffboarding } from '../../core/offboarding/run-offboarding.ts';
import { createRecord } from '../../core/record/record-store.ts';
import type { Table } from '../../core/table/client.ts';
import { offboardingKey, offboardingStandingKey, runningOffboardingsPartition } from '../../core/table/keys.ts';
import { startTable } from '../support/engine.ts';
import { OffboardingWorld } from '../support/offboarding-world.ts';

/** Who is to leave stays after all, at whatever step the off-boarding is: nothing more is begun, and what was done is told. */
let table: Table;
let end: () => Promise<void>;
beforeAll(async () => ({ table, end } = await startTable()));
afterAll(() => end());

const make = () => OffboardingWorld.make(table);
const cancel = (world: OffboardingWorld, id: string, actor = world.second) =>
  cancelOffboarding({ table, queue: world.wordQueue() }, actor, id, world.tick());
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    ({ code }: { code?: string }) => code,
  );
const states = ({ steps }: Offboarding) => STEPS.map((name) => `${name} ${steps[name].state}`);
const undoings = (run: Offboarding) => offboardingView(run).steps.flatMap(({ name, undo }) => (undo ? [name] : []));
const profiles = new Map(builtInProfiles().map((profile) => [profile.id, profile]));
const setStatus = (world: OffboardingWorld, status: 'active' | 'deactivated') =>
  patchMember(table, world.admin, profiles, world.leaver.member, { status }, world.tick());
const turn = (world: OffboardingWorld, id: string, more = {}) =>
  runOffboarding(world.offboardingRoom(more), world.leaver.tenant, id, new Date(world.now.getTime() + 60_000));

/** Its mail server is down, so that the last poll is waited for. */
async function whileItWaits(world: OffboardingWorld, more: { successor?: string } = {}): Promise<string> {
  world.server = 'down';
  const { id } = await world.offboard(more);
  await world.untilQuiet({}, async () => (await world.readRun(id)).steps['last-poll'].waits === 2);
  return id;
}

test('while the last poll is waited for: the member stays, locked, and it says how they are unlocked', async () => {
  const world = await make();
  const id = await whileItWaits(world, { successor: world.successor.member });
  expect(await cancel(world, id)).toMatchObject({ state: 'running', cancel: { by: world.second.member } });
  const waited = world.now.getTime();
  await world.untilQuiet();
  const run = await world.readRun(id);
  expect([run.state, states(run), undoings(run)]).toEqual([
    'cancelled',
    ['lock done', 'last-poll cancelled', 'deactivate cancelled', 'back-up cancelled', 'hand-over cancelled'],
    ['lock'],
  ]);
  // At once, not when it would have looked again.
  expect(Date.parse(run.finishedAt ?? '') - waited).toBeLessThan(1000);
  expect(await world.readLeaver()).toMatchObject({ status: 'active', locked: { reason: 'Leaves in March' } });
  expect(await world.owners()).toEqual([world.leaver.member, world.leaver.member]);
  expect(await world.standing()).toBeUndefined();
  const audited = (await world.audited()).filter((line) => line.startsWith('offboarding.cancel'));
  expect(audited).toEqual(['offboarding.cancel', 'offboarding.cancelled']);
  expect(world.told.at(-1)).toMatchObject({ to: 'admin@example.com', subject: expect.stringMatching(/was cancelled/) });
  expect(world.told.at(-1)?.text).toMatch(/Mail settings locked: done\n {2}To undo it: Unlock[\s\S]*Member deactivated: cancelled\n-/);
  expect(world.told.at(-1)?.text).toMatch(/メール設定のロック: 完了\n {2}元に戻す方法/);
  expect(
    (await table.all<{ tenant: string }>({ pk: runningOffboardingsPartition })).filter(({ tenant }) => tenant === world.leaver.tenant),
  ).toEqual([]);
  world.server = 'well';
  const { id: again } = await world.offboard();
  expect(again).not.toBe(id);
  await world.untilQuiet();
  expect((await world.readRun(again)).state).toBe('completed');
});

test('before anything was begun: nothing is done, and there is nothing to undo', async () => {
  const world = await make();
  const { id } = await world.offboard();
  await cancel(world, id);
  await world.untilQuiet();
  const run = await world.readRun(id);
  expect([run.state, undoings(run), await world.readLeaver()]).toMatchObject(['cancelled', [], { status: 'active' }]);
  expect((await world.readLeaver()).locked).toBeUndefined();
  expect(world.polls).toEqual([]);
});

test('R-16: while its backup runs: the backup is cancelled, what it has shown stays; deactivated is undone by hand', async () => {
  const world = await make();
  await world.fetched('mail');
  const { id } = await world.offboard({ successor: world.successor.member });
  await world.untilQuiet({}, async () => (await world.standing())?.running !== undefined);
  // Its worker has not begun.
  world.jobs.length = 0;
  await cancel(world, id);
  await world.untilQuiet();
  const run = await world.readRun(id);
  expect([run.state, states(run), undoings(run)]).toEqual([
    'cancelled',
    ['lock done', 'last-poll done', 'deactivate done', 'back-up cancelled', 'hand-over cancelled'],
    ['lock', 'deactivate'],
  ]);
  expect([(await world.readBackupOf(run))?.state, (await world.standing())?.running]).toEqual(['cancelled', undefined]);
  expect(await world.readLeaver()).toMatchObject({ status: 'deactivated' });
  // The way back is free.
  expect(await setStatus(world, 'active')).toMatchObject({ status: 'active' });
});

test('a backup that was complete before its step heard of it is done; without a successor nothing was left to cancel', async () => {
  for (const hasSuccessor of [true, false]) {
    const world = await make();
    await world.fetched('mail');
    const { id } = await world.offboard(hasSuccessor ? { successor: world.successor.member } : {});
    await world.untilQuiet({}, async () => (await world.standing())?.running !== undefined);
    await world.work();
    await cancel(world, id);
    await world.untilQuiet();
    const run = await world.readRun(id);
    expect([run.state, run.steps['back-up']]).toMatchObject([
      hasSuccessor ? 'cancelled' : 'completed',
      { state: 'done', counts: { mails: 2 } },
    ]);
    expect(undoings(run)).toEqual(hasSuccessor ? ['lock', 'deactivate', 'back-up'] : []);
    expect((await world.audited()).filter((line) => line === 'offboarding.complete')).toHaveLength(hasSuccessor ? 0 : 1);
  }
});

test('half-way through the handing over: it says how many records the successor has', async () => {
  const world = await make();
  for (let i = 0; i < 70; i++) {
    const how = { id: newId(world.tick()), now: world.now, createdBy: { way: 'api', memberId: world.leaver.member } } as const;
    await createRecord(table, world.leaver, 'contacts', { name: { last: `Number ${i}` } }, how);
  }
  const { id } = await world.offboard({ successor: world.successor.member });
  const isHalf = async () => ((await world.readRun(id)).steps['hand-over'].counts?.records ?? 0) > 0;
  await world.untilQuiet({}, async () => (await world.standing())?.running !== undefined);
  await world.work();
  while (!(await isHalf())) await turn(world, id, { clock: () => world.tick(5) });
  const before = (await world.readRun(id)).steps['hand-over'].counts?.records;
  await cancel(world, id);
  await world.untilQuiet();
  const run = await world.readRun(id);
  expect([run.state, run.steps['hand-over']]).toMatchObject(['cancelled', { state: 'cancelled', counts: { records: before } }]);
  expect(undoings(run)).toEqual(['lock', 'deactivate', 'back-up', 'hand-over']);
});

describe('a worker was killed between a step and its commit', () => {
  test('the lock that is there is told of, to its member and whoever cancels', async () => {
    const world = await make();
    const { id } = await world.offboard();
    await lockMember(table, world.admin, world.leaver.member, { reason: 'Leaves in March' }, world.tick());
    await cancel(world, id);
    await world.untilQuiet();
    const run = await world.readRun(id);
    expect([run.steps.lock.state, undoings(run)]).toEqual(['done', ['lock']]);
    expect(world.told.map(({ to }) => to).sort()).toEqual(['admin@example.com', 'leaver@example.com']);
  });

  test('so is the deactivation', async () => {
    const world = await make();
    const { id } = await world.offboard();
    await setStatus(world, 'deactivated');
    await table.update(offboardingKey(world.leaver.tenant, id), {
      update: 'SET steps.#lock.#state = :done, steps.#poll.#state = :done',
      names: { '#lock': 'lock', '#poll': 'last-poll', '#state': 'state' },
      values: { ':done': 'done' },
    });
    await cancel(world, id);
    await world.untilQuiet();
    expect(undoings(await world.readRun(id))).toEqual(['lock', 'deactivate']);
  });
});

test('what a worker has in hand it ends first, and notes', async () => {
  const world = await make();
  const { id } = await world.offboard();
  // Cancelled in the moment in which the lock has been taken, and its member is to be told.
  let isAsked = false;
  const queue = {
    send: async (...word: Parameters<ReturnType<typeof world.wordQueue>['send']>) => {
      if (!isAsked && 'lockNotice' in word[0]) {
        isAsked = true;
        await cancel(world, id);
      }
      await world.wordQueue().send(...word);
    },
  };
  expect(await turn(world, id, { queue })).toBe('ended');
  const run = await world.readRun(id);
  expect([run.state, states(run).slice(0, 2)]).toEqual(['cancelled', ['lock done', 'last-poll cancelled']]);
});

test('two administrators at once: it is cancelled once; the leaver cannot; what is over cannot, nor be resumed', async () => {
  const world = await make();
  const id = await whileItWaits(world);
  expect(await codeOf(cancel(world, id, { ...world.leaver, profile: world.admin.profile }))).toBe('own-lock');
  expect(await codeOf(cancel(world, id, world.colleague))).toBe('not-found');
  const asked = await Promise.all([cancel(world, id), cancel(world, id, world.admin)]);
  expect(new Set(asked.map((run) => run.cancel?.by)).size).toBe(1);
  await world.untilQuiet();
  expect((await world.audited()).filter((line) => line.startsWith('offboarding.cancel'))).toHaveLength(2);
  expect(await codeOf(cancel(world, id))).toBe('not-running');
  expect(await codeOf(world.resume(id))).toBe('not-failed');
});

test('a step that fails after it was asked for stops it as ever; resumed, it is not cancelled any more', async () => {
  const world = await make();
  const { id } = await world.offboard();
  await lease(table, world.leaver.tenant, id, world.now);
  await cancel(world, id);
  world.words.length = 0;
  // The worker that had it failed.
  await table.update(offboardingKey(world.leaver.tenant, id), {
    update: 'SET #state = :failed, steps.#lock.#state = :failed REMOVE leaseUntil',
    names: { '#state': 'state', '#lock': 'lock' },
    values: { ':failed': 'failed' },
  });
  await table.update(offboardingStandingKey(world.leaver.tenant, world.leaver.member), {
    update: 'REMOVE #running',
    names: { '#running': 'running' },
  });
  expect(await codeOf(cancel(world, id))).toBe('not-running');
  await world.resume(id);
  await world.untilQuiet();
  expect(await world.readRun(id)).toMatchObject({ state: 'completed' });
  expect((await world.readRun(id)).cancel).toBeUndefined();
});

test('all of them are listed, newest first, page by page; of one tenant', async () => {
  const world = await make();
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) {
    ids.unshift((await world.offboard()).id);
    await world.untilQuiet();
  }
  await (await make()).offboard();
  const first = await listOffboardings(table, world.admin, { limit: 2 });
  const second = await listOffboardings(table, world.admin, { limit: 2, after: first.next });
  expect([first.items.map(({ id }) => id), second.items.map(({ id }) => id), second.next]).toEqual([
    ids.slice(0, 2),
    ids.slice(2),
    undefined,
  ]);
});
