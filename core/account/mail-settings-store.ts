import type { TenantId } from '../ids.ts';
import type { Table, Write } from '../table/client.ts';
import { mailSettingsKey } from '../table/keys.ts';
import type { MailAccount } from './account.ts';

/**
 * What holds for all of a member's mail accounts together. That at most one is active (POP-7) and one is main (POP-20) is true
 * because both stand here, once; every change of them, and of which accounts there are, counts `version`.
 */
export type MailSettings = {
  active?: string;
  main?: string;
  /** Address the member's own mail is sent from (FRM-1). */
  fromAddress?: string;
  /** Where mail received from leads and contacts is gathered (MAG-1, MAG-2). */
  gather?: { in: 'folder' | 'label'; name: string };
  /** The account that was removed last: what there was is known when none is left. */
  lastMailbox?: { id: string; address: string; protocol: MailAccount['protocol'] };
  /** When their owner last saved them in person: backups ask for it (LBK-2). Absent while nothing was saved. */
  savedAt?: string;
  /** 0 before anything was set. */
  version: number;
};

export async function readMailSettings(table: Table, tenant: TenantId, member: string): Promise<MailSettings> {
  return (await table.get<MailSettings>(mailSettingsKey(tenant, member))) ?? { version: 0 };
}

/** The write that sets them, refused when they were changed since `before` was read. What `change` does not name stays. */
export function settingsChange(tenant: TenantId, member: string, before: MailSettings, change: Partial<MailSettings>): Write {
  const { active, main, fromAddress, gather, lastMailbox, savedAt } = { ...before, ...change };
  const all = Object.entries({ active, main, fromAddress, gather, lastMailbox, savedAt });
  const kept = all.filter(([, value]) => value !== undefined);
  const gone = all.filter(([, value]) => value === undefined);
  const set = [...kept.map(([name]) => `${name} = :${name}`), 'version = :next'].join(', ');
  return {
    update: mailSettingsKey(tenant, member),
    with: {
      update: `SET ${set}${gone.length > 0 ? ` REMOVE ${gone.map(([name]) => name).join(', ')}` : ''}`,
      condition: asRead(before),
      values: {
        ...Object.fromEntries(kept.map(([name, value]) => [`:${name}`, value])),
        ':next': before.version + 1,
        ...versionRead(before),
      },
    },
  };
}

/** The check that they are still as they were read. */
export function settingsUnchanged(tenant: TenantId, member: string, before: MailSettings): Write {
  const values = versionRead(before);
  return { check: mailSettingsKey(tenant, member), condition: asRead(before), ...(before.version > 0 ? { values } : {}) };
}

const asRead = ({ version }: MailSettings) => (version === 0 ? 'attribute_not_exists(version)' : 'version = :version');
const versionRead = ({ version }: MailSettings): Record<string, unknown> => (version === 0 ? {} : { ':version': version });
