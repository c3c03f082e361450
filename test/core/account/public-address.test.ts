import { createServer, type Server, Socket } from 'node:net';
import { isPublicAddress, readHost } from '../../../core/account/public-address.ts';
import { INCOMING_PORTS, type Lookup, PUBLIC_ONLY, resolveServer } from '../../../core/account/resolve-client.ts';

/** What a user may type for a server of ours or of the network we run in. DNS, where it is asked, answers with this machine. */
const SPELLINGS = [
  // This machine.
  'localhost',
  'LOCALHOST',
  'localhost.',
  'localhost.localdomain',
  'mail.localhost',
  'ｌｏｃａｌｈｏｓｔ',
  'ⓛⓞⓒⓐⓛⓗⓞⓢⓣ',
  '127.0.0.1',
  ' 127.0.0.1 ',
  '127.0.0.1.',
  '127.1',
  '127.0.1',
  '127.255.255.254',
  '2130706433',
  '0x7f000001',
  '0x7f.0.0.1',
  '0x7f.1',
  '017700000001',
  '0177.0.0.1',
  '0177.1',
  '127.000.000.001',
  '127。0。0。1',
  '１２７.０.０.１',
  '①②⑦.⓪.⓪.①',
  '0',
  '0.0.0.0',
  '0.1.2.3',
  '::1',
  '0:0:0:0:0:0:0:1',
  '[::1]',
  '[127.0.0.1]',
  '::',
  '::127.0.0.1',
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
  '::FFFF:7F00:0001',
  '::ffff:0:127.0.0.1',
  '64:ff9b::7f00:1',
  '64:ff9b:1::7f00:1',
  '2002:7f00:1::',
  '2001:0:5ef5:79fd:0:0:0:1',
  // The network we run in.
  '10.0.0.1',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '100.64.0.1',
  '100.127.255.255',
  '169.254.169.254',
  '169.254.170.2',
  '2852039166',
  '0xa9fea9fe',
  '::ffff:169.254.169.254',
  'fd00:ec2::254',
  'fd00::1',
  'fc00::1',
  'fe80::1',
  'fe80::1%eth0',
  'fe80::1%25eth0',
  'fec0::1',
  '64:ff9b::a9fe:a9fe',
  'metadata.google.internal',
  'metadata.google.internal.',
  'instance-data',
  'instance-data.ec2.internal',
  'ip-10-0-0-1.eu-west-1.compute.internal',
  'mail.corp',
  'mail.lan',
  'router.home.arpa',
  'printer.local',
  'mail',
  // Nobody's.
  '192.0.2.1',
  '198.51.100.1',
  '203.0.113.1',
  '198.18.0.1',
  '192.88.99.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '2001:db8::1',
  '3fff::1',
  'ff02::1',
  '100::1',
  '4000::1',
  // What is no host at all.
  '',
  ' ',
  '.',
  'mail.example.com@127.0.0.1',
  'user:secret@127.0.0.1',
  'http://127.0.0.1/',
  'pop3://127.0.0.1',
  '127.0.0.1:995',
  '127.0.0.1/32',
  '127.0.0.1#mail.example.com',
  '127.0.0.1?mail.example.com',
  'mail.example.com\\@127.0.0.1',
  '127.0.0.1\0.example.com',
  '127.0.0.1\r\nmail.example.com',
  '127%2e0%2e0%2e1',
  '%31%32%37.0.0.1',
  'loc%61lhost',
  // Names that say what they are, and names that do not; DNS leads each of them to this machine.
  '127.0.0.1.nip.example.net',
  'inside.example.net',
  'xn--inside-mua.example.net',
  'müller.example.net',
];

describe('SSRF: servers that users name (design 8)', () => {
  let server: Server;
  let port: number;
  let connections = 0;

  beforeAll(async () => {
    server = createServer((socket) => {
      connections++;
      socket.destroy();
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    port = (server.address() as { port: number }).port;
  });
  afterAll(() => new Promise((done) => server.close(done)));

  /** What a client does with the answer; here any port is one of a mail server, so that our listener would be reached. */
  async function visit(host: string, lookup: Lookup): Promise<boolean> {
    const checked = await resolveServer({ host, port }, [port], PUBLIC_ONLY, lookup);
    if (!checked) return false;
    const socket = new Socket();
    await new Promise((done) => socket.once('error', done).once('connect', done).connect(checked.port, checked.address));
    socket.destroy();
    return true;
  }

  test('the listener counts', async () => {
    const socket = new Socket();
    await new Promise((done) => socket.once('close', done).connect(port, '127.0.0.1'));
    expect(connections).toBe(1);
    connections = 0;
  });

  test('no spelling leads inside: 0 connections', async () => {
    expect(SPELLINGS.length).toBeGreaterThanOrEqual(60);
    const inside: Lookup = async () => ['127.0.0.1', '::1', '::ffff:127.0.0.1', '10.0.0.1', '169.254.169.254', 'fd00::1'];
    const led: string[] = [];
    for (const spelling of SPELLINGS) if (await visit(spelling, inside)) led.push(spelling);
    expect(led).toEqual([]);
    expect(connections).toBe(0);
  });

  test('DNS is not asked for names of the inside, whatever it would say', async () => {
    const inside = ['localhost', 'mail', 'metadata.google.internal', 'printer.local', 'router.home.arpa', 'mail.corp', 'mail.lan'];
    const asked: string[] = [];
    const outside: Lookup = async (name) => [['198.41.0.4', asked.push(name)][0] as string];
    const led = await Promise.all(inside.map((host) => resolveServer({ host, port: 995 }, INCOMING_PORTS, PUBLIC_ONLY, outside)));
    expect([led.filter(Boolean), asked]).toEqual([[], []]);
  });

  test('rebinding: a name is looked up once, and what was checked is what is connected to', async () => {
    let asked = 0;
    const rebinding: Lookup = async () => (asked++ === 0 ? ['198.41.0.4'] : ['127.0.0.1']);
    const checked = await resolveServer({ host: 'mail.example.net', port: 995 }, INCOMING_PORTS, PUBLIC_ONLY, rebinding);
    expect(checked).toEqual({ name: 'mail.example.net', address: '198.41.0.4', port: 995 });
    expect(asked).toBe(1);
    expect(connections).toBe(0);
  });

  test('a name with addresses inside and outside leads outside', async () => {
    const mixed: Lookup = async () => ['127.0.0.1', '10.0.0.1', '198.41.0.4'];
    const checked = await resolveServer({ host: 'mail.example.net', port: 995 }, INCOMING_PORTS, PUBLIC_ONLY, mixed);
    expect(checked?.address).toBe('198.41.0.4');
  });

  test.each([25, 80, 443, 22, 143, 993, 587, 465, 2525, 3306, 6379, 0, -1, 65_536, 995.5, Number.NaN])(
    'an incoming server is not reached at port %p',
    async (odd) => {
      const outside: Lookup = async () => ['198.41.0.4'];
      expect(await resolveServer({ host: 'mail.example.net', port: odd }, INCOMING_PORTS, PUBLIC_ONLY, outside)).toBeUndefined();
    },
  );

  test('a name that does not exist is undefined like a refused one', async () => {
    const nobody: Lookup = async () => Promise.reject(Object.assign(new Error('queryA ENOTFOUND'), { code: 'ENOTFOUND' }));
    expect(await resolveServer({ host: 'nobody.example.net', port: 995 }, INCOMING_PORTS, PUBLIC_ONLY, nobody)).toBeUndefined();
  });

  test.each(['8.8.8.8', '1.1.1.1', '198.41.0.4', '2606:4700:4700::1111', '2001:4860:4860::8888'])('%s is public', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  test.each([
    ['pop.gmail.com', 'pop.gmail.com'],
    ['POP.Gmail.com.', 'pop.gmail.com'],
    [' pop.gmail.com ', 'pop.gmail.com'],
    ['メール.example.net', 'xn--4dkua4c.example.net'],
    ['aa2.so-net.ne.jp', 'aa2.so-net.ne.jp'],
    ['8.8.8.8', '8.8.8.8'],
  ])('%p is %s', (typed, name) => {
    expect(readHost(typed)?.name).toBe(name);
  });

  describe('the host on a developer machine', () => {
    const LOCAL = { local: true, ca: 'a certificate' };
    const never: Lookup = async () => Promise.reject(new Error('DNS was asked'));

    test.each(['localhost', '127.0.0.1', '::1', '127.0.0.53'])('may connect to %s, at any port', async (host) => {
      const checked = await resolveServer({ host, port: 11_995 }, INCOMING_PORTS, LOCAL, never);
      expect(checked).toEqual({ name: host, address: host === 'localhost' ? '127.0.0.1' : host, port: 11_995, ca: 'a certificate' });
    });

    test.each(['10.0.0.1', '192.168.1.1', '169.254.169.254', 'fd00::1', '0.0.0.0', 'mail.local'])(
      'may not connect to %s all the same',
      async (host) => {
        expect(await resolveServer({ host, port: 995 }, INCOMING_PORTS, LOCAL, never)).toBeUndefined();
      },
    );
  });
});
