import { type CfnResource, CustomResource, Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Architecture, type Code, Function as LambdaFunction, LoggingFormat, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import { type IReceiptRuleSet, type ReceiptRule, ReceiptRuleSet, TlsPolicy } from 'aws-cdk-lib/aws-ses';
import { S3, Stop } from 'aws-cdk-lib/aws-ses-actions';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import type { FunctionRow } from '../../functions/manifest.ts';
import type { Stage } from './stage.ts';

/** The function a deployment runs beside those of the manifest, which are the product's. */
export const RULE_SET = 'rule-set';
export const ruleSetRow: FunctionRow = {
  entry: 'lib/aws/rule-set/handler.ts',
  trigger: { kind: 'operator' },
  timeout: 120,
  memory: 256,
  uses: [],
};

/**
 * Mail for the domain: SES checks it, stores it under `raw/`, tells the topic its envelope, and is done. One rule and a stop,
 * so that a mail is stored once. The rule is in a set of its own, or the first of the set that receives here already.
 */
export class InboundEmail extends Construct {
  constructor(scope: Construct, id: string, { mailDomain, receiptRuleSet }: Stage, code: Code, bucket: IBucket, arrivals: ITopic) {
    super(scope, id);
    const ruleSet = receiptRuleSet
      ? ReceiptRuleSet.fromReceiptRuleSetName(this, 'Joined', receiptRuleSet)
      : new ReceiptRuleSet(this, 'Rules');
    const rule = ruleSet.addRule('Store', {
      recipients: [mailDomain],
      tlsPolicy: TlsPolicy.REQUIRE,
      scanEnabled: true,
      actions: [new S3({ bucket, objectKeyPrefix: 'raw/', topic: arrivals }), new Stop()],
    });
    this.activate(ruleSet, rule, Boolean(receiptRuleSet), code);
  }

  /** CloudFormation cannot choose the one active rule set of an account and region; a function that asks SES first can. */
  private activate(ruleSet: IReceiptRuleSet, rule: ReceiptRule, joins: boolean, code: Code) {
    const activation = this.activation(code);
    const active = new CustomResource(this, 'Active', {
      serviceToken: activation.functionArn,
      resourceType: 'Custom::AWS',
      properties: { RuleSetName: ruleSet.receiptRuleSetName, ...(joins ? { Joins: 'true' } : {}) },
      serviceTimeout: Duration.minutes(10),
    });
    active.node.addDependency(rule);
    // The names these had when a resource of CDK's activated the set, whose removal lets go of whatever set is active. Under another
    // name the next deployment would end with that removal, and with no mail; and under this one CloudFormation wants the function it knows.
    (active.node.defaultChild as CfnResource).overrideLogicalId('InboundEmailActive97F38D2E');
    (activation.node.defaultChild as CfnResource).overrideLogicalId('AWS679f53fac002430cb0da5b7982bd22872D164C4C');
  }

  private activation(code: Code): LambdaFunction {
    const logGroup = new LogGroup(this, 'ActiveLog', { retention: RetentionDays.ONE_MONTH, removalPolicy: RemovalPolicy.DESTROY });
    const role = new Role(this, 'ActivationRole', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    logGroup.grantWrite(role);
    const actions = ['ses:DescribeActiveReceiptRuleSet', 'ses:SetActiveReceiptRuleSet'];
    role.addToPolicy(new PolicyStatement({ actions, resources: ['*'] }));
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'SES knows no resource for the active receipt rule set.',
    });
    return new LambdaFunction(this, 'Activation', {
      code,
      handler: 'handler.handler',
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      timeout: Duration.seconds(ruleSetRow.timeout),
      memorySize: ruleSetRow.memory,
      role,
      logGroup,
      loggingFormat: LoggingFormat.JSON,
    });
  }
}
