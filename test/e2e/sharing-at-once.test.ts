import { fetchMail } from '../support/fetched-mail.ts';
import { startHost, type TestHost } from '../support/host.ts';
import { expectStatus } from '../support/matrix-people.ts';
import { insideOnly } from '../support/stage.ts';
import { join, newTenant, type Person, rawMail } from '../support/tenant.ts';

const { describe, test } = insideOnly('it hands mail in where a poll does, and has several members');

/** once a change is answered, no read that starts later tells anything else, while colleagues read all the time. */
let host: TestHost;
let admin: Person;
let mika: Person;
let jun: Person;
let contact: string;
let mail: string;

const TARO = 'taro@customer.example';
const ROUNDS = 5;

beforeAll(async () => {
  host = await startHost({ throttle: { rate: 10_000, burst: 10_000 } });
  ({ admin } = await newTenant(host));
  await expectStatus(200, admin.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' }));
  mika = await join(host, admin, 'mika@example.com');
  jun = await join(host, admin, 'jun@example.com');
  contact = (await expectStatus(201, mika.api('POST', '/v1/contacts', { name: { last: 'Taro' }, addresses: [TARO] }))).json.id;
  mail = await fetchMail(host, mika, rawMail({ From: TARO, To: mika.email, Subject: 'in' }));
});
afterAll(() => host.end());

type Look = { began: number; ended: number; how: string; sees: boolean };

/** Colleagues who look again and again, each in one way: what they saw, and when. */
class Readers {
  readonly looks: Look[] = [];
  private going = true;
  private readonly done: Promise<unknown>;

  constructor(ways: Record<string, () => Promise<boolean>>) {
    this.done = Promise.all(Object.entries(ways).map(([how, look]) => this.read(how, look)));
  }

  /** Until each of them has looked so often, beginning after now. */
  async look(times: number): Promise<Look[]> {
    const from = performance.now();
    const since = () => this.looks.filter(({ began }) => began >= from);
    const ways = new Set(this.looks.map(({ how }) => how));
    while (ways.size < WAYS || [...ways].some((way) => since().filter(({ how }) => how === way).length < times)) {
      await new Promise((done) => setTimeout(done, 1));
      for (const { how } of this.looks) ways.add(how);
    }
    return since();
  }

  async end(): Promise<void> {
    this.going = false;
    await this.done;
  }

  private async read(how: string, look: () => Promise<boolean>): Promise<void> {
    while (this.going) {
      const began = performance.now();
      const sees = await look();
      this.looks.push({ began, ended: performance.now(), how, sees });
    }
  }
}

const WAYS = 4;
const ways = (): Record<string, () => Promise<boolean>> => ({
  list: async () => (await expectStatus(200, jun.api('GET', `/v1/contacts/${contact}/messages`))).json.items.length > 0,
  mail: async () => (await jun.api('GET', `/v1/messages/${mail}`)).status === 200,
  thread: async () => (await jun.api('GET', `/v1/messages/${mail}/thread`)).status === 200,
  why: async () => (await jun.api('GET', `/v1/messages/${mail}/visibility`)).status === 200,
});

const saved = (sharing: object) =>
  expectStatus(
    200,
    mika.api('PUT', '/v1/mail-settings', {
      activeMailbox: null,
      fromAddress: mika.email,
      sharing,
      dropboxVisibility: 'record',
      gather: null,
    }),
  );
const ticked = (shared: boolean) => expectStatus(200, mika.api('PUT', `/v1/contacts/${contact}/mail-sharing`, { shared }));
const policy = (mailPolicy: object) => expectStatus(200, admin.api('PATCH', '/v1/organisation', { mailPolicy }));
const status = (value: string) => expectStatus(200, admin.api('PATCH', `/v1/members/${mika.id}`, { status: value }));
const ALL_TYPES = ['private', 'custom', 'public', 'admin'];

describe('R-7: after the answer to a change no read that starts later leaks', () => {
  test.each<[string, object, () => Promise<unknown>, () => Promise<unknown>]>([
    ['the sharing type', { type: 'private' }, () => saved({ type: 'public' }), () => saved({ type: 'private' })],
    [
      'the excluded domains',
      { type: 'public' },
      () => saved({ type: 'public' }),
      () => saved({ type: 'public', excludedDomains: ['customer.example'] }),
    ],
    ['the tick', { type: 'custom' }, () => ticked(true), () => ticked(false)],
    [
      "the organisation's exclusions",
      { type: 'public' },
      () => policy({ excludedDomains: [] }),
      () => policy({ excludedDomains: ['customer.example'] }),
    ],
    ['the allowed types', { type: 'public' }, () => policy({ allowedSharing: ALL_TYPES }), () => policy({ allowedSharing: ['private'] })],
    ['GEN-9: the deactivation of the owner', { type: 'public' }, () => status('active'), () => status('deactivated')],
  ])('%s', async (_, sharing, open, close) => {
    await saved(sharing);
    await open();
    const readers = new Readers(ways());
    const wrong: string[] = [];
    try {
      for (let round = 0; round < ROUNDS; round++) {
        await close();
        const hidden = await readers.look(2);
        wrong.push(...hidden.filter(({ sees }) => sees).map(({ how }) => `round ${round}: ${how} leaks`));
        await open();
        const shown = await readers.look(1);
        wrong.push(...shown.filter(({ sees }) => !sees).map(({ how }) => `round ${round}: ${how} hides`));
      }
    } finally {
      await readers.end();
    }
    expect(wrong).toEqual([]);
  });
});
