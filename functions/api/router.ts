import { Problem } from '../../core/errors.ts';
import type { Route } from './route.ts';

type Compiled = { route: Route; pattern: RegExp };

/**
 * Finds the route of a request by the contract, and its path parameters. The path comes decoded: API Gateway's HTTP APIs hand it on so,
 * and decoded once more, an address with a % in it would be another one. Throws 404 `no-such-route`, 405.
 */
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
    return { route: found.route, params: { ...found.pattern.exec(path)?.groups } };
  };
}

const parameters = (route: Route) => route.path.split('{').length - 1;

/** An address may hold a slash, which stands in a decoded path as any other: the one at its end takes all that is left. */
function compile(path: string): RegExp {
  const pattern = path.replace(/[.]/g, '\\.').replace(/\{address\}$/, '(?<address>.+)');
  return new RegExp(`^${pattern.replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`);
}
