import { ConditionalCheckFailedException, DynamoDBClient, TransactionCanceledException } from '@aws-sdk/client-dynamodb';

type Item = Record<string, unknown>;
type Expression = { ExpressionAttributeNames?: Record<string, string>; ExpressionAttributeValues?: Record<string, unknown> };
type Input = Item & Expression;

/**
 * DynamoDB's rules for the calls this product makes, in memory, behind the real SDK client: for harnesses that run
 * tens of thousands of schedules. It is held against the real engine by test/store/memory-dynamo.test.ts.
 */
export class MemoryDynamo {
  private readonly partitions = new Map<string, Map<string, Item>>();
  readonly client: DynamoDBClient;
  /** Called before and after each write; what it throws ends the call there, as a killed process would. */
  onWrite: (when: 'before' | 'after', command: string) => void = () => {};

  constructor() {
    this.client = this.newClient((when, command) => this.onWrite(when, command));
  }

  /** A further client of the same items with a hook of its own: a worker that can be killed alone. It hears of reads, too. */
  newClient(hook: (when: 'before' | 'after', command: string) => void): DynamoDBClient {
    const client = new DynamoDBClient({ region: 'memory', credentials: { accessKeyId: 'x', secretAccessKey: 'x' } });
    client.middlewareStack.add(
      (_next, context) => async (args) => {
        const command = (context as { commandName?: string }).commandName ?? '';
        const isHeard = client !== this.client || !isRead(command);
        if (isHeard) hook('before', command);
        const output = this.run(command, args.input as Input);
        await Promise.resolve();
        if (isHeard) hook('after', command);
        return { output: { $metadata: {}, ...output }, response: {} } as never;
      },
      { step: 'initialize', priority: 'high', name: 'memoryDynamo' },
    );
    return client;
  }

  /** What stands there now, for whoever judges. */
  peek(key: { pk: string; sk: string }): Item | undefined {
    return copy(this.find(key));
  }

  private run(command: string, input: Input): Item {
    switch (command) {
      case 'GetItemCommand':
      case 'GetCommand':
        return { Item: copy(this.find(input.Key as Item)) };
      case 'BatchGetItemCommand':
      case 'BatchGetCommand':
        return this.batchGet(input);
      case 'QueryCommand':
        return this.query(input);
      case 'PutItemCommand':
      case 'PutCommand':
        this.require(input.Item as Item, input);
        this.store(input.Item as Item);
        return {};
      case 'UpdateItemCommand':
      case 'UpdateCommand':
        this.require(input.Key as Item, input);
        return { Attributes: copy(this.update(input)) };
      case 'DeleteItemCommand':
      case 'DeleteCommand':
        this.require(input.Key as Item, input);
        this.remove(input.Key as Item);
        return {};
      case 'BatchWriteItemCommand':
      case 'BatchWriteCommand':
        return this.batchWrite(input);
      case 'TransactWriteItemsCommand':
      case 'TransactWriteCommand':
        return this.transact(input);
      default:
        throw new Error(`the memory engine does not know ${command}`);
    }
  }

  private batchGet(input: Input): Item {
    const [[name, request]] = Object.entries(input.RequestItems as Record<string, { Keys: Item[] }>) as [[string, { Keys: Item[] }]];
    return { Responses: { [name]: request.Keys.flatMap((key) => copy(this.find(key)) ?? []) } };
  }

  private batchWrite(input: Input): Item {
    for (const request of Object.values(input.RequestItems as Record<string, { PutRequest?: Input; DeleteRequest?: Input }[]>).flat()) {
      if (request.PutRequest) this.store(request.PutRequest.Item as Item);
      if (request.DeleteRequest) this.remove(request.DeleteRequest.Key as Item);
    }
    return {};
  }

  private query(input: Input): Item {
    const values = input.ExpressionAttributeValues ?? {};
    const condition = String(input.KeyConditionExpression);
    const start = (input.ExclusiveStartKey as { sk: string } | undefined)?.sk;
    const forward = input.ScanIndexForward !== false;
    let keys = [...(this.partitions.get(String(values[':pk']))?.keys() ?? [])].sort(byteOrder);
    if (condition.includes('begins_with')) keys = keys.filter((key) => key.startsWith(String(values[':begins'])));
    if (condition.includes('BETWEEN')) {
      keys = keys.filter((key) => byteOrder(key, String(values[':from'])) >= 0 && byteOrder(key, String(values[':to'])) <= 0);
    }
    if (!forward) keys.reverse();
    if (start !== undefined) keys = keys.filter((key) => (forward ? key > start : key < start));
    const limit = (input.Limit as number | undefined) ?? keys.length;
    const page = keys.slice(0, limit);
    const pk = String(values[':pk']);
    return {
      Items: page.map((sk) => copy(this.find({ pk, sk }))),
      LastEvaluatedKey: input.Limit !== undefined && page.length === limit && page.length > 0 ? { pk, sk: page.at(-1) } : undefined,
    };
  }

  private transact(input: Input): Item {
    const writes = input.TransactItems as Record<string, Input>[];
    const reasons = writes.map((write) => {
      const [[, part]] = Object.entries(write) as [[string, Input]];
      return { Code: this.holds((part.Item ?? part.Key) as Item, part) ? 'None' : 'ConditionalCheckFailed' };
    });
    if (reasons.some(({ Code }) => Code !== 'None')) {
      throw new TransactionCanceledException({ message: 'refused', $metadata: {}, CancellationReasons: reasons });
    }
    for (const write of writes) {
      if (write.Put) this.store(write.Put.Item as Item);
      if (write.Update) this.update(write.Update);
      if (write.Delete) this.remove(write.Delete.Key as Item);
    }
    return {};
  }

  private update(input: Input): Item {
    const key = input.Key as Item;
    const item: Item = structuredClone(this.find(key) ?? { pk: key.pk, sk: key.sk });
    const before = structuredClone(item);
    for (const [, verb, clause] of String(input.UpdateExpression).matchAll(
      /\b(SET|REMOVE|ADD|DELETE)\s+(.*?)(?=\s+(?:SET|REMOVE|ADD|DELETE)\b|$)/g,
    )) {
      for (const part of splitTop(clause as string)) apply(verb as string, part.trim(), item, before, input);
    }
    this.store(item);
    return item;
  }

  private require(key: Item, input: Input): void {
    if (!this.holds(key, input)) throw new ConditionalCheckFailedException({ message: 'refused', $metadata: {} });
  }

  private holds(key: Item, input: Input): boolean {
    const text = input.ConditionExpression as string | undefined;
    return text === undefined || new Condition(text, this.find(key), input).holds();
  }

  private find(key: Item): Item | undefined {
    return this.partitions.get(String(key.pk))?.get(String(key.sk));
  }

  private store(item: Item): void {
    const partition = this.partitions.get(String(item.pk)) ?? new Map<string, Item>();
    this.partitions.set(String(item.pk), partition.set(String(item.sk), copy(item) as Item));
  }

  private remove(key: Item): void {
    this.partitions.get(String(key.pk))?.delete(String(key.sk));
  }
}

/** The order of UTF-8 bytes, which is that of UTF-16 units but for surrogates. */
function byteOrder(a: string, b: string): number {
  if (SURROGATE.test(a) || SURROGATE.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return a < b ? -1 : a > b ? 1 : 0;
}
const SURROGATE = /[\ud800-\udfff]/;

const splitTop = (text: string) => text.split(/,(?![^()]*\))/);

function copy(item: Item | undefined): Item | undefined {
  return item && Object.fromEntries(Object.entries(structuredClone(item)).filter(([, value]) => value !== undefined));
}

const isRead = (command: string) => /^(Get|BatchGet|Query)/.test(command);

/** `#a.b` -> the names of a path into maps. */
const pathOf = (text: string, input: Input) => text.split('.').map((part) => input.ExpressionAttributeNames?.[part] ?? part);

function valueAt(item: Item | undefined, path: string[]): unknown {
  return path.reduce<unknown>((at, name) => (at as Item | undefined)?.[name], item);
}

function setAt(item: Item, path: string[], value: unknown): void {
  const map = valueAt(item, path.slice(0, -1)) as Item | undefined;
  if (!map) throw new Error('ValidationException: the document path is invalid for update');
  map[path.at(-1) as string] = value;
}

function apply(verb: string, part: string, item: Item, before: Item, input: Input): void {
  const path = (text: string) => pathOf(text, input);
  const operand = (text: string): unknown => {
    const fallback = /^if_not_exists\(\s*([^,]+),\s*(.+)\)$/.exec(text);
    if (fallback) return valueAt(before, path((fallback[1] as string).trim())) ?? operand((fallback[2] as string).trim());
    return text.startsWith(':') ? input.ExpressionAttributeValues?.[text] : valueAt(before, path(text));
  };
  if (verb === 'REMOVE') setAt(item, path(part), undefined);
  else if (verb === 'ADD') {
    const [target = '', value = ''] = part.split(/\s+/);
    const add = input.ExpressionAttributeValues?.[value];
    const old = valueAt(before, path(target));
    setAt(item, path(target), add instanceof Set ? new Set([...((old as Set<unknown>) ?? []), ...add]) : Number(old ?? 0) + Number(add));
  } else if (verb === 'DELETE') {
    const [target = '', value = ''] = part.split(/\s+/);
    const gone = input.ExpressionAttributeValues?.[value] as Set<unknown>;
    const left = [...((valueAt(before, path(target)) as Set<unknown>) ?? [])].filter((one) => !gone.has(one));
    // DynamoDB has no empty sets.
    setAt(item, path(target), left.length > 0 ? new Set(left) : undefined);
  } else {
    const [target = '', value = ''] = part.split(/\s*=\s*/);
    const sum = /^(.+?)\s*([+-])\s*(.+)$/.exec(value);
    const result = sum ? Number(operand(sum[1] as string)) + (sum[2] === '-' ? -1 : 1) * Number(operand(sum[3] as string)) : operand(value);
    setAt(item, path(target), result);
  }
}

/** ConditionExpression: OR of ANDs of comparisons, IN, attribute_(not_)exists, NOT and parentheses. */
class Condition {
  private readonly tokens: string[];
  private readonly item: Item | undefined;
  private readonly input: Input;
  private at = 0;

  constructor(text: string, item: Item | undefined, input: Input) {
    this.tokens = text.match(/attribute_not_exists|attribute_exists|<>|<=|>=|[(),=<>]|[#:.\w]+/g) ?? [];
    this.item = item;
    this.input = input;
  }

  holds(): boolean {
    const value = this.or();
    if (this.at < this.tokens.length) throw new Error(`cannot read the condition at ${this.tokens[this.at]}`);
    return value;
  }

  private or(): boolean {
    let value = this.and();
    while (this.take('OR')) value = this.and() || value;
    return value;
  }

  private and(): boolean {
    let value = this.term();
    while (this.take('AND')) value = this.term() && value;
    return value;
  }

  private term(): boolean {
    if (this.take('NOT')) return !this.term();
    if (this.take('(')) {
      const value = this.or();
      this.expect(')');
      return value;
    }
    const wantsAbsent = this.take('attribute_not_exists');
    if (wantsAbsent || this.take('attribute_exists')) {
      this.expect('(');
      const present = this.operand() !== undefined;
      this.expect(')');
      return present !== wantsAbsent;
    }
    return this.comparison();
  }

  private comparison(): boolean {
    const left = this.operand();
    const operator = this.next();
    if (operator === 'IN') {
      this.expect('(');
      const options = [this.operand()];
      while (this.take(',')) options.push(this.operand());
      this.expect(')');
      return options.includes(left);
    }
    const right = this.operand();
    // An attribute that is not there compares with nothing, except that it is "not equal" to everything.
    if (operator === '<>') return left !== right;
    if (left === undefined || right === undefined) return false;
    if (operator === '=') return left === right;
    const [a, b] = [left as number, right as number];
    return operator === '<' ? a < b : operator === '>' ? a > b : operator === '<=' ? a <= b : a >= b;
  }

  private operand(): unknown {
    const token = this.next();
    if (token.startsWith(':')) return this.input.ExpressionAttributeValues?.[token];
    return valueAt(this.item, pathOf(token, this.input));
  }

  private next(): string {
    return this.tokens[this.at++] ?? '';
  }

  private take(token: string): boolean {
    if (this.tokens[this.at] !== token) return false;
    this.at++;
    return true;
  }

  private expect(token: string): void {
    if (!this.take(token)) throw new Error(`the condition lacks "${token}"`);
  }
}
