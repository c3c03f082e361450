import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { type CodeOf, Functions } from './functions.ts';
import { FrontDoor } from './http-api.ts';
import { InboundEmail } from './inbound-email.ts';
import { Queues } from './queues.ts';
import type { Reaches } from './reach.ts';
import { Storage } from './storage.ts';

export type AppStackProps = StackProps & {
  /** The domain whose mail SES receives for us. */
  mailDomain: string;
  code: CodeOf;
};

/** The product on AWS: functions/manifest.ts as one stack. */
export class AppStack extends Stack {
  constructor(scope: Construct, id: string, { mailDomain, code, ...props }: AppStackProps) {
    super(scope, id, props);
    const storage = new Storage(this, 'Storage');
    const queues = new Queues(this, 'Queues');
    const frontDoor = new FrontDoor(this, 'Http');
    const functions = new Functions(this, 'Functions', code, reachesOf(storage, queues), {
      MAIL_DOMAIN: mailDomain,
      MAIL_SENDER: `no-reply@${mailDomain}`,
      PUBLIC_URL: frontDoor.url,
    });
    frontDoor.serve(functions.byName);
    const inbound = new InboundEmail(this, 'InboundEmail', mailDomain, storage.mail, queues.topics.arrivals);
    // A mail that came before the topic had its queue would be stored, and nobody told of it.
    inbound.node.addDependency(queues);

    new CfnOutput(this, 'ApiUrl', { value: frontDoor.url });
    new CfnOutput(this, 'MailDomain', { value: mailDomain });
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
    arrivals: { arn: topics.arrivals.topicArn, variable: topics.arrivals.topicArn },
  };
}
