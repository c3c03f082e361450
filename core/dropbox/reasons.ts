import { CODE_MINUTES, HELD_DAYS, MAX_MAIL_BYTES } from '../limits.ts';

/** Why a mail was held, ignored or passed over, in words, and what its owner can do. By the reason's code. */
const EXPLANATIONS: Record<string, string> = {
  'unregistered-sender': `It came from an address that is not on your list of sending addresses. If it is yours, register it (a code valid ${CODE_MINUTES} minutes is mailed to it), then replay this mail. If not, discard it; if such mails go on, regenerate your dropbox address.`,
  'no-dropbox-permission':
    'Your profile does not have the BCC dropbox permission. Ask an administrator to tick it on your profile, then replay this mail.',
  'sender-not-authenticated':
    'It claims to come from your address, but the checks of the sending server (SPF, DKIM, DMARC) failed. If you sent it, replay it; then ask whoever runs your mail to mend those records. If you did not, discard it.',
  spam: 'It was taken for spam. If you know it is not, replay it.',
  virus: 'A virus was found in it. It cannot be filed.',
  'member-deactivated': 'It came in after the member was deactivated. It can be replayed once the member is active again.',
  'no-permission':
    'Filing it needs a record that you may not see, or may not create. Ask an administrator for the permission, then replay it.',
  'nothing-to-file':
    'None of its To and CC addresses is a customer: colleagues, excluded domains, no-reply addresses and the dropbox itself never are, and CC addresses are only matched, not created. Create the record, then replay it.',
  'no-record': `It concerns no lead or contact, and your organisation stores only mail that does. It came to a mailbox hosted here, so it is nowhere else: read it in its raw source, or create the record and replay it, within ${HELD_DAYS} days.`,
  unreadable: `Its structure is broken or built to overwhelm a parser, so it could not be read. Its raw source is kept for ${HELD_DAYS} days; replay it after an update of this product.`,
  failed: 'It could not be processed, several times in a row. We have been alerted. Replay it later.',
  'too-large': `It is larger than ${MAX_MAIL_BYTES / 1024 / 1024} MB, so only its header was fetched. It is still in your mailbox: read it there.`,
  'unknown-recipient': 'It was sent to a dropbox address that is no longer yours. Use the present address from your settings.',
  'removed-mailbox': 'It was sent to the address of a hosted mailbox that you removed. Nobody else is given it; tell who still uses it.',
  'own-mail': 'It was sent by this product itself, which never files its own mail.',
};

export const explain = (reason: string | undefined): string | undefined => (reason === undefined ? undefined : EXPLANATIONS[reason]);
