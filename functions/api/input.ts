import type * as z from 'zod';
import { invalid, Problem } from '../../core/errors.ts';
import { MAX_JSON_BYTES } from '../../core/limits.ts';
import type { HttpEvent } from '../edge/http.ts';
import type { Route } from './route.ts';

/** The query by the route's schema. An unknown parameter is refused: a misspelt filter must not list everything. */
export function readQuery(route: Route, event: HttpEvent): Record<string, unknown> {
  const given = Object.fromEntries(new URLSearchParams(event.rawQueryString ?? ''));
  if (!route.query) {
    const [unknown] = Object.keys(given);
    if (unknown) throw invalid('invalid-query', `This route takes no parameter "${unknown}".`);
    return {};
  }
  return check(route.query.strict(), given, 'invalid-query', 'The query does not fit. See "errors".') as Record<string, unknown>;
}

/** The body by the route's schema: JSON, or text of one of its media types. Throws 400, 413, 415, 422. */
export function readBody(route: Route, event: HttpEvent): { body: unknown; mediaType: string } {
  const mediaType = (event.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  const { body } = route;
  if (!body) return { body: undefined, mediaType };
  const bytes = Buffer.from(event.body ?? '', event.isBase64Encoded ? 'base64' : 'utf8');
  const [most, types] = 'text' in body ? [body.maxBytes, body.text] : [MAX_JSON_BYTES, ['application/json']];
  if (bytes.length > most) {
    throw new Problem(413, 'body-too-large', `The body has ${bytes.length} bytes; this route takes ${most}. Send it in smaller pieces.`, {
      limit: most,
    });
  }
  if (!types.includes(mediaType)) {
    throw new Problem(415, 'unsupported-media-type', `Send Content-Type: ${types.join(' or ')}.`, {}, { Accept: types.join(', ') });
  }
  if ('text' in body) return { body: bytes, mediaType };
  return { body: check(body, parseJson(bytes), 'invalid-body', 'The body does not fit. See "errors".'), mediaType };
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new Problem(400, 'bad-json', 'The body is not valid JSON in UTF-8.');
  }
}

function check(schema: z.ZodType, value: unknown, code: string, detail: string): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors = result.error.issues.slice(0, 20).map(({ path, message }) => ({ at: path.join('.') || '(whole)', message }));
  throw invalid(code, detail, { errors });
}
