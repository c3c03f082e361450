import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { note } from './calls.ts';
import { type Answer, demand, type Grants, HOST, queryService, Refusal } from './server.ts';

/** SES takes 10 MB (after encoding) and 50 recipients a mail by default. */
const MAX_BYTES = 10 * 1024 * 1024;
const MAX_RECIPIENTS = 50;

/** SES speaks no SMTPUTF8: letters of ASCII, and before the @ words between single dots, or anything in quotes. */
const DESTINATION = /^([^\s".@\x80-\uffff]+(\.[^\s".@\x80-\uffff]+)*|"[\x20-\x7e]+")@[\w.-]+$/;

export type SentMail = { id: string; at: string; source: string; destinations: string[]; subject: string; bytes: number };

/**
 * SES outbound: SendRawEmail keeps what would go out as `<id>.eml` in `dir`. It refuses what SES refuses: senders outside
 * the verified domain, and mails that are too large or have too many recipients.
 */
export function mailService(dir: string, sender: string, region: string, grants: Grants): Answer {
  const verifiedDomain = sender.split('@').at(-1) ?? '';
  mkdirSync(dir, { recursive: true });
  return queryService('http://ses.amazonaws.com/doc/2010-12-01/', (caller, action, form) => {
    const from = addressesOf(headerOf(headAndBody(Buffer.from(form.get('RawMessage.Data') ?? '', 'base64'))[0], 'from') ?? '').at(-1);
    note(caller, `ses:${action}`, 'ses', { context: from ? { 'ses:FromAddress': from } : {} });
    demand(grants, caller, 'ses', action);
    if (action !== 'SendRawEmail') throw new Refusal(400, 'InvalidAction', `The local SES does not know ${action}.`);
    const raw = Buffer.from(form.get('RawMessage.Data') ?? '', 'base64');
    const [head, body] = headAndBody(raw);
    const source = form.get('Source') ?? headerOf(head, 'from') ?? '';
    const given = [...form].filter(([name]) => name.startsWith('Destinations.member.')).map(([, value]) => value);
    const destinations = given.length > 0 ? given : ['to', 'cc', 'bcc'].flatMap((name) => addressesOf(headerOf(head, name) ?? ''));
    for (const from of [source, headerOf(head, 'from') ?? '']) {
      // The grant on AWS has this condition: a function sends as the product, and as nobody else.
      if (caller !== HOST && addressesOf(from).at(-1) !== sender)
        throw new Refusal(403, 'AccessDenied', `${caller} may only send as ${sender}`);
      if (!isVerified(from)) {
        throw new Refusal(
          400,
          'MessageRejected',
          `Email address is not verified. The following identities failed the check in region ${region}: ${from}`,
        );
      }
    }
    if (raw.length > MAX_BYTES) throw new Refusal(400, 'InvalidParameterValue', 'Message length is more than 10485760 bytes long.');
    if (destinations.length === 0) throw new Refusal(400, 'InvalidParameterValue', 'Missing final recipients.');
    const unfit = destinations.find((address) => !DESTINATION.test(address));
    if (unfit) throw new Refusal(400, 'InvalidParameterValue', `Not an address that SES sends to: ${unfit}`);
    if (destinations.length > MAX_RECIPIENTS) throw new Refusal(400, 'MessageRejected', 'Recipient count exceeds 50.');
    const id = `${randomBytes(8).toString('hex')}-${randomBytes(16).toString('hex')}-000000`;
    const at = new Date();
    const sent = Buffer.concat([Buffer.from(asSent(head, id, at)), body]);
    keep({ id, at: at.toISOString(), source, destinations, subject: headerOf(head, 'subject') ?? '', bytes: sent.length }, sent);
    return `<MessageId>${id}</MessageId>`;
  });

  function isVerified(from: string): boolean {
    const domain = addressesOf(from).at(-1)?.split('@').at(-1)?.toLowerCase() ?? '';
    return domain === verifiedDomain || domain.endsWith(`.${verifiedDomain}`);
  }

  /** SES sets Message-ID and Date itself, whatever the mail says, and takes Bcc out. */
  function asSent(head: string, id: string, at: Date): string {
    const lines = head.split(/\r?\n(?![ \t])/).filter((line) => line && !/^(message-id|date|bcc|return-path):/i.test(line));
    const date = at.toUTCString().replace('GMT', '+0000');
    return [...lines, `Message-ID: <${id}@${region}.amazonses.com>`, `Date: ${date}`, '', ''].join('\r\n');
  }

  function keep(mail: SentMail, raw: Buffer): void {
    writeFileSync(join(dir, `${mail.id}.eml`), raw);
    writeFileSync(join(dir, `${mail.id}.json.new`), JSON.stringify(mail));
    renameSync(join(dir, `${mail.id}.json.new`), join(dir, `${mail.id}.json`));
  }
}

/** Shows what went out: `GET /outbox` lists it, oldest first; `GET /outbox/{id}` is one mail as it was sent. */
export function outboxPages(dir: string): Answer {
  return async (request, response) => {
    const [, page, id, ...more] = (request.url ?? '').split('?')[0]?.split('/') ?? [];
    const send = (status: number, type: string, body: string | Buffer) =>
      void response.writeHead(status, { 'content-type': type, 'x-content-type-options': 'nosniff' }).end(body);
    if (request.method !== 'GET' || (page !== '' && page !== 'outbox') || more.length > 0) return send(404, 'text/plain', 'See /outbox\n');
    if (!id) return send(200, 'application/json', `${JSON.stringify(allSent(dir), null, 2)}\n`);
    const mail = allSent(dir).find((sent) => sent.id === id);
    if (!mail) return send(404, 'text/plain', 'No such mail went out.\n');
    return send(200, 'text/plain; charset=utf-8', readFileSync(join(dir, `${mail.id}.eml`)));
  };
}

function allSent(dir: string): SentMail[] {
  const files = readdirSync(dir).filter((file) => file.endsWith('.json'));
  return files.map((file) => JSON.parse(readFileSync(join(dir, file), 'utf8')) as SentMail).sort((a, b) => (a.at < b.at ? -1 : 1));
}

function headAndBody(raw: Buffer): [string, Buffer] {
  const end = /\r?\n\r?\n/.exec(raw.toString('latin1'));
  if (!end) return [raw.toString(), Buffer.alloc(0)];
  return [raw.toString('utf8', 0, end.index), raw.subarray(end.index + end[0].length)];
}

function headerOf(head: string, name: string): string | undefined {
  const line = head.split(/\r?\n(?![ \t])/).find((text) => text.toLowerCase().startsWith(`${name}:`));
  return line
    ?.slice(name.length + 1)
    .replace(/\r?\n[ \t]+/g, ' ')
    .trim();
}

const addressesOf = (text: string) => [...text.matchAll(/[^\s<>,;"]+@[^\s<>,;"]+/g)].map(([address]) => address);
