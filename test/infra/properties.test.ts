import { readFileSync } from 'node:fs';
import { functionsOfTheStack } from '../../lib/aws/app-stack.ts';
import { Asked, type Json, list, MAIL_DOMAIN, nameOf, synthesise, type Template } from './synthesised.ts';

const template = synthesise();
const aws = new Asked(template);
const OWN_NAME = { apiDomain: 'api.example.com', apiCertificate: 'arn:aws:acm:eu-west-1:123456789012:certificate/0' };

test('every function runs nodejs24.x on arm64', () => {
  const found = aws.all('AWS::Lambda::Function').map(({ Properties }) => [Properties.Runtime, Properties.Architectures]);
  expect(found).toEqual(Array.from({ length: Object.keys(functionsOfTheStack).length }, () => ['nodejs24.x', ['arm64']]));
});

test('every log is forgotten after a month, and every function has one', () => {
  for (const { Properties } of aws.all('AWS::Logs::LogGroup')) expect(Properties.RetentionInDays).toBe(30);
  for (const { Properties } of aws.all('AWS::Lambda::Function'))
    expect(aws.at(Properties.LoggingConfig.LogGroup).Type).toBe('AWS::Logs::LogGroup');
});

test('the access log holds no address: no path, no query, no caller', () => {
  const { Format } = aws.one('AWS::ApiGatewayV2::Stage').Properties.AccessLogSettings;
  expect(Format).not.toMatch(/sourceIp|identity|path|queryString|userAgent|authorizer\.(?!error)/i);
});

test('a function that goes on through its own queue may go on longer than 16 rounds; no other may', () => {
  const looping = aws.all('AWS::Lambda::Function').filter(({ Properties }) => Properties.RecursiveLoop === 'Allow');
  const names = ['delete-hidden-mail', 'export-backup', 'poll-mailbox', 'run-backfill', 'run-backup', 'run-import', 'run-offboarding'];
  expect(looping.map(nameOf).sort()).toEqual(names);
});

test('a queue hides a message for six times the seconds its function may take', () => {
  for (const { Properties } of aws.all('AWS::Lambda::EventSourceMapping')) {
    const { VisibilityTimeout } = aws.at(Properties.EventSourceArn).Properties;
    expect(VisibilityTimeout).toBeGreaterThanOrEqual(6 * aws.at(Properties.FunctionName).Properties.Timeout);
  }
});

test('table, bucket, queues and key are encrypted, and the key turns every year', () => {
  expect(aws.one('AWS::DynamoDB::GlobalTable').Properties.SSESpecification).toEqual({ SSEEnabled: true, SSEType: 'KMS' });
  const [rule] = aws.one('AWS::S3::Bucket').Properties.BucketEncryption.ServerSideEncryptionConfiguration;
  expect(rule.ServerSideEncryptionByDefault.SSEAlgorithm).toBe('AES256');
  for (const { Properties } of aws.all('AWS::SQS::Queue')) expect(Properties.SqsManagedSseEnabled).toBe(true);
  expect(aws.one('AWS::KMS::Key').Properties.EnableKeyRotation).toBe(true);
});

test('bucket, queues and topic are reached by TLS alone', () => {
  const policies = ['AWS::S3::BucketPolicy', 'AWS::SQS::QueuePolicy', 'AWS::SNS::TopicPolicy'].flatMap((type) => aws.all(type));
  expect(policies).toHaveLength(1 + aws.all('AWS::SQS::Queue').length + aws.all('AWS::SNS::Topic').length);
  for (const { Properties } of policies) {
    const refusals = Properties.PolicyDocument.Statement.filter(({ Effect }: Json) => Effect === 'Deny');
    expect(refusals[0].Condition).toEqual({ Bool: { 'aws:SecureTransport': 'false' } });
  }
});

test('the bucket is open to nobody in public, and forgets half-made uploads', () => {
  const { PublicAccessBlockConfiguration, LifecycleConfiguration } = aws.one('AWS::S3::Bucket').Properties;
  expect(Object.values(PublicAccessBlockConfiguration)).toEqual([true, true, true, true]);
  expect(LifecycleConfiguration.Rules).toContainEqual(
    expect.objectContaining({ Status: 'Enabled', AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 } }),
  );
});

test('what users gave us outlives the stack: table, bucket and key; and the table can go back in time', () => {
  for (const type of ['AWS::DynamoDB::GlobalTable', 'AWS::S3::Bucket', 'AWS::KMS::Key'])
    expect(aws.one(type).DeletionPolicy).toBe('Retain');
  const [replica] = aws.one('AWS::DynamoDB::GlobalTable').Properties.Replicas;
  expect(replica.DeletionProtectionEnabled).toBe(true);
  expect(replica.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled).toBe(true);
  expect(aws.one('AWS::DynamoDB::GlobalTable').Properties.BillingMode).toBe('PAY_PER_REQUEST');
});

test('a dead letter is kept longer than a letter', () => {
  const queues = aws.all('AWS::SQS::Queue');
  for (const queue of queues.filter(({ Properties }) => Properties.RedrivePolicy)) {
    const dead = aws.at(queue.Properties.RedrivePolicy.deadLetterTargetArn);
    expect(dead.Properties.MessageRetentionPeriod).toBeGreaterThan(queue.Properties.MessageRetentionPeriod);
  }
});

test('a schedule goes off at its time, is tried again until the next one, and what never began is kept and told', () => {
  for (const { Properties } of aws.all('AWS::Scheduler::Schedule')) {
    expect(Properties.FlexibleTimeWindow).toEqual({ Mode: 'OFF' });
    const { RetryPolicy, DeadLetterConfig } = Properties.Target;
    const [, count, unit] = /^rate\((\d+) (minute|hour|day)s?\)$/.exec(Properties.ScheduleExpression) ?? [];
    const interval = Number(count) * { minute: 60, hour: 3600, day: 86_400 }[unit as 'minute'];
    expect(RetryPolicy).toEqual({ MaximumEventAgeInSeconds: Math.min(interval, 3600), MaximumRetryAttempts: 5 });
    expect(aws.at(DeadLetterConfig.Arn).Properties.MessageRetentionPeriod).toBe(14 * 86_400);
  }
});

test('a schedule begins when its role has its rights, not before', () => {
  for (const { Properties, DependsOn } of aws.all('AWS::Scheduler::Schedule')) {
    const role = Properties.Target.RoleArn['Fn::GetAtt'][0];
    const policies = DependsOn!.map((id) => template.Resources[id]!).filter(({ Type }) => Type === 'AWS::IAM::Policy');
    expect(policies.flatMap((policy) => policy.Properties.Roles)).toEqual([{ Ref: role }]);
  }
});

test('what nobody can reconcile is counted out of the log of who looks for it', () => {
  const { LogGroupName, FilterPattern, MetricTransformations } = aws.one('AWS::Logs::MetricFilter').Properties;
  expect([aws.name(LogGroupName), FilterPattern]).toEqual(['reconcile-raw-mail-log', '{ $.unknown > 0 }']);
  const alarm = aws.all('AWS::CloudWatch::Alarm').find(({ Properties }) => Properties.MetricName === 'UnreconciledMail')!;
  expect(MetricTransformations).toMatchObject([
    { MetricName: 'UnreconciledMail', MetricValue: '$.unknown', MetricNamespace: alarm.Properties.Namespace },
  ]);
});

test('an alarm that adds metrics up has ten at most: CloudWatch takes no more', () => {
  const sums = aws
    .all('AWS::CloudWatch::Alarm')
    .map(({ Properties }) => (Properties.Metrics ?? []).filter((each: Json) => each.MetricStat));
  expect(Math.max(...sums.map((metrics) => metrics.length))).toBeLessThanOrEqual(10);
});

test('a bounce rate that is not told for an hour stands: SES tells it when mail went out, and silence is no better rate', () => {
  const rates = aws.all('AWS::CloudWatch::Alarm').filter(({ Properties }) => Properties.Namespace === 'AWS/SES');
  expect(rates.map(({ Properties }) => Properties.TreatMissingData)).toEqual(['ignore', 'ignore']);
});

test('nothing waits for itself: CloudFormation refuses a circle', () => {
  for (const each of [template, synthesise('prod', OWN_NAME)]) expect(circlesOf(each)).toEqual([]);
  const planted = structuredClone(template);
  const [first, second] = Object.keys(planted.Resources) as [string, string];
  planted.Resources[first]!.DependsOn = [second];
  planted.Resources[second]!.DependsOn = [first];
  expect(circlesOf(planted)).not.toEqual([]);
});

test('BCC-1: one receipt rule: mail for the domain, over TLS, scanned, stored under raw/ and announced, and no rule after it', () => {
  const { Rule } = aws.one('AWS::SES::ReceiptRule').Properties;
  const [store, stop, ...others] = Rule.Actions;
  expect(Rule).toMatchObject({ Recipients: [MAIL_DOMAIN], TlsPolicy: 'Require', ScanEnabled: true, Enabled: true });
  expect([aws.name(store.S3Action.BucketName), store.S3Action.ObjectKeyPrefix, aws.name(store.S3Action.TopicArn)]).toEqual([
    'mail',
    'raw/',
    'arrivals',
  ]);
  expect([stop, others]).toEqual([{ StopAction: { Scope: 'RuleSet' } }, []]);
});

test('SES and CloudWatch store and announce for this account alone', () => {
  const statements = [...aws.all('AWS::S3::BucketPolicy'), ...aws.all('AWS::SNS::TopicPolicy')]
    .flatMap(({ Properties }) => Properties.PolicyDocument.Statement)
    .filter(({ Effect }) => Effect === 'Allow');
  expect(statements.map(({ Action }) => Action)).toEqual(['s3:PutObject', 'sns:Publish', 'sns:Publish', 'sns:Publish']);
  for (const { Principal, Condition } of statements) {
    expect(Principal.Service).toMatch(/^(ses|cloudwatch)\.amazonaws\.com$/);
    const { 'aws:SourceAccount': ours, 'AWS:SourceAccount': alsoOurs } = Condition.StringEquals;
    expect(ours ?? alsoOurs).toEqual({ Ref: 'AWS::AccountId' });
  }
});

test('R-33: an answer of the authoriser is never kept, so that a revoked token stops at once', () => {
  expect(aws.one('AWS::ApiGatewayV2::Authorizer').Properties).toMatchObject({
    AuthorizerResultTtlInSeconds: 0,
    AuthorizerType: 'REQUEST',
    AuthorizerPayloadFormatVersion: '2.0',
    EnableSimpleResponses: true,
  });
  // With an identity source, API Gateway would answer a request without a token itself.
  expect(aws.one('AWS::ApiGatewayV2::Authorizer').Properties.IdentitySource ?? []).toEqual([]);
});

test('the API is throttled, and routes without a token ten times as much', () => {
  const { DefaultRouteSettings, RouteSettings } = aws.one('AWS::ApiGatewayV2::Stage').Properties;
  expect(DefaultRouteSettings).toMatchObject({ ThrottlingRateLimit: 200, ThrottlingBurstLimit: 400 });
  const open = aws.all('AWS::ApiGatewayV2::Route').filter(({ Properties }) => Properties.AuthorizationType === 'NONE');
  const keys: string[] = open.map(({ Properties }) => Properties.RouteKey);
  expect(Object.keys(RouteSettings).sort()).toEqual(keys.sort());
  for (const settings of Object.values(RouteSettings)) expect(settings).toEqual({ ThrottlingRateLimit: 20, ThrottlingBurstLimit: 40 });
});

test("the product's own mail: what bounces is told, and the address not written to again, whoever sends", () => {
  const { ReputationOptions, SuppressionOptions } = aws.one('AWS::SES::ConfigurationSet').Properties;
  expect([ReputationOptions.ReputationMetricsEnabled, SuppressionOptions.SuppressedReasons]).toEqual([true, ['BOUNCE', 'COMPLAINT']]);
  const { EventDestination } = aws.one('AWS::SES::ConfigurationSetEventDestination').Properties;
  expect(EventDestination.MatchingEventTypes).toEqual(['bounce', 'complaint', 'reject']);
  expect(aws.name(EventDestination.SnsDestination.TopicARN)).toBe('operator');
  const { EmailIdentity, ConfigurationSetAttributes, FeedbackAttributes } = aws.one('AWS::SES::EmailIdentity').Properties;
  expect(FeedbackAttributes).toEqual({ EmailForwardingEnabled: false });
  expect([EmailIdentity, aws.at(ConfigurationSetAttributes.ConfigurationSetName).Type]).toEqual([
    MAIL_DOMAIN,
    'AWS::SES::ConfigurationSet',
  ]);
});

test('executions are kept for who takes mail in and who answers the API, so that a flood of one leaves the others theirs', () => {
  const reserved = aws.all('AWS::Lambda::Function').flatMap((each) => {
    const { ReservedConcurrentExecutions: most } = each.Properties;
    return most === undefined ? [] : [[nameOf(each), most]];
  });
  expect(Object.fromEntries(reserved)).toEqual({ api: 200, authorise: 100, 'ingest-mail': 50 });
});

test('the bill can be read by product and stage', () => {
  const tags = [
    { Key: 'product', Value: 'crm-mail-addon' },
    { Key: 'stage', Value: 'prod' },
  ];
  for (const type of ['AWS::Lambda::Function', 'AWS::S3::Bucket', 'AWS::SQS::Queue', 'AWS::Logs::LogGroup'])
    for (const { Properties } of aws.all(type)) expect(Properties.Tags).toEqual(tags);
  expect(aws.one('AWS::DynamoDB::GlobalTable').Properties.Replicas[0].Tags).toEqual(tags);
  // us-east-1 would refuse the stack.
  expect(aws.one('AWS::CloudWatch::Dashboard').Properties.Tags).toBeUndefined();
});

describe('stages', () => {
  const dev = new Asked(synthesise('dev'));

  test('dev forgets everything with its stack, reserves nothing, and does not mind silence', () => {
    for (const type of ['AWS::DynamoDB::GlobalTable', 'AWS::S3::Bucket', 'AWS::KMS::Key'])
      expect(dev.one(type).DeletionPolicy).toBe('Delete');
    expect(dev.one('AWS::DynamoDB::GlobalTable').Properties.Replicas[0].DeletionProtectionEnabled).toBe(false);
    expect(dev.all('AWS::Lambda::Function').filter(({ Properties }) => Properties.ReservedConcurrentExecutions)).toEqual([]);
    expect(dev.all('AWS::CloudWatch::Alarm').map(({ Properties }) => Properties.MetricName)).not.toContain('NumberOfMessagesPublished');
  });

  test('otherwise dev is what prod is', () => {
    const kinds = (asked: Asked) => asked.types().filter((type) => type !== 'AWS::CloudWatch::Alarm');
    expect(kinds(dev)).toEqual(kinds(aws));
  });

  test('the API under a name of its own: mails link there, TLS 1.2 at least, and the operator is told the CNAME', () => {
    const named = synthesise('prod', OWN_NAME);
    const own = new Asked(named);
    const [configuration] = own.one('AWS::ApiGatewayV2::DomainName').Properties.DomainNameConfigurations;
    expect(configuration).toMatchObject({ CertificateArn: OWN_NAME.apiCertificate, EndpointType: 'REGIONAL', SecurityPolicy: 'TLS_1_2' });
    expect(own.at(own.one('AWS::ApiGatewayV2::ApiMapping').Properties.DomainName).Type).toBe('AWS::ApiGatewayV2::DomainName');
    expect(named.Outputs.ApiUrl.Value).toBe('https://api.example.com');
    expect(JSON.stringify(named.Outputs.ApiCname.Value)).toContain('api.example.com CNAME ');
    expect(() => synthesise('prod', { apiDomain: 'api.example.com' })).toThrow('need each other');
  });

  test('a deployment that forgot its domain, or whom to tell, is refused: it would take them away from the stage', () => {
    const deploying = { deploying: 'true', mailDomain: 'In.Mail.test', apiDomain: 'none' };
    expect(synthesise('prod', deploying).Outputs.MailDomain.Value).toBe('in.mail.test');
    for (const mailDomain of ['', 'mail.example.com', 'in.company.example', 'you@mail.test', 'localhost'])
      expect(() => synthesise('prod', { ...deploying, mailDomain })).toThrow('Say which domain receives the mail');
    expect(() => synthesise('prod', { ...deploying, alarmEmail: '' })).toThrow('Nobody would be told of alarms');
    expect(() => synthesise('dev', { ...deploying, alarmEmail: '' })).not.toThrow();
    const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(scripts.deploy).toBe('cdk deploy -c deploying=true');
  });

  test("a deployment that forgot the API's own name is refused: it would take it away, and every client would find nobody there", () => {
    const deploying = { deploying: 'true', mailDomain: 'in.mail.test' };
    expect(() => synthesise('prod', deploying)).toThrow("A name of the API's own would be taken away");
    expect(() => synthesise('dev', deploying)).toThrow('-c apiDomain=none when it has none');
    const nameless = synthesise('prod', { ...deploying, apiDomain: 'none' });
    expect(new Asked(nameless).all('AWS::ApiGatewayV2::DomainName')).toEqual([]);
    expect(synthesise('prod', { ...deploying, ...OWN_NAME }).Outputs.ApiUrl.Value).toBe('https://api.example.com');
    expect(() => synthesise('prod', { apiDomain: 'none', apiCertificate: OWN_NAME.apiCertificate })).toThrow('need each other');
  });

  test('a stage nobody described is refused', () => {
    expect(() => synthesise('none' as 'dev')).toThrow('There is no stage "none" in cdk.json; it has dev, prod.');
  });
});

test('no policy of a role grants an action by wildcard, and none but the activation a resource by wildcard', () => {
  const statements = aws.all('AWS::IAM::Policy').flatMap(({ Properties }) => Properties.PolicyDocument.Statement);
  expect(statements.flatMap(({ Action }) => list(Action)).filter((action) => action.includes('*'))).toEqual([]);
  const open = statements.filter(({ Resource }) => list(Resource).includes('*'));
  expect(open.flatMap(({ Action }) => Action)).toEqual(['ses:DescribeActiveReceiptRuleSet', 'ses:SetActiveReceiptRuleSet']);
});

/** Resources that, by whatever they name or depend on, wait for themselves. */
function circlesOf({ Resources }: Template): string[] {
  const waits = new Map(Object.entries(Resources).map(([id, resource]) => [id, namedIn(resource).filter((other) => other in Resources)]));
  const done = new Set<string>();
  // What waits for nothing that is not made yet can be made; what is left after that waits in a circle.
  for (let before = -1; before < done.size; ) {
    before = done.size;
    for (const [id, others] of waits) if (others.every((other) => done.has(other))) done.add(id);
  }
  return [...waits.keys()].filter((id) => !done.has(id));
}

/** The ids of all that a part of the template names. */
function namedIn(part: Json): string[] {
  if (typeof part !== 'object' || part === null) return [];
  if (Array.isArray(part)) return part.flatMap(namedIn);
  const { Ref, 'Fn::GetAtt': got, 'Fn::Sub': text, DependsOn = [], ...rest } = part;
  const substituted = typeof text === 'string' ? [...text.matchAll(/\$\{([\w]+)/g)].map(([, id]) => id!) : namedIn(text);
  return [...(Ref ? [Ref] : []), ...(got ? [got[0]] : []), ...substituted, ...list(DependsOn), ...Object.values(rest).flatMap(namedIn)];
}
