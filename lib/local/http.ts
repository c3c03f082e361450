import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Rows } from '../bundle.ts';
import { type Answer, bodyOf, Refusal } from './engine/server.ts';
import { REGION } from './engine.ts';
import type { Outcome } from './functions.ts';

/** Requests a second, and how many may come at once: the stage's throttle. */
export type Throttle = { rate: number; burst: number };

type Invoke = (name: string, event: unknown) => Promise<Outcome>;
type Route = { key: string; open: boolean; method?: string; segments?: string[]; name: string };
type Event = Record<string, unknown> & { requestContext: Record<string, unknown> };

/** Limits of an HTTP API: bytes of a request, and how long it waits for a function. */
const MAX_REQUEST = 10 * 1024 * 1024;
const INTEGRATION_MS = 30_000;

/** Of an HTTP API: bytes of the request's first line and of its headers together. What it answers beyond is not written anywhere. */
const MAX_HEAD = 10_240;

/** Bodies of these types reach a function as text, all others, and those without a type, in base64 (tried on AWS). */
const TEXT = /^(text\/.*|application\/(json|javascript|xml))(\s*;|$)/i;

/**
 * An HTTP API with payload format 2.0: throttle, route, authoriser, function. What API Gateway says itself (403, 413, 429,
 * 500, 503) is said here in its words, which are not problem documents.
 */
export function httpApi(rows: Rows, invoke: Invoke, throttle: Throttle): Answer {
  const routes = routesOf(rows);
  const authoriser = Object.keys(rows).find((name) => rows[name]?.trigger.kind === 'authoriser');
  const bucket = tokenBucket(throttle);

  return async (request, response) => {
    try {
      await serve(request, response);
    } catch (error) {
      if (!(error instanceof Refusal)) console.error(error);
      const refusal = error instanceof Refusal ? error : refused(500);
      request.resume();
      if (response.headersSent) return void response.destroy();
      response.writeHead(refusal.status, { 'content-type': 'application/json' }).end(JSON.stringify({ message: refusal.message }));
    }
  };

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = randomUUID();
    response.setHeader('apigw-requestid', requestId);
    if (!bucket()) throw refused(429);
    if (headOf(request) > MAX_HEAD) throw refused(431);
    const { path, query } = targetOf(request);
    const found = choose(routes, request.method ?? 'GET', path);
    if (!found) throw refused(404);
    const body = await bodyOf(request, MAX_REQUEST).catch(() => {
      throw refused(413);
    });
    const event = eventOf(request, path, query, found, requestId);
    if (!found.route.open && authoriser) event.requestContext.authorizer = { lambda: await authorise(authoriser, event) };
    const text = TEXT.test(request.headers['content-type'] ?? '');
    const carried =
      body.length > 0 ? { body: body.toString(text ? 'utf8' : 'base64'), isBase64Encoded: !text } : { isBase64Encoded: false };
    send(response, await integrate(found.route.name, { ...event, ...carried }));
  }

  /** What the authoriser knows of the caller, who need not have a token. Throws 403 when it says no, 500 when it fails. */
  async function authorise(name: string, event: Event): Promise<unknown> {
    const outcome = await invoke(name, {
      ...event,
      version: '2.0',
      type: 'REQUEST',
      routeArn: 'arn:aws:execute-api:local',
      identitySource: null,
    });
    const answer = 'answer' in outcome ? (JSON.parse(outcome.answer) as { isAuthorized?: unknown; context?: unknown } | null) : null;
    if (typeof answer?.isAuthorized !== 'boolean') throw refused(500);
    if (!answer.isAuthorized) throw refused(403);
    return answer.context ?? null;
  }

  async function integrate(name: string, event: Event): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((done) => {
      timer = setTimeout(done, INTEGRATION_MS, 'late');
    });
    const outcome = await Promise.race([invoke(name, event), late]);
    clearTimeout(timer);
    if (outcome === 'late') throw refused(503);
    if ('answer' in outcome) return JSON.parse(outcome.answer);
    throw refused(outcome.error.errorType === 'RequestTooLargeException' ? 413 : 500);
  }
}

const MESSAGES: Record<number, string> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  413: 'Request Entity Too Large',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};
const refused = (status: number) => new Refusal(status, '', MESSAGES[status] ?? '');

function routesOf(rows: Rows): Route[] {
  return Object.entries(rows).flatMap(([name, { trigger }]) => {
    if (trigger.kind !== 'http') return [];
    const route = (key: string, open: boolean): Route => {
      const [method, path] = key.split(' ');
      return { key, open, name, ...(path ? { method, segments: path.split('/') } : {}) };
    };
    return [...(trigger.open ?? []).map((key) => route(key, true)), ...trigger.routes.map((key) => route(key, false))];
  });
}

/** The route that fits best: literal segments before `{parameters}`, `$default` when nothing else fits. */
function choose(routes: Route[], method: string, path: string): { route: Route; parameters: Record<string, string> } | undefined {
  const segments = path.split('/');
  const fitting = routes.flatMap((route) => {
    if (!route.segments || (route.method !== method && route.method !== 'ANY') || route.segments.length !== segments.length) return [];
    const parameters: Record<string, string> = {};
    for (const [i, segment] of route.segments.entries()) {
      const actual = segments[i] ?? '';
      if (/^\{.+\}$/.test(segment) && actual !== '') parameters[segment.slice(1, -1)] = actual;
      else if (segment !== actual) return [];
    }
    return [{ route, parameters }];
  });
  const best = fitting.sort((a, b) => Object.keys(a.parameters).length - Object.keys(b.parameters).length)[0];
  const fallback = routes.find(({ key }) => key === '$default');
  return best ?? (fallback && { route: fallback, parameters: {} });
}

const headOf = ({ method = '', url = '', rawHeaders }: IncomingMessage) => Buffer.byteLength(method + url + rawHeaders.join(''));

/** API Gateway hands the path on decoded, and ends it at a question mark it finds then; the query stays as it was sent. */
function targetOf(request: IncomingMessage): { path: string; query: string } {
  const [path = '/', query = ''] = (request.url ?? '/').split(/\?(.*)/s);
  try {
    return { path: decodeURIComponent(path).split('?')[0] ?? '/', query };
  } catch {
    throw refused(400);
  }
}

function eventOf(
  request: IncomingMessage,
  rawPath: string,
  rawQueryString: string,
  { route, parameters }: { route: Route; parameters: Record<string, string> },
  requestId: string,
): Event {
  const { cookie, ...headers } = request.headersDistinct;
  const domainName = request.headers.host ?? '127.0.0.1';
  const now = new Date();
  return {
    version: '2.0',
    routeKey: route.key,
    rawPath,
    rawQueryString,
    ...(cookie ? { cookies: cookie.flatMap((line) => line.split(/;\s*/)) } : {}),
    headers: Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, (values ?? []).join(',')])),
    ...(rawQueryString ? { queryStringParameters: joined(new URLSearchParams(rawQueryString)) } : {}),
    ...(Object.keys(parameters).length > 0 ? { pathParameters: parameters } : {}),
    requestContext: {
      accountId: '000000000000',
      apiId: 'local',
      domainName,
      domainPrefix: 'local',
      requestId,
      routeKey: route.key,
      stage: '$default',
      time: now.toISOString(),
      timeEpoch: now.getTime(),
      http: {
        method: request.method,
        path: rawPath,
        protocol: `HTTP/${request.httpVersion}`,
        sourceIp: request.socket.remoteAddress,
        userAgent: request.headers['user-agent'] ?? '',
      },
    },
  };
}

function joined(query: URLSearchParams): Record<string, string> {
  const values: Record<string, string> = {};
  for (const [name, value] of query) values[name] = name in values ? `${values[name]},${value}` : value;
  return values;
}

type Result = { statusCode?: unknown; headers?: Record<string, unknown>; cookies?: string[]; body?: unknown; isBase64Encoded?: boolean };

/** Answers as API Gateway does with a result of format 2.0; JSON without a status is the body of a 200. */
function send(response: ServerResponse, result: unknown): void {
  const { statusCode, headers = {}, cookies = [], body, isBase64Encoded } = (result ?? {}) as Result;
  if (statusCode === undefined) return void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(result));
  const status = Number(statusCode);
  if (!Number.isInteger(status) || status < 100 || status > 599 || (body !== undefined && body !== null && typeof body !== 'string')) {
    throw refused(500);
  }
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, String(value));
  if (cookies.length > 0) response.setHeader('set-cookie', cookies);
  if (!response.hasHeader('content-type') && body) response.setHeader('content-type', 'text/plain; charset=utf-8');
  const bytes = Buffer.from((body as string | undefined) ?? '', isBase64Encoded ? 'base64' : 'utf8');
  response.setHeader('content-length', bytes.length);
  response.writeHead(status).end(bytes);
}

function tokenBucket({ rate, burst }: Throttle): () => boolean {
  let tokens = burst;
  let at = performance.now();
  return () => {
    const now = performance.now();
    tokens = Math.min(burst, tokens + ((now - at) / 1000) * rate);
    at = now;
    if (tokens < 1) return false;
    tokens--;
    return true;
  };
}

/** Lambda's Invoke, for functions an operator calls, and only those. */
export function invokeApi(rows: Rows, invoke: Invoke): Answer {
  return async (request, response) => {
    const name = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/.exec(request.url ?? '')?.[1];
    const row = name === undefined ? undefined : rows[decodeURIComponent(name)];
    const payload = await bodyOf(request);
    response.setHeader('content-type', 'application/json');
    // No web page can send this header here without being asked about it first.
    if (!request.headers.authorization) return void response.writeHead(403).end('{"Message":"Missing Authentication Token"}');
    if (!name || request.method !== 'POST' || !['operator', 'schedule'].includes(row?.trigger.kind ?? '')) {
      response.setHeader('x-amzn-errortype', 'ResourceNotFoundException');
      const arn = `arn:aws:lambda:${REGION}:000000000000:function:${name}`;
      return void response.writeHead(404).end(JSON.stringify({ Type: 'User', Message: `Function not found: ${arn}` }));
    }
    const outcome = await invoke(decodeURIComponent(name), payload.length > 0 ? JSON.parse(payload.toString()) : {});
    if ('error' in outcome) response.setHeader('x-amz-function-error', 'Unhandled');
    response.writeHead(200).end('answer' in outcome ? outcome.answer : JSON.stringify(outcome.error));
  };
}
