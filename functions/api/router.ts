import { Problem } from '../../core/errors.ts';
import type { Route } from './route.ts';

type Compiled = { route: Route; pattern: RegExp };

/** Finds the route of a request by the contract, with its path parameters decoded. Throws 404 `no-such-route`, 405. */
export function router(routes: readonly Route[]) {
  const compiled: Compiled[] = routes.map((route) => ({ route, pattern: compile(route.path) }));
  return (method: string, path: string): { route: Route; params: Record<string, string> } => {
    const here = compiled.filter(({ pattern }) => pattern.test(path));
    if (here.length === 0)
      throw new Problem(404, 'no-such-route', 'There is nothing at this path. GET /openapi.json lists what there is; /docs shows it.');
    // A path written out beats one with a parameter in its place: /v1/leads/import is no lead.
    const found = here.filter(({ route }) => route.method === method).sort((a, b) => parameters(a.route) - parameters(b.route))[0];
    if (!found) {
      const allow = [...new Set(here.map(({ route }) => route.method))].join(', ');
      throw new Problem(405, 'method-not-allowed', `This path takes ${allow}.`, {}, { Allow: allow });
    }
    return { route: found.route, params: decode(found.pattern.exec(path)?.groups ?? {}) };
  };
}

const parameters = (route: Route) => route.path.split('{').length - 1;

function compile(path: string): RegExp {
  return new RegExp(`^${path.replace(/[.]/g, '\\.').replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`);
}

function decode(groups: Record<string, string>): Record<string, string> {
  try {
    return Object.fromEntries(Object.entries(groups).map(([name, text]) => [name, decodeURIComponent(text)]));
  } catch {
    throw new Problem(400, 'bad-path', 'The path holds a % that is no valid percent-encoding.');
  }
}
