import { writeFile } from 'node:fs/promises';
import * as z from 'zod';
import { createDocument, type ZodOpenApiOperationObject } from 'zod-openapi';
import type { Route } from './route.ts';
import { routes } from './routes.ts';

const problem = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.number(),
    code: z.string().meta({ description: 'Stable; programs go by it' }),
    detail: z.string().meta({ description: 'Why, and what to do' }),
    instance: z.string(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457' });

const DESCRIPTION = `Ties mail to CRM records. Every request but the open ones needs \`Authorization: Bearer <token>\`.

Errors are RFC 9457 problems: go by \`code\`, read \`detail\`. Lists take \`limit\` and \`cursor\`. POSTs take an
\`Idempotency-Key\`: the same request sent again within a day is done once. Settings carry an \`ETag\`; send it back in
\`If-Match\` and nobody's change is written over. What is another's is 404, as if it were not there.`;

/** The OpenAPI 3.1 document of the contract. */
export function openapiDocument(server: string) {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return createDocument({
    openapi: '3.1.0',
    info: {
      title: 'CRM mail add-on',
      version: '1.0.0',
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: server }],
    security: [{ token: [] }],
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'An API token: POST /v1/tokens' } } },
    paths,
  });
}

function operationOf(route: Route): ZodOpenApiOperationObject {
  const parameters = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => [name, z.string()] as const);
  const header = z.object({
    ...(route.method === 'POST' && route.idempotent !== false && route.who !== 'open' ? { 'Idempotency-Key': z.string().optional() } : {}),
    ...(route.method === 'PATCH' || route.problems?.includes('stale') ? { 'If-Match': z.string().optional() } : {}),
  });
  return {
    operationId: route.operation,
    tags: [route.tag],
    summary: route.summary,
    ...(route.description ? { description: route.description } : {}),
    ...(route.who === 'open' ? { security: [] } : {}),
    requestParams: {
      ...(parameters.length > 0 ? { path: z.object(Object.fromEntries(parameters)) } : {}),
      ...(route.query ? { query: route.query } : {}),
      ...(Object.keys(header.shape).length > 0 ? { header } : {}),
    },
    ...(route.body ? { requestBody: { required: true, content: bodyOf(route) } } : {}),
    responses: {
      [route.status ?? 200]: successOf(route),
      default: { description: problemsOf(route), content: { 'application/problem+json': { schema: problem } } },
    },
  };
}

function bodyOf({ body, example }: Route) {
  if (!body) return {};
  if ('text' in body) return Object.fromEntries(body.text.map((type) => [type, { schema: { type: 'string' as const }, example }]));
  return { 'application/json': { schema: body, ...(example === undefined ? {} : { example }) } };
}

function successOf({ returns }: Route) {
  if (returns === 'nothing') return { description: 'Done' };
  if (returns === 'redirect')
    return { description: 'Where to download it', headers: { location: { schema: { type: 'string' as const } } } };
  if ('text' in returns) return { description: 'OK', content: { [returns.text]: { schema: { type: 'string' as const } } } };
  return { description: 'OK', content: { 'application/json': { schema: returns } } };
}

const problemsOf = ({ problems, who }: Route) =>
  ['A problem', ...(problems ?? []), ...(who === 'member' || who === 'open' ? [] : ['no permission: 403'])].join('; ');

/** `npm run openapi` writes docs/openapi.json; a test fails while it is stale. */
if (process.argv[1]?.endsWith('openapi.ts') && process.argv.includes('--write')) {
  await writeFile(
    new URL('../../docs/openapi.json', import.meta.url),
    `${JSON.stringify(openapiDocument('http://127.0.0.1:3000'), null, 2)}\n`,
  );
}
