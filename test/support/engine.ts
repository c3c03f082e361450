import { randomUUID } from 'node:crypto';
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { Table } from '../../core/table/client.ts';
import { tableDefinition } from '../../core/table/definition.ts';
import { type Dynamo, startDynamo } from '../../lib/local/dynoxide.ts';

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
