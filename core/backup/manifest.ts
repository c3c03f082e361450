import type { TenantId } from '../ids.ts';
import { type Backup, type BackupPage, manifestKey } from './backup.ts';

/** The head of a backup: whose, by whom, when, in which scope, and where its parts lie with the hash of each. */
export type Manifest = {
  version: 1;
  tenant: string;
  backup: string;
  kind: Backup['kind'];
  member: string;
  mailbox: string;
  scope: Backup['scope'];
  sharing: Backup['sharing'];
  startedBy: string;
  startedAt: string;
  /** Of this run. */
  run: { looked: number; mails: number; entries: number; bytes: number; known: number; missing: number };
  /** Of the whole result, earlier runs included; entries of mails on records. */
  result: { mails: number; entries: number; bytes: number };
  parts: (BackupPage & { backup: string })[];
};

/**
 * The manifest of a backup all of whose pages are done: the same bytes whoever makes it, whenever. Throws when pages are missing or
 * do not add up: then it must not count as complete.
 */
export function manifestOf(tenant: TenantId, backup: Backup, pages: Map<string, BackupPage[]>): { key: string; manifest: Manifest } {
  const own = pages.get(backup.id) ?? [];
  if (!backup.walked || own.length !== backup.pages || sum(own, 'mails') !== backup.tally.mails) {
    throw new Error('the pages of the backup do not add up');
  }
  const parts = [...backup.earlier, backup.id].flatMap((id) => (pages.get(id) ?? []).map((page) => ({ ...withoutKey(page), backup: id })));
  const { id, kind, member, mailbox, scope, sharing, startedBy, startedAt, tally } = backup;
  const result = { mails: sum(parts, 'mails'), entries: sum(parts, 'entries'), bytes: sum(parts, 'bytes') };
  const head = { version: 1, tenant, backup: id, kind, member, mailbox, scope, sharing, startedBy, startedAt } as const;
  return { key: manifestKey(tenant, id), manifest: { ...head, run: { ...tally }, result, parts } };
}

const withoutKey = ({ page, key, sha256, mails, entries, bytes }: BackupPage): BackupPage => ({ page, key, sha256, mails, entries, bytes });
const sum = (pages: BackupPage[], field: 'mails' | 'entries' | 'bytes') => pages.reduce((all, page) => all + page[field], 0);
