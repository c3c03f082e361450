import { note } from './calls.ts';
import { type Answer, type Grants, queryService, Refusal } from './server.ts';
import { beginSession } from './sessions.ts';

/** The role a function assumes for its callers' tenants. */
export const tenantRoleArn = (name: string) => `arn:aws:iam::000000000000:role/${name}-tenant-role`;

/** IAM's limit of a role that was assumed by a role, and what a session lasts at least. */
const [MIN_SECONDS, MAX_SECONDS] = [900, 3600];

/**
 * STS: AssumeRole gives a function whose row has uses per tenant credentials for the tenant that the session is tagged with. It
 * asks for what the role's trust policy on AWS asks for: that function, this one tag, and a value that can be a tenant's id.
 */
export function roleService(grants: Grants): Answer {
  return queryService('https://sts.amazonaws.com/doc/2011-06-15/', (caller, action, form) => {
    if (action !== 'AssumeRole') throw new Refusal(400, 'InvalidAction', `The local STS does not know ${action}.`);
    const tags = tagsOf(form);
    const context = { ...Object.fromEntries(tags.map(([key, value]) => [`aws:RequestTag/${key}`, value])) };
    const role = `${caller}-tenant-role`;
    for (const needed of ['AssumeRole', 'TagSession']) note(caller, `sts:${needed}`, role, { context });
    const [[key, tenant] = [], ...others] = tags;
    const isTrusted = grants[caller]?.some((use) => use.perTenant) && form.get('RoleArn') === tenantRoleArn(caller);
    if (!isTrusted || key !== 'tenant' || others.length > 0 || !/^[0-9a-z]{16}$/.test(tenant ?? '')) {
      throw new Refusal(
        403,
        'AccessDenied',
        `${caller} is not authorised to perform sts:AssumeRole on ${form.get('RoleArn')} with these tags`,
      );
    }
    const seconds = Number(form.get('DurationSeconds') ?? MAX_SECONDS);
    if (!(seconds >= MIN_SECONDS && seconds <= MAX_SECONDS)) {
      throw new Refusal(
        400,
        'ValidationError',
        'The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.',
      );
    }
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = beginSession(caller, tenant as string, seconds);
    return `<Credentials><AccessKeyId>${accessKeyId}</AccessKeyId><SecretAccessKey>${secretAccessKey}</SecretAccessKey><SessionToken>${sessionToken}</SessionToken><Expiration>${expiration.toISOString()}</Expiration></Credentials>`;
  });
}

function tagsOf(form: URLSearchParams): [string, string][] {
  const keys = [...form].filter(([name]) => /^Tags\.member\.\d+\.Key$/.test(name));
  return keys.map(([name, key]) => [key, form.get(name.replace(/Key$/, 'Value')) ?? '']);
}
