import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { KMSClient } from '@aws-sdk/client-kms';
import { S3Client } from '@aws-sdk/client-s3';
import { SESClient } from '@aws-sdk/client-ses';
import { SQSClient } from '@aws-sdk/client-sqs';
import { STSClient } from '@aws-sdk/client-sts';
import type { Reach } from '../core/account/resolve-client.ts';
import type { TenantId } from '../core/ids.ts';
import { JobQueue } from '../core/job/send.ts';
import { MailBucket, Uploads } from '../core/message/raw-mail.ts';
import { Outbound } from '../core/outbound/send.ts';
import { Table } from '../core/table/client.ts';
import { Vault } from '../core/tenant/data-key-store.ts';
import { sessionOf } from '../core/tenant/session-client.ts';
import { environmentNames, type ResourceName, type Settings, TENANT_ROLE_VARIABLE } from './manifest.ts';

/**
 * Clients and stores of this process, each built once, when first asked for. A function that asks for a resource its
 * manifest row does not name finds no variable for it and fails at once, here as on AWS.
 */
export const table = /* @__PURE__ */ once(() => new Table(dynamo(), nameOf('table')));
export const mailBucket = /* @__PURE__ */ once(() => new MailBucket(s3(), nameOf('mail')));
export const mailUploads = /* @__PURE__ */ once(() => new Uploads(s3(), nameOf('mail')));
export const kms = /* @__PURE__ */ once(() => new KMSClient({}));
export const keyId = () => nameOf('key');
export const vault = /* @__PURE__ */ once(() => new Vault(kms(), table()));
/** The table and the vault for one tenant: whatever key is asked for, IAM refuses those of others. */
export const tableOf = /* @__PURE__ */ perTenant((tenant) => new Table(dynamoOf(tenant), nameOf('table')));
export const vaultOf = /* @__PURE__ */ perTenant((tenant) => new Vault(kms(), tableOf(tenant)));
export const outbound = /* @__PURE__ */ once(() => new Outbound(new SESClient({}), setting('MAIL_SENDER'), setting('MAIL_DOMAIN')));
export const inboundQueue = /* @__PURE__ */ once(() => new JobQueue(sqs(), nameOf('inbound')));
export const pollsQueue = /* @__PURE__ */ once(() => new JobQueue(sqs(), nameOf('polls')));
export const backfillsQueue = /* @__PURE__ */ once(() => new JobQueue(sqs(), nameOf('backfills')));
export const importsQueue = /* @__PURE__ */ once(() => new JobQueue(sqs(), nameOf('imports')));
export const deletionsQueue = /* @__PURE__ */ once(() => new JobQueue(sqs(), nameOf('deletions')));
export const backupsQueue = /* @__PURE__ */ once(() => new JobQueue(sqs(), nameOf('backups')));
export const exportsQueue = /* @__PURE__ */ once(() => new JobQueue(sqs(), nameOf('exports')));
export const offboardingsQueue = /* @__PURE__ */ once(() => new JobQueue(sqs(), nameOf('offboardings')));

/** A setting of the deployment. */
export function setting(name: keyof Settings): string {
  const value = variable(name);
  // Recipients are compared in lower case; with another spelling every one of them would be nobody's.
  return name === 'MAIL_DOMAIN' ? value.toLowerCase() : value;
}

/**
 * The mail servers that may be connected to: public ones. The host on a developer's machine may have been told to allow its own
 * servers; the variable counts for nothing where AWS itself is behind the clients.
 */
export function mailServers(): Reach {
  const allowed = process.env.LOCAL_MAIL_SERVERS;
  return allowed && isLocal('DYNAMODB') ? { local: true, ...(JSON.parse(allowed) as { ca?: string }) } : { local: false };
}

const s3 = /* @__PURE__ */ once(() => new S3Client({ forcePathStyle: isLocal('S3') }));
const dynamo = /* @__PURE__ */ once(() => new DynamoDBClient({}));
const sts = /* @__PURE__ */ once(() => new STSClient({}));

/** With the connections of the one client: a tenant's first request waits for STS, not for a handshake with DynamoDB too. */
const dynamoOf = (tenant: TenantId) =>
  new DynamoDBClient({
    credentials: sessionOf(sts(), variable(TENANT_ROLE_VARIABLE), tenant),
    requestHandler: dynamo().config.requestHandler,
  });

const sqs = /* @__PURE__ */ once(() => new SQSClient(isLocal('SQS') ? { useQueueUrlAsEndpoint: false } : {}));

function nameOf(resource: ResourceName): string {
  const value = process.env[environmentNames[resource]];
  if (!value) throw new Error(`this function has no use of "${resource}" in the manifest`);
  return value;
}

/** The local engines need two settings that AWS does not: buckets in the path, and queues at one endpoint. */
const isLocal = (service: string) => process.env[`AWS_ENDPOINT_URL_${service}`] !== undefined;

function variable(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`the environment lacks ${name}`);
  return value;
}

/** Tenants a process keeps clients for, 40 KB each; the one that was asked for longest ago goes first. */
const MAX_TENANTS = 500;

function perTenant<T>(make: (tenant: TenantId) => T): (tenant: TenantId) => T {
  const kept = new Map<TenantId, T>();
  return (tenant) => {
    const value = kept.get(tenant) ?? make(tenant);
    kept.delete(tenant);
    kept.set(tenant, value);
    const [oldest] = kept.keys();
    if (kept.size > MAX_TENANTS && oldest) kept.delete(oldest);
    return value;
  };
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
