import { isIP } from 'node:net';
import { type PeerCertificate, rootCertificates, type TLSSocket } from 'node:tls';
import type { Certificate } from './pop3.ts';

/** What a handshake came to. */
export type Secured = { protocol: string; certificate: Certificate };

/**
 * Options for TLS with the server that is called `host`: with SNI, and with a further authority (PEM) trusted beside the usual ones.
 * Whether the certificate is good is for the caller to ask with `securedBy`, before anything is said: Node would drop it along with
 * the connection, and it could not be shown to the user.
 */
export const tlsOptions = (host: string, ca: string | undefined) => ({
  host,
  ...(isIP(host) ? {} : { servername: host }),
  ...(ca ? { ca: [...rootCertificates, ca] } : {}),
  rejectUnauthorized: false,
});

/** The certificate that was shown, what is wrong with it, and whether it is to be trusted. */
export function securedBy(socket: TLSSocket): Secured & { isTrusted: boolean } {
  const certificate = certificateOf(socket.getPeerCertificate(), socket.authorizationError);
  return { isTrusted: socket.authorized, protocol: socket.getProtocol() ?? '', certificate };
}

/** By the error's code: what the other side said in the handshake was no TLS. */
export const isNoTls = (code: string | undefined): boolean => /^(EPROTO|ERR_SSL_|ERR_TLS_)/.test(code ?? '');

function certificateOf(found: PeerCertificate, problem: Error | string | null | undefined): Certificate {
  const nameOf = (of: PeerCertificate['subject'] | undefined) => [of?.CN ?? of?.O ?? ''].flat().join(', ');
  const timeOf = (text: string) => (Number.isNaN(Date.parse(text)) ? '' : new Date(text).toISOString());
  return {
    subject: nameOf(found.subject),
    issuer: nameOf(found.issuer),
    validFrom: timeOf(found.valid_from),
    validTo: timeOf(found.valid_to),
    names: (found.subjectaltname ?? '').split(', ').flatMap((name) => name.replace(/^(DNS|IP Address):/, '') || []),
    problem: problem instanceof Error ? ((problem as NodeJS.ErrnoException).code ?? problem.message) : (problem ?? ''),
  };
}
