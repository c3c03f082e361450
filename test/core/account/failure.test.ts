import type { FailureCode } from '../../../core/account/account.ts';
import { adviceFor } from '../../../core/account/advice.ts';
import { type Effect, failureOf } from '../../../core/account/failure.ts';
import { Pop3Error, type Pop3Step, type Pop3Trouble } from '../../../core/account/pop3.ts';
import { PRESETS } from '../../../core/account/presets.ts';

/** `-ERR [CODE] text`, as a server says it at a step. */
function refused(line: string, step: Pop3Step = 'login'): Pop3Error {
  const [, code, server] = /^(?:\[([^\]]+)\] ?)?(.*)$/.exec(line)!;
  return new Pop3Error(step, 'refused', { code: code?.toUpperCase(), server });
}

const ANSWERS: [server: string, line: string, code: FailureCode, effect: Effect, step?: Pop3Step][] = [
  [
    'Gmail',
    '[AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833',
    'app-password-required',
    'credentials',
  ],
  ['Gmail', '[AUTH] Username and password not accepted.', 'wrong-password', 'credentials'],
  ['Gmail', '[AUTH] Web login required: https://support.google.com/mail/answer/78754', 'web-login-required', 'connection'],
  ['Gmail', '[AUTH] Account exceeded command or bandwidth limits.', 'limit-exceeded', 'connection'],
  [
    'Gmail',
    '[SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page and enable your account for POP access.',
    'pop-not-enabled',
    'connection',
    'mailbox',
  ],
  ['Gmail', '[SYS/TEMP] Temporary system problem. Please try again later.', 'server-temporary', 'later'],
  ['Gmail', '[IN-USE] Mailbox in use', 'mailbox-in-use', 'later'],
  ['Gmail', '[LOGIN-DELAY] 300', 'login-delay', 'later'],
  ['Exchange Online', 'Authentication failure: unknown user name or bad password.', 'wrong-password', 'credentials'],
  ['Exchange Online', 'Logon failure: unknown user name or bad password.', 'wrong-password', 'credentials'],
  [
    'Outlook.com',
    'Exceeded the login limit for a 15 minute period. Reduce the frequency of requests to the POP3 server.',
    'limit-exceeded',
    'connection',
  ],
  ['Yahoo', '[AUTH] (#MBR1212) Incorrect username or password. (#AUTH012)', 'wrong-password', 'credentials'],
  ['Yahoo', '[SYS/TEMP] Server error - Please try again later.', 'server-temporary', 'later'],
  ['Yahoo', 'pop not allowed for user.', 'pop-not-enabled', 'connection'],
  ['Zoho', '[AUTH] Invalid credentials(Failure)', 'wrong-password', 'credentials'],
  ['Zoho', 'You are yet to enable POP for your account. Please contact your administrator', 'pop-not-enabled', 'connection'],
  ['Yandex', '[AUTH] login failure or POP3 disabled, try later. sc=abc', 'wrong-password', 'credentials'],
  ['Mail.ru', '[AUTH] Application password is REQUIRED', 'app-password-required', 'credentials'],
  ['GMX', 'authentication failed', 'wrong-password', 'credentials'],
  ['GMX', 'POP3 access is disabled', 'pop-not-enabled', 'connection'],
  ['Dovecot', '[AUTH] Authentication failed.', 'wrong-password', 'credentials'],
  ['Dovecot', '[SYS/TEMP] Temporary authentication failure. [host:2026-11-22 07:00:00]', 'server-temporary', 'later'],
  ['Dovecot', '[IN-USE] Mailbox is locked by another POP3 session.', 'mailbox-in-use', 'later'],
  ['Dovecot', '[AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.', 'tls-not-offered', 'connection'],
  [
    'Dovecot',
    '[IN-USE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)',
    'limit-exceeded',
    'connection',
  ],
  ['Courier', 'Login failed.', 'wrong-password', 'credentials'],
  ['Courier', 'Temporary problem, please try again later', 'server-temporary', 'later'],
  ['Cyrus', '[AUTH] Invalid login', 'wrong-password', 'credentials'],
  ['Cyrus', '[IN-USE] Unable to lock maildrop: Mailbox is locked by POP server', 'mailbox-in-use', 'later'],
  ['Cyrus', '[LOGIN-DELAY] Logins must be at least 5 minutes apart', 'login-delay', 'later'],
  ['Cyrus', '[SYS/PERM] Unable to open maildrop: Mailbox does not exist', 'server-refused', 'connection'],
  ['qpopper', '[AUTH] Password supplied for "taro" is incorrect.', 'wrong-password', 'credentials'],
  ['qpopper', 'taro lock busy!  Is another session active? (11)', 'mailbox-in-use', 'later'],
  ['a server that says nothing', '', 'wrong-password', 'credentials'],
  ['a server that says why', '[SYS/PERM] account closed', 'server-refused', 'connection'],
  ['a greeting', 'too many connections from your host', 'limit-exceeded', 'connection', 'greeting'],
  ['a greeting', '[SYS/TEMP] shutting down', 'server-temporary', 'later', 'greeting'],
  ['a greeting', 'go away', 'server-refused', 'connection', 'greeting'],
  ['a mailbox', 'mailbox is corrupt', 'server-refused', 'connection', 'mailbox'],
  ['a server without UIDL', 'unknown command', 'no-unique-ids', 'connection', 'ids'],
  ['a server without UIDL', '[SYS/PERM] not supported', 'no-unique-ids', 'connection', 'ids'],
  ['a listing of ids', '[SYS/TEMP] index locked', 'server-temporary', 'later', 'ids'],
  ['a mail', 'no such message', 'server-refused', 'connection', 'mail'],
];

test.each(ANSWERS.map(([server, line, code, effect, step]) => ({ server, line, code, effect, step })))(
  'R-37: $server says "$line": $code, and polling treats it as $effect',
  ({ line, code, effect, step }) => {
    expect(failureOf(refused(line, step))).toEqual({ code, effect });
  },
);

test('R-37: [IN-USE], [LOGIN-DELAY] and [SYS/TEMP] are never refusals of a password, whatever their text', () => {
  for (const code of ['IN-USE', 'LOGIN-DELAY', 'SYS/TEMP']) {
    for (const server of ['', 'authentication failed', 'Username and password not accepted.', 'no such user']) {
      expect(failureOf({ trouble: 'refused', step: 'login', code, server }, true).effect).toBe('later');
    }
  }
});

test('R-37: only what is refused at login counts as refused credentials', () => {
  for (const step of ['resolve', 'connect', 'tls', 'greeting', 'capabilities', 'mailbox', 'ids', 'mail', 'quit'] as const) {
    expect(failureOf({ trouble: 'refused', step, server: 'no' }).effect).toBe('connection');
  }
});

test.each<[Pop3Trouble, FailureCode]>([
  ['unreachable', 'unreachable'],
  ['certificate', 'certificate-refused'],
  ['no-tls', 'tls-not-offered'],
  ['protocol', 'not-a-mail-server'],
  ['lost', 'connection-lost'],
  ['too-large', 'server-refused'],
])('R-37: %s on the way is %s, and polling backs off', (trouble, code) => {
  expect(failureOf(new Pop3Error('login', trouble))).toEqual({ code, effect: 'connection' });
});

describe('POP-28, R-44: a user name that is refused', () => {
  const sayings = [
    '[AUTH] no such user',
    'unknown user',
    'user taro unknown',
    'Mailbox does not exist',
    'account has been deleted',
    '[AUTH] account is disabled',
  ];

  test.each(sayings)('after it worked, "%s" means that the mailbox is gone', (line) => {
    expect(failureOf(refused(line), true)).toEqual({ code: 'mailbox-unavailable', effect: 'credentials' });
  });

  test.each(sayings)('before it ever worked, "%s" is a typing error', (line) => {
    expect(failureOf(refused(line)).code).toBe('wrong-password');
  });

  test.each([
    'Authentication failure: unknown user name or bad password.',
    '[AUTH] Invalid user name or password',
    'invalid user or password',
  ])('"%s" does not say which, so it is the password', (line) => {
    expect(failureOf(refused(line), true).code).toBe('wrong-password');
  });
});

describe('advice', () => {
  const codes = [
    ...new Set(ANSWERS.map(([, , code]) => code)),
    'unreachable',
    'certificate-refused',
    'not-a-mail-server',
    'connection-lost',
    'mailbox-unavailable',
  ] as FailureCode[];
  const preset = (id: string) => PRESETS.find((each) => each.id === id)!;

  test('every failure has words in English and Japanese, for both servers and every provider', () => {
    expect(codes).toHaveLength(16);
    for (const code of codes) {
      for (const side of ['incoming', 'outgoing'] as const) {
        for (const provider of [undefined, ...PRESETS]) {
          const { what, todo } = adviceFor(code, side, provider);
          for (const { en, ja } of [what, todo]) {
            expect(en).toMatch(/^[A-Zai][^\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Han}]+$/u);
            expect(ja).toMatch(/[\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Han}]/u);
          }
        }
      }
    }
  });

  test('INB-16, POP-12: with two-step verification on, the cure is an app-specific password, with the link to it', () => {
    const { todo, link } = adviceFor('app-password-required', 'incoming', preset('gmail'));
    expect(todo.en).toMatch(/app-specific password/);
    expect(todo.ja).toMatch(/アプリ専用のパスワード/);
    expect(link).toBe('https://support.google.com/accounts/answer/185833');
  });

  test('POP-12: a refused password at a provider that takes app passwords alone says so', () => {
    expect(adviceFor('wrong-password', 'incoming', preset('gmail')).todo.en).toMatch(/create an app password/);
    expect(adviceFor('wrong-password', 'incoming', preset('zoho')).todo.en).toMatch(/If two-step verification is on/);
    expect(adviceFor('wrong-password', 'incoming', preset('ocn')).todo.en).not.toMatch(/create an app password/);
  });

  test('POP turned off at the provider: how it is turned on there', () => {
    expect(adviceFor('pop-not-enabled', 'incoming', preset('gmail')).todo.en).toMatch(/Forwarding and POP/);
    expect(adviceFor('pop-not-enabled', 'incoming', preset('zoho')).link).toBe('https://www.zoho.com/mail/help/pop-access.html');
  });

  test('Exchange Online: no other password would help, and the advice says so', () => {
    expect(adviceFor('wrong-password', 'incoming', preset('exchange-online')).todo.en).toMatch(/no longer takes passwords/);
  });

  test('INB-17: an outgoing server that is not reached: ask the provider, enter what it gives', () => {
    expect(adviceFor('unreachable', 'outgoing').todo.en).toMatch(/Ask the provider/);
    expect(adviceFor('unreachable', 'outgoing').todo.ja).toMatch(/メールサービスに確認/);
  });
});
