import type { Route } from '../../functions/api/route.ts';
import { routes } from '../../functions/api/routes.ts';
import { type Answer, startHost, type TestHost } from '../support/host.ts';
import { CALLERS, type Caller, type Cell, cells, missingCells, OWNERS, type Owner } from '../support/matrix-cells.ts';
import { type MatrixWorld, matrixWorld } from '../support/matrix-world.ts';
import { insideOnly } from '../support/stage.ts';

const { describe, test } = insideOnly('it has several tenants and members');

/**
 * All routes x callers x ids. What is expected follows from the contract (`who`) and from the route's cells (whose thing
 * the id names, who sees it); what cannot be told from them is not in this table but in a test of its own.
 */
let host: TestHost;
let world: MatrixWorld;

beforeAll(async () => {
  // With servers of its own allowed, a mail server that is not there is told at once.
  host = await startHost({ throttle: { rate: 100_000, burst: 100_000 }, settings: { LOCAL_MAIL_SERVERS: '{}' } });
  world = await matrixWorld(host);
});
afterAll(() => host.end());

/** Ids no thing has. The first two have the form of ids; the others would hurt whoever builds keys or paths from them. */
const UNKNOWN = ['0'.repeat(26), 'f'.repeat(40)];
const STRANGE = [
  'x',
  '%23',
  '..%2f',
  '..%2F..%2Fv1%2Fme',
  '%20',
  '%00',
  '%E2%98%83',
  'T%23x%23M%23y',
  '%22',
  '*',
  'a'.repeat(5000),
  '%25ff',
];

/** Values of a query: what percent-encoding allows, and what it does not. */
const STRANGE_VALUES = [
  '',
  '%',
  '%zz',
  '%25',
  '%2F',
  '%2525',
  '%00',
  '%FF',
  '%F0%9F%98%80',
  '%EF%BF%BF',
  '+',
  '%23',
  '-1',
  '1e999',
  'a'.repeat(5000),
];

const cellOf = (route: Route) => cells[route.operation] as Cell;
const hasId = (route: Route) => cellOf(route).thing !== undefined;
const title = (route: Route) => `${route.method} ${route.path}`;
const closed = routes.filter(({ who }) => who !== 'open');
const titled = (some: readonly Route[]) => some.map((route) => [title(route), route] as const);

let nth = 0;

/** Asks for a route as its cells say. No answer to one tenant may hold a word or an id of the other. */
async function ask(
  route: Route,
  api: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>,
  id = '',
  more: { query?: string; headers?: Record<string, string> } = {},
) {
  const { body, type, path = {}, query } = cellOf(route);
  const url = route.path.replace(/\{(\w+)\}/g, (_, name: string) => path[name] ?? id) + (more.query ?? query ?? '');
  return api(route.method, url, body?.(++nth), { ...(type ? { 'content-type': type } : {}), ...more.headers });
}

async function askAs(caller: Caller, route: Route, id = ''): Promise<Answer> {
  const answer = await ask(route, world.people[caller].api, id);
  const foreign = world.secrets[caller === 'stranger' ? 'ours' : 'theirs'];
  const told = answer.text + JSON.stringify([...answer.headers]);
  for (const secret of foreign) if (told.includes(secret)) throw new Error(`${title(route)} tells ${caller} "${secret}": ${told}`);
  return answer;
}

/** The code with which `who` of the contract refuses a caller; undefined when it does not. */
function refusedBy({ who }: Route, caller: Caller): string | undefined {
  const isAdministrator = caller === 'administrator' || caller === 'stranger';
  if (who === 'administrator' && !isAdministrator) return 'administrators-only';
  if (who === 'profile-manager' && !isAdministrator) return 'no-profile-permission';
  if (who === 'dropbox' && caller === 'outsider') return 'no-dropbox-permission';
  if (who === 'add-on' && caller === 'outsider') return 'add-on-not-enabled';
  return undefined;
}

function sees(cell: Cell, caller: Caller, owner: Owner): boolean {
  if ((caller === 'stranger') !== (owner === 'stranger')) return false;
  if (caller === owner || cell.seen === 'tenant') return true;
  if (cell.seen === 'module') return caller !== 'outsider';
  return cell.seen === 'owner-and-administrators' && caller === 'administrator';
}

const success = (route: Route) => (route.returns === 'nothing' ? 204 : (route.status ?? 200));

/** What an answer shows, without what names the request itself. */
function shown({ status, text, headers }: Answer, path: string) {
  const told = [...headers].filter(([name]) => !['date', 'apigw-requestid', 'content-length'].includes(name));
  return { status, headers: told, text: text.replaceAll(path, '') };
}

const pathOf = (answer: Answer) => String(answer.json?.instance ?? '');

test('every route has its cells, and every cell its route', () => {
  expect(missingCells(routes)).toEqual([]);
});

test('a new route without cells is named, with what to add', () => {
  const route = {
    ...closed.find(({ operation }) => operation === 'patchMember')!,
    operation: 'newOperation',
    path: '/v1/things/{thingId}',
  };
  expect(missingCells([...routes, route])).toEqual([
    "PATCH /v1/things/{thingId}: has no cells. Add { thing: what its id names, seen: who sees another's, body: one that is taken } (test/support/matrix-cells.ts, cells.newOperation)",
  ]);
  expect(missingCells(routes, { ...cells, oldOperation: {} })).toEqual([expect.stringContaining('cells.oldOperation')]);
  expect(missingCells(routes, { ...cells, readMember: {}, createToken: {} })).toHaveLength(2);
});

describe('without a good token nothing is told', () => {
  test.each(titled(closed))('%s', async (_, route) => {
    for (const [why, token] of Object.entries(world.badTokens)) {
      const answer = await ask(route, host.api(token), UNKNOWN[0]);
      expect({ why, status: answer.status, code: answer.json.code }).toEqual({ why, status: 401, code: 'unauthorised' });
    }
  });
});

describe('open routes answer everybody', () => {
  test.each(titled(routes.filter(({ who }) => who === 'open')))('%s', async (_, route) => {
    const refused = cellOf(route).refuses?.stranger;
    for (const api of [host.api(), host.api('not-a-token'), world.people.mika.api]) {
      const answer = await ask(route, api);
      if (refused) expect(answer).toMatchObject({ status: 422, json: { code: refused } });
      else expect(answer.status).toBe(success(route));
    }
  });
});

describe('a route without an id does what the contract says, for who may', () => {
  test.each(titled(closed.filter((route) => !hasId(route))))('%s', async (_, route) => {
    for (const caller of CALLERS) {
      const answer = await askAs(caller, route);
      const code = refusedBy(route, caller) ?? cellOf(route).refuses?.[caller];
      const wanted = code ? { caller, status: [403, 422], code } : { caller, status: [success(route)], code: undefined };
      expect({
        caller,
        status: (wanted.status as number[]).includes(answer.status) ? wanted.status : answer.status,
        code: answer.json?.code,
      }).toEqual(wanted);
    }
  });
});

describe("another's thing is answered as if it were not there, byte for byte; one's own is there", () => {
  test.each(titled(closed.filter(hasId)))('%s', async (_, route) => {
    const cell = cellOf(route);
    const spares: (() => Promise<void>)[] = [];
    for (const caller of CALLERS) {
      const refused = refusedBy(route, caller);
      const unknown = await askAs(caller, route, UNKNOWN[0]);
      expect({ caller, status: unknown.status, code: unknown.json.code }).toEqual({
        caller,
        status: refused ? 403 : 404,
        code: refused ?? 'not-found',
      });
      for (const owner of OWNERS) {
        const id = await world.idOf(cell.thing!, owner);
        if (refused || !sees(cell, caller, owner)) {
          const answer = await askAs(caller, route, id);
          expect({ caller, owner, ...shown(answer, pathOf(answer)) }).toEqual({ caller, owner, ...shown(unknown, pathOf(unknown)) });
        } else {
          spares.push(() => succeed(caller, owner));
        }
      }
    }
    // Last of all, so that refusals before are seen to have changed nothing.
    for (const spare of spares) await spare();

    async function succeed(caller: Caller, owner: Owner): Promise<void> {
      const answer = await askAs(caller, route, await world.idOf(cell.thing!, owner));
      expect({ caller, owner, status: answer.status, code: answer.json?.code }).toEqual({
        caller,
        owner,
        status: success(route),
        code: undefined,
      });
      if (cell.spends) world.spent(cell.thing!, owner);
    }
  });
});

describe('an id that is none is 404 as well, however strange', () => {
  test.each(titled(closed.filter(hasId)))('%s', async (_, route) => {
    for (const caller of ['administrator', 'mika'] as const) {
      for (const id of [...UNKNOWN, ...STRANGE]) {
        const answer = await askAs(caller, route, id);
        const fine = refusedBy(route, caller) ? [403, 404, 400] : [404, 400];
        expect({ id, status: answer.status, fine: fine.includes(answer.status) }).toEqual({ id, status: answer.status, fine: true });
        expectProblem(answer);
      }
    }
  });
});

test('an attachment has a number; everything else is 404', async () => {
  const route = routes.find(({ operation }) => operation === 'downloadAttachment')!;
  const message = await world.idOf('mail', 'mika');
  for (const index of ['1', '-1', '00000', '9999', '1e0', '0x0', '%30%30', '0%20', ...STRANGE]) {
    const path = route.path.replace('{messageId}', message).replace('{index}', index);
    const answer = await world.people.mika.api('GET', path);
    expect({ index, status: answer.status }).toEqual({ index, status: index === '%30%30' ? 302 : 404 });
  }
});

describe('what a request may look like', () => {
  const asking = routes.filter(({ query, who }) => query && who !== 'open');
  test.each(titled(asking))('%s takes or refuses whatever a parameter holds, and never fails', async (_, route) => {
    const { thing } = cellOf(route);
    const id = thing ? await world.idOf(thing, 'mika') : '';
    for (const name of Object.keys(route.query!.shape)) {
      for (const value of STRANGE_VALUES) {
        const { status } = await ask(route, world.people.mika.api, id, { query: `?${name}=${value}` });
        expect({ name, value, failed: status >= 500 }).toEqual({ name, value, failed: false });
      }
    }
  });

  test.each(titled(routes))('%s refuses a parameter it does not know', async (_, route) => {
    const id = cellOf(route).thing ? await world.idOf(cellOf(route).thing!, 'stranger') : '';
    const answer = await ask(route, world.people.stranger.api, id, { query: '?lmit=5' });
    expect(answer).toMatchObject({ status: 422, json: { code: 'invalid-query' } });
    expectProblem(answer);
  });

  test.each(titled(routes.filter((route) => route.query && 'limit' in route.query.shape)))(
    '%s takes a limit from 1 to 100',
    async (_, route) => {
      const id = cellOf(route).thing ? await world.idOf(cellOf(route).thing!, 'stranger') : '';
      const status = async (limit: string) => (await ask(route, world.people.stranger.api, id, { query: `?limit=${limit}` })).status;
      for (const limit of ['1', '100']) expect(await status(limit)).toBe(200);
      for (const limit of ['0', '101', '-1', '1.5', 'all', ''])
        expect({ limit, status: await status(limit) }).toEqual({ limit, status: 422 });
    },
  );

  const paths = [...new Set(routes.map(({ path }) => path))];
  test.each(paths)('%s answers 405 with Allow to other methods', async (path) => {
    const methods = routes.filter((route) => route.path === path).map(({ method }) => method as string);
    const literal = path.replace(/\{\w+\}/g, 'x');
    // A path written out shares its place with one that takes a parameter: POST /v1/leads/import and GET /v1/leads/{recordId}.
    const here = routes
      .filter((route) => new RegExp(`^${route.path.replace(/\{\w+\}/g, '[^/]+')}$`).test(literal))
      .map(({ method }) => method as string);
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((one) => !here.includes(one))) {
      const answer = await world.people.administrator.api(method, literal);
      expect({ method, status: answer.status, code: answer.json.code }).toEqual({ method, status: 405, code: 'method-not-allowed' });
      expect(answer.headers.get('allow')?.split(', ')).toEqual(expect.arrayContaining(methods));
      expectProblem(answer);
    }
  });

  test('an unknown path is 404, and says where to look', async () => {
    for (const path of ['/', '/v1', '/v1/', '/v1/nothing', '/v1/me/', '/V1/me', '/v2/me', '/v1/leads//messages', '/.env']) {
      const answer = await world.people.mika.api('GET', path);
      expect({ path, status: answer.status, code: answer.json.code }).toEqual({ path, status: 404, code: 'no-such-route' });
      expectProblem(answer);
    }
  });

  const withJson = routes.filter(({ body }) => body && !('text' in body));
  test.each(titled(withJson))('%s takes JSON that is well-formed, typed, small enough and fits', async (_, route) => {
    const id = cellOf(route).thing ? await world.idOf(cellOf(route).thing!, 'stranger') : '';
    const path = route.path.replace(/\{\w+\}/, id);
    const json = { 'content-type': 'application/json' };
    const send = (body: string | Buffer, headers: Record<string, string> = json) =>
      world.people.stranger.api(route.method, path, body, headers);
    const padded = (bytes: number) => `{"unknownField":"${'x'.repeat(bytes - '{"unknownField":""}'.length)}"}`;
    const cases: [string, Promise<Answer>, number, string][] = [
      ['not JSON', send('{'), 400, 'bad-json'],
      ['nothing', send(''), 400, 'bad-json'],
      ['another type', send('{}', { 'content-type': 'text/plain' }), 415, 'unsupported-media-type'],
      ['no type', send(Buffer.from('{}'), {}), 415, 'unsupported-media-type'],
      ['too large', send(padded(256 * 1024 + 1)), 413, 'body-too-large'],
      ['as large as may be', send(padded(256 * 1024)), 422, 'invalid-body'],
      ['a list', send('[]'), 422, 'invalid-body'],
      ['null', send('null'), 422, 'invalid-body'],
      ['a field it does not know', send('{"unknownField":1}'), 422, 'invalid-body'],
      ['a prototype', send('{"__proto__":{"administrator":true},"unknownField":1}'), 422, 'invalid-body'],
    ];
    for (const [what, asking, status, code] of cases) {
      const answer = await asking;
      expect({ what, status: answer.status, code: answer.json?.code }).toEqual({ what, status, code });
      expectProblem(answer);
    }
  });

  const imports = routes.filter(({ body }) => body && 'text' in body);
  test.each(titled(imports))('%s takes its own types alone, and so many bytes', async (_, route) => {
    const most = (route.body as { maxBytes: number }).maxBytes;
    const send = (body: string, type: string) => world.people.stranger.api('POST', route.path, body, { 'content-type': type });
    expect(await send('{}', 'application/json')).toMatchObject({ status: 415, json: { code: 'unsupported-media-type' } });
    expect(await send('x'.repeat(most + 1), 'text/csv')).toMatchObject({ status: 413, json: { code: 'body-too-large', limit: most } });
    expect((await send('x'.repeat(most), 'text/csv')).status).toBe(422);
  });
});

describe('settings carry an ETag', () => {
  const guarded = routes.filter(({ method }) => method === 'PATCH');
  test.each(titled(guarded))('%s refuses a stale If-Match with 412 and changes nothing', async (_, route) => {
    const id = cellOf(route).thing ? await world.idOf(cellOf(route).thing!, 'stranger') : '';
    const path = route.path.replace(/\{\w+\}/, id);
    const { api } = world.people.stranger;
    const etag = (await api('GET', path)).headers.get('etag') ?? '';
    expect(etag).toMatch(/^"v\d+"$/);
    const changed = await ask(route, api, id, { headers: { 'if-match': etag } });
    expect(changed.status).toBe(200);
    const after = changed.headers.get('etag') ?? '';
    expect(after).not.toBe(etag);
    expect((await api('GET', path)).headers.get('etag')).toBe(after);
    for (const stale of [etag, '"v999"', 'W/"v1"', '"nonsense"', '']) {
      const refused = await ask(route, api, id, { headers: { 'if-match': stale } });
      expect({ stale, status: refused.status, code: refused.json.code }).toEqual({ stale, status: 412, code: 'stale' });
      expectProblem(refused);
    }
    expect((await api('GET', path)).headers.get('etag')).toBe(after);
    expect((await ask(route, api, id, { headers: { 'if-match': '*' } })).status).toBe(200);
  });
});

/** RFC 9457, and nothing that helps an attacker. */
function expectProblem(answer: Answer): void {
  // What API Gateway refuses before any function runs is in its own words: a path it cannot decode.
  if (answer.status === 400 && answer.json?.message === 'Bad Request') return;
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  expect(answer.headers.get('cache-control')).toBe('private, no-store');
  expect(answer.json).toMatchObject({
    type: `/docs#problem-${answer.json.code}`,
    title: expect.stringMatching(/\w/),
    status: answer.status,
    code: expect.stringMatching(/^[a-z0-9-]+$/),
    detail: expect.stringMatching(/\w.*\.$/s),
    instance: expect.stringMatching(/^\//),
  });
  expect(answer.text).not.toMatch(/ at .*\.(ts|mjs):\d+|node_modules|DynamoDB|ConditionalCheck/);
}
