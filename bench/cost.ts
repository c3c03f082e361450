import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { functions } from '../functions/manifest.ts';
import { root } from '../lib/bundle.ts';
import type { Calls } from './calls.ts';
import { atMost, type Figure, plain } from './figures.ts';

/** What the least possible calls for a mail cost, per million mails; docs/cost.md says which. */
const FLOOR = 2.61;

/** What one mail used. */
export type Used = { calls: Calls; loggedBytes: number; cpuMs: number; mailBytes: number };

/** US dollars per million mails: counted use times the price table in docs/cost.md. */
export function benchCost(used: Used): Figure[] {
  const { controllable, given } = costOf(used);
  const listed = (parts: Record<string, number>) => Object.entries(parts).map(([name, usd]) => plain(`  ${name}`, usd, ' $'));
  return [
    plain('controllable', sum(controllable), ' $'),
    ...listed(controllable),
    plain('floor', FLOOR, ' $'),
    atMost('controllable / floor', sum(controllable) / FLOOR, 2, ' x'),
    plain('not controllable', sum(given), ' $'),
    ...listed(given),
  ];
}

export const sum = (parts: Record<string, number>) => Object.values(parts).reduce((total, part) => total + part, 0);

/** US dollars per million mails by part: what is ours to spend, and what is not. */
export function costOf({ calls, loggedBytes, cpuMs, mailBytes }: Used) {
  const price = prices('docs/cost.md');
  const gigabytes = functions['ingest-mail'].memory / 1024;
  const batch = functions['ingest-mail'].trigger.batchSize;
  const controllable = {
    'DynamoDB writes': calls.writeUnits * price('DynamoDB write unit'),
    'DynamoDB reads': calls.readUnits * price('DynamoDB read unit'),
    'S3 GET and PUT': calls.s3Gets * price('S3 GET') + calls.s3Puts * price('S3 PUT'),
    // Sent one by one; taken and deleted in full batches.
    'SQS, batches full': (1 + 2 / batch) * price('SQS request'),
    'Lambda requests, batches full': price('Lambda request') / batch,
    // A function of 1,769 MB has one core: CPU time is the least it is billed.
    'Lambda time, CPU alone': (cpuMs / 1000) * gigabytes * price('Lambda GB-second'),
    'log, ingested': (loggedBytes / 1e9) * price('CloudWatch Logs GB'),
  };
  const given = {
    'SES inbound': price('SES mail received') + Math.floor(mailBytes / 256_000) * price('SES chunk of 256 KB'),
    'SNS publish': price('SNS publish'),
    'S3 PUT by SES': price('S3 PUT'),
    'S3 storage, a year': (mailBytes / 1e9) * 12 * price('S3 GB-month'),
  };
  return { controllable, given };
}

/** Dollars of a unit (per million of it in docs/cost.md), from the tables of these pages. */
export function prices(...files: string[]): (unit: string) => number {
  const page = files.map((file) => readFileSync(join(root, file), 'utf8')).join('\n');
  const rows = [...page.matchAll(/^\| ([^|]+?) +\| +([\d.,]+) +\|/gm)].map(
    ([, unit, usd]) => [unit, Number(usd?.replaceAll(',', ''))] as const,
  );
  const known = new Map(rows);
  return (unit) => {
    const usd = known.get(unit);
    if (usd === undefined) throw new Error(`${files.join(' and ')} have no price of "${unit}"`);
    return usd;
  };
}
