/**
 * An error that may be shown to the caller, in the terms of RFC 9457: `code` is stable and documented, `detail` says
 * why and what to do. Everything that is not a Problem is "internal" to a caller and goes to the log alone.
 */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  /** Further members of the answer, such as `existing` of a duplicate or `errors` of a body that does not fit. */
  readonly extra: Record<string, unknown>;
  readonly headers: Record<string, string>;

  constructor(status: number, code: string, detail: string, extra: Record<string, unknown> = {}, headers: Record<string, string> = {}) {
    super(detail);
    this.name = 'Problem';
    this.status = status;
    this.code = code;
    this.extra = extra;
    this.headers = headers;
  }
}

/** 404, also for what exists but is another's: an answer must not tell the two apart. */
export const notFound = (what: string) =>
  new Problem(404, 'not-found', `There is no such ${what}, or you may not see it. Check the id, and that you use the right token.`);

export const invalid = (code: string, detail: string, extra?: Record<string, unknown>) => new Problem(422, code, detail, extra);

export const forbidden = (code: string, detail: string) => new Problem(403, code, detail);

export const conflict = (code: string, detail: string, extra?: Record<string, unknown>) => new Problem(409, code, detail, extra);

export const stale = () =>
  new Problem(412, 'stale', 'This was changed since you read it. Read it again, and send the new ETag in If-Match.');

/** 429 with Retry-After in seconds. */
export const tooMany = (detail: string, retryAfterSeconds: number) =>
  new Problem(429, 'too-many-requests', detail, {}, { 'Retry-After': String(Math.max(1, Math.ceil(retryAfterSeconds))) });
