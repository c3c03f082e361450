import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { type FunctionRow, resources, type Use } from '../../functions/manifest.ts';
import type { Reaches } from './reach.ts';

/**
 * The rights of a function, and no others: each `uses` of its row, the queue that triggers it, and sending mail where the
 * row says so. Logs are granted where the log group is made.
 */
export function grantsOf(row: FunctionRow, reaches: Reaches, sendsThrough: string[], sender: string): PolicyStatement[] {
  const grants = row.uses.filter(({ perTenant }) => !perTenant).map((use) => grantOf(use, reaches));
  if (row.trigger.kind === 'queue') grants.push(consuming(reaches[row.trigger.queue].arn));
  if (row.sendsMail) grants.push(sendingAs(sender, sendsThrough));
  return grants;
}

/** The rights of the role a function assumes for one tenant, whom the session's tag names. */
export function tenantGrantsOf(row: FunctionRow, reaches: Reaches): PolicyStatement[] {
  return row.uses
    .filter(({ perTenant }) => perTenant)
    .map((use) => grantOf({ ...use, prefixes: use.prefixes?.map(ofTaggedTenant) }, reaches));
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: it is IAM that fills it in.
const ofTaggedTenant = (prefix: string) => prefix.replace('<tenant>', '${aws:PrincipalTag/tenant}');

function grantOf(use: Use, reaches: Reaches): PolicyStatement {
  const { arn } = reaches[use.on];
  switch (resources[use.on].kind) {
    case 'table':
      return statement('dynamodb', use, [arn], use.prefixes && { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': use.prefixes } });
    case 'bucket':
      if (!use.prefixes) throw new Error(`A use of the bucket "${use.on}" must say which prefixes it may touch`);
      // The right is to the bucket, and what may be listed is a condition.
      if (use.actions.includes('ListBucket')) return statement('s3', use, [arn], { StringLike: { 's3:prefix': use.prefixes } });
      return statement(
        's3',
        use,
        use.prefixes.map((prefix) => `${arn}/${prefix}`),
      );
    case 'key':
      // A data key is only made or opened for a tenant that the call names, and the name is part of what KMS authenticates.
      return statement('kms', use, [arn], { Null: { 'kms:EncryptionContext:tenant': 'false' } });
    case 'queue':
      return statement('sqs', use, [arn]);
    case 'topic':
      return statement('sns', use, [arn]);
  }
}

const statement = (service: string, { actions }: Use, arns: string[], conditions?: Record<string, unknown>) =>
  new PolicyStatement({ actions: actions.map((action) => `${service}:${action}`), resources: arns, conditions });

/** What Lambda itself does with the rights of a function that a queue triggers. */
const consuming = (queueArn: string) =>
  new PolicyStatement({ actions: ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'], resources: [queueArn] });

function sendingAs(sender: string, sendsThrough: string[]): PolicyStatement {
  return new PolicyStatement({
    actions: ['ses:SendRawEmail'],
    resources: sendsThrough,
    conditions: { StringEquals: { 'ses:FromAddress': sender } },
  });
}
