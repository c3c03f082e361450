import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { note } from './calls.ts';
import { type QueryCall, refuseQuery } from './queries.ts';
import { type Answer, bodyOf, callerOf, type Grants, isGranted, Refusal } from './server.ts';

type Attributes = Record<string, { S?: string }>;
type Call = QueryCall & {
  Key?: Attributes;
  Item?: Attributes;
  /** Of BatchGetItem, and of BatchWriteItem. */
  RequestItems?: Record<string, { Keys?: Attributes[] } | { PutRequest?: Call; DeleteRequest?: Call }[]>;
  TransactItems?: Record<string, Call>[];
};

/** The IAM action of each part of a transaction: none of them is asked for under the transaction's own name. */
const PARTS: Record<string, string> = {
  Put: 'PutItem',
  Update: 'UpdateItem',
  Delete: 'DeleteItem',
  ConditionCheck: 'ConditionCheckItem',
  Get: 'GetItem',
};

/**
 * DynamoDB as its callers see it: what a function's row does not grant, action and partition (IAM's LeadingKeys), is refused
 * before it reaches the engine, which knows no IAM; and so is what DynamoDB refuses of a query, and the engine does not.
 */
export function tableService(endpoint: string, partitionKey: string, grants: Grants): Answer {
  const agent = new Agent({ keepAlive: true });

  return async (request, response) => {
    const body = await bodyOf(request);
    const action = String(request.headers['x-amz-target']).split('.')[1] ?? '';
    try {
      check(callerOf(request), action, body);
      if (action === 'Query') refuseQuery(JSON.parse(body.toString()) as Call, partitionKey);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const answer = { __type: `com.amazon.coral.service#${error.code}`, Message: error.message };
      return void response.writeHead(400, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(answer));
    }
    const answer = await forward(request, body);
    response.writeHead(answer.statusCode ?? 500, answer.headers);
    answer.pipe(response);
  };

  function forward(request: IncomingMessage, body: Buffer): Promise<IncomingMessage> {
    return new Promise((done, fail) => {
      const { method, headers } = request;
      httpRequest(endpoint, { agent, method, headers: { ...headers, 'content-length': body.length } }, done)
        .once('error', fail)
        .end(body);
    });
  }

  function check(caller: string, action: string, body: Buffer): void {
    // The host may do everything, and makes few calls; nothing to look into.
    if (isGranted(grants, caller, '', '')) return;
    for (const [needed, key] of needs(action, JSON.parse(body.toString()) as Call)) {
      note(caller, `dynamodb:${needed}`, 'table', { key });
      if (isGranted(grants, caller, 'table', needed, key)) continue;
      const where = key.replace(/[^#]+$/, '...');
      throw new Refusal(400, 'AccessDeniedException', `The function ${caller} is not authorised to perform dynamodb:${needed} on ${where}`);
    }
  }

  /** Each action a call needs, with the partition it needs it for. */
  function needs(action: string, call: Call): [string, string][] {
    if (call.TransactItems) {
      return call.TransactItems.flatMap((item) => Object.entries(item).flatMap(([part, inner]) => needs(PARTS[part] ?? part, inner)));
    }
    if (call.RequestItems) {
      return Object.values(call.RequestItems).flatMap((asked) => keysOf(asked).map((key): [string, string] => [action, partitionOf(key)]));
    }
    if (call.KeyConditionExpression) return [[action, queried(call)]];
    return [[action, partitionOf(call.Key ?? call.Item)]];
  }

  function keysOf(asked: NonNullable<Call['RequestItems']>[string]): (Attributes | undefined)[] {
    if (!Array.isArray(asked)) return asked.Keys ?? [];
    return asked.map(({ PutRequest, DeleteRequest }) => PutRequest?.Item ?? DeleteRequest?.Key);
  }

  function partitionOf(key: Attributes | undefined): string {
    return key?.[partitionKey]?.S ?? '';
  }

  function queried({ KeyConditionExpression = '', ExpressionAttributeValues, ExpressionAttributeNames }: Call): string {
    for (const [, name = '', value = ''] of KeyConditionExpression.matchAll(/([\w#]+)\s*=\s*(:\w+)/g)) {
      if ((ExpressionAttributeNames?.[name] ?? name) === partitionKey) return ExpressionAttributeValues?.[value]?.S ?? '';
    }
    return '';
  }
}
