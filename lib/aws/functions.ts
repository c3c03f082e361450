import { Aws, Duration, RemovalPolicy } from 'aws-cdk-lib';
import { ArnPrincipal, type IRole, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Architecture, type Code, Function as LambdaFunction, LoggingFormat, RecursiveLoop, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import {
  environmentNames,
  type FunctionName,
  type FunctionRow,
  functions,
  hasTenantRole,
  type Settings,
  TENANT_ROLE_VARIABLE,
  type Trigger,
} from '../../functions/manifest.ts';
import { grantsOf, tenantGrantsOf } from './grants.ts';
import { logicalName } from './logical-name.ts';
import type { Reaches } from './reach.ts';
import { acknowledgeWildcards } from './review.ts';
import type { Stage } from './stage.ts';

/** Characters of a tenant's id. */
const TENANT_ID_LENGTH = 16;

type QueueTrigger = Trigger & { kind: 'queue' };

/** Where a function's bundle is: the folder with its `handler.mjs`. */
export type CodeOf = (name: FunctionName) => Code;

export type FunctionsProps = {
  code: CodeOf;
  reaches: Reaches;
  /** What SES must allow for a mail of the product's own. */
  sendsThrough: string[];
  stage: Stage;
};

/** Every function of the manifest: its code, its numbers, its rights, its variables, and the queue that triggers it. */
export class Functions extends Construct {
  readonly byName = {} as Record<FunctionName, LambdaFunction>;

  constructor(scope: Construct, id: string, props: FunctionsProps, settings: Settings) {
    super(scope, id);
    for (const [key, row] of Object.entries(functions) as [FunctionName, FunctionRow][]) {
      this.byName[key] = this.lambda(key, row, props, settings);
      this.feed(this.byName[key], row, props.reaches);
    }
  }

  private lambda(name: FunctionName, row: FunctionRow, { code, reaches, sendsThrough, stage }: FunctionsProps, settings: Settings) {
    const logGroup = new LogGroup(this, `${logicalName(name)}Log`, {
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new Role(this, `${logicalName(name)}Role`, { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    logGroup.grantWrite(role);
    for (const grant of grantsOf(row, reaches, sendsThrough, settings.MAIL_SENDER)) role.addToPolicy(grant);
    acknowledgeWildcards(role, row, reaches);
    const tenantRole = hasTenantRole(row) ? this.tenantRole(name, row, role, reaches) : undefined;
    return new LambdaFunction(this, logicalName(name), {
      // Operators' commands find it by that: of a long name CloudFormation cuts something off.
      description: `${Aws.STACK_NAME}: ${name}`,
      code: code(name),
      handler: 'handler.handler',
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      timeout: Duration.seconds(row.timeout),
      memorySize: row.memory,
      reservedConcurrentExecutions: stage.reserved[name],
      environment: { ...environmentOf(row, reaches, settings), ...(tenantRole ? { [TENANT_ROLE_VARIABLE]: tenantRole.roleArn } : {}) },
      role,
      logGroup,
      loggingFormat: LoggingFormat.JSON,
      // Lambda stops a function that goes on through its own queue after 16 rounds; a long import has more pages than that.
      recursiveLoop: feedsItself(row) ? RecursiveLoop.ALLOW : RecursiveLoop.TERMINATE,
    });
  }

  /**
   * What the function may do for one tenant: a role it assumes with the tenant's id as the session's tag, which the role's policy
   * says keys must begin with. A session without that tag, with another one beside it, or for what cannot be an id is refused.
   */
  private tenantRole(name: FunctionName, row: FunctionRow, role: Role, reaches: Reaches): IRole {
    const conditions = {
      StringLike: { 'aws:RequestTag/tenant': '?'.repeat(TENANT_ID_LENGTH) },
      'ForAllValues:StringEquals': { 'aws:TagKeys': 'tenant' },
    };
    const trusted = new ArnPrincipal(role.roleArn).withConditions(conditions).withSessionTags();
    const tenantRole = new Role(this, `${logicalName(name)}TenantRole`, { assumedBy: trusted });
    for (const grant of tenantGrantsOf(row, reaches)) tenantRole.addToPolicy(grant);
    role.addToPolicy(new PolicyStatement({ actions: ['sts:AssumeRole', 'sts:TagSession'], resources: [tenantRole.roleArn] }));
    return tenantRole;
  }

  private feed(lambda: LambdaFunction, { trigger }: FunctionRow, reaches: Reaches) {
    if (trigger.kind === 'queue') this.consume(lambda, trigger, reaches[trigger.queue].arn);
  }

  private consume(lambda: LambdaFunction, { batchSize, maxConcurrency }: QueueTrigger, eventSourceArn: string) {
    lambda.addEventSourceMapping('Queue', {
      eventSourceArn,
      batchSize,
      maxConcurrency,
      // One poison must not bring its neighbours back with it.
      reportBatchItemFailures: true,
    });
  }
}

function environmentOf(row: FunctionRow, reaches: Reaches, settings: Settings): Record<string, string> {
  const used = row.uses.map(({ on }) => [environmentNames[on], reaches[on].variable]);
  return { ...Object.fromEntries(used), ...settings };
}

function feedsItself({ trigger, uses }: FunctionRow): boolean {
  return trigger.kind === 'queue' && uses.some(({ on, actions }) => on === trigger.queue && actions.includes('SendMessage'));
}
