import type { TenantId } from '../ids.ts';

/**
 * EVERY KEY PATTERN ON ONE PAGE.
 *
 * | entity                          | pk                      | sk                                |
 * |---------------------------------|-------------------------|-----------------------------------|
 * | dropbox, by secret address      | A#sha256(address)       | DROPBOX                           |
 * | hosted mailbox, by its address  | A#sha256(address)       | MAILBOX                           |
 * | confirmation of a login address | C#sha256(code)          | CONFIRMATION                      |
 * | raw mail to be swept            | X#yyyy-mm-dd            | delivery                          |
 * | account's place in the timetable| D#slot#shard            | tenant#member#account             |
 * | how far the planner has come    | D#PLANNER               | ROUND                             |
 * | member whose mail is hidden     | D#HIDDEN                | tenant#member                     |
 * | how far reconciling has come    | X#reconcile             | ROUND                             |
 * | tenant                          | T#t#                    | TENANT                            |
 * | the tenant's data key           | T#t#                    | KEY                               |
 * | profile                         | T#t#                    | P#profile                         |
 * | member                          | T#t#U                   | member                            |
 * | API token                       | T#t#U#member            | K#token                           |
 * | activity entry                  | T#t#U#member            | A#id (sorts by time)              |
 * | mail account                    | T#t#U#member            | X#account                         |
 * | mail settings                   | T#t#U#member            | SETTINGS                          |
 * | where a member's backups stand  | T#t#U#member            | BACKUP                            |
 * | where their off-boarding stands | T#t#U#member            | OFFBOARDING                       |
 * | what they were told of a lock   | T#t#U#member            | LOCK-NOTICE                       |
 * | deletion of a member's hidden mail | T#t#U#member         | DELETION                          |
 * | backup of a member              | T#t#U#member            | V#backup (sorts by time)          |
 * | mail of a member's mailboxes    | T#t#O#member            | receivedAt#message                |
 * | mail that a deleted copy leaves | T#t#G#member            | since#message#channel, turn       |
 * | mail seen on a POP3 server      | T#t#X#account           | Y#sha256(unique id, occurrence)   |
 * | poll of an account              | T#t#X#account           | P#id (sorts by time)              |
 * | notice about an account         | T#t#X#account           | N#kind                            |
 * | held mail                       | T#t#U#member            | H#id (sorts by time)              |
 * | codes mailed lately             | T#t#U#member            | CODES                             |
 * | mail servers tried lately       | T#t#U#member            | TRIALS                            |
 * | servers and passwords set lately| T#t#U#member            | CREDENTIALS                       |
 * | servers looked for lately       | T#t#U#member            | DISCOVERIES                       |
 * | idempotency key                 | T#t#I#member            | sha256(key)                       |
 * | record                          | T#t#R#record            | RECORD                            |
 * | record that belongs to a record | T#t#R#parent            | C#module#record                   |
 * | who holds mail of a record      | T#t#W#record            | owner#d, owner#m#group, owner#b   |
 * | owner shares mail of a record   | T#t#W#record            | owner#tick                        |
 * | mail of a record (timeline)     | T#t#R#record            | O#owner#d#receivedAt#message,     |
 * |                                 |                         | O#owner#m#group#receivedAt#message|
 * | mail of a record, backed up     | T#t#R#record            | O#owner#b#receivedAt#message      |
 * | address claimed by a record     | T#t#E#address           | CLAIM#module                      |
 * | address of a record             | T#t#E#address           | R#module#record                   |
 * | mail with an address            | T#t#F#address           | receivedAt#message#member#m,      |
 * |                                 |                         | receivedAt#message#member#d#record|
 * | login address of a member       | T#t#E#address           | U                                 |
 * | sending address of a member     | T#t#E#address           | U#member                          |
 * | records of a module             | T#t#L#module            | record (sorts by time)            |
 * | words of records, for search    | T#t#S#module#xy         | word#record                       |
 * | message                         | T#t#M#message           | META                              |
 * | copy of a message: who holds it | T#t#M#message           | B#member, of a mailbox B#member#m |
 * | copy of a message of a thread   | T#t#H#thread            | owner#d#message,                  |
 * |                                 |                         | owner#m#group#message             |
 * | import                          | T#t#J                   | import                            |
 * | how far a record's mail is pulled in| T#t#R#record        | BACKFILL                          |
 * | backup                          | T#t#V                   | backup                            |
 * | page of a backup                | T#t#V#backup            | P#page                            |
 * | backup that is running          | D#BACKUPS               | tenant#backup                     |
 * | export of a backup              | T#t#V#backup#X          | format                            |
 * | export that is running          | D#EXPORTS               | tenant#backup#format              |
 * | off-boarding                    | T#t#Q                   | off-boarding                      |
 * | off-boarding that is running    | D#OFFBOARDINGS          | tenant#off-boarding               |
 * | member whose mail is being deleted | D#DELETIONS          | tenant#member                     |
 * | audit entry                     | T#t#Z#yyyy-mm           | id (sorts by time)                |
 *
 * Keys of tenant data begin with `T#<tenant>#`: IAM holds the API to those of its caller's tenant (dynamodb:LeadingKeys).
 * `A#` and `C#` are reached only by who knows the secret that is hashed in them; `X#` only by those who look after raw mail;
 * `D#` by the planner, by whoever changes when an account is polled, and by those who start, end and look after backups,
 * their exports, off-boardings and deletions.
 * Ids and normalised addresses hold no `#`; `~` sorts behind every character of them.
 */
export type Key = { pk: string; sk: string };

/** How a mail came in: by the dropbox, or from a mailbox. Kept in keys, because sharing treats them differently (R-40). */
export type Channel = 'dropbox' | 'mailbox';
/** How it is shown on a record: as it came in, or because a backup shows it (R-16). */
export type Showing = Channel | 'backup';
const CHANNEL: Record<Showing, string> = { dropbox: 'd', mailbox: 'm', backup: 'b' };

/** Whoever receives mail at an address of ours stands here. */
export const receiverPartition = (addressHash: string) => `A#${addressHash}`;
export const dropboxKey = (addressHash: string): Key => ({ pk: receiverPartition(addressHash), sk: 'DROPBOX' });
export const hostedAddressKey = (addressHash: string): Key => ({ pk: receiverPartition(addressHash), sk: 'MAILBOX' });
export const confirmationKey = (codeHash: string): Key => ({ pk: `C#${codeHash}`, sk: 'CONFIRMATION' });

export const sweepPartition = (day: string) => `X#${day}`;
export const sweepKey = (day: string, delivery: string): Key => ({ pk: sweepPartition(day), sk: delivery });

export const reconcileKey: Key = { pk: 'X#reconcile', sk: 'ROUND' };

export const tenantPartition = (t: TenantId) => `T#${t}#`;
export const tenantKey = (t: TenantId): Key => ({ pk: tenantPartition(t), sk: 'TENANT' });
export const dataKeyKey = (t: TenantId): Key => ({ pk: tenantPartition(t), sk: 'KEY' });
export const profileKey = (t: TenantId, profile: string): Key => ({ pk: tenantPartition(t), sk: `P#${profile}` });

export const membersPartition = (t: TenantId) => `T#${t}#U`;
export const memberKey = (t: TenantId, member: string): Key => ({ pk: membersPartition(t), sk: member });

export const memberPartition = (t: TenantId, member: string) => `T#${t}#U#${member}`;
export const tokenKey = (t: TenantId, member: string, token: string): Key => ({ pk: memberPartition(t, member), sk: `K#${token}` });
export const activityKey = (t: TenantId, member: string, id: string): Key => ({ pk: memberPartition(t, member), sk: `A#${id}` });
export const heldKey = (t: TenantId, member: string, id: string): Key => ({ pk: memberPartition(t, member), sk: `H#${id}` });
export const codesKey = (t: TenantId, member: string): Key => ({ pk: memberPartition(t, member), sk: 'CODES' });
export const trialsKey = (t: TenantId, member: string): Key => ({ pk: memberPartition(t, member), sk: 'TRIALS' });
export const credentialsKey = (t: TenantId, member: string): Key => ({ pk: memberPartition(t, member), sk: 'CREDENTIALS' });
export const hostedChangesKey = (t: TenantId, member: string): Key => ({ pk: memberPartition(t, member), sk: 'HOSTED' });
export const discoveriesKey = (t: TenantId, member: string): Key => ({ pk: memberPartition(t, member), sk: 'DISCOVERIES' });

export const mailAccountPrefix = 'X#';
export const mailAccountKey = (t: TenantId, member: string, account: string): Key => ({
  pk: memberPartition(t, member),
  sk: `${mailAccountPrefix}${account}`,
});
export const mailSettingsKey = (t: TenantId, member: string): Key => ({ pk: memberPartition(t, member), sk: 'SETTINGS' });
export const backupStandingKey = (t: TenantId, member: string): Key => ({ pk: memberPartition(t, member), sk: 'BACKUP' });
export const offboardingStandingKey = (t: TenantId, member: string): Key => ({ pk: memberPartition(t, member), sk: 'OFFBOARDING' });
export const lockNoticeKey = (t: TenantId, member: string): Key => ({ pk: memberPartition(t, member), sk: 'LOCK-NOTICE' });
export const deletionKey = (t: TenantId, member: string): Key => ({ pk: memberPartition(t, member), sk: 'DELETION' });
export const memberBackupPrefix = 'V#';
export const memberBackupKey = (t: TenantId, member: string, id: string): Key => ({
  pk: memberPartition(t, member),
  sk: `${memberBackupPrefix}${id}`,
});

export const ownMailPartition = (t: TenantId, member: string) => `T#${t}#O#${member}`;
export const ownMailKey = (t: TenantId, member: string, receivedAt: string, message: string): Key => ({
  pk: ownMailPartition(t, member),
  sk: `${receivedAt}#${message}`,
});

export const remainsPartition = (t: TenantId, member: string) => `T#${t}#G#${member}`;
export const remainsKey = (
  t: TenantId,
  member: string,
  { since, message, channel, turn }: { since: string; message: string; channel: Channel; turn: number },
): Key => ({ pk: remainsPartition(t, member), sk: `${since}#${message}#${CHANNEL[channel]}${turn}` });

export const accountPartition = (t: TenantId, account: string) => `T#${t}#X#${account}`;
export const seenMailKey = (t: TenantId, account: string, hash: string): Key => ({ pk: accountPartition(t, account), sk: `Y#${hash}` });
export const pollPrefix = 'P#';
export const pollKey = (t: TenantId, account: string, id: string): Key => ({
  pk: accountPartition(t, account),
  sk: `${pollPrefix}${id}`,
});
export const accountNoticeKey = (t: TenantId, account: string, kind: string): Key => ({
  pk: accountPartition(t, account),
  sk: `N#${kind}`,
});

export const slotPartition = (slot: string) => `D#${slot}`;
export const slotKey = (slot: string, account: string): Key => ({ pk: slotPartition(slot), sk: account });
export const hiddenMailPartition = 'D#HIDDEN';
export const hiddenMailKey = (t: TenantId, member: string): Key => ({ pk: hiddenMailPartition, sk: `${t}#${member}` });
export const plannerKey: Key = { pk: 'D#PLANNER', sk: 'ROUND' };

export const idempotencyKey = (t: TenantId, member: string, hash: string): Key => ({ pk: `T#${t}#I#${member}`, sk: hash });

export const recordPartition = (t: TenantId, record: string) => `T#${t}#R#${record}`;
export const recordKey = (t: TenantId, record: string): Key => ({ pk: recordPartition(t, record), sk: 'RECORD' });
export const childKey = (t: TenantId, parent: string, module: string, record: string): Key => ({
  pk: recordPartition(t, parent),
  sk: `C#${module}#${record}`,
});
export const holdersPartition = (t: TenantId, record: string) => `T#${t}#W#${record}`;
/** One series of a record's mail: an owner's by the dropbox, of a mailbox with one set of domains (`groupOf`), or what backups show. */
export type Series = { owner: string; channel: 'dropbox' | 'backup' } | { owner: string; channel: 'mailbox'; group: string };
const seriesName = (series: Series) =>
  `${series.owner}#${CHANNEL[series.channel]}${series.channel === 'mailbox' ? `#${series.group}` : ''}`;
export const holderKey = (t: TenantId, record: string, series: Series): Key => ({
  pk: holdersPartition(t, record),
  sk: seriesName(series),
});
export const tickKey = (t: TenantId, record: string, owner: string): Key => ({ pk: holdersPartition(t, record), sk: `${owner}#tick` });
export const backfillKey = (t: TenantId, record: string): Key => ({ pk: recordPartition(t, record), sk: 'BACKFILL' });
/** All series of a record's timeline. */
export const timelinesPrefix = 'O#';
/** Whose a timeline entry is, and how it is shown. */
export function seriesOfTimelineKey(sk: string): { owner: string; channel: Showing } {
  const [, owner = '', letter] = sk.split('#');
  const [channel] = Object.entries(CHANNEL).find(([, one]) => one === letter) ?? ['dropbox'];
  return { owner, channel: channel as Showing };
}
/** All that is noted of one owner beside a record. */
export const holdersOf = (owner: string) => `${owner}#`;
export const timelinePrefix = (series: Series) => `O#${seriesName(series)}#`;
export const timelineKey = (t: TenantId, record: string, series: Series, receivedAt: string, message: string): Key => ({
  pk: recordPartition(t, record),
  sk: `${timelinePrefix(series)}${receivedAt}#${message}`,
});

export const addressPartition = (t: TenantId, address: string) => `T#${t}#E#${address}`;
export const claimKey = (t: TenantId, address: string, module: string): Key => ({
  pk: addressPartition(t, address),
  sk: `CLAIM#${module}`,
});
export const recordAddressKey = (t: TenantId, address: string, module: string, record: string): Key => ({
  pk: addressPartition(t, address),
  sk: `R#${module}#${record}`,
});
export const senderAddressKey = (t: TenantId, address: string, member: string): Key => ({
  pk: addressPartition(t, address),
  sk: `U#${member}`,
});
export const memberAddressKey = (t: TenantId, address: string): Key => ({ pk: addressPartition(t, address), sk: 'U' });

export const findablePartition = (t: TenantId, address: string) => `T#${t}#F#${address}`;
export const findableKey = (
  t: TenantId,
  address: string,
  mail: { receivedAt: string; message: string; member: string; channel: Channel; record?: string },
): Key => ({
  pk: findablePartition(t, address),
  sk: `${mail.receivedAt}#${mail.message}#${mail.member}#${CHANNEL[mail.channel]}${mail.record ? `#${mail.record}` : ''}`,
});

export const modulePartition = (t: TenantId, module: string) => `T#${t}#L#${module}`;
export const moduleKey = (t: TenantId, module: string, record: string): Key => ({ pk: modulePartition(t, module), sk: record });

export const wordPartition = (t: TenantId, module: string, word: string) => `T#${t}#S#${module}#${Array.from(word).slice(0, 2).join('')}`;
export const wordKey = (t: TenantId, module: string, word: string, record: string): Key => ({
  pk: wordPartition(t, module, word),
  sk: `${word}#${record}`,
});

export const messagePartition = (t: TenantId, message: string) => `T#${t}#M#${message}`;
export const messageKey = (t: TenantId, message: string): Key => ({ pk: messagePartition(t, message), sk: 'META' });
export const copyKey = (t: TenantId, message: string, member: string, channel: Channel): Key => ({
  pk: messagePartition(t, message),
  sk: channel === 'dropbox' ? `B#${member}` : `B#${member}#${CHANNEL[channel]}`,
});

export const threadPartition = (t: TenantId, thread: string) => `T#${t}#H#${thread}`;
export const threadKey = (t: TenantId, thread: string, series: Series, message: string): Key => ({
  pk: threadPartition(t, thread),
  sk: `${seriesName(series)}#${message}`,
});
/** The line of a message that was filed before each copy had its own. */
export const oldThreadKey = (t: TenantId, thread: string, message: string): Key => ({ pk: threadPartition(t, thread), sk: message });
/** Behind all lines of a thread that begin so: an owner, or a series of theirs. */
export const behindLines = (prefix: string) => `${prefix}#~`;
/** The series of a thread's line. */
export const seriesOfLine = (sk: string) => sk.slice(0, sk.lastIndexOf('#'));

export const importsPartition = (t: TenantId) => `T#${t}#J`;
export const importKey = (t: TenantId, id: string): Key => ({ pk: importsPartition(t), sk: id });

export const backupsPartition = (t: TenantId) => `T#${t}#V`;
export const backupKey = (t: TenantId, id: string): Key => ({ pk: backupsPartition(t), sk: id });
export const backupPagesPartition = (t: TenantId, id: string) => `T#${t}#V#${id}`;
export const backupPageKey = (t: TenantId, id: string, page: number): Key => ({
  pk: backupPagesPartition(t, id),
  sk: `P#${String(page).padStart(6, '0')}`,
});
export const runningBackupsPartition = 'D#BACKUPS';
export const runningBackupKey = (t: TenantId, id: string): Key => ({ pk: runningBackupsPartition, sk: `${t}#${id}` });

export const exportKey = (t: TenantId, backup: string, format: string): Key => ({ pk: `${backupPagesPartition(t, backup)}#X`, sk: format });
export const runningExportsPartition = 'D#EXPORTS';
export const runningExportKey = (t: TenantId, backup: string, format: string): Key => ({
  pk: runningExportsPartition,
  sk: `${t}#${backup}#${format}`,
});

export const offboardingsPartition = (t: TenantId) => `T#${t}#Q`;
export const offboardingKey = (t: TenantId, id: string): Key => ({ pk: offboardingsPartition(t), sk: id });
export const runningOffboardingsPartition = 'D#OFFBOARDINGS';
export const runningOffboardingKey = (t: TenantId, id: string): Key => ({ pk: runningOffboardingsPartition, sk: `${t}#${id}` });
export const runningDeletionsPartition = 'D#DELETIONS';
export const runningDeletionKey = (t: TenantId, member: string): Key => ({ pk: runningDeletionsPartition, sk: `${t}#${member}` });

export const auditPartition = (t: TenantId, month: string) => `T#${t}#Z#${month}`;
export const auditKey = (t: TenantId, at: string, id: string): Key => ({ pk: auditPartition(t, at.slice(0, 7)), sk: id });
