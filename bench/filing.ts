import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { simpleParser } from 'mailparser';
import { parseMail } from '../core/message/parse-mail.ts';
import { atMost, cpuOf, type Figure, median, plain } from './figures.ts';
import { batchOf, type Workplace } from './workplace.ts';

const WARM_UP = 25;
const ROUNDS = 20;
const BATCH = 10;

/**
 * CPU to file a mail of 50 KB with the deployed code, beside that of `simpleParser` alone on the same mails, turn by turn in
 * one process: reading it from S3, parsing, matching, every write. The engine runs in processes of its own.
 */
export async function benchFiling(place: Workplace, bundles: string): Promise<{ figures: Figure[]; cpuMs: number; mailBytes: number }> {
  const { handler } = await import(pathToFileURL(join(bundles, 'ingest-mail', 'handler.mjs')).href);
  const filing: number[] = [];
  const parsing: number[] = [];
  const reading: number[] = [];
  const writing: number[] = [];
  let bytes = 0;
  for (let round = 0; round < WARM_UP + ROUNDS; round++) {
    const raws = batchOf(BATCH);
    const event = await place.arrive(raws);
    const filed = await cpuOf(() => place.handle(handler, event));
    const parsed = await cpuOf(async () => {
      for (const raw of raws) await simpleParser(raw);
    });
    const read = await cpuOf(async () => {
      for (const raw of raws) await parseMail(raw);
    });
    const written = await cpuOf(async () => {
      for (let n = 0; n < BATCH; n++) await place.table.put({ pk: 'bench', sk: String(n), text: 'x'.repeat(400) });
    });
    if (round < WARM_UP) continue;
    filing.push(filed / BATCH);
    parsing.push(parsed / BATCH);
    reading.push(read / BATCH);
    writing.push(written / BATCH);
    bytes = raws.reduce((sum, raw) => sum + raw.length, 0) / BATCH;
  }
  const ratios = filing.map((ms, i) => ms / (parsing[i] as number));
  const cpuMs = median(filing);
  const figures = [
    plain('size of a mail', bytes / 1000, ' KB', 1),
    plain('filing, CPU a mail', cpuMs, ' ms'),
    plain('simpleParser alone, CPU a mail', median(parsing), ' ms'),
    atMost('filing / simpleParser', median(ratios), 3, ' x'),
    plain('  our parser alone, in its thread', median(reading), ' ms'),
    plain('  one PutItem by the SDK (a mail is nine calls)', median(writing), ' ms'),
  ];
  return { figures, cpuMs, mailBytes: bytes };
}
