import { forbidden, invalid, Problem } from '../../core/errors.ts';
import { asTenantId } from '../../core/ids.ts';
import { once } from '../../core/member/idempotency-store.ts';
import { isAdministrator, mayUseMailAddOn, type Viewer } from '../../core/member/viewer.ts';
import { badCursor } from '../../core/table/page.ts';
import { readViewer } from '../../core/tenant/tenant-store.ts';
import { tableOf, vaultOf } from '../connect.ts';
import { type HttpEvent, type HttpResult, httpHandler } from '../edge/http.ts';
import { log } from '../edge/log.ts';
import type { Call, Operation, Reply } from './call.ts';
import { readBody, readQuery } from './input.ts';
import type { Route, Who } from './route.ts';
import { router } from './router.ts';
import { routes } from './routes.ts';

const find = router(routes);

/** When a request comes in: find its route, who asks, check what they sent, do it, and answer what the contract names. */
export const serve = (operations: Record<string, Operation>) =>
  httpHandler(async (event) => {
    const { route, params } = find(event.requestContext.http.method, event.rawPath);
    const viewer = await readCaller(route, event);
    if (viewer) requireRight(route.who, viewer);
    const call = await readCall(route, params, viewer, event);
    const operation = operations[route.operation] as (call: Call) => Promise<Reply>;
    const reply = await runOnce(route, operation, call, event);
    log.info('request', { operation: route.operation, tenant: viewer?.tenant, member: viewer?.member, status: route.status ?? 200 });
    return answer(route, call, reply);
  });

async function readCaller(route: Route, event: HttpEvent): Promise<Viewer | undefined> {
  if (route.who === 'open') return undefined;
  const { tenant: named, member } = event.requestContext.authorizer?.lambda ?? {};
  const tenant = named && asTenantId(named);
  const viewer = tenant && member ? await readViewer(tableOf(tenant), tenant, member) : undefined;
  if (!viewer)
    throw new Problem(401, 'unauthorised', 'Send a valid API token: Authorization: Bearer <token>.', {}, { 'WWW-Authenticate': 'Bearer' });
  return viewer;
}

function requireRight(who: Who, viewer: Viewer): void {
  if (who === 'administrator' && !isAdministrator(viewer))
    throw forbidden('administrators-only', 'Only members with the Administrator profile may do this.');
  if (who === 'profile-manager' && !viewer.profile.manageProfiles) {
    throw forbidden('no-profile-permission', 'Your profile may not manage profiles. Ask an administrator.');
  }
  if (who === 'dropbox' && !viewer.profile.bccDropbox) {
    throw forbidden('no-dropbox-permission', 'Your profile does not have the BCC dropbox permission. Ask an administrator to tick it.');
  }
  if (who === 'add-on' && !mayUseMailAddOn(viewer)) {
    throw forbidden(
      'add-on-not-enabled',
      'The mail add-on is not enabled for you. Ask an administrator: PATCH /v1/organisation enables it for everyone or for selected members, PATCH /v1/members/{memberId} selects you.',
    );
  }
}

async function readCall(route: Route, params: Record<string, string>, viewer: Viewer | undefined, event: HttpEvent): Promise<Call> {
  const query = readQuery(route, event);
  if (typeof query.cursor === 'string' && viewer) query.cursor = await openCursor(route, params, viewer, query.cursor);
  return {
    viewer: viewer as Viewer,
    params,
    query,
    ...readBody(route, event),
    now: new Date(),
    headers: event.headers,
    ifMatch: readIfMatch(event.headers['if-match']),
  };
}

function readIfMatch(header: string | undefined): number | undefined {
  if (header === undefined || header === '*') return undefined;
  const version = /^"v(\d+)"$/.exec(header)?.[1];
  // An ETag we never gave is stale by definition.
  return version === undefined ? -1 : Number(version);
}

/** POSTs take an Idempotency-Key: the same request sent again, after a timeout say, is done once. */
async function runOnce(route: Route, operation: (call: Call) => Promise<Reply>, call: Call, event: HttpEvent): Promise<Reply> {
  const key = call.headers['idempotency-key'];
  if (key === undefined || route.method !== 'POST' || route.idempotent === false || !call.viewer) return operation(call);
  if (key.length < 1 || key.length > 200)
    throw invalid('bad-idempotency-key', 'An Idempotency-Key has 1 to 200 characters, such as a UUID.');
  const request = [event.rawPath, event.rawQueryString, event.body ?? ''].join('\n');
  const room = { table: tableOf(call.viewer.tenant), vault: vaultOf(call.viewer.tenant) };
  return once(room, call.viewer, key, request, call.now, () => operation(call));
}

async function answer(route: Route, call: Call, reply: Reply): Promise<HttpResult> {
  const headers = { ...(reply.version === undefined ? {} : { etag: `"v${reply.version}"` }), ...reply.headers };
  const statusCode = route.status ?? 200;
  if (route.returns === 'nothing') return { statusCode: 204, headers };
  if (route.returns === 'redirect') return { statusCode: 302, headers: { ...headers, location: reply.location ?? '/' } };
  if ('text' in route.returns) return { statusCode, headers: { 'content-type': route.returns.text, ...headers }, body: String(reply.body) };
  // The schema is an allow-list: what it does not name never leaves, whatever an operation hands over.
  const body = route.returns.parse(reply.body) as { next?: string };
  if (typeof body.next === 'string' && route.query && 'cursor' in route.query.shape) {
    body.next = await vaultOf(call.viewer.tenant).seal(call.viewer.tenant, cursorPurpose(route, call.params, call.viewer), body.next);
  }
  return { statusCode, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) };
}

/** A cursor is opaque and bound to tenant, viewer and list: it tells nothing, and cannot be carried elsewhere. */
async function openCursor(route: Route, params: Record<string, string>, viewer: Viewer, cursor: string): Promise<string> {
  const position = await vaultOf(viewer.tenant).open(viewer.tenant, cursorPurpose(route, params, viewer), cursor);
  if (position === undefined) throw badCursor();
  return position;
}

const cursorPurpose = (route: Route, params: Record<string, string>, viewer: Viewer) =>
  `cursor ${viewer.member} ${route.operation} ${JSON.stringify(params)}`;
