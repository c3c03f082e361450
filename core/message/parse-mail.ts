import { Worker } from 'node:worker_threads';
import { PARSE_DEADLINE_MS } from '../limits.ts';
import type { TooBig } from './mime-scan.ts';
import type { Answer, Question } from './parse-thread.ts';
import type { Attachment, ParsedMail } from './parsed-mail.ts';
import type { ReadMail } from './read-mail.ts';

/** A mail that cannot be read within its limits: it is held, with its raw bytes and this reason, never dropped. */
export class UnreadableMail extends Error {
  readonly reason: 'too-many-parts' | 'too-deep' | 'headers-too-long' | 'too-large' | 'deadline' | 'parser-failed';

  constructor(reason: UnreadableMail['reason']) {
    super(`the mail cannot be read: ${reason}`);
    this.name = 'UnreadableMail';
    this.reason = reason;
  }
}

const REASONS = { bytes: 'too-large', headers: 'headers-too-long', parts: 'too-many-parts', depth: 'too-deep' } as const;

/** Megabytes of JavaScript heap the thread may use: a mail of 40 MB of text needs under half of it. */
const THREAD_HEAP_MB = 512;

const threadFile = new URL(import.meta.url.endsWith('.ts') ? './parse-thread.ts' : './parse-thread.mjs', import.meta.url);

/**
 * Parses a mail in a thread that is ended when it takes longer than the deadline (a thread can be ended, a regular
 * expression cannot). Then, or when the thread dies, the second parser tries in a fresh one.
 * Throws UnreadableMail, and nothing else, for whatever the bytes are.
 */
export async function parseMail(raw: Uint8Array, deadlineMs = PARSE_DEADLINE_MS): Promise<ParsedMail> {
  return (await read(raw, undefined, deadlineMs)).mail;
}

/**
 * The attachment of that index (as in `ParsedMail.attachments`) and its decoded bytes; undefined when there is none.
 * Throws UnreadableMail like `parseMail`.
 */
export async function readAttachment(
  raw: Uint8Array,
  index: number,
  deadlineMs = PARSE_DEADLINE_MS,
): Promise<{ attachment: Attachment; content: Uint8Array } | undefined> {
  const { mail, content } = await read(raw, index, deadlineMs);
  const attachment = mail.attachments[index];
  return attachment && content ? { attachment, content } : undefined;
}

async function read(raw: Uint8Array, keep: number | undefined, deadlineMs: number): Promise<ReadMail> {
  let reason: UnreadableMail['reason'] = 'parser-failed';
  for (const parser of ['mailparser', 'postal-mime'] as const) {
    const answer = await inTurn(() => ask({ raw, parser, keep }, deadlineMs));
    if (answer === 'deadline') reason = 'deadline';
    else if ('tooBig' in answer) throw new UnreadableMail(REASONS[answer.tooBig]);
    else if ('mail' in answer) return answer;
  }
  throw new UnreadableMail(reason);
}

let thread: Worker | undefined;
let last: Promise<unknown> = Promise.resolve();

/** One job after the other: a second mail in the thread would share the fate of the first. */
function inTurn<T>(job: () => Promise<T>): Promise<T> {
  const mine = last.then(job);
  last = mine.catch(() => undefined);
  return mine;
}

type Outcome = ReadMail | TooBig | { failed: true } | 'deadline';

async function ask(question: Question, deadlineMs: number): Promise<Outcome> {
  const worker = thread ?? (await startThread(deadlineMs));
  if (!worker) return { failed: true };
  thread = worker;
  // Copied once, and the copy handed over: cloning a Buffer would clone the whole pool it lies in.
  const raw = new Uint8Array(question.raw);
  worker.postMessage({ ...question, raw } satisfies Question, [raw.buffer]);
  const answer = await nextAnswer(worker, deadlineMs);
  if (answer === 'deadline' || answer === 'gone') {
    thread = undefined;
    await worker.terminate();
    return answer === 'deadline' ? 'deadline' : { failed: true };
  }
  return answer as Outcome;
}

/** Starting is not the mail's fault and not part of its deadline. */
async function startThread(deadlineMs: number): Promise<Worker | undefined> {
  const worker = new Worker(threadFile, {
    resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MB, maxYoungGenerationSizeMb: 64 },
    stdout: false,
    stderr: false,
  });
  // A host that has nothing else to do may end: the thread alone does not keep it alive.
  worker.unref();
  worker.on('error', () => undefined);
  worker.once('exit', () => {
    if (thread === worker) thread = undefined;
  });
  const first = await nextAnswer(worker, Math.max(deadlineMs, PARSE_DEADLINE_MS));
  if (first === 'ready') return worker;
  await worker.terminate();
  return undefined;
}

function nextAnswer(worker: Worker, deadlineMs: number): Promise<Answer | 'deadline' | 'gone'> {
  return new Promise((resolve) => {
    const settle = (answer: Answer | 'deadline' | 'gone') => {
      clearTimeout(timer);
      worker.off('message', settle).off('error', gone).off('exit', gone);
      resolve(answer);
    };
    const gone = () => settle('gone');
    const timer = setTimeout(() => settle('deadline'), deadlineMs);
    worker.on('message', settle).on('error', gone).on('exit', gone);
  });
}
