import { Pop3Error } from '../../../core/account/pop3.ts';
import { openPop3, type Pop3Connection, type Pop3Options } from '../../../core/account/pop3-client.ts';
import { MAX_POP3_LINE_BYTES, POP3_OUTSTANDING_BYTES } from '../../../core/limits.ts';
import { EXPIRED_CERT, LOCALHOST_CERT, type Pop3ServerOptions, type Said, startPop3Server, type Twist } from '../../support/pop3-server.ts';

const LOGIN = { userName: 'taro', password: 'open sesame' };
const MAIL = 'Subject: a\r\n\r\nhello\r\n';
const MAX = 1_000_000;
/** For what never comes: long enough that a busy machine is not taken for it. */
const SOON = { connectMs: 2000, idleMs: 700, totalMs: 3000 };

type Script = (said: Said) => Twist | string | Buffer | undefined;
/** Twists the answers to one verb; of RETR and others only the n-th when `nth` is given. */
const at =
  (verb: string, twist: Twist | string, nth?: number): Script =>
  (said) =>
    said.verb === verb && (nth === undefined || said.nth === nth) ? twist : undefined;

type Run = { server: Awaited<ReturnType<typeof startPop3Server>>; open: (options?: Partial<Pop3Options>) => Promise<Pop3Connection> };

async function against<T>(options: Pop3ServerOptions, work: (run: Run) => Promise<T>): Promise<T> {
  const server = await startPop3Server({ mails: [MAIL, MAIL, MAIL], ...options });
  const open = (more: Partial<Pop3Options> = {}) =>
    openPop3({
      host: 'localhost',
      address: server.host,
      port: server.port,
      security: options.security ?? 'none',
      login: LOGIN,
      ca: LOCALHOST_CERT,
      ...more,
    });
  try {
    return await work({ server, open });
  } finally {
    await server.end();
  }
}

const failing = async (promise: Promise<unknown>): Promise<Pop3Error> => {
  const error = await promise.then(
    () => undefined,
    (each: unknown) => each,
  );
  expect(error).toBeInstanceOf(Pop3Error);
  return error as Pop3Error;
};
const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

describe('POP-2: an answer comes byte by byte', () => {
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('latin1');
  const bodies: [string, string][] = [
    ['nothing at all', ''],
    ['an empty line', '\r\n'],
    ['one dot', '.\r\n'],
    ['dots alone', '.\r\n..\r\n...\r\n'],
    ['a line that begins with a dot first', '.first\r\nx\r\n'],
    ['a NUL first', '\0x\r\n'],
    ['every byte', `${everyByte}\r\n`],
    ['a bare LF, a dot and a bare LF, which end nothing', 'a\n.\nb\r\n'],
    ['a bare LF, a dot and CRLF, which end nothing', 'a\n.\r\nb\r\n'],
    ['bare CRs', 'a\r\rb\r.\r\r\n'],
    ['CR after a dot at the beginning', '.\rx\r\n'],
    ['CRCRLF before a dot', 'a\r\r\n.b\r\n'],
    ['a line without an end', `${'x'.repeat(100_000)}\r\n`],
    ['what looks like an answer', '+OK\r\n-ERR no\r\n+ \r\n'],
    ['Shift_JIS', '\x8c\x8e\x82\xcc\r\n'],
  ];
  for (const [name, body] of bodies) {
    for (const cuts of name === 'a line without an end' ? [[], [65_536]] : [[], 'every-byte' as const]) {
      test(`${name}, ${cuts === 'every-byte' ? 'a byte a packet' : cuts.length > 0 ? 'in two packets' : 'as it comes'}`, () =>
        against({ mails: [Buffer.from(body, 'latin1'), MAIL], script: at('RETR', { cuts }) }, async ({ open }) => {
          const session = await open();
          const [first, second] = await Promise.all([session.retr(1, MAX), session.retr(2, MAX)]);
          expect(textOf(first)).toBe(body);
          expect(textOf(second)).toBe(MAIL);
          session.destroy();
        }));
    }
  }

  test('a server that does not double its dots loses them, and nothing more', () =>
    against({ script: at('RETR', { answer: '+OK\r\n.\rx\r\n.y\r\n.\r\r\n.\r\n', cuts: 'every-byte' }) }, async ({ open }) => {
      const session = await open();
      expect(textOf(await session.retr(1, MAX))).toBe('\rx\r\ny\r\n\r\r\n');
      session.destroy();
    }));

  test('each place where two packets can divide status, stuffed dots and terminator', () =>
    against({ mails: ['..a\r\n.\r\n'] }, async ({ server, open }) => {
      const wire = '+OK 8 octets\r\n...a\r\n..\r\n.\r\n';
      const session = await open();
      for (let cut = 1; cut < wire.length; cut++) {
        server.script = at('RETR', { cuts: [cut] });
        expect(textOf(await session.retr(1, MAX))).toBe('..a\r\n.\r\n');
      }
      session.destroy();
    }));

  test('every answer of a session, a byte a packet', () =>
    against({ script: () => ({ cuts: 'every-byte' }) }, async ({ open }) => {
      const session = await open();
      expect(await session.stat()).toEqual({ count: 3, octets: 3 * MAIL.length });
      expect((await session.list()).size).toBe(3);
      expect([...(await session.uidl()).values()]).toEqual(['uid-1', 'uid-2', 'uid-3']);
      expect(textOf(await session.top(1, 0))).toBe('Subject: a\r\n\r\n');
      await session.quit();
    }));
});

describe('POP-2: requests and answers keep their order', () => {
  test('all requests at once, each with its own answer', () =>
    against({ mails: Array.from({ length: 300 }, (_, n) => `Subject: ${n}\r\n\r\n${'x'.repeat(n)}\r\n`) }, async ({ open }) => {
      const session = await open();
      const [maildrop, ids, ...mails] = await Promise.all([
        session.stat(),
        session.uidl(),
        ...Array.from({ length: 300 }, (_, n) => session.retr(n + 1, MAX)),
      ]);
      expect([maildrop.count, ids.size]).toEqual([300, 300]);
      expect(mails.map(textOf)).toEqual(Array.from({ length: 300 }, (_, n) => `Subject: ${n}\r\n\r\n${'x'.repeat(n)}\r\n`));
      session.destroy();
    }));

  test('a refusal in the middle is that of its own request alone', () =>
    against({ script: at('RETR', '-ERR [SYS/TEMP] later\r\n', 2) }, async ({ open }) => {
      const session = await open();
      const found = await Promise.allSettled([session.retr(1, MAX), session.retr(2, MAX), session.retr(3, MAX)]);
      expect(found.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      await session.quit();
    }));

  /** Most RETR that a server has received before it answered the first. */
  const askedAtOnce = (options: Pop3ServerOptions, client: Partial<Pop3Options>, likely?: number) =>
    against({ mails: Array(150).fill(MAIL), ...options }, async ({ server, open }) => {
      if (likely) server.script = at('LIST', `+OK\r\n${Array.from({ length: 150 }, (_, n) => `${n + 1} ${likely}\r\n`).join('')}.\r\n`);
      const session = await open({ timeouts: SOON, ...client });
      await session.list();
      server.script = at('RETR', { answer: '', ending: 'stall' });
      const asked = Promise.allSettled(Array.from({ length: 150 }, (_, n) => session.retr(n + 1, MAX)));
      await asked;
      return server.received.filter((line) => line.startsWith('RETR')).length;
    });

  test('one at a time when the server does not list PIPELINING', async () => {
    expect(await askedAtOnce({ capabilities: ['UIDL', 'USER', 'TOP'] }, {})).toBe(1);
  });
  test('one at a time when the server knows no CAPA', async () => {
    expect(await askedAtOnce({ capabilities: null }, {})).toBe(1);
  });
  test('one at a time when the caller wants it so', async () => {
    expect(await askedAtOnce({}, { pipelining: false })).toBe(1);
  });
  test('a window of them with PIPELINING', async () => {
    const session = await against({}, async ({ open }) => open());
    expect(await askedAtOnce({}, {})).toBe(session.window);
  });
  test('fewer when the mails are large, by their sizes in LIST', async () => {
    expect(await askedAtOnce({}, {}, POP3_OUTSTANDING_BYTES / 4)).toBe(4);
  });
  test('one at least, however large', async () => {
    expect(await askedAtOnce({}, {}, POP3_OUTSTANDING_BYTES * 4)).toBe(1);
  });
});

describe('POP-24: whatever fails, every promise rejects, and the session is over', () => {
  type Fault = [string, Script, Partial<{ trouble: string; step: string; code: string }>, Pop3ServerOptions?];
  const long = 'x'.repeat(MAX_POP3_LINE_BYTES + 1);
  const opening: Fault[] = [
    ['the greeting is -ERR', at('GREETING', '-ERR [SYS/TEMP] busy\r\n'), { trouble: 'refused', step: 'greeting', code: 'SYS/TEMP' }],
    ['the greeting is that of SMTP', at('GREETING', '220 mail.example.com ESMTP\r\n'), { trouble: 'protocol', step: 'greeting' }],
    ['the greeting is that of IMAP', at('GREETING', '* OK ready\r\n'), { trouble: 'protocol', step: 'greeting' }],
    ['the greeting is HTTP', at('GREETING', 'HTTP/1.1 400 Bad Request\r\n\r\n'), { trouble: 'protocol', step: 'greeting' }],
    ['the greeting is garbage', at('GREETING', '\0\xff\xfe\r\n'), { trouble: 'protocol', step: 'greeting' }],
    ['the greeting never ends', at('GREETING', `+OK ${long}`), { trouble: 'protocol', step: 'greeting' }],
    ['the greeting never comes', at('GREETING', { answer: '', ending: 'stall' }), { trouble: 'lost', step: 'greeting' }],
    ['half a greeting comes', at('GREETING', { answer: '+OK hal', ending: 'stall' }), { trouble: 'lost', step: 'greeting' }],
    [
      'the greeting drips',
      at('GREETING', { answer: `+OK ${'x'.repeat(500)}\r\n`, cuts: 'every-byte', pauseMs: 20 }),
      { trouble: 'lost', step: 'greeting' },
    ],
    ['FIN instead of a greeting', at('GREETING', { answer: '', ending: 'drop' }), { trouble: 'lost', step: 'greeting' }],
    ['junk behind the greeting', at('GREETING', '+OK ready\r\n+OK more\r\n'), { trouble: 'protocol' }],
    ['CAPA is cut', at('CAPA', { answer: '+OK\r\nTOP\r\n', ending: 'drop' }), { trouble: 'lost', step: 'capabilities' }],
    [
      'CAPA never ends',
      at('CAPA', { answer: `+OK\r\n${'X-A\r\n'.repeat(20_000)}`, ending: 'stall' }),
      { trouble: 'too-large', step: 'capabilities' },
    ],
    ['FIN at PASS', at('PASS', { answer: '', ending: 'drop' }), { trouble: 'lost', step: 'login' }],
    ['RST at PASS', at('PASS', { answer: '', ending: 'reset' }), { trouble: 'lost', step: 'login' }],
    ['silence at PASS', at('PASS', { answer: '', ending: 'stall' }), { trouble: 'lost', step: 'login' }],
    ['a challenge to PASS', at('PASS', '+ what?\r\n'), { trouble: 'protocol', step: 'login' }],
  ];
  for (const [name, script, expected] of opening) {
    test(name, () =>
      against({ script }, async ({ server, open }) => {
        expect(await failing(open({ timeouts: SOON }))).toMatchObject(expected);
        await closed(server);
        expect(server.counts.sessions).toBe(1);
      }),
    );
  }

  const retr: [string, Twist | string, string][] = [
    ['FIN in the middle of a mail', { answer: '+OK\r\nhalf', ending: 'drop' }, 'lost'],
    ['FIN before the last byte of the terminator', { answer: '+OK\r\nx\r\n.\r', ending: 'drop' }, 'lost'],
    ['RST in the middle of a mail', { answer: '+OK\r\nhalf', ending: 'reset' }, 'lost'],
    ['a stall in the middle of a mail', { answer: '+OK\r\nhalf', ending: 'stall' }, 'lost'],
    ['a mail that drips for ever', { answer: `+OK\r\n${'x'.repeat(500)}`, cuts: 'every-byte', pauseMs: 20 }, 'lost'],
    ['a status line that drips', { answer: `+OK ${'x'.repeat(500)}`, cuts: 'every-byte', pauseMs: 20 }, 'lost'],
    ['a status line without an end', `+OK ${long}`, 'protocol'],
    ['garbage instead of a status', '\x16\x03\x01\r\n', 'protocol'],
    ['an empty status', '\r\n', 'protocol'],
    ['small letters', '+ok\r\nx\r\n.\r\n', 'protocol'],
    ['a challenge that nobody wants', '+ \r\n', 'protocol'],
    ['a mail without a terminator, beyond the limit', `+OK\r\n${'y'.repeat(MAX + 1)}`, 'too-large'],
    ['a mail one byte beyond the limit', `+OK\r\n${'z'.repeat(MAX - 1)}\r\n.\r\n`, 'too-large'],
  ];
  for (const [name, twist, trouble] of retr) {
    for (const pipelining of [true, false]) {
      test(`${name}, ${pipelining ? 'with' : 'without'} others under way`, () =>
        against({ script: at('RETR', twist, 2) }, async ({ server, open }) => {
          const session = await open({ pipelining, timeouts: SOON });
          await session.retr(1, MAX);
          const found = await Promise.allSettled([session.retr(2, MAX), session.retr(3, MAX), session.dele(1)]);
          for (const each of found) expect(each).toMatchObject({ reason: { trouble, step: 'mail' } });
          expect(await failing(session.noop())).toMatchObject({ trouble });
          await closed(server);
          expect([server.counts.sessions, server.mails.length]).toEqual([1, 3]);
        }));
    }
  }

  test('a mail of exactly the limit is taken', () =>
    against({ mails: [`${'z'.repeat(MAX - 2)}\r\n`] }, async ({ open }) => {
      const session = await open();
      expect((await session.retr(1, MAX)).length).toBe(MAX);
      session.destroy();
    }));

  test('junk behind the terminator puts the mail before it in doubt, too', () =>
    against({ script: at('RETR', '+OK\r\nhalf\r\n.\r\nother half\r\n.\r\n') }, async ({ open }) => {
      const session = await open();
      expect(await failing(session.retr(1, MAX))).toMatchObject({ trouble: 'protocol' });
      expect(await failing(session.dele(1))).toMatchObject({ trouble: 'protocol' });
    }));

  const answers: [string, Script, (session: Pop3Connection) => Promise<unknown>][] = [
    ['STAT without numbers', at('STAT', '+OK fine\r\n'), (session) => session.stat()],
    ['STAT with negative numbers', at('STAT', '+OK -1 -5\r\n'), (session) => session.stat()],
    ['LIST with words', at('LIST', '+OK\r\none 5\r\n.\r\n'), (session) => session.list()],
    ['LIST with a number twice', at('LIST', '+OK\r\n1 5\r\n1 6\r\n.\r\n'), (session) => session.list()],
    ['UIDL without an id', at('UIDL', '+OK\r\n1 \r\n.\r\n'), (session) => session.uidl()],
    ['UIDL with a number twice', at('UIDL', '+OK\r\n1 a\r\n1 b\r\n.\r\n'), (session) => session.uidl()],
    ['UIDL of another mail', at('UIDL', '+OK 2 uid-2\r\n'), (session) => session.uidlOf(1)],
    ['UIDL of one mail without an id', at('UIDL', '+OK 1\r\n'), (session) => session.uidlOf(1)],
  ];
  for (const [name, script, ask] of answers) {
    test(name, () =>
      against({ script }, async ({ open }) => {
        const session = await open();
        expect(await failing(ask(session))).toMatchObject({ trouble: 'protocol', step: 'mailbox' });
        expect(await failing(session.noop())).toMatchObject({ trouble: 'protocol' });
      }),
    );
  }

  test('a total deadline ends a session that is alive', () =>
    against({ script: at('RETR', { cuts: 'every-byte', pauseMs: 30 }), mails: ['x'.repeat(1000)] }, async ({ open }) => {
      const session = await open({ timeouts: { totalMs: 2000 } });
      expect(await failing(session.retr(1, MAX))).toMatchObject({ trouble: 'lost' });
    }));

  test('who asks for nothing may take his time, and silence after it is noticed all the same', () =>
    against({ script: at('RETR', { answer: '', ending: 'stall' }) }, async ({ open }) => {
      const session = await open({ timeouts: { idleMs: 700 } });
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await session.noop();
      expect(await failing(session.retr(1, MAX))).toMatchObject({ trouble: 'lost', step: 'mail' });
    }));

  test('it ends while nothing is asked: the next request is told, and there is no second connection', () =>
    against({ script: at('NOOP', { answer: '+OK\r\n', ending: 'reset' }) }, async ({ server, open }) => {
      const session = await open();
      await session.noop();
      await closed(server);
      expect(await failing(session.dele(1))).toMatchObject({ trouble: 'lost' });
      expect(server.counts.sessions).toBe(1);
    }));

  test('RST at once: before or after the connection is seen to stand', () =>
    against({ script: at('GREETING', { answer: '', ending: 'reset' }) }, async ({ open }) => {
      expect(['lost', 'unreachable']).toContain((await failing(open({ timeouts: SOON }))).trouble);
    }));

  test('nobody listens', async () => {
    const server = await startPop3Server();
    await server.end();
    const gone = openPop3({ host: 'localhost', address: server.host, port: server.port, security: 'none', login: LOGIN });
    expect(await failing(gone)).toMatchObject({ trouble: 'unreachable', step: 'connect' });
  });
});

describe('POP-15: deletions take place at QUIT', () => {
  test('a session that is dropped, or lost, deletes nothing', () =>
    against({ script: at('QUIT', { unheard: true, ending: 'drop' }) }, async ({ server, open }) => {
      const session = await open();
      await session.dele(1);
      expect(await failing(session.quit())).toMatchObject({ trouble: 'lost', step: 'quit' });
      expect(server.mails).toHaveLength(3);
    }));
  test('a lost answer to QUIT is no answer, though they took place', () =>
    against({ script: at('QUIT', { answer: '', ending: 'drop' }) }, async ({ server, open }) => {
      const session = await open();
      await session.dele(1);
      expect(await failing(session.quit())).toMatchObject({ trouble: 'lost', step: 'quit' });
      expect(server.mails).toHaveLength(2);
    }));
  test('what comes behind the answer to QUIT does not undo it', () =>
    against({ script: at('QUIT', '+OK bye\r\njunk\r\n') }, async ({ server, open }) => {
      const session = await open();
      await session.dele(1);
      await session.quit();
      expect(server.mails).toHaveLength(2);
    }));
  test('RSET takes them back', () =>
    against({}, async ({ server, open }) => {
      const session = await open();
      await session.dele(1);
      await session.rset();
      await session.quit();
      expect(server.mails).toHaveLength(3);
    }));
  test('a refused QUIT is told', () =>
    against({ script: at('QUIT', '-ERR some messages not removed\r\n') }, async ({ open }) => {
      const session = await open();
      expect(await failing(session.quit())).toMatchObject({ trouble: 'refused', step: 'quit' });
    }));
});

describe('POP-24: what servers answer to a login, with code and words', () => {
  const said: [string, string, string | undefined, string][] = [
    [
      'PASS',
      '-ERR [AUTH] Application-specific password required: https://support.example.com',
      'AUTH',
      'Application-specific password required: https://support.example.com',
    ],
    ['PASS', '-ERR [AUTH] Username and password not accepted.', 'AUTH', 'Username and password not accepted.'],
    [
      'PASS',
      '-ERR Authentication failure: unknown user name or bad password.',
      undefined,
      'Authentication failure: unknown user name or bad password.',
    ],
    ['PASS', '-ERR Logon failure: unknown user name or bad password.', undefined, 'Logon failure: unknown user name or bad password.'],
    ['PASS', '-ERR [AUTH] Web login required: https://support.example.com', 'AUTH', 'Web login required: https://support.example.com'],
    ['PASS', '-ERR [AUTH] Account exceeded command or bandwidth limits.', 'AUTH', 'Account exceeded command or bandwidth limits.'],
    ['PASS', '-ERR [IN-USE] Do you have another POP session running?', 'IN-USE', 'Do you have another POP session running?'],
    ['PASS', '-ERR [LOGIN-DELAY] wait 300 seconds', 'LOGIN-DELAY', 'wait 300 seconds'],
    ['PASS', '-ERR [SYS/TEMP] Temporary failure', 'SYS/TEMP', 'Temporary failure'],
    ['PASS', '-ERR [sys/perm] in small letters', 'SYS/PERM', 'in small letters'],
    ['PASS', '-ERR [not a code] at all', undefined, '[not a code] at all'],
    ['PASS', '-ERR', undefined, ''],
    ['USER', '-ERR [AUTH] no such user', 'AUTH', 'no such user'],
    ['PASS', '-ERR \u001b[31mred\u0007\tthing', undefined, '[31mred thing'],
    ['PASS', '-ERR パスワードが違います', undefined, 'パスワードが違います'],
  ];
  for (const [verb, line, code, server] of said) {
    test(`${verb}: ${JSON.stringify(line)}`, () =>
      against({ script: at(verb, `${line}\r\n`) }, async ({ open }) => {
        expect(await failing(open())).toMatchObject({ step: 'login', trouble: 'refused', code, server });
      }));
  }

  test('Gmail with POP switched off refuses at STAT, after the login', () =>
    against({ script: at('STAT', '-ERR [SYS/PERM] Your account is not enabled for POP access.\r\n') }, async ({ open }) => {
      const session = await open();
      const expected = { step: 'mailbox', trouble: 'refused', code: 'SYS/PERM', server: 'Your account is not enabled for POP access.' };
      expect(await failing(session.stat())).toMatchObject(expected);
      session.destroy();
    }));

  test('no more than 300 characters of what it says', () =>
    against({ script: at('PASS', `-ERR ${'long '.repeat(200)}\r\n`) }, async ({ open }) => {
      expect((await failing(open())).server).toHaveLength(300);
    }));

  test('the password is in no error, even when the server repeats it', async () => {
    const password = 'cänary-7301';
    const encoded = Buffer.from(`\0taro\0${password}`).toString('base64');
    for (const answer of [`-ERR bad password ${password}`, `-ERR [${password}] no`, `-ERR ${encoded}`]) {
      const error = await against({ script: at('PASS', `${answer}\r\n`) }, ({ open }) =>
        failing(open({ login: { userName: 'taro', password } })),
      );
      expect(error.server + String(error.stack) + JSON.stringify(error)).not.toMatch(/nary-7301|c3RhcnQ/);
      expect(JSON.stringify(error)).not.toContain(encoded);
    }
  });

  for (const [name, login] of [
    ['user name', { userName: 'taro\r\nDELE 1', password: 'x' }],
    ['password', { userName: 'taro', password: 'x\r\nDELE 1' }],
    ['password with a bare LF', { userName: 'taro', password: 'x\nDELE 1' }],
    ['access token', { userName: 'taro', accessToken: 'x\r\nDELE 1' }],
    ['password with a NUL', { userName: 'taro', password: 'x\0y' }],
  ] as const) {
    test(`a line break in the ${name} is never sent`, () =>
      against({}, async ({ server, open }) => {
        expect(await failing(open({ login }))).toMatchObject({ step: 'login', trouble: 'refused' });
        expect(server.received).toEqual(['CAPA']);
      }));
  }

  test('a mail number that is none is never sent', () =>
    against({}, async ({ server, open }) => {
      const session = await open();
      for (const number of [Number.NaN, -1, 1.5, '1\r\nDELE 2' as unknown as number])
        await expect(session.retr(number, MAX)).rejects.toThrow(RangeError);
      expect(server.received.filter((line) => /RETR|DELE/.test(line))).toEqual([]);
      session.destroy();
    }));
});

describe('POP-11, POP-12: ways to log in', () => {
  const users = { taro: 'open sesame', 太郎: 'pass wörd', 'taro two': 'x' };
  const received = (options: Pop3ServerOptions, login: Pop3Options['login']) =>
    against({ users, ...options }, async ({ server, open }) => {
      (await open({ login })).destroy();
      return server.received.filter((line) => line !== 'CAPA');
    });
  const b64 = (text: string) => Buffer.from(text).toString('base64');
  const SASL = ['SASL PLAIN XOAUTH2'];

  test('USER and PASS, a password with spaces, too', async () => {
    expect(await received({}, LOGIN)).toEqual(['USER taro', 'PASS open sesame']);
  });
  test('USER and PASS although PLAIN is offered', async () => {
    expect(await received({ capabilities: ['USER', ...SASL] }, LOGIN)).toEqual(['USER taro', 'PASS open sesame']);
  });
  test('AUTH PLAIN where USER is not offered', async () => {
    expect(await received({ capabilities: SASL }, LOGIN)).toEqual([`AUTH PLAIN ${b64('\0taro\0open sesame')}`]);
  });
  test('AUTH PLAIN for what USER cannot say', async () => {
    const login = { userName: 'taro two', password: 'x' };
    expect(await received({ capabilities: ['USER', ...SASL] }, login)).toEqual([`AUTH PLAIN ${b64('\0taro two\0x')}`]);
  });
  test('AUTH PLAIN in UTF-8', async () => {
    const login = { userName: '太郎', password: 'pass wörd' };
    expect(await received({ capabilities: ['USER', ...SASL] }, login)).toEqual([`AUTH PLAIN ${b64('\0太郎\0pass wörd')}`]);
  });
  test('XOAUTH2 in one step while the line is short', async () => {
    const login = { userName: 'taro', accessToken: 'short' };
    expect(await received({ capabilities: SASL, tokens: { taro: 'short' } }, login)).toEqual([
      `AUTH XOAUTH2 ${b64('user=taro\x01auth=Bearer short\x01\x01')}`,
    ]);
  });
  test('XOAUTH2 in two steps for a long token, as Exchange wants it', async () => {
    const accessToken = 'long'.repeat(300);
    const login = { userName: 'taro', accessToken };
    expect(await received({ capabilities: SASL, tokens: { taro: accessToken } }, login)).toEqual([
      'AUTH XOAUTH2',
      b64(`user=taro\x01auth=Bearer ${accessToken}\x01\x01`),
    ]);
  });
  for (const accessToken of ['wrong', 'wrong'.repeat(300)]) {
    test(`a refused token of ${accessToken.length} characters: the challenge is answered by an empty line, and the refusal is read`, () =>
      against({ capabilities: SASL, tokens: { taro: 'right' } }, async ({ server, open }) => {
        const expected = { step: 'login', trouble: 'refused', code: 'AUTH' };
        expect(await failing(open({ login: { userName: 'taro', accessToken } }))).toMatchObject(expected);
        expect(server.received.at(-1)).toBe('');
      }));
  }
  test('without a login, the session stays before it', () =>
    against({}, async ({ server, open }) => {
      const session = await open({ login: undefined });
      expect(await failing(session.stat())).toMatchObject({ trouble: 'refused' });
      await session.quit();
      expect(server.counts.logins).toBe(0);
    }));
});

describe('POP-10: TLS is never given up', () => {
  const secrets = (received: string[]) => received.filter((line) => /USER|PASS|AUTH/.test(line));

  test('STLS is not offered', () =>
    against({}, async ({ server, open }) => {
      expect(await failing(open({ security: 'starttls' }))).toMatchObject({ step: 'tls', trouble: 'no-tls' });
      expect(secrets(server.received)).toEqual([]);
    }));
  test('STLS is offered and refused', () =>
    against({ security: 'starttls', script: at('STLS', '-ERR not now\r\n') }, async ({ server, open }) => {
      expect(await failing(open())).toMatchObject({ step: 'tls', trouble: 'no-tls' });
      expect(secrets(server.received)).toEqual([]);
    }));
  test('plain text behind the answer to STLS', () =>
    against({ security: 'starttls', script: at('STLS', '+OK go\r\n+OK injected\r\n') }, async ({ server, open }) => {
      expect(await failing(open())).toMatchObject({ trouble: 'protocol' });
      expect(secrets(server.received)).toEqual([]);
    }));
  test('plain text behind the answer to STLS, in a packet of its own', () =>
    against({ security: 'starttls', script: at('STLS', { answer: '+OK go\r\n+OK injected\r\n', cuts: [8] }) }, async ({ server, open }) => {
      expect(['protocol', 'no-tls', 'lost']).toContain((await failing(open({ timeouts: SOON }))).trouble);
      expect(secrets(server.received)).toEqual([]);
    }));
  test('what was listed before STLS does not count after it', () =>
    against({ security: 'starttls', script: at('CAPA', '+OK\r\nSTLS\r\nSASL PLAIN\r\n.\r\n', 1) }, async ({ server, open }) => {
      (await open()).destroy();
      expect(server.received.filter((line) => line === 'CAPA')).toHaveLength(2);
      expect(secrets(server.received)).toEqual(['USER taro', 'PASS open sesame']);
    }));
  test('implicit TLS with a server that talks in plain text', () =>
    against({}, async ({ server, open }) => {
      expect(await failing(open({ security: 'implicit' }))).toMatchObject({ step: 'tls', trouble: 'no-tls' });
      expect(secrets(server.received)).toEqual([]);
    }));
  test('a handshake that never ends', () =>
    against({ script: at('GREETING', { answer: '', ending: 'stall' }) }, async ({ open }) => {
      expect(await failing(open({ security: 'implicit', timeouts: SOON }))).toMatchObject({ step: 'tls', trouble: 'lost' });
    }));

  const certificates: [string, Pop3ServerOptions, Partial<Pop3Options>, string][] = [
    ['signed by itself', {}, { ca: undefined }, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['for another name', {}, { host: 'mail.example.com' }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['for another address', {}, { host: '127.0.0.2' }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['expired', { cert: EXPIRED_CERT }, { ca: EXPIRED_CERT }, 'CERT_HAS_EXPIRED'],
  ];
  for (const security of ['implicit', 'starttls'] as const) {
    for (const [name, server, client, problem] of certificates) {
      test(`a certificate ${name} is refused and shown (${security})`, () =>
        against({ ...server, security }, async ({ server: { received }, open }) => {
          const error = await failing(open(client));
          expect(error).toMatchObject({ step: 'tls', trouble: 'certificate', certificate: { subject: 'localhost', problem } });
          expect(error.certificate?.names).toEqual(['localhost', '127.0.0.1']);
          expect(secrets(received)).toEqual([]);
        }));
    }
  }
  test('an address as the host is checked against the certificate', () =>
    against({ security: 'implicit' }, async ({ open }) => {
      await (await open({ host: '127.0.0.1' })).quit();
    }));
});

describe('POP-18: the steps of a session are told', () => {
  test('each that went well, in order, with what it brought to light', () =>
    against({ security: 'starttls' }, async ({ open }) => {
      const steps: [string, unknown][] = [];
      const session = await open({ onStep: (step, detail) => steps.push([step, detail]) });
      await session.stat();
      await session.quit();
      expect(steps.map(([step]) => step)).toEqual(['connect', 'greeting', 'tls', 'capabilities', 'login', 'mailbox']);
      expect(steps[1]?.[1]).toEqual({ greeting: 'POP3 server ready' });
      expect(steps[2]?.[1]).toMatchObject({ tls: { protocol: 'TLSv1.3', certificate: { subject: 'localhost', problem: '' } } });
      expect(steps[5]?.[1]).toEqual({ maildrop: { count: 3, octets: 3 * MAIL.length } });
    }));
});

/** Until the server has seen that its connections are gone. */
async function closed(server: Run['server']): Promise<void> {
  while (server.counts.open > 0) await new Promise(setImmediate);
}
