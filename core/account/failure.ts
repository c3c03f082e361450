import type { FailureCode } from './account.ts';
import type { Pop3Step, Pop3Trouble } from './pop3.ts';

/**
 * What a failure does to polling (R-37). `credentials`: counts towards the three refusals after which polling stops.
 * `connection`: the next poll waits longer. `later`: the server asks for patience; never counted.
 */
export type Effect = 'credentials' | 'connection' | 'later';
export type Failure = { code: FailureCode; effect: Effect };

/** What is known of a failed session, over POP3 or SMTP: a Pop3Error and an SmtpError are such. */
export type Trouble = { trouble: Pop3Trouble; step: Pop3Step; code?: string; server?: string };

const EFFECT: Record<FailureCode, Effect> = {
  'no-password': 'credentials',
  'wrong-password': 'credentials',
  'app-password-required': 'credentials',
  'mailbox-unavailable': 'credentials',
  // Put right at the provider, where nobody tells us: so it is tried again, more and more seldom.
  'pop-not-enabled': 'connection',
  'web-login-required': 'connection',
  'limit-exceeded': 'connection',
  'server-refused': 'connection',
  'no-unique-ids': 'connection',
  unreachable: 'connection',
  'certificate-refused': 'connection',
  'tls-not-offered': 'connection',
  'not-a-mail-server': 'connection',
  'connection-lost': 'connection',
  'mailbox-in-use': 'later',
  'login-delay': 'later',
  'server-temporary': 'later',
};

/**
 * Why a session failed, in our words, and what follows for polling. `workedBefore`: this user name was accepted by this server
 * once; then a server that says it does not exist means that the mailbox is gone (POP-28, R-44), not that somebody mistyped.
 * Careful to the side of the password: what a server refuses at login without saying why counts as refused credentials, because
 * asking again and again is what locks mailboxes; but what it puts down to itself never counts.
 */
export function failureOf(trouble: Trouble, workedBefore = false): Failure {
  const code = codeOf(trouble, workedBefore);
  return { code, effect: EFFECT[code] };
}

/** Not refusals by the server: what happened on the way to it. */
const ON_THE_WAY: Record<Exclude<Pop3Trouble, 'refused'>, FailureCode> = {
  unreachable: 'unreachable',
  certificate: 'certificate-refused',
  'no-tls': 'tls-not-offered',
  protocol: 'not-a-mail-server',
  lost: 'connection-lost',
  'too-large': 'server-refused',
};

function codeOf({ trouble, step, code = '', server = '' }: Trouble, workedBefore: boolean): FailureCode {
  if (trouble !== 'refused') return ON_THE_WAY[trouble];
  const said = SAYINGS.find(({ text }) => text.test(server));
  if (said) return said.means;
  const byCode = CODES.find(({ is }) => is.test(code));
  if (step === 'ids' && (!byCode || byCode.means === 'server-refused')) return 'no-unique-ids';
  if (byCode) return byCode.means;
  if (NO_SUCH_USER.test(server) && workedBefore) return 'mailbox-unavailable';
  return step === 'login' ? 'wrong-password' : 'server-refused';
}

/**
 * Texts that say more than their code, or have none; the first that fits counts. Words of Gmail, Exchange Online, Outlook.com,
 * Yahoo, Yandex, Mail.ru, Zoho, GMX and WEB.DE, Dovecot, Courier, Cyrus and qpopper.
 */
const SAYINGS: { text: RegExp; means: FailureCode }[] = [
  // Yandex: [AUTH] login failure or POP3 disabled, try later. What may be the password is taken for the password.
  { text: /(?:log-?in|password|credentials|user ?name)[\w ]* or (?:pop3?|imap)\b/i, means: 'wrong-password' },
  // Gmail: [AUTH] Application-specific password required; SMTP 534 5.7.9. Yahoo and AOL: generate app password. Mail.ru:
  // Application password is REQUIRED.
  { text: /\bapp(?:lication)?[- ](?:specific )?password/i, means: 'app-password-required' },
  // Gmail: [AUTH] Web login required; SMTP 534 5.7.14 Please log in via your web browser.
  { text: /web log-?in required|log-?in via (?:your )?(?:web )?browser/i, means: 'web-login-required' },
  // Gmail, at STAT after PASS: [SYS/PERM] Your account is not enabled for POP access. Zoho: You are yet to enable POP for your
  // account. Yahoo: pop not allowed for user.
  { text: /(?:not|yet to (?:be )?)\s?enabled? (?:for )?pop|\benable pop/i, means: 'pop-not-enabled' },
  { text: /\bpop3?\b[\w ]* (?:is |are )?(?:disabled|deactivated|not (?:enabled|allowed|permitted|activated))/i, means: 'pop-not-enabled' },
  // Exchange Online, SMTP 5.7.139: basic authentication is disabled; SmtpClientAuthentication is disabled for the Tenant.
  { text: /(?:basic|smtpclient) ?authentication is disabled/i, means: 'pop-not-enabled' },
  // RFC 2449 LOGIN-DELAY in words, as Cyrus and others have it.
  { text: /log-?ins? must be|minimum (?:log-?in )?(?:delay|interval)|log-?ins? too (?:soon|often|frequent)/i, means: 'login-delay' },
  // Gmail: [AUTH] Account exceeded command or bandwidth limits; SMTP 454 4.7.0 Too many login attempts. Outlook.com: Exceeded the
  // login limit for a 15 minute period. Dovecot: Maximum number of connections from user+IP exceeded.
  { text: /exceeded (?:[\w/]+ ){0,5}(?:limits?|quota)|limits? exceeded|connection limit|rate limit/i, means: 'limit-exceeded' },
  { text: /too many (?:[\w/-]+ ){0,3}(?:log-?ins?|connections?|sessions?|attempts|failures|requests)/i, means: 'limit-exceeded' },
  { text: /maximum (?:number of )?(?:connections?|sessions?|log-?ins?)/i, means: 'limit-exceeded' },
  // qpopper: lock busy! Is another session active? Cyrus: Unable to lock maildrop: Mailbox is locked by POP server.
  { text: /lock busy|another (?:pop3? )?session|unable to lock/i, means: 'mailbox-in-use' },
  { text: /(?:mailbox|maildrop|mail drop) (?:is )?(?:already |currently )?(?:locked|in use|busy)/i, means: 'mailbox-in-use' },
  // Dovecot: [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
  { text: /(?:plain ?text|cleartext) \w+ (?:is )?(?:disallowed|disabled|not (?:allowed|permitted))/i, means: 'tls-not-offered' },
  {
    text: /must (?:use|issue) (?:an? )?(?:stls|starttls|ssl|tls)\b|\b(?:stls|starttls|ssl|tls|encryption) (?:is )?required/i,
    means: 'tls-not-offered',
  },
  // Dovecot: Temporary authentication failure. Yahoo: [SYS/TEMP] Server error - Please try again later.
  { text: /temporar(?:y|ily)|try (?:it )?again later|internal (?:server )?error|server error|timed? ?out/i, means: 'server-temporary' },
  {
    text: /(?:service|server|system) (?:is )?(?:currently )?(?:unavailable|not available|busy|down)|maintenance/i,
    means: 'server-temporary',
  },
];

/** Response codes (RFC 2449 8.1, RFC 3206; SMTP's replies as smtp-client.ts hands them on). */
const CODES: { is: RegExp; means: FailureCode }[] = [
  { is: /^IN-USE/, means: 'mailbox-in-use' },
  { is: /^LOGIN-DELAY/, means: 'login-delay' },
  { is: /^SYS\/TEMP/, means: 'server-temporary' },
  { is: /^SYS\/PERM/, means: 'server-refused' },
];

/** Cyrus: Mailbox does not exist. Others: unknown user, no such user, account suspended. Exchange's "or bad password" is no such word. */
const NO_SUCH_USER =
  /(?:no such|unknown|invalid|non-?existent) (?:user|account|mailbox|maildrop)(?!(?: ?name)? or)|(?:user|account|mailbox|maildrop)(?: name)?(?: \S+)? (?:unknown|does not exist|doesn't exist|not found|has been (?:deleted|disabled|suspended|removed))|(?:account|mailbox) (?:is )?(?:disabled|suspended|closed|deleted)/i;
