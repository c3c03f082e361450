import { invalid } from '../errors.ts';
import { normaliseAddress, normaliseDomain } from '../message/address.ts';
import type { Incoming, Outgoing, Pop3Account, Security } from './account.ts';
import type { AccountInput, AccountPatch } from './account-input.ts';
import { noPasswordPop } from './advice.ts';
import { isRecent, type Preset, presetOfAddress, presetOfHost, userNameFor } from './presets.ts';

/** What a member sets of an account, passwords apart. */
export type AccountForm = Pick<Pop3Account, 'name' | 'address' | 'incoming' | 'outgoing' | 'deletion'>;

type OutgoingInput = NonNullable<AccountPatch['outgoing']>;

const POP3_PORT: Record<Security, number> = { implicit: 995, starttls: 110, none: 110 };
const SUBMISSION_PORT: Record<Security, number> = { implicit: 465, starttls: 587, none: 587 };

/**
 * A new account as its form says; what it leaves out is filled in where the provider is known (POP-9, POP-14). Throws
 * `imap-not-supported` (POP-3), `invalid-address`, `invalid-server`, `server-needed`, `recent-needs-leave` (POP-17),
 * `outgoing-credentials`, `password-needed`.
 */
export function readForm(input: AccountInput): AccountForm {
  if (input.protocol === 'imap') {
    throw invalid('imap-not-supported', 'IMAP is not supported here: mailboxes are read over POP3. Give the POP3 server of your provider.');
  }
  const address = readAddress(input.address);
  const provider = presetFor(address, input.incoming.host);
  const incoming = readIncoming(input.incoming, knownServer(input.incoming.host, provider, address), provider);
  if (input.readByOtherClients && presetOfHost(incoming.host)?.sharedUserName) incoming.userName = recent(incoming.userName);
  const outgoing = input.outgoing ? readOutgoing(input.outgoing, incoming.userName) : knownOutgoing(incoming, provider);
  if (input.outgoing && !outgoing?.sameCredentials && !input.outgoing?.password) throw passwordNeeded('outgoing.password');
  return withDeletion({ name: input.name, address, incoming, outgoing, deletion: input.deletion });
}

/**
 * An account as a change leaves it. Whoever holds a token could point an account at a server of their own to be sent the
 * password that nobody can read here: a host that is new needs the password anew, and so does one whose password was deleted.
 * Throws as `readForm`, and `password-needed`.
 */
export function changedForm(before: Pop3Account, patch: AccountPatch): AccountForm {
  const incoming = patch.incoming ? readIncoming(patch.incoming, before.incoming) : before.incoming;
  const needsPassword = incoming.host !== before.incoming.host || (patch.incoming && before.incomingPassword === undefined);
  if (needsPassword && !patch.incoming?.password) throw passwordNeeded('incoming.password');
  return withDeletion({
    name: patch.name ?? before.name,
    address: patch.address === undefined ? before.address : readAddress(patch.address),
    incoming,
    outgoing: patch.outgoing === undefined ? before.outgoing : changedOutgoing(before, patch, incoming),
    deletion: patch.deletion ?? before.deletion,
  });
}

/** The provider of a server that was named, else of an address. */
export const presetFor = (address: string, host?: string) =>
  (host === undefined ? undefined : presetOfHost(host)) ?? presetOfAddress(address);

/** What a provider's preset says of the incoming server, if it is the one that is meant. */
function knownServer(host: string | undefined, provider: Preset | undefined, address: string): Partial<Incoming> {
  if (!provider) return { userName: address };
  const isMeant = host === undefined || host.trim().toLowerCase() === provider.incoming?.host;
  return { ...(isMeant ? provider.incoming : {}), userName: userNameFor(provider, address) };
}

/** The outgoing server of the provider whose incoming server this is: with the same credentials (POP-14, C-9). */
function knownOutgoing(incoming: Incoming, provider: Preset | undefined): Outgoing | undefined {
  if (!provider?.outgoing || provider.incoming?.host !== incoming.host) return undefined;
  return { ...provider.outgoing, sameCredentials: true };
}

/** The user name the outgoing server is logged in with; `recent:` is a word between Gmail's POP server and its clients alone. */
export const outgoingUserName = ({ incoming, outgoing }: Pick<Pop3Account, 'incoming' | 'outgoing'>) =>
  outgoing?.userName ?? withoutMode(incoming.userName);

function changedOutgoing(before: Pop3Account, patch: AccountPatch, incoming: Incoming): Outgoing | undefined {
  if (!patch.outgoing) return undefined;
  const after = readOutgoing(patch.outgoing, incoming.userName);
  const isNewHost = after.host !== before.outgoing?.host;
  if (after.sameCredentials && isNewHost && !patch.incoming?.password) throw passwordNeeded('incoming.password');
  if (!after.sameCredentials && (isNewHost || !before.outgoingPassword) && !patch.outgoing.password) {
    throw passwordNeeded('outgoing.password');
  }
  return after;
}

function readIncoming(
  input: AccountInput['incoming'] | NonNullable<AccountPatch['incoming']>,
  known: Partial<Incoming>,
  provider?: Preset,
): Incoming {
  const host = input.host === undefined ? known.host : readHost(input.host);
  if (!host) {
    const why = 'We do not know the POP3 server of this address. Give incoming.host; your provider tells it.';
    throw invalid('server-needed', why, provider && { advice: noPasswordPop(provider) });
  }
  const security = input.security ?? known.security ?? 'implicit';
  // A port given for one kind of security says nothing about another.
  const port = input.port ?? (security === known.security ? known.port : undefined) ?? POP3_PORT[security];
  return { host, port, security, userName: input.userName?.trim() ?? known.userName ?? '' };
}

function readOutgoing(input: OutgoingInput, incomingUser: string): Outgoing {
  const { host, port, security = 'implicit', sameCredentials, userName, password } = input;
  const same = sameCredentials ?? (userName === undefined && password === undefined);
  if (same && (userName !== undefined || password !== undefined)) {
    throw invalid('outgoing-credentials', 'With sameCredentials the outgoing server has no user name and password of its own.');
  }
  const own = same ? {} : { userName: userName?.trim() ?? withoutMode(incomingUser) };
  return { host: readHost(host), port: port ?? SUBMISSION_PORT[security], security, sameCredentials: same, ...own };
}

/** A host name, or a literal address, in its one spelling. Which of them are connected to is decided when it is. */
function readHost(text: string): string {
  const bare = text.trim().toLowerCase();
  const host = normaliseDomain(bare) ?? (/^\d+(\.\d+){3}$|^[0-9a-f]*:[0-9a-f:.]+$/.test(bare) ? bare : undefined);
  if (!host) throw invalid('invalid-server', 'Give the name of a mail server, such as pop.example.com.');
  return host;
}

function readAddress(text: string): string {
  const address = normaliseAddress(text);
  if (!address) throw invalid('invalid-address', 'Give the address of the mailbox, such as mika@example.com.');
  return address;
}

/** In recent mode the server gives out thirty days again and again, to several clients: none of them may delete (POP-17, R-36). */
function withDeletion(form: AccountForm): AccountForm {
  if (isRecent(form.incoming.userName) && form.deletion.policy !== 'leave') {
    throw invalid('recent-needs-leave', 'With a user name that begins with `recent:` mail must be left on the server: deletion "leave".');
  }
  return form;
}

const recent = (userName: string) => (isRecent(userName) ? userName : `recent:${userName}`);

/** Is it the same server, reached in the same way, with the same user name? */
export const isSameServer = (a: Incoming, b: Incoming) =>
  a.host === b.host && a.port === b.port && a.security === b.security && a.userName === b.userName;

/** What tells two mailboxes apart: the server, and the user name without its mode. */
export const mailboxOf = ({ host, userName }: Incoming) => `${host}\n${withoutMode(userName).toLowerCase()}`;

const withoutMode = (userName: string) => userName.replace(/^recent:/i, '');

const passwordNeeded = (field: string) =>
  invalid('password-needed', `Give ${field} too: a stored password is never sent to a server that is new to the account.`, { field });
