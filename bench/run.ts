import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle } from '../lib/bundle.ts';
import { benchBackup } from './backup.ts';
import { benchCalls } from './calls.ts';
import { benchCost } from './cost.ts';
import { benchExport } from './export.ts';
import { atMost, type Figure, plain, table } from './figures.ts';
import { benchFiling } from './filing.ts';
import { benchHost } from './host.ts';
import { benchListing } from './listing.ts';
import { benchPoll } from './poll.ts';
import { benchPop3 } from './pop3-download.ts';
import { benchSharing } from './sharing.ts';
import { openWorkplace } from './workplace.ts';

/**
 * `npm run bench [-- --check] [-- filing|listing|sharing|host|poll|pop3|backup|export ...] [--mails=N]`: prints what the product costs in time, calls and money, beside the
 * limits. With --check it exits 1 when one is broken. Sharing the machine with other work makes every figure worse.
 */
const wanted = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const isWanted = (name: string) => wanted.length === 0 || wanted.includes(name);
// The engines are unreferenced children: without this the process could end while it waits for one.
const alive = setInterval(() => {}, 1000);
const bundles = mkdtempSync(join(tmpdir(), 'bench-bundles-'));
let broken = 0;

try {
  show('Bundles, threads included', sizesOf(await bundle(bundles)));
  if (isWanted('filing')) await runFiling();
  if (isWanted('listing')) show('Listing 50 of 10,000 mails', await benchListing());
  if (isWanted('sharing')) show('Whose mail is shown: a page of 50', await benchSharing());
  if (isWanted('host')) {
    const { latency, start } = await benchHost(bundles);
    show('From SMTP to the API, ten mails a second', latency);
    show('Starting', start);
  }
  if (isWanted('poll')) show('Polling a mailbox of 100,000 mails', await benchPoll());
  if (isWanted('backup')) show('Backing a mailbox of 20 KB mails up', await benchBackup(mailsWanted()));
  if (isWanted('export')) show('Exporting a backup of 20 KB mails', await benchExport(mailsWanted()));
  if (isWanted('pop3')) show('Downloading a mailbox of 20 KB mails over POP3', await benchPop3(mailsWanted()));
} finally {
  clearInterval(alive);
  rmSync(bundles, { recursive: true });
}
console.log(broken === 0 ? '\nAll limits hold.' : `\n${broken} limits are broken.`);
process.exit(broken > 0 && process.argv.includes('--check') ? 1 : 0);

/** `--mails=500`: a quick look. */
function mailsWanted(): number | undefined {
  const given = process.argv.find((word) => word.startsWith('--mails='));
  return given ? Number(given.slice('--mails='.length)) : undefined;
}

async function runFiling(): Promise<void> {
  const place = await openWorkplace();
  try {
    const { figures, cpuMs, mailBytes } = await benchFiling(place, bundles);
    show('Filing a mail', figures);
    const { figures: calls, one, loggedBytes } = await benchCalls(place);
    show('Calls of filing a mail', calls);
    show('US dollars per million mails', benchCost({ calls: one, loggedBytes, cpuMs, mailBytes }));
  } finally {
    await place.end();
  }
}

function sizesOf({ sizes }: { sizes: Record<string, number> }): Figure[] {
  const of = (name: string, bytes: number) => atMost(name, bytes / 1000, name === 'authorise' ? 600 : 1500, ' KB', 0);
  const total = Object.values(sizes).reduce((sum, bytes) => sum + bytes, 0);
  return [...Object.entries(sizes).map(([name, bytes]) => of(name, bytes)), plain('all', total / 1000, ' KB', 0)];
}

function show(title: string, figures: readonly Figure[]): void {
  broken += figures.filter(({ ok }) => ok === false).length;
  console.log(table(title, figures));
}
