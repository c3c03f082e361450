import { parentPort } from 'node:worker_threads';
import type { TooBig } from './mime-scan.ts';
import type { ParsedMail } from './parsed-mail.ts';
import { type ReadMail, readMail } from './read-mail.ts';

/** What the thread is asked, and what it answers: first `ready`, then one answer per question. */
export type Question = { raw: Uint8Array; parser: ParsedMail['parser']; keep?: number };
export type Answer = 'ready' | ReadMail | TooBig | { failed: true };

const port = parentPort;

async function answer({ raw, parser, keep }: Question): Promise<void> {
  port?.postMessage(await readMail(raw, parser, keep).catch((): Answer => ({ failed: true })));
}

port?.on('message', (question: Question) => void answer(question));
port?.postMessage('ready' satisfies Answer);
