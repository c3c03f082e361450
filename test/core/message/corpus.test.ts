import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseMail, UnreadableMail } from '../../../core/message/parse-mail.ts';

/** A folder of mails from elsewhere (*.eml), tried when it is named; too large and of too many licences to keep here. */
const CORPUS = process.env.MAIL_CORPUS;

/** The sender where nobody can doubt it: one From line, one address, in angle brackets or alone. */
function undoubtedSender(raw: string): string | undefined {
  const header = raw.slice(0, raw.search(/\r?\n\r?\n/) + 1 || undefined);
  const lines = header.replace(/\r?\n[ \t]+/g, ' ').split(/\r?\n/);
  const senders = lines.filter((line) => /^from\s*:/i.test(line));
  const match = /^from\s*:\s*(?:[\w .]*<([\w.+-]+@[\w.-]+\w)>|([\w.+-]+@[\w.-]+\w))\s*$/i.exec(senders.length === 1 ? senders[0]! : '');
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

const title = 'every mail of the corpus is parsed or unreadable, with the right sender';
if (CORPUS === undefined) test.skip(`${title} (skipped: MAIL_CORPUS names no folder)`, () => undefined);
else
  test(title, async () => {
    const counts = { parsed: 0, unreadable: 0, senders: 0, withText: 0, attachments: 0, secondParser: 0 };
    for (const file of globSync('**/*.eml', { cwd: CORPUS })) {
      const raw = readFileSync(join(CORPUS, file));
      const result = await parseMail(raw).catch((error: unknown) => error);
      if (result instanceof UnreadableMail) {
        counts.unreadable++;
        continue;
      }
      if (result instanceof Error) throw new Error(`${file} ended as neither`, { cause: result });
      const parsed = result as Awaited<ReturnType<typeof parseMail>>;
      const sender = undoubtedSender(raw.toString('latin1'));
      if (sender !== undefined) {
        expect({ file, from: parsed.from.map(({ address }) => address) }).toEqual({ file, from: [sender] });
        counts.senders++;
      }
      counts.parsed++;
      counts.attachments += parsed.attachments.length;
      if (parsed.text !== '') counts.withText++;
      if (parsed.parser === 'postal-mime') counts.secondParser++;
    }
    console.info(`corpus: ${JSON.stringify(counts)}`);
    expect(counts.parsed + counts.unreadable).toBeGreaterThan(0);
  }, 900_000);
