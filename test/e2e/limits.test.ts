import {
  LINK_SECONDS,
  MAX_IMPORT_BYTES,
  MAX_JSON_BYTES,
  MAX_MATCHED_ADDRESSES,
  MAX_TEXT_CHARS,
  PAGE_DEFAULT,
  PAGE_MAX,
} from '../../core/limits.ts';
import { until } from '../support/host.ts';
import { mailTest, openStage, type Stage } from '../support/stage.ts';
import { type Person, rawMail } from '../support/tenant.ts';

/** Limits of the API, each at its number and one past it. Those of the core are tested where they are kept. */
let stage: Stage;
let mika: Person;

beforeAll(async () => {
  stage = await openStage();
  mika = stage.administrator;
});
afterAll(() => stage.end());

const TEXT_CSV = { 'content-type': 'text/csv' };

/** A mail that the activity tells of: it is shown a moment later. */
const shown = (message: string | undefined) =>
  until(async () => {
    const answer = await mika.api('GET', `/v1/messages/${message}`);
    return answer.status === 200 ? answer : undefined;
  });

test('MAX_JSON_BYTES of JSON are read, one more is 413 with the limit', async () => {
  const body = (bytes: number) => `{"name":{"last":"${'x'.repeat(bytes - 20)}"}}`;
  const ask = (bytes: number) => mika.api('POST', '/v1/leads', body(bytes), { 'content-type': 'application/json' });
  expect(Buffer.byteLength(body(MAX_JSON_BYTES))).toBe(MAX_JSON_BYTES);
  expect(await ask(MAX_JSON_BYTES)).toMatchObject({ status: 422, json: { code: 'invalid-body' } });
  expect(await ask(MAX_JSON_BYTES + 1)).toMatchObject({ status: 413, json: { code: 'body-too-large', limit: MAX_JSON_BYTES } });
});

test('MAX_IMPORT_BYTES of CSV are taken, one more is 413', async () => {
  const csv = (bytes: number) => {
    const head = 'name,note\n';
    return `${head}${'x'.repeat(99)}\n`.padEnd(bytes, `${'y'.repeat(99)}\n`);
  };
  const limited = await mika.api('POST', '/v1/leads/import', csv(MAX_IMPORT_BYTES + 1), TEXT_CSV);
  expect(limited).toMatchObject({ status: 413, json: { limit: MAX_IMPORT_BYTES } });
  expect((await mika.api('POST', '/v1/leads/import', csv(MAX_IMPORT_BYTES), TEXT_CSV)).status).not.toBe(413);
});

test('a page has PAGE_DEFAULT rows when nobody says, PAGE_MAX at most', async () => {
  const rows = Array.from({ length: PAGE_MAX + 1 }, (_, i) => `Row ${i},row${i}@customer.example`);
  const started = await mika.api('POST', '/v1/contacts/import', `name,email\n${rows.join('\n')}\n`, TEXT_CSV);
  await until(async () => (await mika.api('GET', `/v1/imports/${started.json.id}`)).json.state === 'done');
  const length = async (query: string) => (await mika.api('GET', `/v1/contacts${query}`)).json.items.length;
  expect([await length(''), await length(`?limit=${PAGE_MAX}`)]).toEqual([PAGE_DEFAULT, PAGE_MAX]);
  for (const limit of [0, -1, PAGE_MAX + 1, 'many']) expect((await mika.api('GET', `/v1/contacts?limit=${limit}`)).status).toBe(422);
});

mailTest('MAX_TEXT_CHARS of text are shown whole, one more is cut and said to be; a download link lives LINK_SECONDS', async () => {
  const { address } = (await mika.api('GET', '/v1/dropbox')).json;
  const send = (subject: string, chars: number) => {
    const lines = 'one line of many words '.repeat(chars).slice(0, chars - 1);
    const raw = rawMail({ From: mika.email, To: 'long@customer.example', Subject: subject }, `${lines}x`);
    return stage.sendMail({ from: mika.email, rcpt: address, raw });
  };
  await send('at', MAX_TEXT_CHARS);
  await send('past', MAX_TEXT_CHARS + 1);
  const found = await until(async () => {
    const { items } = (await mika.api('GET', '/v1/activity')).json as { items: { subject: string; message: string }[] };
    const sent = items.filter(({ subject }) => ['at', 'past'].includes(subject));
    return sent.length === 2 ? sent : undefined;
  });
  const read = async (subject: string) => (await shown(found.find((entry) => entry.subject === subject)?.message)).json;
  const [at, past] = [await read('at'), await read('past')];
  expect([at.textTruncated, past.textTruncated]).toEqual([undefined, true]);
  expect([at.text.length, past.text.length]).toEqual([MAX_TEXT_CHARS, MAX_TEXT_CHARS]);
  const { headers } = await mika.api('GET', `/v1/messages/${at.id}/raw`);
  expect(new URL(headers.get('location') ?? '').searchParams.get('X-Amz-Expires')).toBe(String(LINK_SECONDS));
});

mailTest(`R-3: a mail to ${MAX_MATCHED_ADDRESSES} strangers makes as many records, whatever else is asked meanwhile`, async () => {
  const { address } = (await mika.api('GET', '/v1/dropbox')).json;
  const strangers = Array.from({ length: MAX_MATCHED_ADDRESSES + 1 }, (_, i) => `s${i}@strangers.example`);
  const raw = rawMail({ From: mika.email, To: strangers.join(',\r\n '), Subject: 'Hello all' });
  await stage.sendMail({ from: mika.email, rcpt: address, raw });
  const entry = await until(async () => {
    const { items } = (await mika.api('GET', '/v1/activity')).json as {
      items: { subject: string; records: unknown[]; skipped: unknown[] }[];
    };
    return items.find(({ subject }) => subject === 'Hello all');
  });
  expect(entry.records).toHaveLength(MAX_MATCHED_ADDRESSES);
  expect(entry.skipped).toEqual([{ address: '1 more', reason: 'beyond-limit' }]);
});

mailTest('MAX_ANSWER_BYTES: a mail whose HTML is too large for an answer is shown without it, and says so', async () => {
  const { address } = (await mika.api('GET', '/v1/dropbox')).json;
  const headers = { From: mika.email, To: 'html@customer.example', 'Content-Type': 'text/html; charset=utf-8' };
  const bodies = { 'a long page': `<p>${`${'"'.repeat(95)} `.repeat(10_000)}</p>`, 'a short page': '<p>short</p>' };
  for (const [Subject, body] of Object.entries(bodies)) {
    await stage.sendMail({
      from: mika.email,
      rcpt: address,
      raw: rawMail({ ...headers, Subject }, `${body.replaceAll(' ', '\r\n')}\r\n`),
    });
  }
  const filed = (subject: string) =>
    until(async () => {
      const { items } = (await mika.api('GET', '/v1/activity')).json as { items: { subject: string; message?: string }[] };
      return items.find((entry) => entry.subject === subject)?.message;
    });
  const [long, short] = [await shown(await filed('a long page')), await shown(await filed('a short page'))];
  expect([long.status, long.json.htmlOmitted, long.json.html]).toEqual([200, true, undefined]);
  expect(long.json.text.length).toBeGreaterThan(100_000);
  expect([short.json.htmlOmitted, short.json.html]).toEqual([undefined, expect.stringContaining('short')]);
});
