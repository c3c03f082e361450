import type * as z from 'zod';
import type { MailSettingsInput, previewInput } from '../../../core/account/mail-settings.ts';
import { readSharing } from '../../../core/account/own-sharing.ts';
import { readOwnSettings, saveSettings } from '../../../core/account/save-settings-store.ts';
import { readMembers } from '../../../core/member/member-store.ts';
import type { Viewer } from '../../../core/member/viewer.ts';
import { audienceOf, readVisible } from '../../../core/message/visible-message-store.ts';
import { MODULES, type Module } from '../../../core/record/module.ts';
import { findRecord } from '../../../core/record/record-store.ts';
import { inWords } from '../../../core/sharing/explain-visibility.ts';
import { previewChange } from '../../../core/sharing/preview-store.ts';
import { setTick } from '../../../core/sharing/tick-store.ts';
import { tableOf } from '../../connect.ts';
import type { Call, Operation, Reply } from '../call.ts';

/** Names shown of those who see a mail; the count says how many there are. */
const NAMED = 100;

const ticks: Record<string, Operation> = Object.fromEntries(
  Object.entries(MODULES)
    .filter(([, row]) => row.addresses)
    .map(([module, row]) => [`share${row.title}Mail`, (call: Call<never, { shared: boolean }>) => share(module as Module, call)]),
);

export const sharingOperations = {
  ...ticks,
  readMailSettings: async ({ viewer, now }: Call) => ownSettings(viewer, now),
  saveMailSettings: async ({ viewer, body, now, ifMatch }: Call<never, MailSettingsInput>) => {
    await saveSettings(tableOf(viewer.tenant), viewer, body, now, ifMatch);
    return ownSettings(viewer, now);
  },
  previewMailSettings: async ({ viewer, body, now }: Call<never, z.output<typeof previewInput>>) => {
    const { dropboxVisibility } = body;
    const sharing = readSharing(viewer, body.sharing);
    return { body: await previewChange(tableOf(viewer.tenant), viewer, { sharing, dropboxVisibility }, now) };
  },
  explainVisibility: async ({ viewer, params }: Call) => {
    const visible = await readVisible(tableOf(viewer.tenant), viewer, params.messageId ?? '');
    const names = await namesOf(
      viewer,
      visible.reasons.map(({ owner }) => owner),
    );
    const because = visible.reasons.map(({ because: code, owner, record }) => ({
      code,
      words: inWords(code, names.get(owner) ?? ''),
      owner: { id: owner, name: names.get(owner) ?? '' },
      record,
    }));
    const isOwn = visible.copies.some(({ member }) => member === viewer.member);
    return { body: { because, whoElse: isOwn ? await whoElse(viewer, visible) : undefined } };
  },
} satisfies Record<string, Operation>;

async function ownSettings(viewer: Viewer, now: Date): Promise<Reply> {
  const { version, ...settings } = await readOwnSettings(tableOf(viewer.tenant), viewer, now);
  return { body: settings, version };
}

async function share(module: Module, { viewer, params, body, now }: Call<never, { shared: boolean }>): Promise<Reply> {
  const record = await findRecord(tableOf(viewer.tenant), viewer, module, params.recordId ?? '');
  return { body: await setTick(tableOf(viewer.tenant), viewer, record.id, body.shared, now) };
}

async function namesOf(viewer: Viewer, members: string[]): Promise<Map<string, string>> {
  const found = await readMembers(tableOf(viewer.tenant), viewer, [...new Set(members)]);
  return new Map(found.map(({ id, name }) => [id, name]));
}

async function whoElse(viewer: Viewer, visible: Parameters<typeof audienceOf>[2]) {
  const audience = await audienceOf(tableOf(viewer.tenant), viewer, visible);
  return { count: audience.length, members: audience.slice(0, NAMED).map(({ member, name }) => ({ id: member, name })) };
}
