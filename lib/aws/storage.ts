import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { AttributeType, Billing, TableEncryptionV2, TableV2 } from 'aws-cdk-lib/aws-dynamodb';
import { Key } from 'aws-cdk-lib/aws-kms';
import { BlockPublicAccess, Bucket, BucketEncryption, ObjectOwnership } from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { resources } from '../../functions/manifest.ts';
import type { Stage } from './stage.ts';

/** What outlives everything else, a deleted stack included, where the stage keeps data: table, mail, and the key that opens secrets. */
export class Storage extends Construct {
  readonly table: TableV2;
  readonly mail: Bucket;
  readonly key: Key;
  private readonly keepData: boolean;
  private readonly removalPolicy: RemovalPolicy;

  constructor(scope: Construct, id: string, { keepData }: Stage) {
    super(scope, id);
    this.keepData = keepData;
    this.removalPolicy = keepData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
    this.table = this.oneTable();
    this.mail = this.mailBucket();
    this.key = this.tenantKey();
  }

  private oneTable() {
    const { partitionKey, sortKey, ttlAttribute } = resources.table;
    return new TableV2(this, 'Table', {
      partitionKey: { name: partitionKey, type: AttributeType.STRING },
      sortKey: { name: sortKey, type: AttributeType.STRING },
      timeToLiveAttribute: ttlAttribute,
      billing: Billing.onDemand(),
      // Encrypted with the key AWS manages in this account, so that its use shows in CloudTrail.
      encryption: TableEncryptionV2.awsManagedKey(),
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      deletionProtection: this.keepData,
      removalPolicy: this.removalPolicy,
    });
  }

  /** Not versioned: what a user deletes must be gone, and each object is written once. */
  private mailBucket() {
    const bucket = new Bucket(this, 'Mail', {
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      encryption: BucketEncryption.S3_MANAGED,
      enforceSSL: true,
      lifecycleRules: [
        { abortIncompleteMultipartUploadAfter: Duration.days(1) },
        ...resources.mail.expiring.map(({ prefix, days }) => ({ prefix, expiration: Duration.days(days) })),
      ],
      removalPolicy: this.removalPolicy,
    });
    Validations.of(bucket).acknowledge({
      id: 'AwsSolutions-S1',
      reason: 'Only our own functions and SES reach it; CloudTrail data events tell more, and cost nothing until somebody needs them.',
    });
    return bucket;
  }

  private tenantKey() {
    return new Key(this, 'Key', {
      description: "Wraps each tenant's data key",
      enableKeyRotation: true,
      removalPolicy: this.removalPolicy,
    });
  }
}
