import type * as z from 'zod';

/** Who may call a route. Everything finer (which record, which mail) is the operation's to decide. */
export type Who =
  /** Anybody, without a token. */
  | 'open'
  /** Every active member. */
  | 'member'
  /** Members whose profile has the BCC dropbox permission (GEN-5). */
  | 'dropbox'
  /** Members for whom the mail add-on is enabled (GEN-1). */
  | 'add-on'
  /** Members whose profile has the permission to manage profiles (GEN-7). */
  | 'profile-manager'
  /** Members with the Administrator profile (GEN-3). */
  | 'administrator';

/** One line of the contract. The OpenAPI document, the router, the checks of input and output all come from it. */
export type Route = {
  method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** With `{parameters}`; all under /v1 but the open ones. */
  path: string;
  /** Its operation's name in functions/api/operations, and its operationId. */
  operation: string;
  summary: string;
  /** What a reader of the documentation needs beyond the summary: rules, limits, what to do next. */
  description?: string;
  tag: string;
  who: Who;
  query?: z.ZodObject;
  /** A JSON body; or, as `{ text: [...] }`, the media types of a body that is taken as it comes. */
  body?: z.ZodType | { text: readonly string[]; maxBytes: number };
  /** An example of the body. */
  example?: unknown;
  /** JSON of this schema (whatever it does not name is stripped); or a media type for a text; or where the caller is sent. */
  returns: z.ZodType | { text: string } | 'redirect' | 'nothing';
  /** Status of success: 200 unless said. */
  status?: 200 | 201 | 202 | 204 | 302;
  /** Problem codes of its own, beyond those every route may answer. */
  problems?: readonly string[];
  /** Unsafe POSTs take an Idempotency-Key unless this says why not. */
  idempotent?: false;
};
