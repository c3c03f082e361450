import { jest } from '@jest/globals';
import type { Context, SQSEvent } from 'aws-lambda';
import { Lanes } from '../../core/account/lane.ts';
import { POLL_SESSION_SECONDS, POLLS_PER_HOST, POLLS_PER_TENANT } from '../../core/limits.ts';
import { sideBySide } from '../../functions/edge/queue.ts';
import { functions } from '../../functions/manifest.ts';

type Mailbox = { id: number; host: string; tenant: string; hangs: boolean };
type Due = { mailbox: Mailbox; at: number };

const { timeout, trigger } = functions['poll-mailbox'];
const INTERVAL_MS = 5 * 60_000;
const POLL_MS = 2_000;
/** A server that drips until it is cut off: worse than one that falls silent. */
const HANG_MS = POLL_SESSION_SECONDS * 1000;

/** Five hundred mailboxes, a hundred due each minute, in the hands of the real batch handler and lanes, on a clock that is not waited for. */
async function lateness(mailboxes: Mailbox[]): Promise<number[]> {
  jest.useFakeTimers({ now: 0 });
  const queue: Due[] = [];
  const late: number[] = [];
  const processes = Array.from({ length: trigger.maxConcurrency }, () => ({
    hosts: new Lanes(POLLS_PER_HOST),
    tenants: new Lanes(POLLS_PER_TENANT),
    isBusy: false,
  }));
  const polled = async ({ mailbox, at }: Due) => {
    if (!mailbox.hangs) late.push(Date.now() - at);
    await new Promise((done) => setTimeout(done, mailbox.hangs ? HANG_MS : POLL_MS));
  };
  const invoke = async (process: (typeof processes)[number], batch: Due[]) => {
    const endsAt = Date.now() + timeout * 1000;
    const handler = sideBySide(({ body }) => {
      const due = body as Due;
      return process.tenants.run(due.mailbox.tenant, () => process.hosts.run(due.mailbox.host, () => polled(due)));
    });
    const Records = batch.map((due, i) => ({
      messageId: String(i),
      body: JSON.stringify(due),
      attributes: { ApproximateReceiveCount: '1' },
    }));
    await handler({ Records } as unknown as SQSEvent, { getRemainingTimeInMillis: () => endsAt - Date.now() } as Context);
    process.isBusy = false;
  };
  for (let second = 0; second < 900; second++) {
    if (second % 60 === 0 && second < 300) {
      queue.push(...mailboxes.filter(({ id }) => id % 5 === second / 60).map((mailbox) => ({ mailbox, at: second * 1000 })));
    }
    for (const process of processes) {
      if (process.isBusy || queue.length === 0) continue;
      process.isBusy = true;
      void invoke(process, queue.splice(0, trigger.batchSize));
    }
    await jest.advanceTimersByTimeAsync(1000);
  }
  jest.useRealTimers();
  return late;
}

test.each<[string, (id: number) => Partial<Mailbox>]>([
  ['on servers of their own', (id) => ({ host: `h${id}` })],
  ['all on one server', (id) => ({ host: id % 10 === 0 ? 'slow' : `h${id}` })],
  ['of one tenant', (id) => ({ tenant: id % 10 === 0 ? 'slow' : `t${id}` })],
  ['among the mailboxes of the only tenant', () => ({ tenant: 'all' })],
])('500 mailboxes of which 10 %% hang, %s: the others are late by less than one interval', async (_, how) => {
  const mailboxes = Array.from(
    { length: 500 },
    (_, id): Mailbox => ({ id, host: `h${id}`, tenant: `t${id % 20}`, hangs: id % 10 === 0, ...how(id) }),
  );
  const late = await lateness(mailboxes);
  expect(late).toHaveLength(450);
  expect(Math.max(...late)).toBeLessThan(INTERVAL_MS);
});
