import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { functions } from '../functions/manifest.ts';
import { root } from '../lib/bundle.ts';
import { benchCalls } from './calls.ts';
import { costOf, prices, sum, type Used } from './cost.ts';
import { batchOf, openWorkplace } from './workplace.ts';

/**
 * `npm run cost [-- --write]`: what a month costs at five sizes, from the calls of filing a mail as they are counted now, the
 * prices of docs/cost.md and docs/scale.md, and the habits that docs/scale.md names. --write puts the table into docs/scale.md.
 */
const SIZES = [
  { tenants: 1, members: 10, mails: 2_000 },
  { tenants: 100, members: 2_000, mails: 200_000 },
  { tenants: 1_000, members: 50_000, mails: 5_000_000 },
  { tenants: 50_000, members: 5_000_000, mails: 100_000_000 },
  { tenants: 1_000_000, members: 100_000_000, mails: 1_000_000_000 },
];

const MONTHS_KEPT = 12;
const MILLION = 1e6;
const FILE = join(root, 'docs/scale.md');

const habit = numbers('Habit');
const price = prices('docs/cost.md', 'docs/scale.md');

const lines = [
  '| tenants | members | mails a month | taking mail in | SES and storing | keeping a year | finding lost mail | the API | fixed | USD a month | per member |',
  '|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
  ...(await monthly()),
];
for (const line of lines) console.log(line);
if (process.argv.includes('--write')) {
  const page = readFileSync(FILE, 'utf8');
  writeFileSync(FILE, page.replace(/(<!-- cost -->\n)[\s\S]*(\n<!-- \/cost -->)/, `$1${lines.join('\n')}$2`));
}
process.exit(0);

async function monthly(): Promise<string[]> {
  const used = await counted();
  const { controllable, given } = costOf(used);
  const { 'S3 storage, a year': _, ...arriving } = given;
  return SIZES.map(({ tenants, members, mails }) => {
    const kept = mails * MONTHS_KEPT;
    const gigabytes = (bytes: number) => (kept * bytes) / 1e9;
    // Each write unit of a mail is an item of up to a kilobyte.
    const tableGigabytes = gigabytes(used.calls.writeUnits * 1024);
    const parts = [
      (mails / MILLION) * sum(controllable),
      (mails / MILLION) * sum(arriving),
      (gigabytes(used.mailBytes) * price('S3 GB-month')) / MILLION +
        tableGigabytes * (price('DynamoDB GB-month') + price('Backup GB-month')),
      reconciling(mails, kept),
      asking(members * habit('requests of a member a month')),
      price('KMS key a month') + alarmMetrics() * price('metric of an alarm a month') + price('metric a month'),
    ];
    const total = parts.reduce((all, part) => all + part, 0);
    const cells = [tenants, members, mails].map((count) => count.toLocaleString('en'));
    return `| ${[...cells, ...parts.map(dollars), `**${dollars(total)}**`, (total / members).toFixed(4)].join(' | ')} |`;
  });
}

/** The calls of filing one mail, counted as `npm run bench` counts them. */
async function counted(): Promise<Used> {
  const place = await openWorkplace();
  try {
    const { one, loggedBytes } = await benchCalls(place);
    return { calls: one, loggedBytes, cpuMs: habit('milliseconds billed to file a mail'), mailBytes: batchOf(1)[0]?.length ?? 0 };
  } finally {
    await place.end();
  }
}

/** Each new mail is looked at once; every day the whole bucket is listed, a thousand keys a call. */
function reconciling(mails: number, kept: number): number {
  const looking = price('S3 GET') + 3 * price('DynamoDB read unit');
  return (mails / MILLION) * looking + ((kept / 1000) * 30 * price('S3 LIST')) / MILLION;
}

/** Each alarm has its heading in the runbook: a test holds the two together. One that adds metrics up is paid for by each of them. */
function alarmMetrics(): number {
  const [chapter = ''] = readFileSync(join(root, 'docs/runbook.md'), 'utf8').split('\n# ');
  const count = (...kinds: string[]) => Object.values(functions).filter(({ trigger }) => kinds.includes(trigger.kind)).length;
  const [failing, throttled] = [
    [count('queue'), count('schedule')],
    [count('queue'), count('http', 'authoriser')],
  ];
  return [...failing, ...throttled].reduce((all, metrics) => all + metrics - 1, [...chapter.matchAll(/^## /gm)].length);
}

/** A request: API Gateway, the authoriser and the API, each for some milliseconds, and what both read. */
function asking(requests: number): number {
  const gigabyteSeconds = (name: 'api' | 'authorise', milliseconds: number) => (functions[name].memory / 1024) * (milliseconds / 1000);
  const computing = gigabyteSeconds('api', habit('milliseconds of api')) + gigabyteSeconds('authorise', habit('milliseconds of authorise'));
  const each =
    price('API request') +
    2 * price('Lambda request') +
    computing * price('Lambda GB-second') +
    habit('read units of a request') * price('DynamoDB read unit');
  return (requests / MILLION) * each;
}

/** The numbers of the table in docs/scale.md whose first column's heading is this. */
function numbers(heading: string): (name: string) => number {
  const table = readFileSync(FILE, 'utf8').split(`| ${heading}`)[1]?.split('\n\n')[0] ?? '';
  const rows = new Map([...table.matchAll(/^\| ([^|]+?) +\| +([\d.]+) +\|/gm)].map(([, name, value]) => [name, Number(value)]));
  return (name) => {
    const value = rows.get(name);
    if (value === undefined) throw new Error(`docs/scale.md has no ${heading.toLowerCase()} "${name}"`);
    return value;
  };
}

function dollars(usd: number): string {
  return usd < 100 ? usd.toFixed(2) : Math.round(usd).toLocaleString('en');
}
