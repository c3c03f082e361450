import type * as z from 'zod';
import { type Activity, listActivity, putActivity } from '../../../core/dropbox/activity-store.ts';
import type { dropboxPatch } from '../../../core/dropbox/dropbox.ts';
import {
  type DropboxStore,
  mayEditPattern,
  type OwnDropbox,
  ownDropbox,
  patchDropbox,
  regenerate,
} from '../../../core/dropbox/dropbox-store.ts';
import { discard, type Held, listHeld, markReplaying, readHeld } from '../../../core/dropbox/held-store.ts';
import { explain } from '../../../core/dropbox/reasons.ts';
import { addSender, removeSender, type SenderWithCode, sendCodeAgain, verifySender } from '../../../core/dropbox/sender-store.ts';
import { dropboxVcard, type VCARD_VERSIONS } from '../../../core/dropbox/vcard.ts';
import type { Viewer } from '../../../core/member/viewer.ts';
import { contentDisposition } from '../../../core/message/raw-mail.ts';
import { senderCodeMail } from '../../../core/outbound/texts.ts';
import { inboundQueue, mailBucket, outbound, setting, tableOf, vaultOf } from '../../connect.ts';
import type { Call, Operation, Reply } from '../call.ts';

type Page = { limit: number; cursor?: string };

export const dropboxOperations = {
  readDropbox: async ({ viewer, now }: Call) => shown(viewer, await ownDropbox(store(viewer), viewer, now)),
  patchDropbox: async ({ viewer, body, now, ifMatch }: Call<never, z.output<typeof dropboxPatch>>) =>
    shown(viewer, await patchDropbox(store(viewer), viewer, body, now, ifMatch)),
  regenerateDropbox: async ({ viewer, now }: Call) => shown(viewer, await regenerate(store(viewer), viewer, now)),
  readVcard: async ({ viewer, query, now }: Call<{ version: (typeof VCARD_VERSIONS)[number] }>) => {
    const { address } = await ownDropbox(store(viewer), viewer, now);
    return {
      body: dropboxVcard(address, viewer.name, query.version),
      headers: { 'content-disposition': contentDisposition('crm-dropbox.vcf') },
    };
  },
  listSenders: async ({ viewer, now }: Call) => ({ body: { items: (await ownDropbox(store(viewer), viewer, now)).dropbox.senders } }),
  addSender: async ({ viewer, body, now }: Call<never, { address: string }>) =>
    mailCode(await addSender(store(viewer), viewer, body.address, now)),
  sendCodeAgain: async ({ viewer, params, now }: Call) => mailCode(await sendCodeAgain(store(viewer), viewer, params.senderId ?? '', now)),
  verifySender: async ({ viewer, params, body, now }: Call<never, { code: string }>) => ({
    body: await verifySender(store(viewer), viewer, params.senderId ?? '', body.code, now),
  }),
  removeSender: async ({ viewer, params, now }: Call) => {
    await removeSender(store(viewer), viewer, params.senderId ?? '', now);
    return {};
  },
  listActivity: async ({ viewer, query, now }: Call<Page>) => {
    const { items, next } = await listActivity(tableOf(viewer.tenant), viewer, { limit: query.limit, after: query.cursor }, now);
    return { body: { items: items.map((entry: Activity) => ({ ...entry, explanation: explain(entry.reason) })), next } };
  },
  listHeld: async ({ viewer, query, now }: Call<Page>) => {
    const { items, next } = await listHeld(tableOf(viewer.tenant), viewer, { limit: query.limit, after: query.cursor }, now);
    return { body: { items: items.map(heldShown), next } };
  },
  readHeld: async ({ viewer, params, now }: Call) => ({
    body: heldShown(await readHeld(tableOf(viewer.tenant), viewer, params.heldId ?? '', now)),
  }),
  downloadHeld: async ({ viewer, params, now }: Call) => {
    const held = await readHeld(tableOf(viewer.tenant), viewer, params.heldId ?? '', now);
    return { location: await mailBucket().link(held.delivery.rawKey, `${held.id}.eml`, 'message/rfc822') };
  },
  replayHeld: async ({ viewer, params, now }: Call) => {
    const held = await markReplaying(tableOf(viewer.tenant), viewer, params.heldId ?? '', now);
    await inboundQueue().send({ replay: { tenant: viewer.tenant, member: viewer.member, held: held.id } });
    return { body: heldShown(held) };
  },
  discardHeld: async ({ viewer, params, now }: Call) => {
    const held = await discard(tableOf(viewer.tenant), viewer, params.heldId ?? '', now);
    const entry: Activity = {
      id: held.id,
      at: held.receivedAt,
      outcome: 'discarded',
      reason: held.reason,
      subject: held.subject,
      from: held.from[0],
    };
    await putActivity(tableOf(viewer.tenant), viewer.tenant, viewer.member, entry);
    return {};
  },
} satisfies Record<string, Operation>;

const store = ({ tenant }: Viewer): DropboxStore => ({
  table: tableOf(tenant),
  vault: vaultOf(tenant),
  mailDomain: setting('MAIL_DOMAIN'),
});

function shown(viewer: Viewer, { dropbox, address, visibility }: OwnDropbox): Reply {
  return { body: { ...dropbox, address, visibility, mayEditPattern: mayEditPattern(viewer) }, version: dropbox.version };
}

async function mailCode({ sender, code }: SenderWithCode): Promise<Reply> {
  if (code) await outbound().send({ to: sender.address, ...senderCodeMail(code) });
  return { body: sender };
}

const heldShown = (held: Held) => ({ ...held, explanation: explain(held.reason), keptUntil: new Date(held.ttl * 1000).toISOString() });
