import { CfnOutput, Stack, type StackProps, Tags } from 'aws-cdk-lib';
import type { Code } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import { type FunctionName, type FunctionRow, functions as rows } from '../../functions/manifest.ts';
import { Alarms, OperatorTopic } from './alarms.ts';
import { Functions } from './functions.ts';
import { FrontDoor } from './http-api.ts';
import { InboundEmail, RULE_SET, ruleSetRow } from './inbound-email.ts';
import { OutboundEmail } from './outbound-email.ts';
import { Queues } from './queues.ts';
import type { Reaches } from './reach.ts';
import { Schedules } from './schedules.ts';
import type { Stage } from './stage.ts';
import { Storage } from './storage.ts';

/** Every function of the stack: the manifest's, and the one a deployment itself runs. */
export const functionsOfTheStack: Record<FunctionName | typeof RULE_SET, FunctionRow> = { ...rows, [RULE_SET]: ruleSetRow };

export type AppStackProps = StackProps & {
  stage: Stage;
  /** Where a function's bundle is: the folder with its `handler.mjs`. */
  code: (name: keyof typeof functionsOfTheStack) => Code;
};

/** The product on AWS: functions/manifest.ts as one stack. */
export class AppStack extends Stack {
  constructor(scope: Construct, id: string, { stage, code, ...props }: AppStackProps) {
    super(scope, id, props);
    const { mailDomain } = stage;
    const storage = new Storage(this, 'Storage', stage);
    const queues = new Queues(this, 'Queues');
    const operator = new OperatorTopic(this, 'Operator', stage.alarmEmail);
    const outbound = new OutboundEmail(this, 'OutboundEmail', mailDomain, operator);
    const frontDoor = new FrontDoor(this, 'Http', stage);
    const functions = new Functions(
      this,
      'Functions',
      { code, reaches: reachesOf(storage, queues), sendsThrough: outbound.arns, stage },
      {
        MAIL_DOMAIN: mailDomain,
        MAIL_SENDER: `no-reply@${mailDomain}`,
        PUBLIC_URL: frontDoor.url,
      },
    );
    frontDoor.serve(functions.byName);
    const schedules = new Schedules(this, 'Schedules', functions.byName);
    const inbound = new InboundEmail(this, 'InboundEmail', stage, code(RULE_SET), storage.mail, queues.topics.arrivals);
    inbound.node.addDependency(outbound);
    // A mail that came before the topic had its queue would be stored, and nobody told of it.
    inbound.node.addDependency(queues);
    new Alarms(this, 'Alarms', { queues, schedules, functions: functions.byName, apiId: frontDoor.id, operator }, stage);
    // For the bill: in the console's cost allocation tags they must be switched on once. Not every region takes a dashboard's yet.
    const excludeResourceTypes = ['AWS::CloudWatch::Dashboard'];
    Tags.of(this).add('product', 'crm-mail-addon', { excludeResourceTypes });
    Tags.of(this).add('stage', stage.name, { excludeResourceTypes });

    new CfnOutput(this, 'ApiUrl', { value: frontDoor.url });
    new CfnOutput(this, 'MailDomain', { value: mailDomain });
    new CfnOutput(this, 'Mx', { value: `${mailDomain} MX 10 inbound-smtp.${this.region}.amazonaws.com` });
    new CfnOutput(this, 'MailBucket', { value: storage.mail.bucketName });
    new CfnOutput(this, 'TableName', { value: storage.table.tableName });
    new CfnOutput(this, 'CreateTenantFunction', { value: functions.byName['create-tenant'].functionName });
  }
}

function reachesOf({ table, mail, key }: Storage, { queues, topics }: Queues): Reaches {
  return {
    table: { arn: table.tableArn, variable: table.tableName },
    mail: { arn: mail.bucketArn, variable: mail.bucketName },
    key: { arn: key.keyArn, variable: key.keyArn },
    inbound: { arn: queues.inbound.queueArn, variable: queues.inbound.queueUrl },
    imports: { arn: queues.imports.queueArn, variable: queues.imports.queueUrl },
    polls: { arn: queues.polls.queueArn, variable: queues.polls.queueUrl },
    backfills: { arn: queues.backfills.queueArn, variable: queues.backfills.queueUrl },
    backups: { arn: queues.backups.queueArn, variable: queues.backups.queueUrl },
    exports: { arn: queues.exports.queueArn, variable: queues.exports.queueUrl },
    offboardings: { arn: queues.offboardings.queueArn, variable: queues.offboardings.queueUrl },
    deletions: { arn: queues.deletions.queueArn, variable: queues.deletions.queueUrl },
    arrivals: { arn: topics.arrivals.topicArn, variable: topics.arrivals.topicArn },
  };
}
