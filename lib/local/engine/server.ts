import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { partsOf, sessionBehind } from './sessions.ts';

/** What AWS would answer to a call it refuses: an error code of the service, a status and a sentence. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The key the host itself signs with: it may do everything, as CloudFormation and the AWS services behind a stack may. */
export const HOST = 'host';

/**
 * Who calls: on this machine a function's access key id is its name. With credentials of the role it assumed for a tenant it is
 * `function/tenant`. Throws when a call is not signed at all, or its session is not good.
 */
export function callerOf(request: IncomingMessage): string {
  const name = /Credential=([\w-]+)\//.exec(request.headers.authorization ?? '')?.[1];
  if (!name) throw new Refusal(403, 'MissingAuthenticationToken', 'The request is not signed.');
  const token = request.headers['x-amz-security-token'];
  if (token === undefined) return name;
  const session = sessionBehind(name, token);
  if (!session) throw new Refusal(403, 'ExpiredTokenException', 'The security token included in the request is expired');
  return session.caller;
}

/** What a function may do: its row's `uses`, read as IAM would read them. */
export type Grants = Record<string, readonly Grant[]>;
type Grant = { on: string; actions: readonly string[]; prefixes?: readonly string[]; perTenant?: true };

/** True when the function's row grants the action on the resource and on this key; uses per tenant to the sessions of that tenant alone. */
export function isGranted(grants: Grants, caller: string, on: string, action: string, key = ''): boolean {
  if (caller === HOST) return true;
  const { name, tenant } = partsOf(caller);
  return (grants[name] ?? []).some((use) => {
    if (use.on !== on || !use.actions.includes(action) || Boolean(use.perTenant) !== (tenant !== undefined)) return false;
    return !use.prefixes || use.prefixes.some((prefix) => key.startsWith(prefix.replace('<tenant>', tenant ?? '').replace(/\*$/, '')));
  });
}

/** Throws what IAM says when the function's row does not grant the action. */
export function demand(grants: Grants, caller: string, on: string, action: string, key?: string): void {
  if (isGranted(grants, caller, on, action, key)) return;
  throw new Refusal(
    403,
    'AccessDenied',
    `The function ${caller} is not authorised to perform ${action} on ${on}: its row in the manifest does not say so.`,
  );
}

const LOOPBACK = /^(127\.0\.0\.1|localhost)(:\d+)?$/;

export type Answer = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Serves on loopback, and nowhere else. Port 0 takes a free one. Throws what listen() throws, such as EADDRINUSE. */
export async function serve(answer: Answer, port = 0): Promise<{ port: number; url: string; server: Server; end: () => Promise<void> }> {
  const server = createServer((request, response) => {
    // A web page whose name is made to point at 127.0.0.1 would otherwise be read as one of ours.
    if (!LOOPBACK.test(request.headers.host ?? '')) return void response.writeHead(421).end();
    answer(request, response).catch((error: unknown) => {
      console.error(error);
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((done, fail) => server.once('error', fail).listen(port, '127.0.0.1', done));
  const taken = (server.address() as AddressInfo).port;
  const end = () =>
    new Promise<void>((done) => {
      server.close(() => done());
      server.closeAllConnections();
    });
  return { port: taken, url: `http://127.0.0.1:${taken}`, server, end };
}

/** The whole body. Throws a Refusal beyond `limit` bytes, having read what was sent, so that the answer can be heard. */
export async function bodyOf(request: IncomingMessage, limit = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk);
  }
  if (size > limit) throw new Refusal(413, 'RequestEntityTooLarge', `The body has more than ${limit} bytes.`);
  return Buffer.concat(chunks);
}

/** Answers a call of AWS's JSON protocols: `X-Amz-Target: Service.Action`, JSON both ways, errors by `__type`. */
export function jsonService(
  version: '1.0' | '1.1',
  run: (caller: string, action: string, input: never) => object | Promise<object>,
): Answer {
  return async (request, response) => {
    let status = 200;
    let answer: object;
    try {
      const body = await bodyOf(request);
      const action = String(request.headers['x-amz-target']).split('.')[1] ?? '';
      answer = await run(callerOf(request), action, JSON.parse(body.toString()) as never);
    } catch (error) {
      if (!(error instanceof Refusal)) console.error(error);
      const refusal = error instanceof Refusal ? error : new Refusal(500, 'InternalFailure', 'The local engine failed.');
      status = refusal.status;
      answer = { __type: refusal.code, message: refusal.message };
      response.setHeader('x-amzn-query-error', `${refusal.code};${status < 500 ? 'Sender' : 'Receiver'}`);
    }
    response.writeHead(status, { 'content-type': `application/x-amz-json-${version}` }).end(JSON.stringify(answer));
  };
}

/** Answers a call of AWS's Query protocol: a form in, `Action` in it, XML out. `run` answers the XML of the result. */
export function queryService(namespace: string, run: (caller: string, action: string, form: URLSearchParams) => string): Answer {
  return async (request, response) => {
    let status = 200;
    let xml: string;
    try {
      const form = new URLSearchParams((await bodyOf(request, 30 * 1024 * 1024)).toString());
      const action = form.get('Action') ?? '';
      const result = run(callerOf(request), action, form);
      xml = `<${action}Response xmlns="${namespace}"><${action}Result>${result}</${action}Result></${action}Response>`;
    } catch (error) {
      if (!(error instanceof Refusal)) console.error(error);
      const refusal = error instanceof Refusal ? error : new Refusal(500, 'InternalFailure', 'The local engine failed.');
      status = refusal.status;
      const type = status < 500 ? 'Sender' : 'Receiver';
      xml = `<ErrorResponse xmlns="${namespace}"><Error><Type>${type}</Type><Code>${refusal.code}</Code><Message>${escapeXml(refusal.message)}</Message></Error></ErrorResponse>`;
    }
    response.writeHead(status, { 'content-type': 'text/xml' }).end(xml);
  };
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

export const escapeXml = (text: string) => text.replace(/[&<>"]/g, (character) => ENTITIES[character] ?? character);
