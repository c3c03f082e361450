import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { S3Client } from '@aws-sdk/client-s3';
import { atMost, type Figure } from './figures.ts';
import { customer } from './mails.ts';
import { batchOf, type Workplace } from './workplace.ts';

export type Calls = { s3Gets: number; s3Puts: number; readUnits: number; writeUnits: number; names: string[] };

const READS = /^(?:Get|BatchGet|Query)/;

/**
 * What filing one mail calls, counted by a middleware in the SDK's clients; the units are what the engine says it consumed.
 * The member has mail on each contact already: nothing is created.
 */
export async function benchCalls(place: Workplace): Promise<{ figures: Figure[]; one: Calls; loggedBytes: number }> {
  // Loaded now that this process has the function's environment.
  const { handler } = await import('../functions/ingest-mail/handler.ts');
  const { mailBucket, table } = await import('../functions/connect.ts');
  const counted = count(table().client as unknown as DynamoDBClient, (mailBucket() as unknown as { s3: S3Client }).s3);
  const figures: Figure[] = [];
  let one: Calls | undefined;
  let loggedBytes = 0;
  for (const matches of [1, 2, 3, 5]) {
    const to = Array.from({ length: matches }, (_, n) => customer(n));
    await place.handle(handler, await place.arrive(batchOf(1, to)));
    counted.reset();
    const loggedBefore = place.logged();
    await place.handle(handler, await place.arrive(batchOf(1, to)));
    const calls = counted.calls();
    if (matches === 1) {
      one = calls;
      loggedBytes = place.logged() - loggedBefore;
      figures.push(atMost('1 match: S3 GETs', calls.s3Gets, 1, '', 0), atMost('1 match: S3 PUTs', calls.s3Puts, 0, '', 0));
    }
    figures.push(atMost(`${matches} matched: read units`, calls.readUnits, 2 + Math.max(0, matches - 2), '', 1));
    // Five, and the entry of each further record's timeline.
    figures.push(atMost(`${matches} matched: write units`, calls.writeUnits, 5 + (matches - 1), '', 1));
  }
  return { figures, one: one as Calls, loggedBytes };
}

/** Counts the calls of these clients from now on. */
export function count(dynamo: DynamoDBClient, s3: S3Client) {
  let calls: Calls;
  const reset = () => {
    calls = { s3Gets: 0, s3Puts: 0, readUnits: 0, writeUnits: 0, names: [] };
  };
  reset();
  dynamo.middlewareStack.add(
    (next, context) => async (args) => {
      const { commandName = '' } = context as { commandName?: string };
      const result = await next({ ...args, input: { ...args.input, ReturnConsumedCapacity: 'TOTAL' } });
      const { ConsumedCapacity } = result.output as { ConsumedCapacity?: Consumed | Consumed[] };
      const units = [ConsumedCapacity ?? []].flat().reduce((sum, { CapacityUnits = 0 }) => sum + CapacityUnits, 0);
      if (units === 0) throw new Error(`the engine does not say what ${commandName} consumed`);
      calls[READS.test(commandName) ? 'readUnits' : 'writeUnits'] += units;
      calls.names.push(`${commandName} ${units}`);
      return result;
    },
    { step: 'initialize', priority: 'high' },
  );
  s3.middlewareStack.add(
    (next, context) => async (args) => {
      const { commandName = '' } = context as { commandName?: string };
      calls[/^(?:Get|Head)/.test(commandName) ? 's3Gets' : 's3Puts']++;
      calls.names.push(commandName);
      return next(args);
    },
    { step: 'initialize' },
  );
  return { reset, calls: () => ({ ...calls, names: [...calls.names] }) };
}

type Consumed = { CapacityUnits?: number };
