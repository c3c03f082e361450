import { notFound, Problem } from '../../../core/errors.ts';
import { MAX_TEXT_CHARS, MAX_THREAD_MAILS } from '../../../core/limits.ts';
import type { Viewer } from '../../../core/member/viewer.ts';
import { sanitiseHtml } from '../../../core/message/html.ts';
import type { TimelineEntry } from '../../../core/message/message.ts';
import { parseMail, readAttachment, UnreadableMail } from '../../../core/message/parse-mail.ts';
import type { MailAddress } from '../../../core/message/parsed-mail.ts';
import { listTimeline } from '../../../core/message/timeline-store.ts';
import { listThread, readVisible, type VisibleMessage } from '../../../core/message/visible-message-store.ts';
import { MODULES, type Module } from '../../../core/record/module.ts';
import { findRecord } from '../../../core/record/record-store.ts';
import { mailBucket, setting, table } from '../../connect.ts';
import type { Call, Operation } from '../call.ts';

const recordMail: Record<string, Operation> = Object.fromEntries(
  Object.entries(MODULES)
    .filter(([, row]) => row.addresses)
    .map(([module, row]) => [
      `list${row.title}Messages`,
      (call: Call<{ limit: number; cursor?: string }>) => listMail(module as Module, call),
    ]),
);

export const messageOperations = {
  ...recordMail,
  readMessage: async ({ viewer, params }: Call) => {
    const visible = await readVisible(table(), viewer, params.messageId ?? '');
    return { body: await show(visible) };
  },
  readThread: async ({ viewer, params }: Call) => {
    const { message } = await readVisible(table(), viewer, params.messageId ?? '');
    return { body: { items: (await listThread(table(), viewer, message.thread, MAX_THREAD_MAILS)).map(row) } };
  },
  downloadRaw: async ({ viewer, params }: Call) => {
    const { message, isHolder } = await readVisible(table(), viewer, params.messageId ?? '');
    const key = isHolder ? message.rawKey : await blotted(viewer, message.rawKey, message.id);
    return { location: await mailBucket().link(key, `${message.id}.eml`, 'message/rfc822') };
  },
  downloadAttachment: async ({ viewer, params }: Call) => {
    const { message } = await readVisible(table(), viewer, params.messageId ?? '');
    if (message.attachmentsOmitted) {
      throw new Problem(
        410,
        'attachments-omitted',
        'The attachments of this mail were over 10 MB together and were left out. Send them by a link.',
      );
    }
    const index = /^\d{1,4}$/.test(params.index ?? '') ? Number(params.index) : -1;
    const found = await readable(() => rawOf(message.rawKey).then((raw) => readAttachment(raw, index)));
    if (!found) throw notFound('attachment');
    // Taken out of the raw mail when first wanted: most attachments never are, and each would cost a write.
    const key = `t/${viewer.tenant}/attachments/${message.id}/${index}`;
    await mailBucket().write(key, found.content, 'application/octet-stream');
    return { location: await mailBucket().link(key, found.attachment.filename, found.attachment.contentType) };
  },
} satisfies Record<string, Operation>;

async function listMail(module: Module, { viewer, params, query }: Call<{ limit: number; cursor?: string }>) {
  const record = await findRecord(table(), viewer, module, params.recordId ?? '');
  const { items, next } = await listTimeline(table(), viewer, record.id, { limit: query.limit, after: query.cursor });
  return { body: { items: items.map(row), next } };
}

async function show({ message, copies, records }: VisibleMessage) {
  const mail = await readable(() => rawOf(message.rawKey).then(parseMail));
  const html = mail.html === undefined ? undefined : sanitiseHtml(mail.html, { messageId: message.id, attachments: mail.attachments });
  const attachments = message.attachmentsOmitted ? [] : mail.attachments;
  return {
    ...message,
    ...mail,
    direction: copies[0]?.direction,
    from: withoutDropboxes(mail.from),
    to: withoutDropboxes(mail.to),
    cc: withoutDropboxes(mail.cc),
    replyTo: withoutDropboxes(mail.replyTo),
    headers: mail.headers.map(([name, value]) => [name, blot(value)]),
    subject: blot(mail.subject),
    text: blot(mail.text.slice(0, MAX_TEXT_CHARS)),
    textTruncated: mail.text.length > MAX_TEXT_CHARS ? true : undefined,
    html: html && blot(html.html),
    blockedRemoteImages: html?.blockedRemote,
    attachments,
    records,
  };
}

const row = (entry: TimelineEntry) => ({
  ...entry,
  id: entry.message,
  subject: blot(entry.subject),
  snippet: blot(entry.snippet),
  to: entry.to.filter((address) => !isDropbox(address)),
});

async function rawOf(key: string): Promise<Uint8Array> {
  const raw = await mailBucket().read(key);
  if (!raw) throw new Error('the raw mail of a message is missing');
  return raw;
}

/** The raw source for somebody else than its holder: the holder's secret dropbox address stands in Received headers. */
async function blotted(viewer: Viewer, rawKey: string, message: string): Promise<string> {
  const key = `t/${viewer.tenant}/shown/${message}`;
  const raw = Buffer.from(await rawOf(rawKey)).toString('latin1');
  await mailBucket().write(key, Buffer.from(blot(raw), 'latin1'), 'message/rfc822');
  return key;
}

/** Dropbox addresses are secrets: whoever knows one can write into its owner's records. The length stays as it was. */
function blot(text: string): string {
  const domain = setting('MAIL_DOMAIN').replaceAll('.', '\\.');
  return text.replace(new RegExp(`[0-9a-z]{26}(?=@${domain})`, 'gi'), (secret) => 'x'.repeat(secret.length));
}

const isDropbox = (address: string) => address.endsWith(`@${setting('MAIL_DOMAIN')}`);
const withoutDropboxes = (addresses: MailAddress[]) => addresses.filter(({ address }) => !isDropbox(address));

async function readable<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof UnreadableMail)) throw error;
    throw new Problem(
      422,
      'unreadable',
      'This mail can no longer be taken apart. Its raw source is there: GET /v1/messages/{messageId}/raw.',
    );
  }
}
