import { openPop3, type Pop3Connection, type Pop3Options } from '../../core/account/pop3-client.ts';
import { asServed, DIFFICULT_MAILS, difficultMail, sha256 } from '../support/difficult-mails.ts';
import { type Dovecot, describeWithDovecot, startDovecot } from '../support/dovecot.ts';
import { until } from '../support/host.ts';

const LOGIN = { userName: 'taro', password: 'open sesame' };
const MAX = 64 * 1024 * 1024;

describeWithDovecot('POP-2: real mailboxes', () => {
  let dovecot: Dovecot;
  const expected: string[] = [];

  beforeAll(async () => {
    dovecot = await startDovecot({ taro: LOGIN.password, hana: 'another', jiro: 'a third' });
    for (let n = 0; n < DIFFICULT_MAILS; n++) {
      const raw = difficultMail(n);
      dovecot.addMail('taro', raw);
      expected.push(sha256(asServed(raw)));
    }
  });
  afterAll(() => dovecot?.end());

  const opened = (options: Partial<Pop3Options> = {}): Promise<Pop3Connection> => {
    const port = options.security === 'implicit' ? dovecot.tlsPort : dovecot.port;
    return openPop3({ host: 'localhost', address: dovecot.host, port, security: 'none', login: LOGIN, ca: dovecot.ca, ...options });
  };

  for (const security of ['none', 'implicit', 'starttls'] as const) {
    for (const pipelining of [false, true]) {
      if (security === 'starttls' && !pipelining) continue;
      test(`2,000 mails come byte by byte: security ${security}, pipelining ${pipelining}`, async () => {
        const session = await opened({ security, pipelining });
        const sizes = await session.list();
        expect([...sizes.keys()]).toEqual(expected.map((_, i) => i + 1));
        const hashes = await Promise.all([...sizes.keys()].map(async (number) => sha256(await session.retr(number, MAX))));
        expect(hashes.flatMap((hash, i) => (hash === expected[i] ? [] : [i]))).toEqual([]);
        expect(session.window > 1).toBe(pipelining);
        await session.quit();
      });
    }
  }

  test('POP-15: what was marked is gone at QUIT, and not before', async () => {
    for (const n of [1, 2, 3]) dovecot.addMail('hana', `Subject: ${n}\r\n\r\n${n}\r\n`);
    const login = { userName: 'hana', password: 'another' };
    const dropped = await opened({ login });
    await dropped.dele(1);
    dropped.destroy();
    const session = await untilFree(() => opened({ login }));
    const before = await session.uidl();
    expect(before.size).toBe(3);
    await session.dele(2);
    await session.quit();
    const after = await untilFree(() => opened({ login }));
    expect([...(await after.uidl()).values()]).toEqual([before.get(1), before.get(3)]);
    await after.quit();
    expect(dovecot.count('hana')).toBe(2);
  });

  test('a maildrop that another session holds answers [IN-USE]', async () => {
    const login = { userName: 'jiro', password: 'a third' };
    const first = await opened({ login });
    await expect(opened({ login })).rejects.toMatchObject({ step: 'login', trouble: 'refused', code: 'IN-USE' });
    await first.quit();
  });

  test('POP-24: a wrong password answers [AUTH]', async () => {
    await expect(opened({ login: { userName: 'taro', password: 'wrong' } })).rejects.toMatchObject({ trouble: 'refused', code: 'AUTH' });
  });

  test('POP-10: a certificate of an unknown authority is refused, and shown', async () => {
    const error = await opened({ security: 'implicit', ca: undefined }).catch((each: unknown) => each);
    expect(error).toMatchObject({ step: 'tls', trouble: 'certificate' });
    expect(error).toMatchObject({ certificate: { subject: 'localhost', issuer: 'Test authority', names: ['localhost', '127.0.0.1'] } });
  });
});

/** A session holds its maildrop until the server has noticed that it is over, which is after the answer to QUIT. */
const untilFree = (open: () => Promise<Pop3Connection>): Promise<Pop3Connection> =>
  until(() =>
    open().catch((error: { code?: string }): undefined => {
      if (error.code !== 'IN-USE') throw error;
    }),
  );
