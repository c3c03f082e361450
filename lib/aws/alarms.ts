import { Aws, Duration } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  Dashboard,
  GraphWidget,
  type IMetric,
  MathExpression,
  Metric,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { FilterPattern, MetricFilter } from 'aws-cdk-lib/aws-logs';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import { type FunctionName, type FunctionRow, functions, type Queue as QueueRow, resources } from '../../functions/manifest.ts';
import { logicalName } from './logical-name.ts';
import type { QueueName, Queues } from './queues.ts';
import type { Schedules } from './schedules.ts';
import type { Stage } from './stage.ts';

const MINUTE = Duration.minutes(1);
const FIVE_MINUTES = Duration.minutes(5);

/** Where the operator is told: of alarms, and of the product's own mail that did not arrive. */
export class OperatorTopic extends Topic {
  constructor(scope: Construct, id: string, alarmEmail: string) {
    super(scope, id, { enforceSSL: true });
    this.addToResourcePolicy(
      new PolicyStatement({
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [this.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
      }),
    );
    if (alarmEmail) this.addSubscription(new EmailSubscription(alarmEmail));
  }
}

type Watched = { queues: Queues; schedules: Schedules; functions: Record<FunctionName, LambdaFunction>; apiId: string; operator: Topic };
type Limit = { metric: IMetric; above: number; minutes?: number; missing?: TreatMissingData };

/** What wakes somebody: each alarm is named after the heading of docs/runbook.md that says what to do. */
export class Alarms extends Construct {
  private readonly operator: Topic;

  constructor(scope: Construct, id: string, { queues, schedules, functions: lambdas, apiId, operator }: Watched, stage: Stage) {
    super(scope, id);
    this.operator = operator;
    const ages: IMetric[] = [];
    const dead: IMetric[] = [];
    for (const [name, row] of Object.entries(resources)) {
      if (row.kind !== 'queue') continue;
      ages.push(this.watchAge(name as QueueName, row, queues));
      dead.push(this.watchDeadLetters(name as QueueName, queues));
    }
    dead.push(this.watchClocks(schedules));
    const failures = this.watchFailures(lambdas);
    this.watchReconciling(lambdas['reconcile-raw-mail']);
    const throttles = this.watchThrottles(lambdas);
    const api = this.watchApi(apiId);
    const arrivals = this.watchArrivals(queues, stage.quietHours);
    this.watchReputation();
    this.show({
      'Mail that came in': arrivals,
      'Oldest message (s)': ages,
      'Dead letters': dead,
      Failures: [...failures, ...api],
      Throttles: throttles,
    });
  }

  /** Two thirds of the promise: the last third is for whoever is woken. */
  private watchAge(name: QueueName, { promise }: QueueRow, { queues }: Queues): IMetric {
    const metric = queues[name].metricApproximateAgeOfOldestMessage({ period: MINUTE, label: name });
    this.alarm(`Queue ${name}: messages wait too long`, { metric, above: (promise * 2) / 3, minutes: 2 });
    return metric;
  }

  private watchDeadLetters(name: QueueName, { dead }: Queues): IMetric {
    const metric = dead[name].metricApproximateNumberOfMessagesVisible({ period: MINUTE, label: name });
    this.alarm(`Queue ${name}: dead letters`, { metric, above: 0 });
    return metric;
  }

  private watchClocks({ dead }: Schedules): IMetric {
    const metric = dead.metricApproximateNumberOfMessagesVisible({ period: MINUTE, label: 'schedules' });
    this.alarm('Scheduled work did not begin', { metric, above: 0 });
    return metric;
  }

  private watchFailures(lambdas: Record<FunctionName, LambdaFunction>): IMetric[] {
    const behindQueues = sum(lambdas, 'Errors', (kind) => kind === 'queue');
    const scheduled = sum(lambdas, 'Errors', (kind) => kind === 'schedule');
    this.alarm('Functions behind queues fail', { metric: behindQueues, above: 2, minutes: 5 });
    this.alarm('Scheduled work failed', { metric: scheduled, above: 0 });
    return [behindQueues, scheduled];
  }

  /** Mail whose notification was lost and whose envelope nobody knows: only its raw bytes are left, and somebody must look. */
  private watchReconciling({ logGroup }: LambdaFunction): void {
    const found = new MetricFilter(this, 'Unreconciled', {
      logGroup,
      metricNamespace: Aws.STACK_NAME,
      metricName: 'UnreconciledMail',
      filterPattern: FilterPattern.numberValue('$.unknown', '>', 0),
      metricValue: '$.unknown',
    });
    this.alarm('Mail that cannot be reconciled', { metric: found.metric({ statistic: 'Sum', period: FIVE_MINUTES }), above: 0 });
  }

  /** Two, as an alarm adds up ten metrics at most. An operator who is turned away sees it; schedules try again and have an alarm. */
  private watchThrottles(lambdas: Record<FunctionName, LambdaFunction>): IMetric[] {
    const api = sum(lambdas, 'Throttles', (kind) => kind === 'http' || kind === 'authoriser', 'Throttles of the API');
    const behindQueues = sum(lambdas, 'Throttles', (kind) => kind === 'queue', 'Throttles behind queues');
    this.alarm('The API is throttled', { metric: api, above: 0, minutes: 10 });
    this.alarm('Functions are throttled', { metric: behindQueues, above: 0, minutes: 10 });
    return [api, behindQueues];
  }

  private watchApi(ApiId: string): IMetric[] {
    const metric = new Metric({
      namespace: 'AWS/ApiGateway',
      metricName: '5xx',
      dimensionsMap: { ApiId },
      statistic: 'Sum',
      period: FIVE_MINUTES,
    });
    this.alarm('The API fails', { metric, above: 4 });
    return [metric];
  }

  /** A wrong MX record or an inactive rule set raises no error anywhere: nothing comes, and that is all. */
  private watchArrivals({ topics }: Queues, quietHours: number): IMetric[] {
    const metric = topics.arrivals.metricNumberOfMessagesPublished({ period: Duration.hours(1) });
    if (quietHours > 0) {
      this.raise('No mail comes in', {
        metric,
        threshold: 1,
        comparisonOperator: ComparisonOperator.LESS_THAN_THRESHOLD,
        evaluationPeriods: quietHours,
        treatMissingData: TreatMissingData.BREACHING,
      });
    }
    return [metric];
  }

  /** AWS reviews an account at 5 % bounces or 0.1 % complaints; these are told before. In hours without a figure the last one stands. */
  private watchReputation(): void {
    const reputation = (metricName: string) =>
      new Metric({ namespace: 'AWS/SES', metricName, statistic: 'Average', period: Duration.hours(1) });
    const missing = TreatMissingData.IGNORE;
    this.alarm('Mail of the product bounces', { metric: reputation('Reputation.BounceRate'), above: 0.03, missing });
    this.alarm('Recipients complain', { metric: reputation('Reputation.ComplaintRate'), above: 0.0005, missing });
  }

  private alarm(heading: string, { metric, above, minutes, missing = TreatMissingData.NOT_BREACHING }: Limit): void {
    const period = metric instanceof Metric || metric instanceof MathExpression ? metric.period.toMinutes() : 1;
    this.raise(heading, {
      metric,
      threshold: above,
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: Math.max(1, Math.round((minutes ?? period) / period)),
      treatMissingData: missing,
    });
  }

  private raise(heading: string, limit: ConstructorParameters<typeof Alarm>[2]): void {
    const alarm = new Alarm(this, logicalName(heading.replace(/\W+/g, '-').toLowerCase()), {
      ...limit,
      alarmName: `${Aws.STACK_NAME} ${heading}`,
      alarmDescription: `What to do: docs/runbook.md#${anchorOf(heading)}`,
    });
    alarm.addAlarmAction(new SnsAction(this.operator));
    alarm.addOkAction(new SnsAction(this.operator));
  }

  private show(charts: Record<string, IMetric[]>): void {
    const dashboard = new Dashboard(this, 'Dashboard', { defaultInterval: Duration.days(1) });
    const widgets = Object.entries(charts).map(([title, left]) => new GraphWidget({ title, left, width: 8 }));
    dashboard.addWidgets(...widgets.slice(0, 3));
    dashboard.addWidgets(...widgets.slice(3));
  }
}

/** How a heading is linked to, as GitHub does it. */
export const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');

/** A metric of several functions, added up. */
function sum(
  lambdas: Record<FunctionName, LambdaFunction>,
  metricName: string,
  which: (trigger: FunctionRow['trigger']['kind']) => boolean,
  label = metricName,
): MathExpression {
  const chosen = (Object.entries(functions) as [FunctionName, FunctionRow][]).filter(([, { trigger }]) => which(trigger.kind));
  // Ids are unique within a chart, and begin with a small letter.
  const id = (name: string) => `${metricName.toLowerCase()}${logicalName(name)}`;
  const usingMetrics = Object.fromEntries(
    chosen.map(([name]) => [id(name), lambdas[name].metric(metricName, { statistic: 'Sum', period: FIVE_MINUTES })]),
  );
  return new MathExpression({
    expression: `SUM([${Object.keys(usingMetrics).join(', ')}])`,
    usingMetrics,
    period: FIVE_MINUTES,
    label,
  });
}
