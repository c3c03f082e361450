import { Logger } from '@aws-lambda-powertools/logger';

/**
 * The one logger. It is given ids, codes, counts and times; never a subject, a body, an address or a token. Errors go
 * through `errorForLog`: an error's own properties may carry a request's body or a mail.
 */
export const log = new Logger({ serviceName: process.env.AWS_LAMBDA_FUNCTION_NAME ?? 'local', logRecordOrder: ['level', 'message'] });

/** Name, code and stack of an error, and nothing that hangs on it. Addresses in its message are blotted out. */
export function errorForLog(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: typeof error };
  const stack = error.stack?.replace(ADDRESS, '[address]').slice(0, 4000);
  return { error: error.name, code: (error as { code?: unknown }).code, stack };
}

const ADDRESS = /[^\s<>"'()@]+@[^\s<>"'()@]+/g;
