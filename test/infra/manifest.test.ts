import { environmentNames, type FunctionRow, functions, hasTenantRole, resources, type Use } from '../../functions/manifest.ts';
import { like } from './iam.ts';
import { Asked, type Json, list, MAIL_DOMAIN, nameOf, type Resource, sorted, synthesise } from './synthesised.ts';

const template = synthesise();
const aws = new Asked(template);
const rows = Object.entries(functions) as [string, FunctionRow][];
const scheduled = rows.filter(([, { trigger }]) => trigger.kind === 'schedule');
const clocks = aws.all('AWS::Scheduler::Schedule');
const permissions = aws.all('AWS::Lambda::Permission');
const tenantRoles = rows.filter(([, row]) => hasTenantRole(row));

/** The deployment's own function activates the receipt rule set; everything else in the template is the manifest's. */
const isOurs = (resource: Resource) => resource !== aws.at(aws.one('Custom::AWS').Properties.ServiceToken);
const lambdas = aws.all('AWS::Lambda::Function').filter(isOurs);
const lambda = (name: string) => lambdas.find((each) => nameOf(each) === name)!;

describe('the template says what the manifest says, and nothing else', () => {
  test('functions: the same, with the same seconds and memory', () => {
    const numbers = lambdas.map((each) => [nameOf(each), each.Properties.Timeout, each.Properties.MemorySize]);
    expect(sorted(numbers)).toEqual(sorted(rows.map(([name, row]) => [name, row.timeout, row.memory])));
  });

  test("operators' commands find a function by its description", () => {
    const described = lambdas.map((each) => [
      each.Properties.Description,
      { 'Fn::Join': ['', [{ Ref: 'AWS::StackName' }, `: ${nameOf(each)}`]] },
    ]);
    for (const [said, wanted] of described) expect(said).toEqual(wanted);
  });

  test.each(rows)('%s is told of the resources it uses, and of no others', (name, { uses }) => {
    const {
      MAIL_DOMAIN: domain,
      MAIL_SENDER: sender,
      PUBLIC_URL: url,
      TENANT_ROLE_ARN: tenantRole,
      ...used
    } = lambda(name).Properties.Environment.Variables;
    expect([domain, sender, aws.at(url).Type]).toEqual([MAIL_DOMAIN, `no-reply@${MAIL_DOMAIN}`, 'AWS::ApiGatewayV2::Api']);
    expect(tenantRole && aws.name(tenantRole)).toBe(
      hasTenantRole(functions[name as keyof typeof functions]) ? `${name}-tenant-role` : undefined,
    );
    const told = Object.entries(used).map(([variable, value]) => [variable, aws.name(value)]);
    expect(sorted(told)).toEqual(sorted([...new Set(uses.map(({ on }) => on))].map((on) => [environmentNames[on], on])));
  });

  test('design 8: no function on AWS is allowed mail servers of an inside: only the host on this machine can be told to', () => {
    expect(lambdas.flatMap((each) => Object.keys(each.Properties.Environment.Variables))).not.toContain('LOCAL_MAIL_SERVERS');
  });

  test.each(rows)('%s has the rights its row says, and no others', (name, row) => {
    const role = aws.at(lambda(name).Properties.Role);
    expect(role.Properties.ManagedPolicyArns ?? role.Properties.Policies).toBeUndefined();
    expect(aws.rights({ Ref: lambda(name).Properties.Role['Fn::GetAtt'][0] })).toEqual(rightsOf(name, row));
  });

  test.each(tenantRoles)('the role of %s for one tenant has the rights its row says, for the tenant of the session alone', (name, row) => {
    const role = lambda(name).Properties.Environment.Variables.TENANT_ROLE_ARN;
    expect(aws.at(role).Properties.ManagedPolicyArns ?? aws.at(role).Properties.Policies).toBeUndefined();
    const perTenant = row.uses.filter((use) => use.perTenant);
    expect(perTenant.flatMap(({ prefixes = [] }) => prefixes.filter((prefix) => prefix.startsWith('T#')))).toEqual(['T#<tenant>#*']);
    expect(aws.rights({ Ref: role['Fn::GetAtt'][0] })).toEqual(perTenant.flatMap(rightsOfUse).sort());
  });

  test.each(tenantRoles)('only %s may assume its role for one tenant, tagged with what can be an id and with nothing else', (name) => {
    const role = aws.at(lambda(name).Properties.Environment.Variables.TENANT_ROLE_ARN);
    const statements = role.Properties.AssumeRolePolicyDocument.Statement as Json[];
    expect(sorted(statements.flatMap(({ Action }) => list(Action)))).toEqual(['"sts:AssumeRole"', '"sts:TagSession"']);
    for (const { Effect, Principal, Condition } of statements) {
      expect([Effect, aws.name(Principal.AWS)]).toEqual(['Allow', `${name}-role`]);
      expect(Condition).toEqual({
        StringLike: { 'aws:RequestTag/tenant': '????????????????' },
        'ForAllValues:StringEquals': { 'aws:TagKeys': 'tenant' },
      });
    }
  });

  test('no two functions share a role', () => {
    const roles = lambdas.map((each) => each.Properties.Role['Fn::GetAtt'][0]);
    expect(new Set(roles).size).toBe(rows.length);
  });

  test('policies: none but those of the functions and of the activation', () => {
    expect(aws.all('AWS::IAM::Policy')).toHaveLength(rows.length + tenantRoles.length + scheduled.length + 1);
    expect(aws.all('AWS::IAM::Role')).toHaveLength(rows.length + tenantRoles.length + scheduled.length + 1);
  });

  test('queues: the same, each with its dead-letter queue', () => {
    const queues = Object.entries(resources).flatMap(([name, row]) => (row.kind === 'queue' ? [{ name, row }] : []));
    const found = aws.all('AWS::SQS::Queue').map(nameOf);
    expect(found.sort()).toEqual(['dead', ...queues.flatMap(({ name }) => [name, `${name}-dead`])].sort());
    for (const { name, row } of queues) {
      const { VisibilityTimeout, RedrivePolicy } = aws.all('AWS::SQS::Queue').find((each) => nameOf(each) === name)!.Properties;
      expect([name, VisibilityTimeout, RedrivePolicy.maxReceiveCount]).toEqual([name, row.visibility, row.maxReceives]);
      expect(aws.name(RedrivePolicy.deadLetterTargetArn)).toBe(`${name}-dead`);
    }
  });

  test('queue triggers: the same, with the same batches, and partial failures reported', () => {
    const found = aws.all('AWS::Lambda::EventSourceMapping').map(({ Properties }) => ({
      function: aws.name(Properties.FunctionName),
      queue: aws.name(Properties.EventSourceArn),
      batchSize: Properties.BatchSize,
      maxConcurrency: Properties.ScalingConfig.MaximumConcurrency,
      failures: Properties.FunctionResponseTypes,
    }));
    const wanted = rows.flatMap(([name, { trigger }]) =>
      trigger.kind === 'queue' ? [{ function: name, ...trigger, kind: undefined, failures: ['ReportBatchItemFailures'] }] : [],
    );
    expect(sorted(found)).toEqual(sorted(wanted));
  });

  test('schedules: the same', () => {
    const found = clocks.map(({ Properties }) => ({ function: aws.name(Properties.Target.Arn), every: Properties.ScheduleExpression }));
    const wanted = scheduled.map(([name, { trigger }]) => ({ function: name, every: 'every' in trigger && rate(trigger.every) }));
    expect(sorted(found)).toEqual(sorted(wanted));
  });

  test('a schedule may call its function, say that it could not, and nothing else', () => {
    for (const { Properties } of clocks) {
      const role = Properties.Target.RoleArn;
      const [trust] = aws.at(role).Properties.AssumeRolePolicyDocument.Statement;
      expect([trust.Principal, Object.keys(trust.Condition.StringEquals)]).toEqual([
        { Service: 'scheduler.amazonaws.com' },
        ['aws:SourceAccount', 'aws:SourceArn'],
      ]);
      const name = aws.name(Properties.Target.Arn);
      expect(aws.rights({ Ref: role['Fn::GetAtt'][0] })).toEqual([`lambda:InvokeFunction ${name}`, 'sqs:SendMessage dead']);
    }
  });

  test('routes: the same, each led to its function, open only where the manifest says so', () => {
    const found = aws.all('AWS::ApiGatewayV2::Route').map(({ Properties }) => ({
      route: Properties.RouteKey,
      function: behind(Properties.Target),
      behind: Properties.AuthorizationType === 'CUSTOM' ? nameOf(aws.at(Properties.AuthorizerId)) : Properties.AuthorizationType,
    }));
    const wanted = rows.flatMap(([name, { trigger }]) =>
      trigger.kind === 'http'
        ? [
            ...trigger.routes.map((route) => ({ route, function: name, behind: 'authoriser' })),
            ...(trigger.open ?? []).map((route) => ({ route, function: name, behind: 'NONE' })),
          ]
        : [],
    );
    expect(sorted(found)).toEqual(sorted(wanted));
  });

  test('topics: the same, each feeding its queue with the envelope', () => {
    const byQueue = aws.all('AWS::SNS::Subscription').filter(({ Properties }) => Properties.Protocol === 'sqs');
    const found = byQueue.map(({ Properties }) => ({
      topic: aws.name(Properties.TopicArn),
      queue: aws.name(Properties.Endpoint),
      raw: Properties.RawMessageDelivery,
      dead: aws.name(Properties.RedrivePolicy.deadLetterTargetArn),
    }));
    const wanted = Object.entries(resources).flatMap(([topic, row]) =>
      row.kind === 'topic' ? [{ topic, queue: row.queue, raw: false, dead: `${row.queue}-dead` }] : [],
    );
    expect(found).toEqual(wanted);
    expect(aws.all('AWS::SNS::Topic').map(nameOf).sort()).toEqual([...wanted.map(({ topic }) => topic), 'operator'].sort());
  });

  test('who may call a function by its own policy: API Gateway those behind routes and the authoriser, and nobody else', () => {
    const callable = permissions.map(({ Properties }) => [aws.name(Properties.FunctionName), Properties.Principal]);
    const kinds = { http: true, authoriser: true, schedule: false, queue: false, operator: false };
    const wanted = rows.flatMap(([name, { trigger }]) => (kinds[trigger.kind] ? [[name, 'apigateway.amazonaws.com']] : []));
    expect([...new Set(sorted(callable))]).toEqual(sorted(wanted));
  });

  test('API Gateway may call the function behind each route by the ARN it calls it with, and the authoriser', () => {
    const refused = rows.flatMap(([name, { trigger }]) => {
      if (trigger.kind !== 'http') return [];
      return [...trigger.routes, ...(trigger.open ?? [])].filter((route) => !mayBeCalled(name, calledFrom(route)));
    });
    expect(refused).toEqual([]);
    const [authoriser] = permissions.filter(({ Properties }) => aws.name(Properties.FunctionName) === 'authorise');
    expect(JSON.stringify(authoriser?.Properties.SourceArn)).toContain('/authorizers/');
  });

  test('the table: keys, expiry and nothing more', () => {
    const { KeySchema, TimeToLiveSpecification, GlobalSecondaryIndexes } = aws.one('AWS::DynamoDB::GlobalTable').Properties;
    const { partitionKey, sortKey, ttlAttribute } = resources.table;
    expect(KeySchema.map((each: Json) => [each.KeyType, each.AttributeName])).toEqual([
      ['HASH', partitionKey],
      ['RANGE', sortKey],
    ]);
    expect(TimeToLiveSpecification).toEqual({ AttributeName: ttlAttribute, Enabled: true });
    expect(GlobalSecondaryIndexes).toBeUndefined();
  });

  test('R-12: the bucket forgets nothing by itself but exports: raw mail goes when the sweep finds that no message needs it', () => {
    const rules = aws.one('AWS::S3::Bucket').Properties.LifecycleConfiguration.Rules as Json[];
    const forgetting = rules.filter((rule) => Object.keys(rule).some((key) => key.includes('Expiration')));
    const wanted = resources.mail.expiring.map(({ prefix, days }) => ({ Prefix: prefix, ExpirationInDays: days, Status: 'Enabled' }));
    expect([forgetting, resources.mail.expiring.map(({ prefix }) => prefix)]).toEqual([wanted, ['exports/']]);
  });

  test('nothing of a kind that the manifest does not know', () => {
    expect(aws.types()).toEqual([
      'AWS::ApiGatewayV2::Api',
      'AWS::ApiGatewayV2::Authorizer',
      'AWS::ApiGatewayV2::Integration',
      'AWS::ApiGatewayV2::Route',
      'AWS::ApiGatewayV2::Stage',
      'AWS::CloudWatch::Alarm',
      'AWS::CloudWatch::Dashboard',
      'AWS::DynamoDB::GlobalTable',
      'AWS::IAM::Policy',
      'AWS::IAM::Role',
      'AWS::KMS::Key',
      'AWS::Lambda::EventSourceMapping',
      'AWS::Lambda::Function',
      'AWS::Lambda::Permission',
      'AWS::Logs::LogGroup',
      'AWS::Logs::MetricFilter',
      'AWS::S3::Bucket',
      'AWS::S3::BucketPolicy',
      'AWS::SES::ConfigurationSet',
      'AWS::SES::ConfigurationSetEventDestination',
      'AWS::SES::EmailIdentity',
      'AWS::SES::ReceiptRule',
      'AWS::SES::ReceiptRuleSet',
      'AWS::SNS::Subscription',
      'AWS::SNS::Topic',
      'AWS::SNS::TopicPolicy',
      'AWS::SQS::Queue',
      'AWS::SQS::QueuePolicy',
      'AWS::Scheduler::Schedule',
      'Custom::AWS',
    ]);
  });

  test('it says where things are', () => {
    const dns = ['Dkim1', 'Dkim2', 'Dkim3', 'Mx'];
    expect(Object.keys(template.Outputs).sort()).toEqual(
      ['ApiUrl', 'CreateTenantFunction', ...dns, 'MailBucket', 'MailDomain', 'TableName'].sort(),
    );
    const mx = { 'Fn::Join': ['', [`${MAIL_DOMAIN} MX 10 inbound-smtp.`, { Ref: 'AWS::Region' }, '.amazonaws.com']] };
    expect(template.Outputs.Mx.Value).toEqual(mx);
    expect(aws.name(template.Outputs.CreateTenantFunction.Value)).toBe('create-tenant');
  });
});

/** What a row's `uses`, trigger and `sendsMail` come to in IAM's words, and the function's own log. */
function rightsOf(name: string, { uses, trigger, sendsMail }: FunctionRow): string[] {
  const rights = [
    `logs:CreateLogStream ${name}-log`,
    `logs:PutLogEvents ${name}-log`,
    ...uses.filter(({ perTenant }) => !perTenant).flatMap(rightsOfUse),
  ];
  if (trigger.kind === 'queue')
    for (const action of ['DeleteMessage', 'GetQueueAttributes', 'ReceiveMessage']) rights.push(`sqs:${action} ${trigger.queue}`);
  if (uses.some(({ perTenant }) => perTenant))
    for (const action of ['AssumeRole', 'TagSession']) rights.push(`sts:${action} ${name}-tenant-role`);
  if (sendsMail) {
    const condition = { StringEquals: { 'ses:FromAddress': `no-reply@${MAIL_DOMAIN}` } };
    for (const through of ['identity/*', 'configuration-set/set'])
      rights.push(`ses:SendRawEmail arn:<Partition>:ses:<Region>:<AccountId>:${through} if ${JSON.stringify(condition)}`);
  }
  return rights.sort();
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: it is IAM that fills it in.
const TAGGED_TENANT = '${aws:PrincipalTag/tenant}';

function rightsOfUse({ on, actions, prefixes }: Use): string[] {
  const services = { table: 'dynamodb', bucket: 's3', key: 'kms', queue: 'sqs', topic: 'sns' };
  const { kind } = resources[on];
  if (actions.includes('ListBucket')) return [`s3:ListBucket ${on} if ${JSON.stringify({ StringLike: { 's3:prefix': prefixes } })}`];
  const things = kind === 'bucket' ? prefixes!.map((prefix) => `${on}/${prefix}`) : [on];
  const conditions = {
    table: prefixes && {
      'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': prefixes.map((prefix) => prefix.replace('<tenant>', TAGGED_TENANT)) },
    },
    key: { Null: { 'kms:EncryptionContext:tenant': 'false' } },
  };
  const condition = kind === 'table' || kind === 'key' ? conditions[kind] : undefined;
  const suffix = condition ? ` if ${JSON.stringify(condition)}` : '';
  return actions.flatMap((action) => things.map((thing) => `${services[kind]}:${action} ${thing}${suffix}`));
}

/** `1 days` -> `rate(1 day)`, as EventBridge spells it. */
const rate = (every: string) => `rate(${every.startsWith('1 ') ? every.slice(0, -1) : every})`;

/** `integrations/<ref>` -> the function called, which must be called by payload 2.0. */
function behind(target: Json): string {
  const integration = aws.at(target['Fn::Join'][1].find((part: Json) => part.Ref)).Properties;
  expect(integration.PayloadFormatVersion).toBe('2.0');
  return aws.name(integration.IntegrationUri);
}

/** A route as the ARN of a call says it, behind the API's id: stage, method and path; of `$default` it says the stage and the key alone. */
const calledFrom = (route: string) => `$default/${route.replace(' ', '')}`;

function mayBeCalled(name: string, source: string): boolean {
  return permissions
    .filter(({ Properties }) => aws.name(Properties.FunctionName) === name)
    .some(({ Properties }) => like(aws.text(Properties.SourceArn).replace(/^.*:api\//, ''), source));
}
