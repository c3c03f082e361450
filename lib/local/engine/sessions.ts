import { randomBytes } from 'node:crypto';

/** A function that acts for one tenant, and how it shows that it may. */
type Session = { caller: string; token: string; until: number };

/** By access key. They go with the engine, as the functions do that hold them. */
const sessions = new Map<string, Session>();

/** From now on the credentials it answers stand for `function/tenant`. */
export function beginSession(name: string, tenant: string, seconds: number) {
  for (const [key, session] of sessions) if (session.until < Date.now()) sessions.delete(key);
  const accessKeyId = `ASIA${randomBytes(8).toString('hex').toUpperCase()}`;
  const sessionToken = randomBytes(48).toString('base64');
  const until = Date.now() + seconds * 1000;
  sessions.set(accessKeyId, { caller: `${name}/${tenant}`, token: sessionToken, until });
  return { accessKeyId, secretAccessKey: randomBytes(30).toString('base64'), sessionToken, expiration: new Date(until) };
}

/** The session these credentials are of; undefined when it is over, or the token is not the one that was given. */
export function sessionBehind(accessKeyId: string, token: unknown): Session | undefined {
  const session = sessions.get(accessKeyId);
  return session && session.token === token && session.until > Date.now() ? session : undefined;
}

/** Which function calls, and for which tenant if it acts for one. */
export function partsOf(caller: string): { name: string; tenant?: string } {
  const [name = '', tenant] = caller.split('/');
  return tenant === undefined ? { name } : { name, tenant };
}
