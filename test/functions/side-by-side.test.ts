import type { Context, SQSEvent } from 'aws-lambda';
import { sideBySide } from '../../functions/edge/queue.ts';

const eventOf = (bodies: object[]) =>
  ({
    Records: bodies.map((body, i) => ({ messageId: `m${i}`, body: JSON.stringify(body), attributes: { ApproximateReceiveCount: '1' } })),
  }) as unknown as SQSEvent;
const contextOf = (ms: number) => ({ getRemainingTimeInMillis: () => ms }) as Context;
const failedOf = ({ batchItemFailures }: { batchItemFailures: { itemIdentifier: string }[] }) =>
  batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);

test('a job that hangs delays none of its batch, and alone comes again', async () => {
  const done: unknown[] = [];
  const handler = sideBySide(async ({ body }) => {
    if (body === 'hang') await new Promise(() => {});
    done.push(body);
  });
  const answer = await handler(eventOf(['hang', 'a', 'b'] as unknown as object[]), contextOf(5_010));
  expect(done).toEqual(['a', 'b']);
  expect(failedOf(answer)).toEqual(['m0']);
});

test('a job that fails alone comes again', async () => {
  const handler = sideBySide(async ({ body }) => {
    if (body === 'bad') throw new Error('no');
  });
  expect(failedOf(await handler(eventOf(['bad', 'good'] as unknown as object[]), contextOf(60_000)))).toEqual(['m0']);
});
