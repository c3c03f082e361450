import { Aws, Duration, Validations } from 'aws-cdk-lib';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { CfnSchedule } from 'aws-cdk-lib/aws-scheduler';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { type FunctionName, type FunctionRow, functions } from '../../functions/manifest.ts';
import { logicalName } from './logical-name.ts';

/** Beyond this, what could not be begun is left to the next round. */
const MAX_AGE_SECONDS = 3600;
const TRIES_MORE = 5;

/** The clocks of the manifest, by EventBridge Scheduler: each calls its function, with a role that may do nothing else. */
export class Schedules extends Construct {
  /** Calls that never reached their function: somebody is told, the next round does the work. */
  readonly dead: Queue;

  constructor(scope: Construct, id: string, lambdas: Record<FunctionName, LambdaFunction>) {
    super(scope, id);
    this.dead = new Queue(this, 'Dead', {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
    });
    Validations.of(this.dead).acknowledge({ id: 'AwsSolutions-SQS3', reason: 'It is a dead-letter queue: that of the schedules.' });
    for (const [name, { trigger }] of Object.entries(functions) as [FunctionName, FunctionRow][])
      if (trigger.kind === 'schedule') this.add(name, trigger.every, lambdas[name]);
  }

  private add(name: FunctionName, every: string, { functionArn: arn }: LambdaFunction) {
    const role = this.role(name, arn);
    const schedule = new CfnSchedule(this, logicalName(name), {
      scheduleExpression: rateOf(every),
      flexibleTimeWindow: { mode: 'OFF' },
      target: {
        arn,
        roleArn: role.roleArn,
        retryPolicy: { maximumEventAgeInSeconds: Math.min(secondsOf(every), MAX_AGE_SECONDS), maximumRetryAttempts: TRIES_MORE },
        deadLetterConfig: { arn: this.dead.queueArn },
      },
    });
    // A schedule begins when it is made: a call before its role has its rights would be refused, and wake somebody.
    schedule.node.addDependency(role);
  }

  private role(name: FunctionName, functionArn: string): Role {
    const group = `arn:${Aws.PARTITION}:scheduler:${Aws.REGION}:${Aws.ACCOUNT_ID}:schedule-group/default`;
    const role = new Role(this, `${logicalName(name)}ClockRole`, {
      // Without it a schedule of another account could be given this role (the confused deputy).
      assumedBy: new ServicePrincipal('scheduler.amazonaws.com', {
        conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID, 'aws:SourceArn': group } },
      }),
    });
    role.addToPolicy(new PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [functionArn] }));
    role.addToPolicy(new PolicyStatement({ actions: ['sqs:SendMessage'], resources: [this.dead.queueArn] }));
    return role;
  }
}

/** `1 days` -> `rate(1 day)`, as EventBridge spells it. */
const rateOf = (every: string) => `rate(${every.startsWith('1 ') ? every.slice(0, -1) : every})`;

function secondsOf(every: string): number {
  const [count, unit] = every.split(' ') as [string, 'minutes' | 'hours' | 'days'];
  return Duration[unit](Number(count)).toSeconds();
}
