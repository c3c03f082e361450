import type { APIGatewayRequestAuthorizerEventV2, APIGatewaySimpleAuthorizerWithContextResult } from 'aws-lambda';
import { checkToken } from '../../core/member/token-store.ts';
import { table } from '../connect.ts';

/** What the API is told about a caller. Only ids: everything else it reads anew, so that no answer rests on old rights. */
export type Authorised = { tenant: string; member: string; token: string };

/**
 * When a request comes in: whose token is it? Asked for every request, so that a revoked token stops at once. It
 * turns nobody away: a caller who is nobody gets the API's own 401, which says what to do; API Gateway's cannot.
 */
export async function handler(
  event: APIGatewayRequestAuthorizerEventV2,
): Promise<APIGatewaySimpleAuthorizerWithContextResult<Authorised | object>> {
  const [scheme, token] = (event.headers?.authorization ?? '').split(' ');
  const caller = scheme?.toLowerCase() === 'bearer' && token ? await checkToken(table(), token, new Date()) : undefined;
  return { isAuthorized: true, context: caller ?? {} };
}
