import { Lane, Lanes } from '../../../core/account/lane.ts';
import { POLL_PROCESS_BYTES, POLLS_PER_HOST, POLLS_PER_TENANT } from '../../../core/limits.ts';
import { functions } from '../../../functions/manifest.ts';

/** Work that ends when it is told to, and counts how much of it goes on at once. */
class Work {
  now = 0;
  most = 0;
  readonly ends: (() => void)[] = [];
  readonly run = async () => {
    this.most = Math.max(this.most, ++this.now);
    await new Promise<void>((done) => this.ends.push(done));
    this.now--;
  };
  /** Ends all, those that begin meanwhile too. */
  async finish(): Promise<void> {
    for (let turns = 0; turns < 200; turns++) {
      this.ends.shift()?.();
      await Promise.resolve();
    }
  }
}

test.each([
  ['server', POLLS_PER_HOST],
  ['tenant', POLLS_PER_TENANT],
])('so many sessions of one %s in a process at once, and no more; others are not held up', async (_, width) => {
  const lanes = new Lanes(width);
  const [one, other] = [new Work(), new Work()];
  const all = Array.from({ length: 10 }, () => lanes.run('one', one.run));
  all.push(lanes.run('other', other.run));
  for (let turns = 0; turns < 20; turns++) await Promise.resolve();
  expect([one.now, other.now]).toEqual([width, 1]);
  await Promise.all([one.finish(), other.finish()]);
  await Promise.all(all);
  expect(one.most).toBe(width);
});

test('all sessions with one server: what a process may have, times the processes there may be', () => {
  expect(POLLS_PER_HOST * functions['poll-mailbox'].trigger.maxConcurrency).toBeLessThanOrEqual(80);
  expect(POLL_PROCESS_BYTES / 2 ** 20).toBeLessThan(functions['poll-mailbox'].memory / 4);
});

test('work that fails gives its place back', async () => {
  const lanes = new Lanes(1);
  await expect(lanes.run('one', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await lanes.run('one', async () => 'yes')).toBe('yes');
});

test('what is given back twice is given back once', async () => {
  const lanes = new Lanes(1);
  const giveBack = await lanes.take('one');
  giveBack();
  const second = await lanes.take('one');
  giveBack();
  let third = false;
  void lanes.take('one').then(() => {
    third = true;
  });
  for (let turns = 0; turns < 10; turns++) await Promise.resolve();
  expect(third).toBe(false);
  second();
});

test('bytes: who asks first is served first, and more than there is at all is served alone', async () => {
  const lane = new Lane(10);
  const order: string[] = [];
  const ask = (name: string, amount: number) => lane.take(amount).then(() => order.push(name));
  await ask('small', 4);
  void ask('huge', 100);
  void ask('small too', 1);
  for (let turns = 0; turns < 10; turns++) await Promise.resolve();
  expect(order).toEqual(['small']);
  lane.give(4);
  for (let turns = 0; turns < 10; turns++) await Promise.resolve();
  expect(order).toEqual(['small', 'huge']);
  lane.give(100);
  for (let turns = 0; turns < 10; turns++) await Promise.resolve();
  expect(order).toEqual(['small', 'huge', 'small too']);
});
