import { readMailSettings } from '../../../core/account/mail-settings-store.ts';
import { noteReading } from '../../../core/backup/reading-store.ts';
import { findDropbox } from '../../../core/dropbox/dropbox-store.ts';
import { notFound, Problem } from '../../../core/errors.ts';
import { MAX_ANSWER_BYTES, MAX_TEXT_CHARS, MAX_THREAD_MAILS } from '../../../core/limits.ts';
import { mayUseMailAddOn, type Viewer } from '../../../core/member/viewer.ts';
import { backfillView } from '../../../core/message/backfill.ts';
import { readBackfill } from '../../../core/message/backfill-store.ts';
import { sanitiseHtml } from '../../../core/message/html.ts';
import { isGathered, type OwnMailEntry, type TimelineEntry } from '../../../core/message/message.ts';
import { parseMail, readAttachment, UnreadableMail } from '../../../core/message/parse-mail.ts';
import type { MailAddress } from '../../../core/message/parsed-mail.ts';
import { type MailFilter, matcher } from '../../../core/message/search-mail.ts';
import {
  blotted,
  blottedSource,
  dropboxAddressesIn,
  hiddenFields,
  isDropboxAddress,
  withoutFields,
} from '../../../core/message/shown-source.ts';
import { countTimeline, listTimeline } from '../../../core/message/timeline-store.ts';
import { listOwnMail, listThread, readVisible, searchOwnMail, type VisibleMessage } from '../../../core/message/visible-message-store.ts';
import { MODULES, type Module } from '../../../core/record/module.ts';
import { findRecord } from '../../../core/record/record-store.ts';
import { readTick } from '../../../core/sharing/tick-store.ts';
import { backfillsQueue, mailBucket, setting, tableOf } from '../../connect.ts';
import type { Call, Operation } from '../call.ts';

type ListQuery = { limit: number; cursor?: string } & MailFilter;

const recordMail: Record<string, Operation> = Object.fromEntries(
  Object.entries(MODULES)
    .filter(([, row]) => row.addresses)
    .flatMap(([module, row]): [string, Operation][] => [
      [`list${row.title}Messages`, (call: Call<ListQuery>) => listMail(module as Module, call)],
      [`count${row.title}Messages`, (call: Call<MailFilter>) => countMail(module as Module, call)],
      [`read${row.title}Backfill`, (call: Call) => showBackfill(module as Module, call)],
    ]),
);

export const messageOperations = {
  ...recordMail,
  listOwnMail: listMailboxes,
  readMessage: async ({ viewer, params, now }: Call) => {
    const visible = await readAndNote(viewer, params.messageId, now);
    return { body: fitted(await show(viewer, visible)) };
  },
  readThread: async ({ viewer, params }: Call) => {
    const { message } = await readVisible(tableOf(viewer.tenant), viewer, params.messageId ?? '');
    return { body: { items: (await listThread(tableOf(viewer.tenant), viewer, message.thread, MAX_THREAD_MAILS)).map(row) } };
  },
  downloadRaw: async ({ viewer, params, now }: Call) => {
    const visible = await readAndNote(viewer, params.messageId, now);
    return { location: await mailBucket().link(await rawFor(viewer, visible), `${visible.message.id}.eml`, 'message/rfc822') };
  },
  downloadAttachment: async ({ viewer, params, now }: Call) => {
    const { message } = await readAndNote(viewer, params.messageId, now);
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

/** The mail, if the viewer may see it; that they opened what only a backup shows them, the audit tells. */
async function readAndNote(viewer: Viewer, id: string | undefined, now: Date): Promise<VisibleMessage> {
  const visible = await readVisible(tableOf(viewer.tenant), viewer, id ?? '');
  await noteReading(tableOf(viewer.tenant), viewer, visible, now);
  return visible;
}

async function listMailboxes({ viewer, query }: Call<{ limit: number; cursor?: string; gathered?: 'true' | 'false' }>) {
  const table = tableOf(viewer.tenant);
  const gather = mayUseMailAddOn(viewer) ? (await readMailSettings(table, viewer.tenant, viewer.member)).gather : undefined;
  const placeOf = (entry: OwnMailEntry) => (isGathered(entry) ? gather : undefined);
  const matches = (entry: OwnMailEntry) => (placeOf(entry) !== undefined) === (query.gathered === 'true');
  const page = { limit: query.limit, after: query.cursor };
  const { items, next } =
    query.gathered === undefined ? await listOwnMail(table, viewer, page) : await searchOwnMail(table, viewer, { ...page, matches });
  return { body: { items: items.map((entry) => ({ ...row(entry), gathered: placeOf(entry) })), next } };
}

async function listMail(module: Module, { viewer, params, query }: Call<ListQuery>) {
  const record = await findRecord(tableOf(viewer.tenant), viewer, module, params.recordId ?? '');
  const [{ items, next }, shareMail] = await Promise.all([
    listTimeline(tableOf(viewer.tenant), viewer, record.id, { limit: query.limit, after: query.cursor, matches: matching(query) }),
    mayUseMailAddOn(viewer) ? readTick(tableOf(viewer.tenant), viewer, record.id) : undefined,
  ]);
  return { body: { items: items.map(row), next, shareMail } };
}

/** Looks at rows as they are shown: a dropbox address that is blotted out cannot be found by guessing at it. */
function matching({ q, direction, from }: MailFilter): ((entry: TimelineEntry) => boolean) | undefined {
  if (q === undefined && direction === undefined && from === undefined) return undefined;
  const matches = matcher({ q, direction, from });
  return (entry) => matches(row(entry));
}

async function countMail(module: Module, { viewer, params, query }: Call<MailFilter>) {
  const record = await findRecord(tableOf(viewer.tenant), viewer, module, params.recordId ?? '');
  return { body: await countTimeline(tableOf(viewer.tenant), viewer, record.id, matching(query) ?? (() => true)) };
}

/** Word of what is waiting is left again, should it have been lost with whoever was to leave it. */
async function showBackfill(module: Module, { viewer, params }: Call) {
  const record = await findRecord(tableOf(viewer.tenant), viewer, module, params.recordId ?? '');
  const body = backfillView(record, await readBackfill(tableOf(viewer.tenant), viewer.tenant, record.id), viewer.member);
  if (body.state === 'waiting') await backfillsQueue().send({ backfill: { tenant: viewer.tenant, record: record.id } });
  return { body };
}

async function show(viewer: Viewer, visible: VisibleMessage) {
  const { message, copies, records } = visible;
  const mail = await readable(() => rawOf(message.rawKey).then(parseMail));
  const html = mail.html === undefined ? undefined : sanitiseHtml(mail.html, { messageId: message.id, attachments: mail.attachments });
  const attachments = message.attachmentsOmitted ? [] : mail.attachments;
  const hidden = hiddenFrom(viewer, visible);
  return {
    ...message,
    ...mail,
    mayReply: true,
    direction: copies[0]?.direction,
    from: withoutDropboxes(mail.from),
    to: withoutDropboxes(mail.to),
    cc: withoutDropboxes(mail.cc),
    replyTo: withoutDropboxes(mail.replyTo),
    headers: mail.headers.filter(([name]) => !hidden?.test(name)).map(([name, value]) => [name, blot(value)]),
    subject: blot(mail.subject),
    text: blot(mail.text.slice(0, MAX_TEXT_CHARS)),
    textTruncated: mail.text.length > MAX_TEXT_CHARS ? true : undefined,
    html: html && blot(html.html),
    blockedRemoteImages: html?.blockedRemote,
    attachments,
    records,
  };
}

/** Lambda's answers end at 6 MB, in which a quotation mark of HTML takes four bytes: what is too large goes, and says so. */
function fitted<T extends { text: string; html?: string; headers: unknown[] }>(shown: T): T & { htmlOmitted?: true } {
  const bytes = (answer: object) => Buffer.byteLength(JSON.stringify(JSON.stringify(answer)));
  if (bytes(shown) <= MAX_ANSWER_BYTES) return shown;
  const withoutHtml = { ...shown, html: undefined, htmlOmitted: true as const };
  if (bytes(withoutHtml) <= MAX_ANSWER_BYTES) return withoutHtml;
  return { ...withoutHtml, text: shown.text.slice(0, MAX_TEXT_CHARS / 10), textTruncated: true, headers: shown.headers.slice(0, 50) };
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

/** What of the header is not this viewer's to know: they may see some of those who hold the mail, and not be one of them. */
function hiddenFrom(viewer: Viewer, { message, copies }: VisibleMessage): RegExp | undefined {
  return hiddenFields({
    isSender: copies.some(({ member, direction }) => member === viewer.member && direction === 'sent'),
    isTheirs: message.delivery === undefined || copies.some(({ delivery }) => delivery === message.delivery),
  });
}

/**
 * Where the raw source lies for this viewer: as it came, unless others' dropbox addresses stand in it (Received headers name
 * them), or fields that are not theirs to know; then a copy without those.
 */
async function rawFor(viewer: Viewer, visible: VisibleMessage): Promise<string> {
  const { rawKey, id } = visible.message;
  const hidden = hiddenFrom(viewer, visible);
  const whole = Buffer.from(await rawOf(rawKey));
  const raw = hidden ? withoutFields(whole, hidden) : whole;
  const own = new Set<string>();
  for (const address of dropboxAddressesIn(raw, mailDomain()).slice(0, MAX_LOOKED_UP)) {
    const dropbox = await findDropbox(tableOf(viewer.tenant), address);
    if (dropbox?.tenant === viewer.tenant && dropbox.member === viewer.member) own.add(address);
  }
  const shown = blottedSource(raw, mailDomain(), own);
  if (shown === whole) return rawKey;
  const key = `t/${viewer.tenant}/shown/${id}/${viewer.member}`;
  await mailBucket().write(key, shown, 'message/rfc822');
  return key;
}

/** Dropbox addresses in one raw mail that are looked up; an ordinary one has one or two. */
const MAX_LOOKED_UP = 20;

const mailDomain = () => setting('MAIL_DOMAIN');
/** Dropbox addresses are secrets: whoever knows one can write into its owner's records. */
const blot = (text: string) => blotted(text, mailDomain());
const isDropbox = (address: string) => isDropboxAddress(address, mailDomain());
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
