import { MAX_POP3_CAPABILITY_BYTES } from '../limits.ts';
import { Pop3Error } from './pop3.ts';
import { linesOf } from './pop3-lines.ts';
import type { Wire } from './pop3-wire-client.ts';
import type { Secured } from './tls-client.ts';

export type Pop3Login = { userName: string; password: string } | { userName: string; accessToken: string };

/** CAPA (RFC 2449 5); a server that does not know it has none. */
export async function capabilitiesOf(wire: Wire): Promise<Map<string, string>> {
  const answer = await wire.ask('CAPA', 'capabilities', { max: MAX_POP3_CAPABILITY_BYTES }).catch(unlessRefused);
  const listed = new Map<string, string>();
  for (const line of answer ? linesOf(answer.body) : []) {
    const [name = '', ...parameters] = line.trim().split(/\s+/);
    if (name) listed.set(name.toUpperCase(), parameters.join(' '));
  }
  return listed;
}

/** STLS (RFC 2595 4), which must be had. Throws `no-tls` where it is not offered. */
export async function startTls(wire: Wire, capabilities: ReadonlyMap<string, string>): Promise<Secured> {
  const offered = capabilities.size === 0 || capabilities.has('STLS');
  if (!offered || !(await wire.ask('STLS', 'tls').catch(unlessRefused))) throw new Pop3Error('tls', 'no-tls');
  return wire.secure();
}

/** An answer -ERR is an answer, too; every other trouble goes on. */
const unlessRefused = (error: unknown): undefined => {
  if (!(error instanceof Pop3Error) || error.trouble !== 'refused') throw error;
};

const base64 = (text: string) => Buffer.from(text, 'utf8').toString('base64');

/** USER and PASS, which every server knows; AUTH PLAIN (RFC 4616) where they are not offered, or for what they cannot carry. */
export async function logIn(wire: Wire, login: Pop3Login, capabilities: ReadonlyMap<string, string>): Promise<void> {
  if (Object.values(login).some((each) => unfit(each))) throw new Pop3Error('login', 'refused');
  if ('accessToken' in login) {
    const response = base64(`user=${login.userName}\x01auth=Bearer ${login.accessToken}\x01\x01`);
    wire.conceal(login.accessToken, response);
    // A refusal comes as a challenge, and wants an empty answer before its -ERR.
    return authenticate(wire, 'XOAUTH2', response, ['']);
  }
  const response = base64(`\0${login.userName}\0${login.password}`);
  wire.conceal(login.password, response);
  const offersPlain = /\bPLAIN\b/i.test(capabilities.get('SASL') ?? '');
  const fitsUserPass = /^[!-~]+$/.test(login.userName) && /^[ -~]+$/.test(login.password);
  if (offersPlain && !(capabilities.has('USER') && fitsUserPass)) return authenticate(wire, 'PLAIN', response, []);
  await wire.ask(`USER ${login.userName}`, 'login');
  await wire.ask(`PASS ${login.password}`, 'login');
}

/** The response goes along with AUTH when the line stays within 255 bytes (RFC 5034 4), else when it is asked for: so Exchange wants it. */
async function authenticate(wire: Wire, mechanism: string, response: string, further: string[]): Promise<void> {
  const oneStep = `AUTH ${mechanism} ${response}`;
  if (oneStep.length + 2 <= 255) await wire.ask(oneStep, 'login', undefined, further);
  else await wire.ask(`AUTH ${mechanism}`, 'login', undefined, [response, ...further]);
}

/** In an argument, a line break would be a command of its own. */
const unfit = (text: string) => /[\r\n\0]/.test(text);
