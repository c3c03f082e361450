import type { Dropbox } from '../../core/dropbox/dropbox.ts';
import type { RawMail } from '../../core/dropbox/sweep-store.ts';
import { asTenantId, newTenantId, sha256, type TenantId } from '../../core/ids.ts';
import { builtInProfiles } from '../../core/member/profile.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import type { Delivery } from '../../core/message/delivery.ts';
import type { ParsedMail } from '../../core/message/parsed-mail.ts';
import { ownMark } from '../../core/outbound/send.ts';
import { createFromMail } from '../../core/record/record-store.ts';
import type { Table } from '../../core/table/client.ts';
import { dropboxKey, memberAddressKey, memberKey, profileKey, tenantKey } from '../../core/table/keys.ts';
import type { Tenant } from '../../core/tenant/tenant.ts';

export const MAIL_DOMAIN = 'in.example.com';
export const OWN_MARK = ownMark(MAIL_DOMAIN);
export const START = '2026-03-01T09:00:00.000Z';

export type World = {
  tenant: TenantId;
  viewer: Viewer;
  dropbox: Dropbox;
  address: string;
  addMember: (id: string, email: string, more?: object) => Promise<Viewer>;
  addDropbox: (member: string, senders: string[], more?: Partial<Dropbox>) => Promise<{ dropbox: Dropbox; address: string }>;
};

/** A tenant with a member `mika@example.com`, whose dropbox takes mail from that address. Written straight to the table. */
export async function dropboxWorld(
  table: Table,
  more: { dropbox?: Partial<Dropbox>; organisation?: Partial<Tenant>; profile?: object } = {},
): Promise<World> {
  const tenant = newTenantId();
  const organisation = {
    id: tenant,
    name: 'Example',
    timeZone: 'UTC',
    recordAccess: {},
    excludedDomains: [],
    createdAt: START,
    version: 1,
    administrators: 1,
    ...more.organisation,
  };
  const profiles = builtInProfiles().map((profile) => (profile.id === 'standard' ? { ...profile, ...more.profile } : profile));
  await table.transact([
    { put: { ...tenantKey(tenant), ...organisation } },
    ...profiles.map((profile) => ({ put: { ...profileKey(tenant, profile.id), ...profile } })),
  ]);

  const addMember: World['addMember'] = async (id, email, extra = {}) => {
    const member = { id, name: id, email, profile: 'standard', status: 'active', confirmed: true, createdAt: START, version: 1, ...extra };
    await table.put({ ...memberKey(tenant, id), ...member });
    await table.put({ ...memberAddressKey(tenant, email), member: id });
    const profile = profiles.find((one) => one.id === member.profile);
    return { tenant, member: id, name: id, email, profile: profile as Viewer['profile'], organisation };
  };
  const addDropbox: World['addDropbox'] = async (member, senders, extra = {}) => {
    const address = `${sha256(tenant, member, String(Math.random())).slice(0, 26)}@${MAIL_DOMAIN}`;
    const dropbox: Dropbox = {
      hash: sha256(address),
      tenant,
      member,
      profile: 'standard',
      pattern: 'contacts-then-leads',
      createIn: 'leads',
      severalRecords: 'all',
      senders: senders.map((sender, i) => ({ id: String(i), address: sender, addedAt: START, verifiedAt: START })),
      createdAt: START,
      version: 1,
      ...extra,
    };
    await table.put({ ...dropboxKey(dropbox.hash), ...dropbox });
    await table.update(memberKey(tenant, member), { update: 'SET dropbox = :hash', values: { ':hash': dropbox.hash } });
    return { dropbox, address };
  };

  const viewer = await addMember('mika', 'mika@example.com');
  return { tenant: asTenantId(tenant), viewer, ...(await addDropbox('mika', ['mika@example.com'], more.dropbox)), addMember, addDropbox };
}

/** A bucket that notes what is deleted from it; `bytes` is what it holds. */
export const sweptInto = (deleted: string[], bytes: { [key: string]: string } = {}): RawMail => ({
  read: async (key) => (bytes[key] === undefined ? undefined : Buffer.from(bytes[key])),
  delete: async (key) => void deleted.push(key),
});

/** A record with this address, as if an earlier mail had made it. */
export async function existing(table: Table, world: World, module: 'leads' | 'contacts', address: string, owner = 'mika'): Promise<string> {
  const id = sha256(world.tenant, module, address, owner)
    .slice(0, 26)
    .replace(/[ilou]/g, 'x');
  const link = await createFromMail(table, {
    tenant: world.tenant,
    module,
    id,
    address,
    name: 'Known Customer',
    owner,
    message: 'earlier',
    at: START,
  });
  return link.record;
}

let counter = 0;

/** A delivery of one mail to these dropbox addresses, all checks passed. */
export function delivery(recipients: string[], more: Partial<Delivery> = {}): Delivery {
  const id = `delivery-${++counter}`;
  return {
    id,
    rawKey: `raw/${id}`,
    receivedAt: START,
    source: 'mika@example.com',
    recipients,
    verdicts: { spam: 'PASS', virus: 'PASS', spf: 'PASS', dkim: 'PASS', dmarc: 'PASS' },
    ...more,
  };
}

/** A parsed mail from mika to a customer. */
export function mail(more: Partial<ParsedMail> = {}): ParsedMail {
  const id = `mail-${++counter}@example.com`;
  return {
    messageId: id,
    references: [],
    subject: 'Our offer',
    date: START,
    dateHeader: 'Sun, 1 Mar 2026 09:00:00 +0000',
    from: [{ address: 'mika@example.com', name: 'Mika' }],
    to: [{ address: 'taro@customer.example', name: 'Taro Yamada' }],
    cc: [],
    bcc: [],
    replyTo: [],
    text: 'Dear Taro',
    attachments: [],
    dkimDomains: ['example.com'],
    headers: [],
    parser: 'mailparser',
    ...more,
  };
}
