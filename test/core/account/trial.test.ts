import { on } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { connect } from 'node:tls';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { type Trial, type TrialInput, type TrialOptions, trialOf, tryServers } from '../../../core/account/trial.ts';
import { EXPIRED_CERT, LOCALHOST_CERT, type Pop3ServerOptions, startPop3Server } from '../../support/pop3-server.ts';

const PASSWORD = 'open sesame';
const KEY = readFileSync(new URL('../../fixtures/tls/localhost-key.pem', import.meta.url), 'utf8');
const TRUSTED: TrialOptions = { reach: { local: true, ca: LOCALHOST_CERT } };

const ends: (() => unknown)[] = [];
afterEach(async () => {
  // Sockets before the servers that wait for them.
  for (const end of ends.splice(0).reverse()) await end();
});

/** A POP3 server, and what a user would enter for it. */
async function pop3(options: Pop3ServerOptions = {}) {
  const server = await startPop3Server(options);
  ends.push(server.end);
  const incoming = {
    host: 'localhost',
    port: server.port,
    security: options.security ?? 'none',
    userName: 'taro',
    password: PASSWORD,
  } as const;
  return { server, incoming };
}

async function smtp(options: SMTPServerOptions = {}, security: 'implicit' | 'starttls' | 'none' = 'implicit') {
  const sent: string[] = [];
  const server = new SMTPServer({
    secure: security === 'implicit',
    cert: LOCALHOST_CERT,
    key: KEY,
    authMethods: ['PLAIN', 'LOGIN'],
    disabledCommands: security === 'none' ? ['STARTTLS'] : [],
    allowInsecureAuth: security === 'none',
    onAuth: ({ username, password }, _, done) =>
      username === 'taro' && password === PASSWORD ? done(null, { user: 'taro' }) : done(new Error('Username and Password not accepted')),
    onMailFrom: ({ address }, _, done) => {
      sent.push(address);
      done();
    },
    ...options,
  });
  server.on('error', () => {});
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  ends.push(() => new Promise<void>((done) => server.close(done)));
  const { port } = server.server.address() as { port: number };
  return { sent, outgoing: { host: 'localhost', port, security, userName: 'taro', password: PASSWORD } };
}

/** A listener that does as it is told with each connection. */
async function listener(onConnection: Parameters<typeof createServer>[1]): Promise<number> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => {});
    ends.push(() => socket.destroy());
    onConnection?.(socket);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  ends.push(() => new Promise((done) => server.close(done)));
  return (server.address() as { port: number }).port;
}

const withoutUidl: Pop3ServerOptions['script'] = ({ verb }) => (verb === 'UIDL' ? '-ERR unknown command\r\n' : undefined);

const outcomes = (steps: Trial['incoming']['steps']) => steps.map(({ name, outcome }) => `${name} ${outcome}`);
const failed = (steps: Trial['incoming']['steps'] = []) => steps.find(({ outcome }) => outcome === 'failed');
const codes = (steps: Trial['incoming']['steps'] = []) => {
  const step = failed(steps);
  return step && [step.name, step.failure?.code];
};

describe('POP-18: an account is tested before it is created', () => {
  test.each(['implicit', 'starttls'] as const)('both servers, %s: each step with its outcome and time', async (security) => {
    const { server, incoming } = await pop3({ security, mails: ['Subject: one\r\n\r\n', 'Subject: two\r\n\r\n'] });
    const { sent, outgoing } = await smtp({}, security);
    const { ok, ...trial } = await tryServers({ incoming, outgoing }, TRUSTED);
    const inOrder = security === 'implicit' ? ['tls ok', 'greeting ok'] : ['greeting ok', 'tls ok'];
    expect(outcomes(trial.incoming.steps)).toEqual(['resolve ok', 'connect ok', ...inOrder, 'capabilities ok', 'login ok', 'mailbox ok']);
    expect(outcomes(trial.outgoing!.steps)).toEqual(['resolve ok', 'connect ok', ...inOrder, 'login ok']);
    expect(ok).toBe(true);
    const details = Object.assign({}, ...trial.incoming.steps);
    expect(details).toMatchObject({
      address: '127.0.0.1',
      greeting: 'POP3 server ready',
      tls: { protocol: 'TLSv1.3', certificate: { subject: 'localhost', problem: '' } },
      mailbox: { count: 2, octets: 32 },
    });
    expect(details.capabilities).toContain('UIDL');
    for (const step of [...trial.incoming.steps, ...trial.outgoing!.steps]) expect(step.ms).toBeGreaterThanOrEqual(0);
    // The mailbox is free again, nothing was marked, and nothing was sent.
    expect([server.received.at(-1), server.mails.length, sent]).toEqual(['QUIT', 2, []]);
  });

  test('without encryption it works, and says what that means', async () => {
    const { incoming } = await pop3();
    const { outgoing } = await smtp({}, 'none');
    const trial = await tryServers({ incoming, outgoing }, TRUSTED);
    expect(trial.ok).toBe(true);
    for (const { steps } of [trial.incoming, trial.outgoing!]) {
      const tls = steps.find(({ name }) => name === 'tls');
      expect(tls).toMatchObject({
        outcome: 'warning',
        advice: { what: { en: expect.stringMatching(/not encrypted/), ja: expect.stringMatching(/暗号化/) } },
      });
    }
  });

  test('POP-24: a wrong password', async () => {
    const { incoming } = await pop3({ security: 'implicit' });
    const { outgoing } = await smtp();
    const wrong = { incoming: { ...incoming, password: 'wrong' }, outgoing: { ...outgoing, password: 'wrong' } };
    const trial = await tryServers(wrong, TRUSTED);
    expect([trial.ok, codes(trial.incoming.steps), codes(trial.outgoing!.steps)]).toEqual([
      false,
      ['login', 'wrong-password'],
      ['login', 'wrong-password'],
    ]);
    expect(outcomes(trial.incoming.steps).at(-1)).toBe('mailbox skipped');
    expect(failed(trial.incoming.steps)?.failure?.server).toBe('Authentication failed');
  });

  test('POP-12, INB-16: a provider that wants an app password', async () => {
    const refusal = '-ERR [AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833\r\n';
    const { incoming } = await pop3({ security: 'implicit', script: ({ verb }) => (verb === 'PASS' ? refusal : undefined) });
    const { outgoing } = await smtp({
      onAuth: (_, __, done) => done(Object.assign(new Error('5.7.9 Application-specific password required.'), { responseCode: 534 })),
    });
    const trial = await tryServers({ incoming, outgoing }, TRUSTED);
    expect([codes(trial.incoming.steps), codes(trial.outgoing!.steps)]).toEqual([
      ['login', 'app-password-required'],
      ['login', 'app-password-required'],
    ]);
    expect(failed(trial.incoming.steps)?.advice?.todo.ja).toMatch(/アプリ専用のパスワード/);
  });

  test('POP that is not turned on shows at the mailbox, after a login that worked', async () => {
    const refusal = '-ERR [SYS/PERM] Your account is not enabled for POP access.\r\n';
    const { incoming } = await pop3({ security: 'implicit', script: ({ verb }) => (verb === 'STAT' ? refusal : undefined) });
    const { incoming: trial } = await tryServers({ incoming }, TRUSTED);
    expect(codes(trial.steps)).toEqual(['mailbox', 'pop-not-enabled']);
  });

  test.each([
    ['that knows no UIDL', { capabilities: ['TOP', 'USER'] }, 1],
    ['that knows none, and no CAPA, of an empty mailbox', { capabilities: null, script: withoutUidl }, 0],
    ['that lists it in CAPA and refuses it', { script: withoutUidl }, 2],
  ])('a server %s is found out before it is saved, with what to do about it, as a poll would say', async (_, options, mails) => {
    const { server, incoming } = await pop3({ security: 'implicit', mails: Array(mails).fill('Subject: x\r\n\r\n'), ...options });
    const { ok, incoming: trial } = await tryServers({ incoming }, TRUSTED);
    expect([ok, codes(trial.steps)]).toEqual([false, ['mailbox', 'no-unique-ids']]);
    expect(failed(trial.steps)?.advice?.todo).toEqual({
      en: expect.stringMatching(/UIDL.*hosted mailbox/),
      ja: expect.stringMatching(/UIDL.*ホスト型メールボックス/),
    });
    expect(server.mails).toHaveLength(mails);
  });

  test.each([
    ['another session', undefined],
    ['qpopper, without a code', '-ERR taro lock busy!  Is another session active? (11)\r\n'],
  ])('RFC 2449 8.1.2: a mailbox in use, which our own poll may be, proves the password: %s', async (_, refusal) => {
    const { server, incoming } = await pop3({ security: 'implicit', script: ({ verb }) => (verb === 'PASS' ? refusal : undefined) });
    const reader = connect({ host: '127.0.0.1', port: server.port, ca: LOCALHOST_CERT, servername: 'localhost' });
    ends.push(() => reader.destroy());
    const heard = on(reader.setEncoding('utf8'), 'data');
    for (const line of ['', 'USER taro\r\n', `PASS ${PASSWORD}\r\n`]) {
      reader.write(line);
      await heard.next();
    }
    const { ok, incoming: trial } = await tryServers({ incoming }, TRUSTED);
    expect([ok, ...outcomes(trial.steps).slice(-2)]).toEqual([true, 'login ok', 'mailbox warning']);
    expect(trial.steps.at(-1)).toMatchObject({
      failure: { code: 'mailbox-in-use' },
      advice: { what: { en: expect.stringMatching(/being read/), ja: expect.stringMatching(/使用中/) } },
    });
  });

  test('an outgoing server without a login is not sent the password', async () => {
    const heard: string[] = [];
    const port = await listener((socket) => {
      socket.write('220 mail.example.com\r\n');
      socket.on('data', (line) => socket.write(heard.push(String(line)) === 1 ? '250 mail.example.com\r\n' : '502 not here\r\n'));
    });
    const { incoming } = await pop3();
    const outgoing = { ...incoming, port, security: 'none' } as const;
    const trial = await tryServers({ incoming, outgoing }, TRUSTED);
    expect([codes(trial.outgoing!.steps), heard.filter((line) => /AUTH/.test(line))]).toEqual([['login', 'server-refused'], []]);
  });

  test('a temporary refusal of the outgoing server is not one of the password', async () => {
    const { outgoing } = await smtp({
      onAuth: (_, __, done) => done(Object.assign(new Error('4.7.0 Authentication is out of order'), { responseCode: 454 })),
    });
    const { incoming } = await pop3();
    const trial = await tryServers({ incoming, outgoing }, TRUSTED);
    expect(codes(trial.outgoing!.steps)).toEqual(['login', 'server-temporary']);
  });
});

describe('reliability row 34: TLS', () => {
  test.each([
    ['implicit', LOCALHOST_CERT, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['starttls', LOCALHOST_CERT, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['implicit', EXPIRED_CERT, 'CERT_HAS_EXPIRED'],
  ] as const)('%s: a certificate that cannot be trusted is shown, and no password is sent', async (security, cert, problem) => {
    const { server, incoming } = await pop3({ security, cert });
    const logins: string[] = [];
    const { outgoing } = await smtp(
      { cert, onAuth: ({ password }, _, done) => done(null, { user: `${logins.push(password ?? '')}` }) },
      security,
    );
    const reach = problem === 'CERT_HAS_EXPIRED' ? { local: true, ca: EXPIRED_CERT } : { local: true };
    const trial = await tryServers({ incoming, outgoing }, { reach });
    for (const { steps } of [trial.incoming, trial.outgoing!]) {
      expect(failed(steps)).toMatchObject({
        name: 'tls',
        failure: { code: 'certificate-refused', certificate: { subject: 'localhost', problem } },
      });
      expect(outcomes(steps)).toContain('login skipped');
    }
    expect([server.received.join(), logins]).toEqual([expect.not.stringContaining(PASSWORD), []]);
  });

  test('a certificate for another name', async () => {
    const { incoming } = await pop3({ security: 'implicit' });
    const { incoming: trial } = await tryServers({ incoming: { ...incoming, host: '127.0.0.2' } }, TRUSTED);
    // 127.0.0.2 is this machine too, but nothing listens there.
    expect(codes(trial.steps)).toEqual(['connect', 'unreachable']);
  });

  test('STARTTLS that is not offered is not done without: no password is sent', async () => {
    const { server, incoming } = await pop3();
    const { outgoing } = await smtp({}, 'none');
    const trial = await tryServers(
      { incoming: { ...incoming, security: 'starttls' }, outgoing: { ...outgoing, security: 'starttls' } },
      TRUSTED,
    );
    expect([codes(trial.incoming.steps), codes(trial.outgoing!.steps)]).toEqual([
      ['tls', 'tls-not-offered'],
      ['tls', 'tls-not-offered'],
    ]);
    expect(server.received.join()).not.toContain(PASSWORD);
  });

  test('TLS towards a server that speaks plainly', async () => {
    const { incoming } = await pop3();
    const { outgoing } = await smtp({}, 'none');
    const trial = await tryServers(
      { incoming: { ...incoming, security: 'implicit' }, outgoing: { ...outgoing, security: 'implicit' } },
      TRUSTED,
    );
    expect([codes(trial.incoming.steps), codes(trial.outgoing!.steps)]).toEqual([
      ['tls', 'tls-not-offered'],
      ['tls', 'tls-not-offered'],
    ]);
  });
});

describe('a server that hangs, lies or is none', () => {
  /** A machine that is busy must be through with the server that answers by then. */
  const SHORT = { ...TRUSTED, serverMs: 4000 };

  test.each(['implicit', 'starttls', 'none'] as const)(
    'costs at most its own deadline, the other server is tried all the same: %s',
    async (security) => {
      const port = await listener(() => {});
      const { incoming } = await pop3({ security: 'implicit' });
      const outgoing = { host: 'localhost', port, security, userName: 'taro', password: PASSWORD };
      const [trial, silent] = await Promise.all([tryServers({ incoming, outgoing }, SHORT), tryServers({ incoming: outgoing }, SHORT)]);
      expect([trial.incoming.ok, codes(trial.outgoing!.steps)?.[1]]).toEqual([true, 'connection-lost']);
      expect(codes(silent.incoming.steps)?.[1]).toBe('connection-lost');
    },
  );

  test.each([
    ['drops the connection', (port: number) => port, () => listener((socket) => socket.destroy()), 'connection-lost'],
    [
      'speaks HTTP',
      (port: number) => port,
      () => listener((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
      'not-a-mail-server',
    ],
  ] as const)('%s', async (_, __, listen, code) => {
    const port = await listen();
    const one = { host: 'localhost', port, security: 'none', userName: 'taro', password: PASSWORD } as const;
    const trial = await tryServers({ incoming: one, outgoing: one }, SHORT);
    expect([codes(trial.incoming.steps)?.[1], codes(trial.outgoing!.steps)?.[1]]).toEqual([code, code]);
  });

  test('reliability row 32: a server that repeats the password does not get it into the answer', async () => {
    const { incoming } = await pop3({ script: ({ verb, argument }) => (verb === 'PASS' ? `-ERR [AUTH] not ${argument}\r\n` : undefined) });
    const { outgoing } = await smtp({ onAuth: ({ password }, _, done) => done(new Error(`not ${password}`)) }, 'none');
    const trial = await tryServers({ incoming, outgoing }, TRUSTED);
    expect(codes(trial.outgoing!.steps)).toEqual(['login', 'wrong-password']);
    expect(JSON.stringify(trial)).not.toContain(PASSWORD);
  });
});

describe('reliability row 31: a test is no port scanner', () => {
  const server = (host: string, port: number) => ({ host, port, security: 'implicit', userName: 'taro', password: PASSWORD }) as const;
  const nobody = async () => Promise.reject(new Error('ENOTFOUND'));

  test('refused, unknown to DNS, internal, and a port of no mail server: one answer, byte by byte, and one time', async () => {
    const closed = await listener(() => {});
    await ends.pop()?.();
    const floor = 150;
    const asked: [TrialInput, TrialOptions][] = [
      [{ incoming: server('localhost', closed) }, { reach: { local: true }, floorMs: floor }],
      [{ incoming: server('nobody.example.net', 995) }, { reach: { local: false }, lookup: nobody, reachMs: floor }],
      [{ incoming: server('inside.example.net', 995) }, { reach: { local: false }, lookup: async () => ['10.0.0.1'], reachMs: floor }],
      [{ incoming: server('127.0.0.1', 995) }, { reach: { local: false }, reachMs: floor }],
      [{ incoming: server('169.254.169.254', 80) }, { reach: { local: false }, reachMs: floor }],
      [{ incoming: server('mail.example.net', 22) }, { reach: { local: false }, lookup: async () => ['198.41.0.4'], reachMs: floor }],
      [{ incoming: server('slow.example.net', 995) }, { reach: { local: false }, lookup: () => new Promise(() => {}), reachMs: floor }],
    ];
    const answers = await Promise.all(
      asked.map(async ([input, options]) => {
        const began = performance.now();
        const trial = await tryServers(input, options);
        return { trial: JSON.stringify(trial), waited: performance.now() - began >= floor };
      }),
    );
    expect(new Set(answers.map(({ trial }) => trial)).size).toBe(1);
    expect(answers.every(({ waited }) => waited)).toBe(true);
    expect(JSON.parse(answers[0]!.trial).incoming.steps.slice(0, 2)).toEqual([
      { name: 'resolve', outcome: 'skipped' },
      expect.objectContaining({ name: 'connect', outcome: 'failed', ms: floor, failure: { code: 'unreachable' } }),
    ]);
  });
});

describe('what is tried of an account', () => {
  const incoming = { host: 'pop.example.com', port: 995, security: 'implicit', userName: 'taro' } as const;
  const outgoing = { host: 'smtp.example.com', port: 465, security: 'implicit' } as const;

  test('POP-13: with the same credentials the outgoing server is given the incoming ones', () => {
    const input = trialOf({ incoming, outgoing: { ...outgoing, sameCredentials: true } }, { incoming: 'one' });
    expect(input.outgoing).toEqual({ ...outgoing, userName: 'taro', password: 'one' });
  });

  test('POP-17: recent: is of POP alone', () => {
    const recent = { ...incoming, userName: 'recent:taro@gmail.com' };
    const input = trialOf({ incoming: recent, outgoing: { ...outgoing, sameCredentials: true } }, { incoming: 'one' });
    expect([input.incoming.userName, input.outgoing?.userName]).toEqual(['recent:taro@gmail.com', 'taro@gmail.com']);
  });

  test('POP-26: with its own, its own', () => {
    const input = trialOf(
      { incoming, outgoing: { ...outgoing, sameCredentials: false, userName: 'jiro' } },
      { incoming: 'one', outgoing: 'two' },
    );
    expect(input.outgoing).toEqual({ ...outgoing, userName: 'jiro', password: 'two' });
  });
});
