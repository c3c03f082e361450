import {
  ConditionalCheckFailedException,
  type DynamoDBClient,
  TransactionCanceledException,
  TransactionConflictException,
} from '@aws-sdk/client-dynamodb';
import {
  BatchGetCommand,
  BatchWriteCommand,
  type BatchWriteCommandInput,
  DeleteCommand,
  DynamoDBDocumentClient,
  GetCommand,
  PutCommand,
  QueryCommand,
  TransactWriteCommand,
  type TransactWriteCommandInput,
  UpdateCommand,
} from '@aws-sdk/lib-dynamodb';
import type { Key } from './keys.ts';

export type Item = Record<string, unknown>;
type Keyed = { pk: string; sk: string };

/** A condition or an update in DynamoDB's own words. `names` gets each `#x`, `values` each `:x`. */
export type Expression = { names?: Record<string, string>; values?: Record<string, unknown> };
export type Update = Expression & { update: string; condition?: string };

/** One write of a transaction, without the table's name. */
export type Write =
  | ({ put: Item; condition?: string } & Expression)
  | ({ update: Key } & { with: Update })
  | ({ delete: Key; condition?: string } & Expression)
  | ({ check: Key; condition: string } & Expression);

/** A transaction of which a condition did not hold. `reasons[i]` is true when it was that of write i; `items[i]` what stood there. */
export class TransactionRefused extends Error {
  readonly reasons: boolean[];
  constructor(reasons: boolean[]) {
    super('a condition of the transaction did not hold');
    this.name = 'TransactionRefused';
    this.reasons = reasons;
  }
}

export type Query = {
  pk: string;
  /** Only sort keys that begin with this. */
  begins?: string;
  /** Only sort keys between these, both included. Not together with `begins`. */
  between?: [string, string];
  limit?: number;
  /** Only what comes after this sort key, in the order of the query; it need not exist. */
  after?: string;
  descending?: boolean;
  consistent?: boolean;
  /** Attributes to read; all when left out. */
  only?: string[];
};

/** The table: DynamoDB's document client with the table's name filled in, and refused conditions as plain answers. */
export class Table {
  readonly client: DynamoDBDocumentClient;
  readonly name: string;

  constructor(client: DynamoDBClient, name: string) {
    this.client = DynamoDBDocumentClient.from(client, { marshallOptions: { removeUndefinedValues: true } });
    this.name = name;
  }

  /** Reads one item. Strongly consistent unless told otherwise: half the price is only worth it where staleness is harmless. */
  async get<T extends object = Item>(key: Key, options: { consistent?: boolean } = {}): Promise<T | undefined> {
    const { Item } = await this.client.send(new GetCommand({ TableName: this.name, Key: key, ConsistentRead: options.consistent ?? true }));
    return Item as T | undefined;
  }

  /** One page of a Query: at most `limit` items, or what fits DynamoDB's 1 MB. `more` is true when there may be further ones. */
  async page<T extends object = Item>(query: Query): Promise<{ items: T[]; more: boolean }> {
    const { Items, LastEvaluatedKey } = await this.client.send(new QueryCommand(this.queryInput(query)));
    return { items: (Items ?? []) as T[], more: LastEvaluatedKey !== undefined };
  }

  /** All items of a Query that is known to be short (a tenant's settings, an address's records). */
  async all<T extends object = Item>(query: Query): Promise<T[]> {
    const items: T[] = [];
    let start: Record<string, unknown> | undefined;
    do {
      const answer = await this.client.send(
        new QueryCommand({ ...this.queryInput(query), ...(start ? { ExclusiveStartKey: start } : {}) }),
      );
      items.push(...((answer.Items ?? []) as T[]));
      start = answer.LastEvaluatedKey;
    } while (start);
    return items;
  }

  /** Reads many items in the order of their keys, `undefined` where there is none; asks again for what DynamoDB left out. */
  async getMany<T extends object = Item>(
    wanted: Key[],
    options: { consistent?: boolean; only?: string[] } = {},
  ): Promise<(T | undefined)[]> {
    const found = new Map<string, T>();
    const unique = [...new Map(wanted.map((key) => [nameOf(key), key])).values()];
    const projection = options.only && projectionOf(['pk', 'sk', ...options.only]);
    for (let start = 0; start < unique.length; start += 100) {
      let keys: Record<string, unknown>[] = unique.slice(start, start + 100).map(({ pk, sk }) => ({ pk, sk }));
      for (let wait = 10; keys.length > 0; wait *= 2) {
        const { Responses, UnprocessedKeys } = await this.client.send(
          new BatchGetCommand({
            RequestItems: { [this.name]: { Keys: keys, ConsistentRead: options.consistent ?? true, ...projection } },
          }),
        );
        for (const item of (Responses?.[this.name] ?? []) as (T & Keyed)[]) found.set(nameOf(item), item);
        keys = UnprocessedKeys?.[this.name]?.Keys ?? [];
        if (keys.length > 0) await new Promise((done) => setTimeout(done, Math.min(wait, 1000)));
      }
    }
    return wanted.map((key) => found.get(nameOf(key)));
  }

  /** Writes many items, each for itself, over what is there; asks again for what DynamoDB left out. */
  putMany(items: Item[]): Promise<void> {
    return this.writeMany(items.map((Item) => ({ PutRequest: { Item } })));
  }

  async deleteMany(keys: Key[]): Promise<void> {
    return this.writeMany(keys.map(({ pk, sk }) => ({ DeleteRequest: { Key: { pk, sk } } })));
  }

  async put(item: Item): Promise<void> {
    await withoutConflict(() => this.client.send(new PutCommand({ TableName: this.name, Item: item })));
  }

  /** Writes the item unless one with its key is there; then answers the one that is there, and changes nothing. */
  async putNew<T extends object = Item>(item: Item): Promise<T | undefined> {
    for (;;) {
      try {
        await withoutConflict(() =>
          this.client.send(new PutCommand({ TableName: this.name, Item: item, ConditionExpression: 'attribute_not_exists(pk)' })),
        );
        return undefined;
      } catch (error) {
        if (!(error instanceof ConditionalCheckFailedException)) throw error;
        // Read it consistently: the exception carries the item only in DynamoDB's wire form.
        const existing = await this.get<T>({ pk: item.pk as string, sk: item.sk as string });
        // Deleted between the two: `undefined` would say that this one was written.
        if (existing) return existing;
      }
    }
  }

  /** Updates one item and answers it as it is then; `undefined` when the condition did not hold. */
  async update<T extends object = Item>(key: Key, change: Update): Promise<T | undefined> {
    try {
      const input = {
        TableName: this.name,
        Key: key,
        UpdateExpression: change.update,
        ConditionExpression: change.condition,
        ExpressionAttributeNames: change.names,
        ExpressionAttributeValues: change.values,
        ReturnValues: 'ALL_NEW',
      } as const;
      const { Attributes } = await withoutConflict(() => this.client.send(new UpdateCommand(input)));
      return Attributes as T;
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return undefined;
      throw error;
    }
  }

  async delete(key: Key): Promise<void> {
    await withoutConflict(() => this.client.send(new DeleteCommand({ TableName: this.name, Key: { pk: key.pk, sk: key.sk } })));
  }

  /**
   * Writes all or nothing. Throws what `refused` says when a condition did not hold, TransactionRefused unless given; conflicts with another transaction
   * are tried again a few times (DynamoDB cancels both of two that meet), then thrown as they are.
   */
  async transact(writes: Write[], refused?: () => Error): Promise<void> {
    const input = { TransactItems: writes.map((write) => this.transactItem(write)) };
    for (let attempt = 1; ; attempt++) {
      try {
        await this.client.send(new TransactWriteCommand(input));
        return;
      } catch (error) {
        if (!(error instanceof TransactionCanceledException)) throw error;
        const codes = (error.CancellationReasons ?? []).map((reason) => reason.Code);
        if (codes.includes('ConditionalCheckFailed')) {
          throw refused?.() ?? new TransactionRefused(codes.map((code) => code === 'ConditionalCheckFailed'));
        }
        if (attempt === CONFLICT_TRIES || !codes.includes('TransactionConflict')) throw error;
        await conflictPause(attempt);
      }
    }
  }

  /** Writes all, or answers false when a condition did not hold. Throws as `transact` for whatever else goes wrong. */
  async tryTransact(writes: Write[]): Promise<boolean> {
    try {
      await this.transact(writes);
      return true;
    } catch (error) {
      if (error instanceof TransactionRefused) return false;
      throw error;
    }
  }

  private async writeMany(requests: WriteRequests): Promise<void> {
    for (let start = 0; start < requests.length; start += 25) {
      let left = requests.slice(start, start + 25);
      for (let wait = 10; left.length > 0; wait *= 2) {
        const { UnprocessedItems } = await this.client.send(new BatchWriteCommand({ RequestItems: { [this.name]: left } }));
        left = UnprocessedItems?.[this.name] ?? [];
        if (left.length > 0) await new Promise((done) => setTimeout(done, Math.min(wait, 1000)));
      }
    }
  }

  private queryInput({ pk, begins, between, limit, after, descending, consistent, only }: Query) {
    // DynamoDB seeks to the first key of either; the local engine only to a starting key, or to the end of a range.
    const range = begins !== undefined && after === undefined ? [begins, begins + LAST_CHARACTER] : between;
    const condition = range ? ' AND sk BETWEEN :from AND :to' : begins === undefined ? '' : ' AND begins_with(sk, :begins)';
    return {
      TableName: this.name,
      KeyConditionExpression: `pk = :pk${condition}`,
      ExpressionAttributeValues: {
        ':pk': pk,
        ...(range ? { ':from': range[0], ':to': range[1] } : begins === undefined ? {} : { ':begins': begins }),
      },
      Limit: limit,
      ...(after === undefined ? {} : { ExclusiveStartKey: { pk, sk: after } }),
      ScanIndexForward: !descending,
      ConsistentRead: consistent ?? true,
      ...(only ? projectionOf(only) : {}),
    };
  }

  private transactItem(write: Write): NonNullable<TransactWriteCommandInput['TransactItems']>[number] {
    const TableName = this.name;
    if ('update' in write) {
      const { update, condition, names, values } = write.with;
      return {
        Update: {
          TableName,
          Key: write.update,
          UpdateExpression: update,
          ConditionExpression: condition,
          ...expression({ names, values }),
        },
      };
    }
    const rest = { TableName, ConditionExpression: write.condition, ...expression(write) };
    if ('put' in write) return { Put: { ...rest, Item: write.put } };
    if ('delete' in write) return { Delete: { ...rest, Key: write.delete } };
    return { ConditionCheck: { ...rest, Key: write.check, ConditionExpression: write.condition } };
  }
}

type WriteRequests = NonNullable<BatchWriteCommandInput['RequestItems']>[string];

/** Sorts behind all others: sort keys are ordered by their bytes in UTF-8. */
const LAST_CHARACTER = '\u{10ffff}';

const CONFLICT_TRIES = 5;
const conflictPause = (attempt: number) => new Promise((done) => setTimeout(done, 2 ** attempt * 10 * (0.5 + Math.random())));

/** A single write that meets a transaction on the same item is refused by DynamoDB, and not tried again by the SDK. */
async function withoutConflict<T>(write: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof TransactionConflictException) || attempt === CONFLICT_TRIES) throw error;
      await conflictPause(attempt);
    }
  }
}

/** Guards a put: nothing is there yet. */
export const isNew = 'attribute_not_exists(pk)';

/** True while the item is not past its `ttl`. DynamoDB removes expired items days late, the local engine never. */
export function isLive(item: { ttl?: number } | undefined, now: Date): boolean {
  return item !== undefined && (item.ttl === undefined || item.ttl * 1000 > now.getTime());
}

/** The `ttl` of an item that lives so many days, hours or minutes from `now`. DynamoDB counts in seconds. */
export function ttlAfter(now: Date | string, { days = 0, hours = 0, minutes = 0 }): number {
  return Math.ceil(new Date(now).getTime() / 1000) + ((days * 24 + hours) * 60 + minutes) * 60;
}

function expression({ names, values }: Expression) {
  return { ...(names ? { ExpressionAttributeNames: names } : {}), ...(values ? { ExpressionAttributeValues: values } : {}) };
}

function projectionOf(attributes: string[]) {
  return {
    ProjectionExpression: attributes.map((_, i) => `#p${i}`).join(', '),
    ExpressionAttributeNames: Object.fromEntries(attributes.map((name, i) => [`#p${i}`, name])),
  };
}

const nameOf = ({ pk, sk }: Keyed) => `${pk}\n${sk}`;
