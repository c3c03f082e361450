import { sha256, type TenantId } from '../ids.ts';
import type { ParsedMail } from './parsed-mail.ts';

/**
 * When two mails are the same: same tenant, Message-ID, Date header and From address; without a Message-ID, the
 * same bytes. Message-ID alone is not enough: senders reuse them, and real mail was lost elsewhere by trusting it.
 */
export function messageIdOf(tenant: TenantId, mail: Pick<ParsedMail, 'messageId' | 'dateHeader' | 'from'>, raw: Uint8Array): string {
  const identity = mail.messageId
    ? sha256(tenant, 'header', mail.messageId, mail.dateHeader ?? '', mail.from[0]?.address ?? '')
    : sha256(tenant, 'bytes', sha256(raw));
  return identity.slice(0, 40);
}

/** The id of the conversation: of its first mail, which every reply names first in References (RFC 5322 3.6.4). */
export function threadOf(tenant: TenantId, mail: Pick<ParsedMail, 'messageId' | 'references'>, message: string): string {
  return sha256(tenant, 'thread', mail.references[0] ?? mail.messageId ?? message).slice(0, 40);
}
