import type { RecordedCall } from '../../lib/local/engine/calls.ts';
import { Asked, type Json, list, nameOf, type Resource, type Template } from './synthesised.ts';

/** One statement of a function's role, with references as the manifest's names. */
export type Statement = { actions: string[]; resources: string[]; conditions: Record<string, Record<string, string[]>>; text: string };

/** The statements of every function's role, by the function's name; of the one it assumes for a tenant under `<name> for a tenant`. */
export function rolesOf(template: Template, functionNames: readonly string[]): Record<string, Statement[]> {
  const aws = new Asked(template);
  const policies = aws.all('AWS::IAM::Policy');
  const statementsOf = (role: Json): Statement[] => {
    const own = policies.filter((policy: Resource) => policy.Properties.Roles.some((each: Json) => each.Ref === role['Fn::GetAtt'][0]));
    return own.flatMap((policy) => policy.Properties.PolicyDocument.Statement.map((each: Json) => statementOf(aws, each)));
  };
  const roles = functionNames.flatMap((name): [string, Statement[]][] => {
    const lambda = aws.all('AWS::Lambda::Function').find((each) => nameOf(each) === name);
    if (!lambda) throw new Error(`The template has no function "${name}".`);
    const { TENANT_ROLE_ARN: tenantRole } = lambda.Properties.Environment.Variables;
    return [
      [name, statementsOf(lambda.Properties.Role)],
      ...(tenantRole ? [[forTenant(name), statementsOf(tenantRole)] as [string, Statement[]]] : []),
    ];
  });
  return Object.fromEntries(roles);
}

const forTenant = (name: string) => `${name} for a tenant`;
const roleOf = ({ function: name, tenant }: RecordedCall) => (tenant === undefined ? name : forTenant(name));

function statementOf(aws: Asked, { Effect, Action, Resource, Condition = {}, ...others }: Json): Statement {
  delete others.Sid;
  if (Effect !== 'Allow' || Object.keys(others).length > 0) throw new Error(`Not a plain grant: ${JSON.stringify({ Effect, ...others })}`);
  const resources = list(Resource).map((resource) => aws.text(resource));
  const conditions = Object.entries(Condition).map(([operator, keys]) => [
    operator,
    Object.fromEntries(Object.entries(keys as Json).map(([key, value]) => [key, list(value as Json).map(String)])),
  ]);
  return {
    actions: list(Action),
    resources,
    conditions: Object.fromEntries(conditions),
    text: JSON.stringify({ Action, Resource: resources, Condition }),
  };
}

/** Calls Lambda makes with a function's rights before and after the function runs: it never makes them itself. */
export function callsOfLambda(name: string, queue?: string): RecordedCall[] {
  const logs = ['CreateLogStream', 'PutLogEvents'].map((action) => ({ function: name, action: `logs:${action}`, on: `${name}-log` }));
  const taking = ['ReceiveMessage', 'DeleteMessage', 'GetQueueAttributes'];
  return [...logs, ...(queue ? taking.map((action) => ({ function: name, action: `sqs:${action}`, on: queue })) : [])];
}

/**
 * What AWS would say to these calls, and what of these rights they did not need: one line a fault, naming the function, the
 * call and the statement; empty when each call is allowed and each right was used.
 */
export function faultsOf(calls: readonly RecordedCall[], roles: Record<string, Statement[]>): string[] {
  const refused = calls.flatMap((call) => {
    const statements = roles[roleOf(call)] ?? [];
    if (statements.some((statement) => allows(statement, call))) return [];
    const near = statements.filter(({ actions }) => actions.includes(call.action)).map(({ text }) => text);
    return [
      `${roleOf(call)}: AWS would refuse ${said(call)}; ${near.length > 0 ? `nearest: ${near.join(' ')}` : 'no statement has the action'}`,
    ];
  });
  const unused = Object.entries(roles).flatMap(([name, statements]) =>
    statements.flatMap((statement) => {
      const own = calls.filter((call) => roleOf(call) === name && allows(statement, call));
      return rightsOf(statement)
        .filter((right) => !own.some((call) => uses(right, call)))
        .map(
          ({ action, resource, pattern }) =>
            `${name}: nothing used ${action} on ${resource}${pattern ? ` for ${pattern}` : ''}; statement: ${statement.text}`,
        );
    }),
  );
  const wide = Object.entries(roles).flatMap(([name, statements]) => statements.flatMap((statement) => widenessOf(name, statement)));
  return [...new Set([...refused.map(withoutIds), ...unused, ...wide])];
}

/** Where a wider right than any call needs would be used as well as a narrow one: no call shows it, the statement does. */
function widenessOf(name: string, { actions, resources, conditions, text }: Statement): string[] {
  const keys = new Set(Object.values(conditions).flatMap((each) => Object.keys(each)));
  const held = (key: string, to: string) => (resource: string, action: string) =>
    keys.has(key) ? [] : [`${action} on ${resource} is not held to ${to}`];
  const needed: [RegExp, (resource: string, action: string) => string[]][] = [
    [/^dynamodb:/, held('dynamodb:LeadingKeys', 'keys')],
    [/^kms:/, held('kms:EncryptionContext:tenant', 'a tenant')],
    [/^ses:Send/, held('ses:FromAddress', 'a sender')],
    [/^s3:ListBucket$/, held('s3:prefix', 'prefixes')],
  ];
  const faults = actions.flatMap((action) => [
    ...(action.includes('*') ? [`${action} is a wildcard`] : []),
    ...resources.flatMap((resource) => [
      ...(/^(\*|mail\/\*)$/.test(resource) ? [`${action} on ${resource} is more than a resource`] : []),
      ...needed.flatMap(([of, check]) => (of.test(action) ? check(resource, action) : [])),
    ]),
  ]);
  return faults.map((fault) => `${name}: ${fault}; statement: ${text}`);
}

type Right = { action: string; resource: string; pattern?: string };

/** Each action on each resource; and each pattern of keys, which at least one of the actions must have needed. */
function rightsOf({ actions, resources, conditions }: Statement): Right[] {
  const patterns = conditions['ForAllValues:StringLike']?.['dynamodb:LeadingKeys'] ?? [];
  return resources.flatMap((resource) => [
    ...actions.map((action) => ({ action, resource })),
    ...patterns.map((pattern) => ({ action: '*', resource, pattern })),
  ]);
}

const uses = ({ action, resource, pattern }: Right, call: RecordedCall) =>
  (action === '*' || action === call.action) &&
  arnsOf(call).some((arn) => like(resource, arn)) &&
  (!pattern || like(filled(pattern, call), call.key ?? ''));

/** IAM's variables, as far as this stack uses them; one that has no value matches nothing. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: it is IAM that fills it in.
const filled = (pattern: string, { tenant }: RecordedCall) => pattern.replaceAll('${aws:PrincipalTag/tenant}', tenant ?? '\0');

export function allows({ actions, resources, conditions }: Statement, call: RecordedCall): boolean {
  return (
    actions.some((action) => like(action, call.action)) &&
    arnsOf(call).every((arn) => resources.some((each) => like(each, arn))) &&
    holds(conditions, call)
  );
}

/**
 * The ARNs of what a call is about, in the words of `Asked.text`: AWS asks for the right to each. For a mail that is its sender's
 * identity, the configuration set and, as long as the account is in SES's sandbox, the identity it goes to.
 */
function arnsOf({ on, key, action, context }: RecordedCall): string[] {
  if (action.startsWith('s3:') && key !== undefined) return [`${on}/${key}`];
  if (on !== 'ses') return [on];
  const ses = 'arn:<Partition>:ses:<Region>:<AccountId>:';
  const sender = context?.['ses:FromAddress']?.split('@').at(-1);
  return [`${ses}identity/${sender}`, `${ses}identity/somebody@customer.example`, `${ses}configuration-set/set`];
}

/** IAM's condition operators, as far as this stack uses them. Throws on another one, so that nobody believes it was looked at. */
function holds(conditions: Statement['conditions'], call: RecordedCall): boolean {
  const context: Record<string, string | undefined> = {
    ...call.context,
    'dynamodb:LeadingKeys': call.on === 'table' ? call.key : undefined,
  };
  return Object.entries(conditions).every(([operator, keys]) =>
    Object.entries(keys).every(([key, values]) => {
      const actual = context[key];
      if (operator === 'StringEquals') return actual !== undefined && values.includes(actual);
      if (operator === 'StringLike') return actual !== undefined && values.some((value) => like(value, actual));
      if (operator === 'Null') return values.includes(String(actual === undefined));
      // ForAllValues holds of no value too: IAM would let a call without keys pass, and so must this.
      if (operator === 'ForAllValues:StringLike') return actual === undefined || values.some((value) => like(filled(value, call), actual));
      throw new Error(`The condition operator ${operator} is not known here. Teach test/infra/iam.ts what it means.`);
    }),
  );
}

/** IAM's wildcards: `*` any characters, `?` one. */
export function like(pattern: string, text: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 's').test(text);
}

const said = ({ action, on, key, context }: RecordedCall) =>
  `${action} on ${on}${key ? ` (${key})` : ''}${context ? ` with ${JSON.stringify(context)}` : ''}`;

/** One line a kind of call, not one an item. */
const withoutIds = (line: string) => line.replace(/[0-9a-z]{16,}/g, '...');
