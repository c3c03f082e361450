import { RemovalPolicy, Validations } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import { type ReceiptRule, ReceiptRuleSet, TlsPolicy } from 'aws-cdk-lib/aws-ses';
import { S3, Stop } from 'aws-cdk-lib/aws-ses-actions';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import { AwsCustomResource, AwsCustomResourcePolicy, PhysicalResourceId } from 'aws-cdk-lib/custom-resources';
import { Construct } from 'constructs';

/**
 * Mail for the domain: SES checks it, stores it under `raw/`, tells the topic its envelope, and is done. One rule and a stop,
 * so that a mail is stored once.
 */
export class InboundEmail extends Construct {
  constructor(scope: Construct, id: string, domain: string, bucket: IBucket, arrivals: ITopic) {
    super(scope, id);
    const ruleSet = new ReceiptRuleSet(this, 'Rules');
    const rule = ruleSet.addRule('Store', {
      recipients: [domain],
      tlsPolicy: TlsPolicy.REQUIRE,
      scanEnabled: true,
      actions: [new S3({ bucket, objectKeyPrefix: 'raw/', topic: arrivals }), new Stop()],
    });
    this.activate(ruleSet, rule);
  }

  /** CloudFormation cannot choose the one active rule set of an account and region; a call to SES can. */
  private activate(ruleSet: ReceiptRuleSet, rule: ReceiptRule) {
    const call = {
      service: 'SES',
      action: 'setActiveReceiptRuleSet',
      physicalResourceId: PhysicalResourceId.of('active-receipt-rule-set'),
    };
    const active = new AwsCustomResource(this, 'Active', {
      onUpdate: { ...call, parameters: { RuleSetName: ruleSet.receiptRuleSetName } },
      // An active rule set cannot be deleted: no set is active then.
      onDelete: { ...call, parameters: {} },
      policy: AwsCustomResourcePolicy.fromStatements([new PolicyStatement({ actions: ['ses:SetActiveReceiptRuleSet'], resources: ['*'] })]),
      installLatestAwsSdk: false,
      logGroup: new LogGroup(this, 'ActiveLog', { retention: RetentionDays.ONE_MONTH, removalPolicy: RemovalPolicy.DESTROY }),
    });
    active.node.addDependency(rule);
    Validations.of(active).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'SES knows no resource for SetActiveReceiptRuleSet.',
    });
  }
}
