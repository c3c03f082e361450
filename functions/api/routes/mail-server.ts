import { discoverQuery, discoveryReturned, providersReturned, trialInput, trialReturned } from '../../../core/account/mail-server-input.ts';
import type { Route } from '../route.ts';

const TRIAL =
  'Both servers are tried side by side, each step with its outcome and time: resolve, connect, TLS (the certificate is shown when it is refused), greeting, capabilities, login, mailbox. The outgoing server is logged in to; nothing is sent. A failed step says what to do, in English and Japanese. The answer is 200 also when a server fails: see `ok`. At most twenty tests an hour. A server that cannot be reached takes five seconds, whatever the reason.';

/** Mail servers: what is known of providers, how the servers of an address are found, and whether they let one in. */
export const mailServerRoutes: Route[] = [
  {
    method: 'GET',
    path: '/v1/mail-providers',
    operation: 'listMailProviders',
    tag: 'Mail accounts',
    summary: 'The mail providers we know: servers, user names, app passwords, how POP is turned on',
    who: 'add-on',
    returns: providersReturned,
  },
  {
    method: 'GET',
    path: '/v1/mail-providers/discover',
    operation: 'discoverMailServers',
    tag: 'Mail accounts',
    summary: 'The servers of an address, as far as they can be found out',
    description:
      'By the provider, else by the DNS records of the domain (MX; SRV as in RFC 6186 and RFC 8314), else a guess. Test before you create. At most sixty searches an hour.',
    who: 'add-on',
    query: discoverQuery,
    returns: discoveryReturned,
    problems: ['invalid-address', 'too-many-requests'],
  },
  {
    method: 'POST',
    path: '/v1/mail-accounts/test',
    operation: 'testMailServers',
    tag: 'Mail accounts',
    summary: 'Try the servers of an account before you create it',
    description: `The body is that of POST /v1/mail-accounts; nothing of it is kept. ${TRIAL}`,
    who: 'add-on',
    body: trialInput,
    example: {
      address: 'mika@example.com',
      incoming: { host: 'pop.example.com', port: 995, security: 'implicit', userName: 'mika@example.com', password: 'app password' },
      outgoing: { host: 'smtp.example.com', port: 465, security: 'implicit', sameCredentials: true },
    },
    returns: trialReturned,
    problems: ['imap-not-supported', 'invalid-address', 'invalid-server', 'server-needed', 'password-needed', 'too-many-requests'],
    idempotent: false,
  },
  {
    method: 'POST',
    path: '/v1/mail-accounts/{accountId}/test',
    operation: 'testMailAccount',
    tag: 'Mail accounts',
    summary: 'Try the servers of an account with its stored passwords',
    description: TRIAL,
    who: 'add-on',
    returns: trialReturned,
    problems: ['no-password', 'hosted-mailbox', 'too-many-requests'],
    idempotent: false,
  },
];
