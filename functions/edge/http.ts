import middy from '@middy/core';
import httpHeaderNormalizer from '@middy/http-header-normalizer';
import type { APIGatewayProxyEventV2WithLambdaAuthorizer, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { Problem } from '../../core/errors.ts';
import { errorForLog, log } from './log.ts';

export type HttpEvent = APIGatewayProxyEventV2WithLambdaAuthorizer<{ tenant?: string; member?: string; token?: string } | undefined>;
export type HttpResult = APIGatewayProxyStructuredResultV2;

/**
 * The one middleware stack of the HTTP API, from outside in: problems become RFC 9457 answers; header names become lower
 * case. The handler takes two parameters: nodejs24.x refuses handlers with a callback.
 */
export function httpHandler(handle: (event: HttpEvent) => Promise<HttpResult>) {
  return middy<HttpEvent, HttpResult>()
    .use(problems)
    .use(httpHeaderNormalizer({ normalizeHeaderKey: (name: string) => name.toLowerCase() }))
    .handler(async (event) => withSafeHeaders(await handle(event)));
}

const problems: middy.MiddlewareObj<HttpEvent, HttpResult> = {
  onError: (request) => {
    const problem = request.error instanceof Problem ? request.error : internal(request.error, request.event);
    request.response = problemAnswer(problem, request.event);
  },
};

/** Nothing about an unforeseen error leaves the house but the request's id, by which we find it in the log. */
function internal(error: unknown, event: HttpEvent): Problem {
  log.error('request failed', { route: event.requestContext?.routeKey, request: event.requestContext?.requestId, ...errorForLog(error) });
  return new Problem(500, 'internal', 'Something went wrong on our side. Try again; if it stays, tell us the request id.', {
    requestId: event.requestContext?.requestId,
  });
}

/** RFC 9457. `type` is a stable URI; the documentation describes each code under it. */
function problemAnswer(problem: Problem, event: Pick<HttpEvent, 'rawPath'>): HttpResult {
  const body = {
    type: `/docs#problem-${problem.code}`,
    title: problem.code.replaceAll('-', ' '),
    status: problem.status,
    code: problem.code,
    detail: problem.message,
    instance: event.rawPath,
    ...problem.extra,
  };
  return withSafeHeaders({
    statusCode: problem.status,
    headers: { 'content-type': 'application/problem+json', ...problem.headers },
    body: JSON.stringify(body),
  });
}

/** Answers hold customers' mail: never cached, never guessed to be another type. */
function withSafeHeaders(result: HttpResult): HttpResult {
  return { ...result, headers: { 'cache-control': 'private, no-store', 'x-content-type-options': 'nosniff', ...result.headers } };
}
