import type { Viewer } from '../../core/member/viewer.ts';

/** A request as an operation sees it: checked by its route's schemas, and whom it is for. */
export type Call<Query = Record<string, unknown>, Body = unknown> = {
  /** For whom it is. Open routes have none and must not look. */
  viewer: Viewer;
  params: Record<string, string>;
  query: Query;
  body: Body;
  /** Content type of a text body, without parameters. */
  mediaType: string;
  now: Date;
  headers: Record<string, string | undefined>;
  /** The version in If-Match, when the caller sent one. */
  ifMatch?: number;
};

/** What an operation answers. `body` is stripped to the route's schema; `version` becomes the ETag. */
export type Reply = {
  body?: unknown;
  version?: number;
  headers?: Record<string, string>;
  /** For routes that redirect. */
  location?: string;
};

export type Operation = (call: Call<never, never>) => Promise<Reply>;
