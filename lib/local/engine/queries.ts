import { Refusal } from './server.ts';

type Attributes = Record<string, { S?: string }>;
export type QueryCall = {
  KeyConditionExpression?: string;
  ExpressionAttributeValues?: Attributes;
  ExpressionAttributeNames?: Record<string, string>;
  ExclusiveStartKey?: Attributes;
};

type Comparison = { name: string; operator: string; values: string[] };

/** DynamoDB's limits of a key, in bytes. */
const [MAX_PARTITION_KEY, MAX_SORT_KEY] = [2048, 1024];

const COMPARISON =
  /begins_with\s*\(\s*([\w#]+)\s*,\s*(:\w+)\s*\)|([\w#]+)\s+BETWEEN\s+(:\w+)\s+AND\s+(:\w+)|([\w#]+)\s*(<=|>=|=|<|>)\s*(:\w+)/gi;

/**
 * Refuses what DynamoDB refuses of a Query and the local engine takes: empty and overlong values of keys, and a place to go on from
 * that is not within what is asked for.
 */
export function refuseQuery(call: QueryCall, partitionKey: string): void {
  const comparisons = comparisonsOf(call);
  for (const { name, values } of comparisons) for (const value of values) refuseValue(name, value, name === partitionKey);
  if (!call.ExclusiveStartKey) return;
  const outside = comparisons.find(({ name, operator, values }) => !holds(call.ExclusiveStartKey?.[name]?.S ?? '', operator, values));
  if (!outside) return;
  throw invalid(
    outside.name === partitionKey
      ? 'The provided starting key is outside query boundaries based on provided conditions'
      : 'The provided starting key does not match the range key predicate',
  );
}

function comparisonsOf({ KeyConditionExpression = '', ExpressionAttributeValues, ExpressionAttributeNames }: QueryCall): Comparison[] {
  const named = (name: string) => ExpressionAttributeNames?.[name] ?? name;
  const valued = (...names: string[]) => names.map((name) => ExpressionAttributeValues?.[name]?.S ?? '');
  return [...KeyConditionExpression.matchAll(COMPARISON)].map((found) => {
    const [, begun, beginning, ranged, from, to, compared, operator, other] = found as unknown as [string, ...string[]];
    if (begun && beginning) return { name: named(begun), operator: 'begins_with', values: valued(beginning) };
    if (ranged && from && to) return { name: named(ranged), operator: 'between', values: valued(from, to) };
    return { name: named(compared ?? ''), operator: operator ?? '', values: valued(other ?? '') };
  });
}

function refuseValue(name: string, value: string, isPartition: boolean): void {
  if (value === '')
    throw invalid(
      `One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: ${name}`,
    );
  if (Buffer.byteLength(value) <= (isPartition ? MAX_PARTITION_KEY : MAX_SORT_KEY)) return;
  throw invalid(
    isPartition
      ? 'One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes'
      : 'One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes',
  );
}

/** Keys are compared by their bytes in UTF-8. */
function holds(key: string, operator: string, [first = '', last = '']: string[]): boolean {
  if (operator === 'begins_with') return key.startsWith(first);
  const compared = Buffer.compare(Buffer.from(key), Buffer.from(first));
  if (operator === 'between') return compared >= 0 && Buffer.compare(Buffer.from(key), Buffer.from(last)) <= 0;
  if (operator === '=') return compared === 0;
  return operator.startsWith('<') ? compared <= 0 : compared >= 0;
}

const invalid = (message: string) => new Refusal(400, 'ValidationException', message);
