import type { Pop3Account } from '../../core/account/account.ts';
import { openPassword } from '../../core/account/account-store.ts';
import type { Lanes } from '../../core/account/lane.ts';
import { Pop3Error, type Pop3Session } from '../../core/account/pop3.ts';
import { openPop3 } from '../../core/account/pop3-client.ts';
import { INCOMING_PORTS, resolveServer } from '../../core/account/resolve-client.ts';
import { POP3_TOTAL_MS } from '../../core/limits.ts';
import { mailServers, vault } from '../connect.ts';

/**
 * Logs in to an account's server, at an address that was looked up once and checked. So many sessions with one server at a time
 * in this process; each is given back by QUIT's answer or `destroy`. Throws a Pop3Error.
 */
export async function openSession(account: Pop3Account, hosts: Lanes, endsAt: number): Promise<Pop3Session> {
  const { host, port, security, userName } = account.incoming;
  const password = await openPassword(vault(), account, 'incoming');
  if (password === undefined) throw new Error('the mail account has no password');
  const giveBack = await hosts.take(host.toLowerCase());
  try {
    const server = await resolveServer({ host, port }, INCOMING_PORTS, mailServers());
    if (!server) throw new Pop3Error('resolve', 'unreachable');
    const session = await openPop3({
      host: server.name,
      address: server.address,
      port: server.port,
      security,
      login: { userName, password },
      ca: server.ca,
      timeouts: { totalMs: Math.max(1000, Math.min(POP3_TOTAL_MS, endsAt - Date.now())) },
      pipelining: account.oversize === undefined,
    });
    return givingBack(session, giveBack);
  } catch (error) {
    giveBack();
    throw error;
  }
}

function givingBack(session: Pop3Session, giveBack: () => void): Pop3Session {
  return Object.assign(Object.create(session) as Pop3Session, {
    quit: () => session.quit().finally(giveBack),
    destroy: () => {
      session.destroy();
      giveBack();
    },
  });
}
