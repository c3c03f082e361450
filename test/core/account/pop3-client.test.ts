import { openPop3, type Pop3Options } from '../../../core/account/pop3-client.ts';
import { asServed, DIFFICULT_MAILS, difficultMail, sha256 } from '../../support/difficult-mails.ts';
import { LOCALHOST_CERT, type Pop3Server, type Pop3ServerOptions, startPop3Server } from '../../support/pop3-server.ts';

const LOGIN = { userName: 'taro', password: 'open sesame' };
const MANY = 64 * 1024 * 1024;

const opened = (server: Pop3Server, options: Partial<Pop3Options> = {}) =>
  openPop3({ host: 'localhost', address: server.host, port: server.port, security: 'none', login: LOGIN, ca: LOCALHOST_CERT, ...options });

async function mailbox(options: Pop3ServerOptions = {}, client: Partial<Pop3Options> = {}) {
  const server = await startPop3Server(options);
  return { server, session: await opened(server, client) };
}

const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

describe('POP-2: a session, as RFC 1939 has it', () => {
  test('STAT, LIST, UIDL, RETR, TOP, NOOP and QUIT answer what is there', async () => {
    const mails = ['Subject: a\r\n\r\nfirst\r\n', 'Subject: b\r\n\r\none\r\ntwo\r\nthree\r\n'];
    const { server, session } = await mailbox({ mails });
    expect(await session.stat()).toEqual({ count: 2, octets: mails.join('').length });
    expect([...(await session.list())]).toEqual(mails.map((raw, i) => [i + 1, raw.length]));
    expect([...(await session.uidl())]).toEqual([
      [1, 'uid-1'],
      [2, 'uid-2'],
    ]);
    expect(await session.uidlOf(2)).toBe('uid-2');
    expect(textOf(await session.retr(1, MANY))).toBe(mails[0]);
    expect(textOf(await session.top(2, 2))).toBe('Subject: b\r\n\r\none\r\ntwo\r\n');
    await session.noop();
    await session.quit();
    expect(server.mails).toHaveLength(2);
    await server.end();
  });

  for (const security of ['implicit', 'starttls'] as const) {
    test(`mail comes through TLS (${security}), and nothing secret was said before it`, async () => {
      const { server, session } = await mailbox({ mails: ['Subject: a\r\n\r\nx\r\n'], security, requireTls: true }, { security });
      expect(textOf(await session.retr(1, MANY))).toBe('Subject: a\r\n\r\nx\r\n');
      await session.quit();
      await server.end();
    });
  }
});

/** The journeys of test/local/dovecot.test.ts, for machines without a Dovecot. */
describe('POP-2: mailboxes on the scripted server', () => {
  const mails = Array.from({ length: DIFFICULT_MAILS }, (_, n) => difficultMail(n));
  const expected = mails.map((raw) => sha256(asServed(raw)));
  // The scripted server gives no line break to what is empty: there is no line to end.
  expected[mails.findIndex((raw) => raw.length === 0)] = sha256(Buffer.alloc(0));

  for (const security of ['none', 'implicit', 'starttls'] as const) {
    for (const pipelining of [false, true]) {
      test(`2,000 mails come byte by byte: security ${security}, pipelining ${pipelining}`, async () => {
        const { server, session } = await mailbox({ mails, security }, { security, pipelining });
        const sizes = await session.list();
        const hashes = await Promise.all([...sizes.keys()].map(async (number) => sha256(await session.retr(number, MANY))));
        expect(hashes.flatMap((hash, i) => (hash === expected[i] ? [] : [i]))).toEqual([]);
        expect(session.window > 1).toBe(pipelining);
        await session.quit();
        await server.end();
      });
    }
  }

  test('POP-15: what was marked is gone at QUIT, and not before', async () => {
    const { server, session: dropped } = await mailbox({ mails: ['1\r\n', '2\r\n', '3\r\n'] });
    await dropped.dele(1);
    dropped.destroy();
    while (server.counts.open > 0) await new Promise(setImmediate);
    const session = await opened(server);
    await session.dele(2);
    expect((await session.stat()).count).toBe(2);
    expect(server.mails).toHaveLength(3);
    await session.quit();
    expect(server.mails.map(({ uid }) => uid)).toEqual(['uid-1', 'uid-3']);
    await server.end();
  });

  test('a maildrop that another session holds answers [IN-USE], and after QUIT no more', async () => {
    const { server, session } = await mailbox();
    await expect(opened(server)).rejects.toMatchObject({ step: 'login', trouble: 'refused', code: 'IN-USE' });
    await session.quit();
    await (await opened(server)).quit();
    await server.end();
  });

  test('a login too soon after the last one answers [LOGIN-DELAY]', async () => {
    let now = 0;
    const { server, session } = await mailbox({ loginDelaySeconds: 300, clock: () => now });
    await session.quit();
    expect(session.capabilities.get('LOGIN-DELAY')).toBe('300');
    now = 299_999;
    await expect(opened(server)).rejects.toMatchObject({ trouble: 'refused', code: 'LOGIN-DELAY' });
    now = 300_000;
    await (await opened(server)).quit();
    await server.end();
  });

  test('POP-24: a wrong password answers [AUTH]', async () => {
    const server = await startPop3Server();
    const login = { userName: 'taro', password: 'wrong' };
    await expect(opened(server, { login })).rejects.toMatchObject({ trouble: 'refused', code: 'AUTH' });
    expect(server.counts).toMatchObject({ logins: 0, refused: 1 });
    await server.end();
  });
});
