import { type Dns, discoverServers, type SrvRecord } from '../../../core/account/discover-client.ts';

const none = async () => Promise.reject(new Error('ENOTFOUND'));

/** A DNS that knows these records and no others, and what it was asked. */
function dns(records: { mx?: string[]; srv?: Record<string, SrvRecord[]>; hosts?: Record<string, string[]> }) {
  const asked: string[] = [];
  const answer = <T>(name: string, value: T | undefined): Promise<T> => {
    asked.push(name);
    return value === undefined ? none() : Promise.resolve(value);
  };
  const known: Dns = {
    mx: (domain) => answer(domain, records.mx),
    srv: (name) => answer(name, records.srv?.[name]),
    lookup: (name) => answer(name, records.hosts?.[name]),
  };
  return { known, asked };
}

const srv = (name: string, port: number, priority = 0, weight = 0): SrvRecord => ({ name, port, priority, weight });

test('POP-14: the servers of a provider we know, without asking DNS', async () => {
  const { known, asked } = dns({});
  const found = await discoverServers('taro@gmail.com', known);
  expect(found).toMatchObject({
    source: 'provider',
    provider: { id: 'gmail' },
    incoming: { host: 'pop.gmail.com', port: 995, security: 'implicit' },
    outgoing: { host: 'smtp.gmail.com', port: 465, security: 'implicit' },
    userName: 'taro@gmail.com',
    confirm: false,
  });
  expect(asked).toEqual([]);
});

test('a provider without POP3 says what to do instead', async () => {
  const found = await discoverServers('taro@icloud.com', dns({}).known);
  expect(found.incoming).toBeUndefined();
  expect(found.advice?.todo.en).toMatch(/Forward the mail/);
});

test.each([
  ['aspmx.l.google.com', 'google-workspace', 'pop.gmail.com'],
  ['mx.zoho.com', 'zoho', 'pop.zoho.com'],
  ['example-com.mail.protection.outlook.com', 'exchange-online', undefined],
])('a domain whose mail %s takes is hosted by %s', async (exchanger, id, host) => {
  const found = await discoverServers('taro@example.net', dns({ mx: [exchanger] }).known);
  expect([found.source, found.provider?.id, found.incoming?.host, found.userName]).toEqual(['hosted', id, host, 'taro@example.net']);
});

describe('RFC 6186, RFC 8314: what the domain publishes', () => {
  test('POP3 with TLS before POP3 with STARTTLS, submission likewise', async () => {
    const { known } = dns({
      srv: {
        '_pop3s._tcp.example.net': [srv('pop.example.net', 995)],
        '_pop3._tcp.example.net': [srv('plain.example.net', 110)],
        '_submission._tcp.example.net': [srv('smtp.example.net', 587)],
      },
      mx: ['aspmx.l.google.com'],
    });
    expect(await discoverServers('taro@example.net', known)).toEqual({
      source: 'published',
      incoming: { host: 'pop.example.net', port: 995, security: 'implicit' },
      outgoing: { host: 'smtp.example.net', port: 587, security: 'starttls' },
      userName: 'taro@example.net',
      confirm: false,
    });
  });

  test('RFC 2782: the lowest priority, then the heaviest', async () => {
    const servers = [srv('c.example.net', 995, 20, 99), srv('b.example.net', 995, 10, 1), srv('a.example.net', 995, 10, 5)];
    const found = await discoverServers('taro@example.net', dns({ srv: { '_pop3s._tcp.example.net': servers } }).known);
    expect(found.incoming?.host).toBe('a.example.net');
  });

  test('a service that is said not to exist does not', async () => {
    const { known } = dns({
      srv: { '_pop3s._tcp.example.net': [srv('.', 0)], '_pop3._tcp.example.net': [srv('pop.example.net', 110)] },
    });
    const found = await discoverServers('taro@example.net', known);
    expect(found.incoming).toEqual({ host: 'pop.example.net', port: 110, security: 'starttls' });
  });

  test('servers outside the domain are to be confirmed', async () => {
    const found = await discoverServers(
      'taro@example.net',
      dns({ srv: { '_pop3s._tcp.example.net': [srv('pop.example.org', 995)] } }).known,
    );
    expect([found.incoming?.host, found.confirm]).toEqual(['pop.example.org', true]);
  });

  test.each(['localhost', '127.0.0.1', 'metadata.google.internal', '169.254.169.254', 'mail'])(
    'reliability row 31: %s is not passed on',
    async (name) => {
      const found = await discoverServers('taro@example.net', dns({ srv: { '_pop3s._tcp.example.net': [srv(name, 995)] } }).known);
      expect([found.source, found.incoming]).toEqual(['unknown', undefined]);
    },
  );

  test('nor is a port that is none of mail', async () => {
    const found = await discoverServers(
      'taro@example.net',
      dns({ srv: { '_pop3s._tcp.example.net': [srv('pop.example.net', 22)] } }).known,
    );
    expect(found.incoming).toBeUndefined();
  });
});

test('usual names that exist are guesses, and said to be', async () => {
  const { known } = dns({ hosts: { 'mail.example.net': ['198.41.0.4'], 'smtp.example.net': ['10.0.0.1'] } });
  expect(await discoverServers('taro@example.net', known)).toEqual({
    source: 'guess',
    incoming: { host: 'mail.example.net', port: 995, security: 'implicit' },
    outgoing: { host: 'mail.example.net', port: 465, security: 'implicit' },
    userName: 'taro@example.net',
    confirm: false,
  });
});

test('INB-17: nothing found is said, not made up', async () => {
  expect(await discoverServers('taro@example.net', dns({}).known)).toEqual({
    source: 'unknown',
    userName: 'taro@example.net',
    confirm: false,
  });
});

test.each(['taro@localhost', 'taro@mail.internal', 'taro@printer.local'])(
  'reliability row 31: DNS is not asked of the inside by %s',
  async (address) => {
    const { known, asked } = dns({ mx: ['mx.zoho.com'] });
    expect((await discoverServers(address, known)).source).toBe('unknown');
    expect(asked).toEqual([]);
  },
);
