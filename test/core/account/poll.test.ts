import { setImmediate as nextTurn } from 'node:timers/promises';
import { jest } from '@jest/globals';
import type { PollRoom } from '../../../core/account/poll.ts';
import { type Leased, renewLease } from '../../../core/account/poll-store.ts';
import { Pop3Error, type Pop3Session } from '../../../core/account/pop3.ts';
import { POLL_FOLLOWERS, POLL_LEASE_SECONDS, POLL_PULSE_SECONDS } from '../../../core/limits.ts';
import { askedOf, mailOf, NOON, newPollWorld as newWorld, type PollWorld } from '../../support/poll-world.ts';
import { type Break, refusal } from '../../support/pop3-model.ts';

const DAY_MS = 86_400_000;
const mails = (world: PollWorld, count: number, from = 0) => {
  for (let i = from; i < from + count; i++) world.drop.add(`u${i}`, mailOf(`Mail ${i}`));
};
const subjectsOf = (world: PollWorld) =>
  world.inbound
    .toSorted((a, b) => (a.receivedAt < b.receivedAt ? -1 : 1))
    .map(({ rawKey }) => /Subject: (.*)\r/.exec(Buffer.from(world.raw.get(rawKey) as Uint8Array).toString())?.[1]);
/** What a worker waits for that was killed meanwhile. */
const killed = () => new Promise<never>(() => {});
/** Until whoever is alive waits for something outside. */
const settled = async () => {
  for (let turn = 0; turn < 20; turn++) await nextTurn();
};
const pulsesPass = async (count: number) => {
  await jest.advanceTimersByTimeAsync(count * POLL_PULSE_SECONDS * 1000);
  await settled();
};
/** A world whose first sync of so many mails is over, at a minute of its own. */
async function synced(count: number, more: Parameters<typeof newWorld>[0] = {}): Promise<PollWorld> {
  const world = await newWorld(more);
  mails(world, count);
  await world.sync();
  world.drop.commands.length = 0;
  world.writes.length = 0;
  world.delayed.length = 0;
  return world;
}

describe('the first sync', () => {
  test('R-39, INB-14, INB-15: takes what is there, in the order of the mailbox, and tells its owner once, when all is filed', async () => {
    const world = await newWorld();
    mails(world, 5);
    await world.tick();
    expect(world.inbound.map(({ firstSync }) => firstSync)).toEqual(Array(5).fill(true));
    expect(subjectsOf(world)).toEqual(['Mail 0', 'Mail 1', 'Mail 2', 'Mail 3', 'Mail 4']);
    const half = await world.account();
    expect(half).toMatchObject({ state: 'syncing', sync: { found: 5, fetched: 5, filed: 0, fetchedAllAt: expect.any(String) } });
    await world.tick();
    expect(world.told).toEqual([]);
    await world.file();
    await world.tick();
    expect(await world.account()).toMatchObject({
      state: 'ok',
      sync: { found: 5, fetched: 5, filed: 5, skipped: 0, doneAt: expect.any(String) },
      totals: { filed: 5 },
    });
    for (let i = 0; i < 20; i++) await world.tick();
    expect(world.told.map(({ to, subject }) => [to, subject])).toEqual([['mika@example.com', expect.stringContaining('first sync')]]);
    expect(world.inbound).toEqual([]);
  });

  test('INB-14: of an empty mailbox it is done, and told, at once', async () => {
    const world = await newWorld();
    await world.sync();
    expect(await world.account()).toMatchObject({ state: 'ok', sync: { found: 0, filed: 0, doneAt: expect.any(String) } });
    expect(world.told).toHaveLength(1);
  });

  test('INB-14: while a mail is not filed it is not done; after a day of silence it is', async () => {
    const world = await newWorld();
    mails(world, 2);
    await world.tick();
    const [, lost] = world.inbound;
    world.inbound.pop();
    await world.file();
    for (let i = 0; i < 30; i++) await world.tick();
    expect((await world.account()).sync.doneAt).toBeUndefined();
    expect(lost).toBeDefined();
    for (let i = 0; i < 24; i++) await world.tick(60);
    expect((await world.account()).sync).toMatchObject({ fetched: 2, filed: 1, doneAt: expect.any(String) });
  });

  const old = new Date('2026-01-01').toUTCString();
  test.each([
    ['with TOP, in lockstep', { hasTop: true, window: 1 }],
    ['with TOP, pipelined', { hasTop: true, window: 10 }],
    ['without TOP', { hasTop: false, window: 1 }],
  ])('R-39: what reached the server before `since` is left alone, %s', async (_, server) => {
    const world = await newWorld();
    Object.assign(world.drop, server);
    for (let i = 0; i < 120; i++) world.drop.add(`old${i}`, mailOf(`Old ${i}`, old));
    world.drop.add('n1', mailOf('New 1'));
    for (let i = 0; i < 30; i++) world.drop.add(`mid${i}`, mailOf(`Mid ${i}`, old));
    world.drop.add('n2', mailOf('New 2'));
    await world.tick();
    expect(subjectsOf(world)).toEqual(['New 1', 'New 2']);
    expect((await world.account()).sync).toMatchObject({ found: 152, fetched: 2, skipped: 150 });
    const asked = askedOf(world, /^(TOP|RETR)/);
    // From the newest on, until fifty in a row are older; what is behind is not even looked at.
    expect(asked).not.toContain('TOP 1');
    expect(asked).not.toContain('RETR 1');
    const lines = await world.ledger();
    expect([lines.length, lines.filter(({ outcome }) => outcome === 'skipped').length]).toEqual([152, 150]);
  });

  test('R-39: fifty older mails in a row end it, forty-nine do not', async () => {
    for (const [between, found] of [
      [49, ['New 1', 'New 2']],
      [50, ['New 2']],
    ] as const) {
      const world = await newWorld();
      world.drop.add('n1', mailOf('New 1'));
      for (let i = 0; i < between; i++) world.drop.add(`old${i}`, mailOf(`Old ${i}`, old));
      world.drop.add('n2', mailOf('New 2'));
      await world.tick();
      expect(subjectsOf(world)).toEqual(found);
    }
  });

  test('a large one goes on at once, poll after poll, and shows how far it is', async () => {
    const world = await newWorld();
    mails(world, 120);
    const seen: number[] = [];
    for (let i = 0; i < 10; i++) {
      // Each poll has time for one chunk.
      let asked = 0;
      const clock = () => new Date(world.now.getTime() + (asked++ > 60 ? 1000_000 : 0));
      await world.poll({ clock });
      seen.push((await world.account()).sync.fetched);
      world.now = new Date(world.now.getTime() + 2000_000);
      if ((await world.account()).sync.fetchedAllAt) break;
    }
    expect(seen.length).toBeGreaterThan(1);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.at(-1)).toBe(120);
    expect(new Set(subjectsOf(world)).size).toBe(120);
    expect(world.inbound).toHaveLength(120);
    expect(subjectsOf(world)).toEqual(Array.from({ length: 120 }, (_, i) => `Mail ${i}`));
    expect(world.polls.length).toBeGreaterThan(0);
  });

  test('another server: what lies there is not taken in whole, either', async () => {
    const world = await synced(3);
    for (let i = 0; i < 60; i++) world.drop.mails[i] = { uid: `o${i}`, bytes: Buffer.from(mailOf(`Old ${i}`, old)) };
    world.drop.add('n', mailOf('New'));
    await world.change({ snapshot: undefined });
    await world.poll();
    expect(subjectsOf(world)).toEqual(['New']);
    expect(world.told).toHaveLength(1);
  });
});

describe('a poll that finds nothing', () => {
  test('writes nothing, and asks STAT and two ids at most', async () => {
    for (const window of [1, 20]) {
      const world = await synced(5);
      world.drop.window = window;
      expect(await world.poll()).toEqual({ outcome: 'quiet' });
      expect(world.drop.commands).toEqual(window === 1 ? ['STAT', 'UIDL 5', 'QUIT'] : ['STAT', 'UIDL 1', 'UIDL 5', 'QUIT']);
      expect(world.writes).toEqual([]);
    }
  });

  test('of a mailbox that is empty', async () => {
    const world = await synced(0);
    expect(await world.poll()).toEqual({ outcome: 'quiet' });
    expect([world.drop.commands, world.writes]).toEqual([['STAT', 'QUIT'], []]);
  });

  test('the mailbox is listed in full once an hour, and its last success written down', async () => {
    const world = await synced(3);
    await world.poll();
    const { lastSuccessAt } = await world.account();
    world.now = new Date(world.now.getTime() + 56 * 60_000);
    expect(await world.poll()).toMatchObject({ outcome: 'polled', fetched: 0 });
    expect(world.drop.commands).toContain('UIDL');
    expect((await world.account()).lastSuccessAt).not.toBe(lastSuccessAt);
    world.drop.commands.length = 0;
    expect(await world.poll()).toEqual({ outcome: 'quiet' });
  });

  test.each<[string, (world: PollWorld) => unknown, number]>([
    ['a mail came', (world) => mails(world, 1, 5), 1],
    [
      'the last one was replaced by one of the same size',
      (world) => void world.drop.mails.splice(4, 1, { uid: 'x', bytes: Buffer.from(mailOf('Mail 9')) }),
      1,
    ],
    ['the first one was deleted by another client', (world) => void world.drop.mails.shift(), 0],
    ['all were deleted by another client', (world) => void world.drop.mails.splice(0), 0],
    ['one was deleted and one came', (world) => [world.drop.mails.shift(), mails(world, 1, 5)], 1],
  ])('is none when %s', async (_, happens, fetched) => {
    const world = await synced(5);
    happens(world);
    expect(await world.poll()).toMatchObject({ outcome: 'polled', fetched });
    world.drop.commands.length = 0;
    expect(await world.poll()).toEqual({ outcome: 'quiet' });
  });

  test('a maildrop polled a hundred times: one line and one delivery for each mail', async () => {
    const world = await synced(10);
    for (let i = 0; i < 100; i++) await world.tick(7);
    expect(await world.ledger()).toHaveLength(10);
    expect(world.inbound).toEqual([]);
  });
});

describe('new mail', () => {
  test('R-34: is received in the order of the mailbox', async () => {
    const world = await synced(3);
    mails(world, 7, 3);
    await world.poll();
    expect(subjectsOf(world)).toEqual(['Mail 3', 'Mail 4', 'Mail 5', 'Mail 6', 'Mail 7', 'Mail 8', 'Mail 9']);
    expect(world.inbound.every(({ firstSync }) => firstSync === undefined)).toBe(true);
  });

  test('is looked up by what is new alone: a hundred among many cost the store a hundred', async () => {
    const world = await synced(0);
    mails(world, 400);
    await world.poll();
    await world.file();
    world.writes.length = 0;
    world.reads.length = 0;
    mails(world, 100, 400);
    await world.poll();
    expect(world.inbound).toHaveLength(100);
    expect(world.writes.length).toBeLessThan(105);
    // The account, the lines of the hundred in one call, and what its owner might have to be told.
    expect(world.reads).toEqual(['GetItemCommand', 'BatchGetItemCommand', 'QueryCommand']);
  });

  test('copies with one id are two mails, by their occurrence', async () => {
    const world = await synced(1);
    const twin = { uid: 'twin', bytes: Buffer.from(mailOf('Twin')) };
    world.drop.mails.push(twin, { ...twin });
    await world.poll();
    expect(new Set(world.inbound.map(({ seen }) => seen)).size).toBe(2);
    await world.poll();
    expect(world.inbound).toHaveLength(2);
  });

  test('a mail that its server refuses is left for later and keeps no other from coming', async () => {
    const world = await synced(1);
    mails(world, 3, 1);
    const open = async () => {
      const session = await world.drop.open('right', world.now);
      return {
        ...session,
        retr: (n: number, max: number) => (n === 3 ? Promise.reject(refusal('mail', undefined, 'broken')) : session.retr(n, max)),
      };
    };
    expect(await world.poll({ open })).toMatchObject({ outcome: 'polled', fetched: 2 });
    expect(await world.poll()).toMatchObject({ outcome: 'polled', fetched: 1 });
    expect(new Set(subjectsOf(world))).toEqual(new Set(['Mail 1', 'Mail 2', 'Mail 3']));
  });

  test('R-32: a server that numbers its mails anew: fetched again in the slow lane, known by content, none deleted in that session', async () => {
    const world = await synced(600);
    await world.change({ deletion: { policy: 'delete-at-once' } });
    world.now = new Date(world.now.getTime() + DAY_MS);
    world.drop.renumber();
    expect(await world.poll()).toMatchObject({ fetched: 250, deleted: 0 });
    await world.file('duplicate');
    world.now = new Date(world.now.getTime() + DAY_MS);
    expect(await world.poll()).toMatchObject({ fetched: 250, deleted: 0 });
    await world.file('duplicate');
    world.now = new Date(world.now.getTime() + DAY_MS);
    expect(await world.poll()).toMatchObject({ fetched: 100, deleted: 200 });
  });

  test('a mail over the limit: its header is stored, and it is never deleted', async () => {
    const world = await synced(1, { deletion: { policy: 'delete-at-once' } });
    await world.poll();
    world.drop.mails.push({ uid: 'huge', bytes: Buffer.concat([Buffer.from(mailOf('Huge')), Buffer.alloc(40 * 2 ** 20)]) });
    await world.poll();
    expect(world.inbound).toMatchObject([{ tooLarge: true, rawSize: expect.any(Number) }]);
    expect(world.raw.get(world.inbound[0]?.rawKey as string)?.length).toBeLessThan(1000);
    await world.file('too-large');
    for (let i = 0; i < 5; i++) await world.tick(60);
    expect(world.drop.mails.map(({ uid }) => uid)).toContain('huge');
  });

  test('a server that says less than a mail has is asked for one mail at a time, and then all come', async () => {
    const world = await synced(1);
    world.drop.window = 10;
    mails(world, 3, 1);
    world.drop.mails[2] = { uid: 'u2', bytes: Buffer.from(mailOf('Mail 2', undefined, 'x'.repeat(300_000))) };
    const open = async () => {
      const session = await world.drop.open('right', world.now);
      return { ...session, list: async () => new Map([...(await session.list())].map(([n]) => [n, 10])) };
    };
    expect(await world.poll({ open })).toMatchObject({ outcome: 'failed' });
    world.now = new Date(world.now.getTime() + 3600_000);
    expect(await world.poll({ open })).toMatchObject({ outcome: 'polled' });
    expect(new Set(subjectsOf(world))).toEqual(new Set(['Mail 1', 'Mail 2', 'Mail 3']));
  });
});

describe('deletion from the server', () => {
  const due = { deletion: { policy: 'delete-at-once' } } as const;
  const uids = (world: PollWorld) => world.drop.mails.map(({ uid }) => uid);

  test('R-36: delete-at-once: when it is filed, not before; and the lines say so', async () => {
    const world = await synced(2, due);
    await world.poll();
    expect(uids(world)).toEqual([]);
    mails(world, 1, 2);
    await world.poll();
    await world.tick(3);
    expect(uids(world)).toEqual(['u2']);
    await world.file();
    await world.tick(60);
    expect(uids(world)).toEqual([]);
    expect((await world.ledger()).every(({ deletedAt }) => deletedAt)).toBe(true);
    expect((await world.account()).totals).toEqual({ filed: 3, deleted: 3 });
  });

  test('R-36: delete-at-once looks again some minutes later, when filing is over', async () => {
    const world = await synced(0, due);
    mails(world, 1);
    await world.poll();
    await world.file();
    await world.tick(2);
    await world.tick();
    expect(uids(world)).toEqual([]);
  });

  test.each([
    [1, 1],
    [365, 365],
  ])('R-36: delete-after-days counts from when it was received: %d days', async (days, after) => {
    const world = await synced(1, { deletion: { policy: 'delete-after-days', days } });
    world.now = new Date(world.now.getTime() + after * DAY_MS - 10 * 60_000);
    await world.poll();
    expect(uids(world)).toEqual(['u0']);
    world.now = new Date(world.now.getTime() + 70 * 60_000);
    await world.poll();
    expect(uids(world)).toEqual([]);
  });

  test('POP-15: leave leaves', async () => {
    const world = await synced(1);
    for (let i = 0; i < 10; i++) await world.tick(1440);
    expect([uids(world), askedOf(world, /^DELE/)]).toEqual([['u0'], []]);
  });

  test('POP-17: under a `recent:` user name nothing is deleted, whatever the policy says', async () => {
    const incoming = { host: 'pop.gmail.com', port: 995, security: 'implicit', userName: 'recent:mika@gmail.com' } as const;
    const world = await synced(1, { ...due, incoming });
    for (let i = 0; i < 5; i++) await world.tick(1440);
    expect(askedOf(world, /^DELE/)).toEqual([]);
  });

  test.each(['held', 'not-kept', 'too-large'] as const)(
    'R-36: what is %s is not stored for good, and stays on the server',
    async (outcome) => {
      const world = await synced(0, due);
      mails(world, 1);
      await world.poll();
      await world.file(outcome);
      for (let i = 0; i < 5; i++) await world.tick(60);
      expect(uids(world)).toEqual(['u0']);
    },
  );

  test('R-39, R-36: what was skipped as older is never deleted', async () => {
    const world = await newWorld(due);
    world.drop.add('old', mailOf('Old', new Date(0).toUTCString()));
    await world.sync();
    for (let i = 0; i < 5; i++) await world.tick(60);
    expect(uids(world)).toEqual(['old']);
  });

  test('R-36: a QUIT that is lost deletes nothing or everything; the next listing tells, and then it is noted', async () => {
    for (const when of ['before', 'after'] as const) {
      const world = await synced(2, due);
      // STAT, UIDL, LIST, two DELE, QUIT.
      world.drop.breaks.push({ command: 6, when } satisfies Break);
      await world.poll();
      expect(uids(world)).toHaveLength(when === 'before' ? 2 : 0);
      expect((await world.ledger()).filter(({ deletedAt }) => deletedAt)).toEqual([]);
      await world.poll();
      expect(uids(world)).toEqual([]);
      expect((await world.ledger()).filter(({ deletedAt }) => deletedAt)).toHaveLength(2);
      expect((await world.account()).totals.deleted).toBe(2);
    }
  });

  test('R-36: an id that is handed out again for another mail does not delete that one', async () => {
    const world = await synced(1, { deletion: { policy: 'delete-after-days', days: 1 } });
    world.drop.mails[0] = { uid: 'u0', bytes: Buffer.from(mailOf('Another mail of another size')) };
    world.now = new Date(world.now.getTime() + 2 * DAY_MS);
    await world.poll();
    expect(uids(world)).toEqual(['u0']);
  });

  test('R-36: of copies with one id all go or none', async () => {
    const world = await synced(0, due);
    const twin = { uid: 'twin', bytes: Buffer.from(mailOf('Twin')) };
    world.drop.mails.push(twin, { ...twin });
    await world.poll();
    const [second] = world.inbound.splice(1, 1);
    await world.file();
    await world.poll();
    expect(uids(world)).toEqual(['twin', 'twin']);
    world.inbound.push(second!);
    await world.file();
    await world.tick(60);
    expect(uids(world)).toEqual([]);
  });

  test('R-36: two hundred go with one QUIT, one more with the next', async () => {
    const world = await synced(0, due);
    mails(world, 201);
    await world.poll();
    await world.file();
    world.now = new Date(world.now.getTime() + 60_000);
    expect(await world.poll()).toMatchObject({ deleted: 200 });
    expect(await world.poll()).toMatchObject({ deleted: 1 });
  });
});

describe('whose turn it is', () => {
  test('R-33, POP-7: an account that is not active, or whose owner is deactivated, is not polled', async () => {
    for (const change of [{ active: false }, { ownerDeactivatedAt: NOON.toISOString() }]) {
      const world = await synced(1);
      await world.change(change);
      expect(await world.poll()).toEqual({ outcome: 'void', reason: 'not-polled' });
      expect(world.drop.commands).toEqual([]);
    }
  });

  test('GEN-1: when an administrator has switched the add-on off, nothing new is fetched, and after an hour nobody logs in', async () => {
    const world = await synced(1);
    const off = { isEnabled: async () => false };
    world.drop.add('later', mailOf('Later'));
    expect(await world.poll(off)).toEqual({ outcome: 'void', reason: 'add-on-off' });
    expect(world.drop.commands.filter((command) => /RETR/.test(command))).toEqual([]);
    world.drop.commands.length = 0;
    world.now = new Date(world.now.getTime() + 3_600_000);
    expect(await world.poll(off)).toEqual({ outcome: 'void', reason: 'add-on-off' });
    expect(world.drop.commands).toEqual([]);
    expect(await world.poll()).toMatchObject({ outcome: 'polled', fetched: 1 });
  });

  test('an account that was removed, or moved in the timetable since the job was sent, is not polled', async () => {
    const world = await synced(1);
    world.polls.push({ poll: { tenant: world.tenant, member: 'mika', account: 'gone' } });
    world.polls.push({ poll: { tenant: world.tenant, member: 'mika', account: 'acc1', slot: 'R5#9#9' } });
    expect(await world.work()).toEqual([
      { outcome: 'void', reason: 'gone' },
      { outcome: 'void', reason: 'moved' },
    ]);
  });

  test('one worker at a time: who comes second does nothing', async () => {
    const world = await synced(1);
    mails(world, 2, 1);
    const results = await Promise.all([world.poll(), world.poll()]);
    expect(results.map(({ outcome }) => outcome).toSorted()).toEqual(['polled', 'void']);
    expect(world.inbound).toHaveLength(2);
    expect(await world.account()).toMatchObject({ state: 'ok', totals: { filed: 3 } });
  });

  test('a worker that lost its lease writes nothing about the account', async () => {
    const world = await synced(1);
    mails(world, 1, 1);
    const storeRaw = async () => {
      await world.change({ lease: { until: '2099-01-01T00:00:00.000Z', fence: 99 } });
    };
    expect(await world.poll({ storeRaw })).toEqual({ outcome: 'void', reason: 'changed' });
    expect((await world.account()).lease).toEqual({ until: '2099-01-01T00:00:00.000Z', fence: 99 });
  });

  test('a poll that was killed is followed when its lease is over, within two minutes', async () => {
    const world = await synced(1);
    mails(world, 2, 1);
    void world.poll({ storeRaw: killed });
    await settled();
    expect(await world.poll()).toEqual({ outcome: 'void', reason: 'in-hand' });
    world.drop.hangUp();
    expect(await world.after(POLL_LEASE_SECONDS - 1)).toEqual([]);
    expect(await world.after(2)).toMatchObject([{ outcome: 'polled', fetched: 2 }]);
    expect(POLL_LEASE_SECONDS + 1).toBeLessThan(120);
    expect(await world.account()).toMatchObject({ state: 'ok', totals: { filed: 3 } });
  });

  test('one that is over is not followed, nor one whose lease another has taken since', async () => {
    const world = await synced(1);
    mails(world, 1, 1);
    await world.poll();
    expect(await world.after(120)).toEqual([{ outcome: 'void', reason: 'over' }]);
    mails(world, 1, 2);
    void world.poll({ storeRaw: killed });
    await settled();
    await world.change({ lease: { until: '2099-01-01T00:00:00.000Z', fence: 99 } });
    expect(await world.after(120)).toEqual([{ outcome: 'void', reason: 'over' }]);
  });

  describe('and says that it is at work', () => {
    beforeEach(() => void jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] }));
    afterEach(() => void jest.useRealTimers());

    test('one that goes on for long keeps its lease, and is followed when it is killed at last', async () => {
      const world = await synced(1);
      mails(world, 1, 1);
      void world.poll({ storeRaw: killed });
      await settled();
      const looks = [];
      for (let pulse = 0; pulse < 10; pulse++) {
        await pulsesPass(1);
        looks.push(...(await world.after(POLL_PULSE_SECONDS)));
      }
      expect(looks).toEqual(Array(2).fill({ outcome: 'void', reason: 'in-hand' }));
      jest.clearAllTimers();
      world.drop.hangUp();
      const results = [];
      for (let second = 0; second <= POLL_LEASE_SECONDS; second++) results.push(...(await world.after(1)));
      expect(results).toMatchObject([{ outcome: 'void' }, { outcome: 'polled', fetched: 1 }]);
    });

    test("one whose lease is another's is cut off", async () => {
      const world = await synced(1);
      mails(world, 1, 1);
      const cutOff: Pop3Session[] = [];
      const open: PollRoom['open'] = async () => {
        const session = await world.drop.open('right', world.now);
        return Object.assign(Object.create(session) as typeof session, { destroy: () => cutOff.push(session) });
      };
      void world.poll({ open, storeRaw: killed });
      await settled();
      await pulsesPass(1);
      expect(cutOff).toHaveLength(0);
      await world.change({ lease: { until: '2099-01-01T00:00:00.000Z', fence: 99 } });
      await pulsesPass(1);
      expect(cutOff).toHaveLength(1);
    });

    test('a pulse that comes late does not take up again what was given back', async () => {
      const world = await synced(1);
      mails(world, 1, 1);
      await world.poll();
      const account = (await world.account()) as Leased;
      expect(await renewLease(world.table, account, world.now)).toBe(false);
      expect((await world.account()).lease).toEqual(account.lease);
    });
  });

  test('one that kills its worker each time is followed three times, and left to the timetable then', async () => {
    const world = await synced(1);
    mails(world, 1, 1);
    let kills = 0;
    const retr = () => {
      kills++;
      return killed();
    };
    world.opens = async () => Object.assign(Object.create(await world.drop.open('right', world.now)), { retr });
    void world.poll();
    for (let turn = 0; turn < 6; turn++) {
      await settled();
      world.drop.hangUp();
      void world.after(POLL_LEASE_SECONDS + 1);
    }
    expect(kills).toBe(1 + POLL_FOLLOWERS);
  });

  test('POP-23: a verdict about a password that was changed meanwhile is void', async () => {
    const world = await synced(1);
    const open = async () => {
      await world.change({ credentials: 2 });
      throw refusal('login', 'AUTH', 'no');
    };
    expect(await world.poll({ open })).toMatchObject({ outcome: 'void' });
    expect(await world.account()).toMatchObject({ state: 'ok', authFailures: 0 });
  });

  test('an account switched off in the middle of its poll stays off the timetable', async () => {
    const world = await synced(1);
    mails(world, 1, 1);
    const storeRaw = () => world.change({ active: false, slot: undefined });
    await world.poll({ storeRaw });
    expect(await world.account()).toMatchObject({ active: false, totals: { filed: 2 } });
    expect((await world.account()).slot).toBeUndefined();
    world.drop.commands.length = 0;
    await world.poll();
    expect(world.drop.commands).toEqual([]);
  });

  test('an error of our own is thrown, and the mailbox is as it was', async () => {
    const world = await synced(1);
    mails(world, 1, 1);
    const storeRaw = () => Promise.reject(new Error('no S3 today'));
    await expect(world.poll({ storeRaw })).rejects.toThrow('no S3 today');
    expect(await world.ledger()).toHaveLength(1);
    world.now = new Date(world.now.getTime() + 6 * 60_000);
    expect(await world.poll()).toMatchObject({ fetched: 1 });
  });
});

describe('failures', () => {
  test('POP-24, R-37: a wrong password: three logins in a thousand ticks, and the owner is told before and when it stops', async () => {
    const world = await synced(1);
    world.password = 'wrong';
    world.drop.logins = 0;
    world.told.length = 0;
    for (let i = 0; i < 1000; i++) await world.tick();
    expect(world.drop.logins).toBe(3);
    expect(await world.account()).toMatchObject({ state: 'auth-failed', authFailures: 3, lastError: { code: 'wrong-password' } });
    expect((await world.account()).slot).toBeUndefined();
    expect(world.told.map(({ subject }) => subject)).toEqual([
      expect.stringContaining('does not let us in'),
      expect.stringContaining('no longer fetched'),
    ]);
  });

  test.each([
    ['IN-USE', 'mailbox-in-use'],
    ['LOGIN-DELAY', 'login-delay'],
    ['SYS/TEMP', 'server-temporary'],
  ])('R-37: [%s] is never counted as a wrong password, and does not slow the mailbox down', async (code, meaning) => {
    const world = await synced(1);
    const open = () => Promise.reject(refusal('login', code, 'busy'));
    for (let i = 0; i < 20; i++) {
      world.now = new Date(world.now.getTime() + 11 * 60_000);
      await world.poll({ open });
    }
    expect(await world.account()).toMatchObject({
      state: 'backing-off',
      authFailures: 0,
      connectFailures: 0,
      lastError: { code: meaning },
    });
    world.now = new Date(world.now.getTime() + 11 * 60_000);
    await world.poll();
    expect(await world.account()).toMatchObject({ state: 'ok' });
    expect((await world.account()).lastError).toBeUndefined();
  });

  test('R-37: a server out of reach is tried less and less often, at least every six hours, for ever; its owner is told after a day', async () => {
    const world = await synced(1);
    world.told.length = 0;
    const waits: number[] = [];
    const begun = world.now.getTime();
    let last = begun;
    const open = () => {
      waits.push(Math.round((world.now.getTime() - last) / 60_000));
      last = world.now.getTime();
      return Promise.reject(new Pop3Error('connect', 'unreachable'));
    };
    world.opens = open;
    for (let i = 0; i < 30; i++) await world.nextTurn();
    expect(world.now.getTime() - begun).toBeGreaterThan(5 * DAY_MS);
    expect(Math.max(...waits)).toBeLessThanOrEqual(6 * 60 + 10);
    expect(waits.slice(-5).every((minutes) => minutes > 4 * 60)).toBe(true);
    expect(await world.account()).toMatchObject({ state: 'unreachable', lastError: { code: 'unreachable' } });
    expect(world.told.map(({ subject }) => subject)).toEqual([expect.stringContaining('for a day')]);
    world.opens = undefined;
    await world.nextTurn();
    expect(await world.account()).toMatchObject({ state: 'ok', connectFailures: 0 });
  });

  test('R-37: web login required and exceeded limits lock out for long, are no wrong password, and the owner is told', async () => {
    const world = await synced(1);
    world.told.length = 0;
    await world.poll({ open: () => Promise.reject(refusal('login', 'AUTH', 'Web login required')) });
    const account = await world.account();
    expect(account).toMatchObject({ state: 'locked-out', authFailures: 0, lastError: { code: 'web-login-required' } });
    expect(Date.parse(`${account.slot?.slice(0, 16)}:00Z`) - world.now.getTime()).toBeGreaterThan(45 * 60_000);
    expect(world.told).toHaveLength(1);
  });

  test('INB-16, POP-12: what the owner is told says what to do, in both languages, and what the server said', async () => {
    const world = await synced(1);
    world.told.length = 0;
    await world.poll({ open: () => Promise.reject(refusal('login', 'AUTH', 'Application-specific password required')) });
    const [mail] = world.told;
    expect(mail?.text).toContain('"Application-specific password required"');
    expect(mail?.text).toContain('Create an app-specific password');
    expect(mail?.text).toContain('パスワード');
  });

  test('a mail to the owner that was cut off before it was sent is sent by the next poll, and once', async () => {
    const world = await synced(1);
    world.told.length = 0;
    const open = () => Promise.reject(refusal('login', 'AUTH', 'no'));
    const tell = () => Promise.reject(new Error('no SES today'));
    await expect(world.poll({ open, tell })).rejects.toThrow('no SES today');
    world.polls.push({ poll: { tenant: world.tenant, member: 'mika', account: 'acc1', slot: 'the place before' } });
    world.now = new Date(world.now.getTime() + 7 * 60_000);
    await world.work();
    await world.work();
    expect(world.told).toHaveLength(1);
  });

  test('POP-28, R-44: a user name that is refused after it had worked means that the mailbox is gone', async () => {
    const world = await synced(1);
    await world.poll({ open: () => Promise.reject(refusal('login', 'AUTH', 'unknown user')) });
    expect((await world.account()).lastError).toMatchObject({ code: 'mailbox-unavailable' });
  });

  test('a connection lost among the mails keeps what came', async () => {
    const world = await synced(1);
    mails(world, 5, 1);
    // STAT, and again STAT, UIDL, LIST, RETR, RETR.
    world.drop.breaks.push({ command: 6, when: 'before' });
    expect(await world.poll()).toMatchObject({ outcome: 'failed', fetched: 1, code: 'connection-lost' });
    expect(await world.account()).toMatchObject({ state: 'backing-off', connectFailures: 1 });
    expect(await world.poll()).toMatchObject({ fetched: 4 });
    expect(new Set(subjectsOf(world)).size).toBe(5);
    expect(world.inbound).toHaveLength(5);
  });

  test('the history holds polls that did something or failed, and none of the quiet ones', async () => {
    const world = await synced(1);
    const before = (await world.history()).length;
    for (let i = 0; i < 5; i++) await world.poll();
    expect(await world.history()).toHaveLength(before);
    mails(world, 1, 1);
    await world.poll();
    await world.poll({ open: () => Promise.reject(new Pop3Error('connect', 'unreachable')) });
    expect((await world.history()).slice(before)).toMatchObject([
      { found: 2, fetched: 1, ttl: expect.any(Number) },
      { fetched: 0, error: 'unreachable' },
    ]);
  });
});
