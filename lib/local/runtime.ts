/**
 * One execution environment of a function, as Lambda's runtime is one: loads the bundle named on the command line, and runs
 * one event at a time. The host ends it from outside: after a timeout, when its code changed, when the host goes.
 */
import { pathToFileURL } from 'node:url';
import type { Invocation, Reply } from './functions.ts';

type Handler = (event: unknown, context: object) => unknown;

const file = process.argv[2] as string;
const loaded = load(file);
loaded.then(
  () => process.send?.({ ready: true } satisfies Reply),
  (error: unknown) => process.send?.({ error: described(error) } satisfies Reply),
);

process.on('message', (invocation: Invocation) => void run(invocation));
process.once('disconnect', () => process.exit(0));
// Ctrl-C reaches the whole process group; the host decides when its functions end.
process.on('SIGINT', () => {});

async function load(path: string): Promise<Handler> {
  const { handler } = (await import(pathToFileURL(path).href)) as { handler?: Handler };
  if (typeof handler !== 'function') throw named('Runtime.HandlerNotFound', `${path} exports no function "handler"`);
  // nodejs24.x refuses callbacks before the first event.
  if (handler.length > 2) throw named('Runtime.CallbackHandlerDeprecated', 'A handler has two parameters: event and context');
  return handler;
}

async function run({ event, requestId, deadline }: Invocation): Promise<void> {
  try {
    const handler = await loaded;
    const answer = await handler(JSON.parse(event), contextOf(requestId, deadline));
    process.send?.({ answer: serialised(answer) } satisfies Reply);
  } catch (error) {
    const description = described(error);
    console.error(JSON.stringify({ level: 'ERROR', message: 'Invoke Error', requestId, ...description }));
    process.send?.({ error: description } satisfies Reply);
  }
}

function contextOf(awsRequestId: string, deadline: number): object {
  const functionName = process.env.AWS_LAMBDA_FUNCTION_NAME;
  return {
    awsRequestId,
    functionName,
    functionVersion: '$LATEST',
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    invokedFunctionArn: `arn:aws:lambda:${process.env.AWS_REGION}:000000000000:function:${functionName}`,
    logGroupName: `/aws/lambda/${functionName}`,
    logStreamName: 'local',
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
  };
}

function serialised(answer: unknown): string {
  try {
    return JSON.stringify(answer) ?? 'null';
  } catch (error) {
    throw named('Runtime.MarshalError', `Unable to stringify response body: ${String(error)}`);
  }
}

function described(error: unknown): { errorType: string; errorMessage: string; trace: string[] } {
  if (!(error instanceof Error)) return { errorType: typeof error, errorMessage: String(error), trace: [] };
  return { errorType: error.name, errorMessage: error.message, trace: (error.stack ?? '').split('\n') };
}

function named(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}
