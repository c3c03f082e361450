import { openPop3, type Pop3Options } from '../../../core/account/pop3-client.ts';
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
