import { type App, Stack, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import type { Construct } from 'constructs';
import { type FunctionRow, resources } from '../../functions/manifest.ts';
import type { Reaches } from './reach.ts';

/** Has every synthesis reviewed by cdk-nag, beside CDK's own rules: a finding that nobody acknowledged with a reason fails it. */
export function review(app: App) {
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
}

/** The wildcards the manifest asks for: key prefixes of a bucket, and whom a mail goes to. Any other is still a finding. */
export function acknowledgeWildcards(role: Construct, row: FunctionRow, reaches: Reaches) {
  if (row.sendsMail) {
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ses:<AWS::Region>:<AWS::AccountId>:identity/*]',
      reason: "A condition lets it send as the product's sender alone; in the sandbox SES asks for the recipient's identity too.",
    });
  }
  for (const { on, prefixes = [] } of row.uses) {
    if (resources[on].kind !== 'bucket') continue;
    const [logicalId] = Stack.of(role).resolve(reaches[on].arn)['Fn::GetAtt'];
    for (const prefix of prefixes.filter((each) => each.includes('*'))) {
      Validations.of(role).acknowledge({
        id: `AwsSolutions-IAM5[Resource::<${logicalId}.Arn>/${prefix}]`,
        reason: 'The manifest gives this function these keys of the bucket.',
      });
    }
  }
}
