import { AssumeRoleCommand, type STSClient } from '@aws-sdk/client-sts';
import type { TenantId } from '../ids.ts';

/** The longest that a role assumed by a role may last. */
const SESSION_SECONDS = 3600;

/**
 * Credentials that reach the data of one tenant alone: those of the role, tagged with the tenant, which its policy names where
 * keys begin. Each call of the provider asks STS; the SDK's clients keep what it answers until five minutes before it expires,
 * and ask once for however many requests wait.
 */
export function sessionOf(sts: STSClient, roleArn: string, tenant: TenantId) {
  return async () => {
    const { Credentials: given } = await sts.send(
      new AssumeRoleCommand({
        RoleArn: roleArn,
        // CloudTrail shows it with each call: whose data it was.
        RoleSessionName: tenant,
        DurationSeconds: SESSION_SECONDS,
        Tags: [{ Key: 'tenant', Value: tenant }],
      }),
    );
    if (!given?.AccessKeyId || !given.SecretAccessKey) throw new Error('STS answered without credentials');
    return {
      accessKeyId: given.AccessKeyId,
      secretAccessKey: given.SecretAccessKey,
      sessionToken: given.SessionToken,
      expiration: given.Expiration,
    };
  };
}
