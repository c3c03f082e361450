import { randomInt } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { callbackify } from 'node:util';
import type { SMTPServerDataStream, SMTPServerSession } from 'smtp-server';
import type { EngineStarted } from './engine/process.ts';
import { BUCKET, signed, topicArn } from './engine.ts';

/** What SES takes for one inbound mail, and how many recipients. */
const MAX_BYTES = 40 * 1024 * 1024;
const MAX_RECIPIENTS = 50;

/** SES puts no more than so many bytes of headers into a notification. */
const MAX_NOTIFIED_HEADERS = 10 * 1024;

export type MailDrop = { port: number; end: () => Promise<void> };

/**
 * Receives mail over SMTP on loopback as SES would: stores it whole under `raw/` with the headers SES adds, tells the
 * topic, and only then says 250. When it cannot, it says 451, so that the sender tries again.
 */
export async function startMailDrop(domain: string, port: number, { endpoints }: EngineStarted): Promise<MailDrop> {
  const { SMTPServer } = await import('smtp-server');
  const server = new SMTPServer({
    name: `inbound-smtp.${domain}`,
    banner: 'local stand-in for Amazon SES',
    size: MAX_BYTES,
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    closeTimeout: 300,
    onRcptTo: ({ address }, session, done) => {
      const to = address.toLowerCase();
      if (!to.endsWith(`@${domain}`)) return done(smtpError(550, `5.1.1 No such mailbox: this host receives mail for ${domain} only`));
      if (session.envelope.rcptTo.length >= MAX_RECIPIENTS) return done(smtpError(452, '4.5.3 Too many recipients'));
      done();
    },
    onData: (stream, session, done) => {
      callbackify(accept)(stream, session, (error: Error | null, id) => {
        if (!error) return done(null, `OK ${id}`);
        done('responseCode' in error ? error : smtpError(451, '4.3.0 Could not store the mail, try again'));
      });
    },
  });
  server.on('error', () => {});
  await new Promise<void>((done, fail) => server.server.once('error', fail).listen(port, '127.0.0.1', done));
  const end = () => new Promise<void>((done) => server.close(() => done()));
  return { port: (server.server.address() as AddressInfo).port, end };

  async function accept(stream: SMTPServerDataStream, session: SMTPServerSession): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) if (!stream.sizeExceeded) chunks.push(chunk);
    if (stream.sizeExceeded) throw smtpError(552, '5.3.4 The mail is larger than 40 MB');
    const raw = Buffer.concat(chunks);
    const id = newId();
    const source = session.envelope.mailFrom ? session.envelope.mailFrom.address : '';
    const recipients = session.envelope.rcptTo.map(({ address }) => address);
    const verdicts = verdictsOf(raw);
    const added = addedHeaders(source, recipients, verdicts, session, id, domain);
    const stored = Buffer.concat([Buffer.from(added), raw]);
    await store(`raw/${id}`, stored);
    await publish(notification(id, source, recipients, stored, verdicts));
    return id;
  }

  async function store(key: string, body: Buffer<ArrayBuffer>): Promise<void> {
    const answer = await fetch(`${endpoints.s3}/${BUCKET}/${key}`, { method: 'PUT', headers: signed(), body });
    if (!answer.ok) throw new Error(`S3 answered ${answer.status}`);
  }

  async function publish(message: object): Promise<void> {
    const form = {
      Action: 'Publish',
      Version: '2010-03-31',
      TopicArn: topicArn('arrivals'),
      Subject: 'Amazon SES Email Receipt Notification',
    };
    const body = new URLSearchParams({ ...form, Message: JSON.stringify(message) });
    const answer = await fetch(endpoints.sns, { method: 'POST', headers: signed(), body });
    if (!answer.ok) throw new Error(`SNS answered ${answer.status}`);
  }
}

type Verdict = 'PASS' | 'FAIL' | 'GRAY' | 'PROCESSING_FAILED';
type Verdicts = Record<'spam' | 'virus' | 'spf' | 'dkim' | 'dmarc', Verdict>;

/** Nothing can be checked without a network: GRAY, unless the mail says otherwise in X-Local-Verdicts: spf=FAIL dkim=PASS. */
export function verdictsOf(raw: Buffer): Verdicts {
  const verdicts: Verdicts = { spam: 'PASS', virus: 'PASS', spf: 'GRAY', dkim: 'GRAY', dmarc: 'GRAY' };
  const wish = headersOf(raw).find(([name]) => name.toLowerCase() === 'x-local-verdicts')?.[1] ?? '';
  for (const [, name, verdict] of wish.matchAll(/(spam|virus|spf|dkim|dmarc)=(PASS|FAIL|GRAY|PROCESSING_FAILED)/gi)) {
    verdicts[name?.toLowerCase() as keyof Verdicts] = verdict?.toUpperCase() as Verdict;
  }
  return verdicts;
}

function addedHeaders(
  source: string,
  recipients: string[],
  verdicts: Verdicts,
  session: SMTPServerSession,
  id: string,
  domain: string,
): string {
  const result = (verdict: Verdict) => ({ PASS: 'pass', FAIL: 'fail', GRAY: 'none', PROCESSING_FAILED: 'temperror' })[verdict];
  const date = new Date().toUTCString().replace('GMT', '+0000 (UTC)');
  // SES names the recipient in Received only when there is one: a second one must not learn of the first.
  const forWhom = recipients.length === 1 ? `\r\n for ${recipients[0]}` : '';
  return [
    `Return-Path: <${source}>`,
    `Received: from ${session.clientHostname} (${session.hostNameAppearsAs} [${session.remoteAddress}])\r\n by inbound-smtp.${domain} with SMTP id ${id}${forWhom};\r\n ${date}`,
    `X-SES-Spam-Verdict: ${verdicts.spam}`,
    `X-SES-Virus-Verdict: ${verdicts.virus}`,
    `Received-SPF: ${result(verdicts.spf)} (spfCheck: local stand-in) client-ip=${session.remoteAddress}; envelope-from=${source};`,
    `Authentication-Results: amazonses.com;\r\n spf=${result(verdicts.spf)};\r\n dkim=${result(verdicts.dkim)};\r\n dmarc=${result(verdicts.dmarc)};`,
    '',
  ].join('\r\n');
}

/** What SES publishes for a rule with an S3 action that has a topic. */
export function notification(id: string, source: string, recipients: string[], stored: Buffer, verdicts: Verdicts): object {
  const headers = headersOf(stored);
  const first = (name: string) => headers.find(([header]) => header.toLowerCase() === name)?.[1];
  const list = (name: string) =>
    first(name)
      ?.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/)
      .map((part) => part.trim());
  const status = (name: keyof Verdicts) => ({ status: verdicts[name] });
  const { kept, truncated } = withinLimit(headers);
  const timestamp = new Date().toISOString();
  const key = `raw/${id}`;
  return {
    notificationType: 'Received',
    mail: {
      timestamp,
      source,
      messageId: id,
      // From To and CC, as the documentation says: who really was to get it stands in receipt.recipients.
      destination: ['to', 'cc'].flatMap((name) => addressesOf(first(name) ?? '')),
      headersTruncated: truncated,
      headers: kept.map(([name, value]) => ({ name, value })),
      commonHeaders: {
        returnPath: source,
        from: list('from'),
        date: first('date'),
        to: list('to'),
        cc: list('cc'),
        messageId: first('message-id'),
        subject: first('subject'),
      },
    },
    receipt: {
      timestamp,
      processingTimeMillis: 1,
      recipients,
      spamVerdict: status('spam'),
      virusVerdict: status('virus'),
      spfVerdict: status('spf'),
      dkimVerdict: status('dkim'),
      dmarcVerdict: status('dmarc'),
      action: { type: 'S3', topicArn: topicArn('arrivals'), bucketName: BUCKET, objectKeyPrefix: 'raw/', objectKey: key },
    },
  };
}

function withinLimit(headers: [string, string][]): { kept: [string, string][]; truncated: boolean } {
  let bytes = 0;
  const kept = headers.filter(([name, value]) => {
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value) + 4;
    return bytes <= MAX_NOTIFIED_HEADERS;
  });
  return { kept, truncated: kept.length < headers.length };
}

/** Header fields in order, unfolded. Read as far as the first empty line, or 1 MB. */
function headersOf(raw: Buffer): [string, string][] {
  const text = raw.toString('utf8', 0, 1024 * 1024);
  const head = text.split(/\r?\n\r?\n/, 1)[0] ?? '';
  return head.split(/\r?\n(?![ \t])/).flatMap((line): [string, string][] => {
    const colon = line.indexOf(':');
    if (colon < 1) return [];
    return [
      [
        line.slice(0, colon),
        line
          .slice(colon + 1)
          .replace(/\r?\n([ \t])/g, '$1')
          .trim(),
      ],
    ];
  });
}

const addressesOf = (text: string) => [...text.matchAll(/[^\s<>,;:"]+@[^\s<>,;:"]+/g)].map(([address]) => address);

/** Like the ids SES gives to mail it received: 40 small letters and digits. */
const newId = () => Array.from({ length: 40 }, () => randomInt(36).toString(36)).join('');

const smtpError = (responseCode: number, message: string) => Object.assign(new Error(message), { responseCode });
