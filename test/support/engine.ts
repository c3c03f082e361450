import { randomUUID } from 'node:crypto';
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { Table } from '../../core/table/client.ts';
import { tableDefinition } from '../../core/table/definition.ts';
import { type Dynamo, startDynamo } from '../../lib/local/dynoxide.ts';
import { type QueryCall, refuseQuery } from '../../lib/local/engine/queries.ts';

let dynamo: Promise<Dynamo> | undefined;
let users = 0;

/**
 * An empty table on a real DynamoDB engine in memory, one engine per test file. The last `end()` ends it; a test file that
 * dies before takes the engine with it.
 */
export async function startTable(): Promise<{ table: Table; client: DynamoDBClient; end: () => Promise<void> }> {
  users++;
  dynamo ??= startDynamo();
  const engine = await dynamo;
  const client = new DynamoDBClient({
    endpoint: engine.endpoint,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
  refuseLikeDynamoDb(client);
  const name = `table-${randomUUID()}`;
  await client.send(createTable(name));
  const end = async () => {
    client.destroy();
    if (--users > 0) return;
    dynamo = undefined;
    await engine.end();
  };
  return { table: new Table(client, name), client, end };
}

const { partitionKey, sortKey } = tableDefinition;

/** Queries that the engine takes and DynamoDB does not, as the local host refuses them. */
function refuseLikeDynamoDb(client: DynamoDBClient): void {
  client.middlewareStack.add(
    (next) => (args) => {
      const { headers, body } = args.request as { headers: Record<string, string>; body: Uint8Array };
      if (headers['x-amz-target']?.endsWith('.Query')) refuseQuery(JSON.parse(new TextDecoder().decode(body)) as QueryCall, partitionKey);
      return next(args);
    },
    { step: 'build' },
  );
}

const createTable = (name: string) =>
  new CreateTableCommand({
    TableName: name,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: [
      { AttributeName: partitionKey, AttributeType: 'S' },
      { AttributeName: sortKey, AttributeType: 'S' },
    ],
    KeySchema: [
      { AttributeName: partitionKey, KeyType: 'HASH' },
      { AttributeName: sortKey, KeyType: 'RANGE' },
    ],
  });
