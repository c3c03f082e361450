import { readdirSync, readFileSync } from 'node:fs';
import * as z from 'zod';
import { openapiDocument } from '../../functions/api/openapi.ts';
import { routes } from '../../functions/api/routes.ts';
import { functions } from '../../functions/manifest.ts';

type Schema = Record<string, unknown>;
type Operation = {
  operationId: string;
  summary?: string;
  tags?: string[];
  security?: object[];
  parameters?: { name: string; in: string; required?: boolean; schema: Schema }[];
  requestBody?: { required: boolean; content: Record<string, { schema: Schema; example?: unknown }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: Schema }> }>;
};

const line = ({ method, path }: { method: string; path: string }) => `${method} ${path}`;
const file = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const committed = file('docs/openapi.json');
const document = JSON.parse(committed) as {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; securitySchemes: Record<string, Schema> };
};
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, ...operation })),
);

test('docs/openapi.json is what the routes say: after a change of them, `npm run openapi`', () => {
  expect(committed).toBe(`${JSON.stringify(openapiDocument('http://127.0.0.1:3000'), null, 2)}\n`);
});

test('every route is in it, and nothing else', () => {
  expect(operations.map(line).sort()).toEqual(routes.map(line).sort());
  expect(new Set(routes.map(line)).size).toBe(routes.length);
});

test('every route has its operation in the function that the manifest leads it to, and every operation its route', async () => {
  // The operations make their clients when first called, so nothing is reached here; only settings are read early.
  Object.assign(process.env, { AWS_REGION: 'eu-west-1', MAIL_DOMAIN: 'dropbox.example.com', PUBLIC_URL: 'http://127.0.0.1:3000' });
  const { operations: ofApi } = await import('../../functions/api/operations.ts');
  const { mailServerOperations: ofMailServers } = await import('../../functions/api/operations/mail-server.ts');
  const ids = operations.map(({ operationId }) => operationId);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.sort()).toEqual([...Object.keys(ofApi), ...Object.keys(ofMailServers)].sort());
  const led: readonly string[] = functions['mail-servers'].trigger.routes;
  expect(routes.filter(({ operation }) => operation in ofMailServers).map(line)).toEqual(led);
});

test('it is OpenAPI 3.1: paths and parameters agree, references lead somewhere, operations are told apart', () => {
  expect(document.openapi).toMatch(/^3\.1\.\d+$/);
  expect(document.info).toMatchObject({ title: expect.any(String), version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
  expect(document.components.securitySchemes.token).toMatchObject({ type: 'http', scheme: 'bearer' });
  for (const { path, operationId, parameters = [], responses, requestBody } of operations) {
    const inPath = parameters.filter((parameter) => parameter.in === 'path');
    const templated = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect({ operationId, names: inPath.map(({ name }) => name) }).toEqual({ operationId, names: templated });
    expect(inPath.every(({ required }) => required)).toBe(true);
    expect(new Set(parameters.map(({ name, in: place }) => `${place} ${name}`)).size).toBe(parameters.length);
    expect(parameters.every(({ schema, in: place }) => schema && ['path', 'query', 'header'].includes(place))).toBe(true);
    expect(Object.keys(responses)).toEqual([expect.stringMatching(/^(200|201|202|204|302)$/), 'default']);
    expect(Object.values(responses).every(({ description }) => description.length > 0)).toBe(true);
    expect(responses.default?.content).toHaveProperty(['application/problem+json', 'schema']);
    if (requestBody) expect(Object.keys(requestBody.content).every((type) => /^\w+\/[\w.+-]+$/.test(type))).toBe(true);
  }
  for (const [, reference] of committed.matchAll(/"\$ref": "([^"]+)"/g)) {
    const found = (reference ?? '')
      .replace(/^#\//, '')
      .split('/')
      .reduce<unknown>((at, key) => (at as Schema | undefined)?.[key], document);
    expect({ reference, found: typeof found }).toEqual({ reference, found: 'object' });
  }
});

test('every route says what it is for, and who needs no token', () => {
  for (const { operationId, summary, tags, security, method, path } of operations) {
    expect({ operationId, summary }).toEqual({ operationId, summary: expect.stringMatching(/^\S.{3,90}[^.\s]$/) });
    expect(tags).toEqual([expect.stringMatching(/^[A-Z]/)]);
    const open = routes.find((route) => route.method === method && route.path === path)?.who === 'open';
    expect({ operationId, security }).toEqual({ operationId, security: open ? [] : undefined });
  }
});

test.each(routes.filter(({ body }) => body).map((route) => [route.operation, route] as const))(
  '%s has an example that it would take',
  (_, { body, example }) => {
    expect(example).toBeDefined();
    if (body && 'text' in body) expect(String(example).trim().split('\n').length).toBeGreaterThan(1);
    else expect((body as z.ZodType).safeParse(example)).toMatchObject({ success: true });
  },
);

test('the examples can be wrong: one that does not fit is seen', () => {
  const { body } = routes.find(({ operation }) => operation === 'addSender')!;
  expect((body as z.ZodType).safeParse({ adress: 'mika@example.com' }).success).toBe(false);
});

test('POSTs name their Idempotency-Key, and what carries an ETag its If-Match', () => {
  const headersOf = ({ parameters = [] }: Operation) => parameters.filter((parameter) => parameter.in === 'header').map(({ name }) => name);
  for (const operation of operations) {
    const route = routes.find(({ operation: id }) => id === operation.operationId)!;
    const idempotent = route.method === 'POST' && route.idempotent !== false && route.who !== 'open';
    const guarded = route.method === 'PATCH' || route.problems?.includes('stale');
    const wanted = [...(idempotent ? ['Idempotency-Key'] : []), ...(guarded ? ['If-Match'] : [])];
    expect([operation.operationId, headersOf(operation)]).toEqual([operation.operationId, wanted]);
  }
});

test('every problem a route names is one the code knows', () => {
  const sources = ['core', 'functions'].flatMap((folder) =>
    (readdirSync(new URL(`../../${folder}`, import.meta.url), { recursive: true }) as string[])
      .filter((name) => name.endsWith('.ts') && !name.startsWith('api/routes'))
      .map((name) => file(`${folder}/${name}`)),
  );
  const code = sources.join('\n');
  const named = new Set(routes.flatMap(({ problems }) => problems ?? []));
  expect([...named].filter((problem) => !code.includes(`'${problem}'`))).toEqual([]);
});

test('what is answered is an allow-list: no answer but the contract itself takes any field', () => {
  const loose = routes.filter(
    ({ returns, operation }) => returns instanceof z.ZodObject && returns.def.catchall && operation !== 'readOpenapi',
  );
  expect(loose.map(({ operation }) => operation)).toEqual([]);
});
