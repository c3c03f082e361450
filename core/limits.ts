/** Every limit of the product: a name, a number and a reason. Each has a test at the limit and one past it. */

const KiB = 1024;
const MiB = 1024 * KiB;

/** Sending addresses a member may register for the dropbox (BCC-7). */
export const MAX_SENDERS = 5;

/** Mail accounts of one member (POP-6). One is read at a time, the others wait; all of them are listed in one answer. */
export const MAX_MAIL_ACCOUNTS = 20;

/** Characters of a hosted mailbox's address that its owner chooses; with what is added it stays below RFC 5321's 64 (4.5.3.1.1). */
export const MAX_HOSTED_NAME_CHARS = 40;

/** Characters of a mailbox's password. A command of POP3 has 255 octets at most (RFC 2449 4); app passwords have 16 characters. */
export const MAX_PASSWORD_CHARS = 240;

/** Days the first sync of a mail account goes back unless its owner says otherwise. */
export const FIRST_SYNC_DAYS = 30;

/** Tests of mail servers a member may run in an hour: enough to find out a setting, too few to guess a password through us. */
export const TRIALS_PER_HOUR = 20;

/** Times a member may set servers or passwords of their accounts in an hour: each is tried at once, so it is a guess like a test. */
export const CREDENTIALS_PER_HOUR = 60;

/** Times a member may make or remove hosted mailboxes in an hour: each leaves an address behind that nobody is ever given again. */
export const HOSTED_CHANGES_PER_HOUR = 40;

/** Searches for the servers of an address a member may have done in an hour: each asks the name servers of a stranger's domain. */
export const DISCOVERIES_PER_HOUR = 60;

/** Seconds between two polls that a member asks for: servers lock out whoever logs in all the time. */
export const POLL_NOW_SECONDS = 60;

/** Attachments of one mail, decoded, all together (BCC-22, R-11). Beyond it the mail is kept without them. */
export const MAX_ATTACHMENT_BYTES = 10 * MiB;

/** To and CC addresses of one mail that are matched with records. */
export const MAX_MATCHED_ADDRESSES = 50;

/** What SES accepts for one inbound mail; 10 MiB of attachments are about 13.7 MiB in base64, so there is room. */
export const MAX_MAIL_BYTES = 40 * MiB;

/** Header bytes of one mail. Ordinary mail has 2 to 20 KiB; a mail with more is an attack on the parser. */
export const MAX_HEADER_BYTES = 256 * KiB;

/** MIME parts of one mail. The largest ordinary ones (photo albums) have some hundreds. */
export const MAX_MIME_PARTS = 1000;

/** Nesting of MIME parts. Forwarded chains reach 5 to 8. */
export const MAX_MIME_DEPTH = 20;

/** Milliseconds one parser may take for one mail; then its thread is ended and the second parser tries. */
export const PARSE_DEADLINE_MS = 10_000;

/** Days the raw bytes of a mail that was not taken are kept for replay. */
export const HELD_DAYS = 30;

/** Days an entry of the activity list is kept. */
export const ACTIVITY_DAYS = 90;

/** Characters of plain text in an answer; Lambda answers end at 6 MB, and the whole text is in the raw source. */
export const MAX_TEXT_CHARS = 500_000;

/** Bytes of one mail's answer as Lambda counts them (the JSON as a JSON string): below its 6 MB. */
export const MAX_ANSWER_BYTES = 5_500_000;

/** Characters of HTML that are sanitised: sanitize-html took 20 s for 200,000 nested tags. */
export const MAX_HTML_CHARS = 1_000_000;

/** Nested HTML elements that are sanitised; deeper ones are flattened to their text. */
export const MAX_HTML_DEPTH = 100;

/** Minutes a mailed code stays valid, and wrong answers it stands. 8 digits, 5 tries: a chance of 1 in 20 million. */
export const CODE_MINUTES = 30;
export const CODE_TRIES = 5;

/** Codes a member may have mailed in an hour, so that the product cannot be used to flood a stranger's mailbox. */
export const CODES_PER_HOUR = 10;

/** Addresses of one record; with its other keys they must fit one DynamoDB transaction of 100 writes. */
export const MAX_RECORD_ADDRESSES = 10;

/** Detached addresses a record remembers; their mail is taken off it within minutes. */
export const MAX_DETACHED_ADDRESSES = 20;

/** Mails looked at in one run when a record's addresses changed: about a second's work. */
export const BACKFILL_PAGE_MAILS = 200;

/** Mails of a record that one page of a search, or a count, looks at: those the viewer may see, about a megabyte. */
export const MAX_SEARCHED_MAILS = 1000;

/** Custom fields of one record, and characters of one value: an item stays far below DynamoDB's 400 KB. */
export const MAX_CUSTOM_FIELDS = 50;
export const MAX_FIELD_CHARS = 2000;

/** Characters of a name's first part, of its last part, and of a deal's title or a firm's name. */
export const MAX_FIRST_NAME_CHARS = 100;
export const MAX_NAME_CHARS = 200;

/** Words of one record the text search finds it by; each is a write of its transaction. */
export const MAX_RECORD_WORDS = 20;

/** Records of one module that share an address: their ids stand in one item, and a mail is tied to each of them. */
export const MAX_RECORDS_PER_ADDRESS = 20;

/** Bytes of all custom fields of one record together: a page of a hundred records must fit Lambda's answer of 6 MB. */
export const MAX_CUSTOM_BYTES = 16 * KiB;

/** Bytes of one import. Lambda takes requests of 6 MB, in base64 when the body is not UTF-8 text. */
export const MAX_IMPORT_BYTES = 4 * MiB;

/** Lines of one import: a hundred runs of its worker. */
export const MAX_IMPORT_LINES = 50_000;

/** Lines an import handles in one run of its worker before it hands on to the next one. */
export const IMPORT_PAGE_LINES = 500;

/** Rows of a page of a list when the caller does not say, and at most. */
export const PAGE_DEFAULT = 50;
export const PAGE_MAX = 100;

/** Bytes of a JSON body. The largest legitimate one, a record with all its fields, has about 120 KB. */
export const MAX_JSON_BYTES = 256 * KiB;

/** Hours the answer to an Idempotency-Key is remembered. */
export const IDEMPOTENCY_HOURS = 24;

/**
 * Hours an old data key is kept beside its successor: what it sealed for a while, remembered answers (IDEMPOTENCY_HOURS) and
 * cursors, opens until then; half of it would do.
 */
export const OLD_KEY_HOURS = 2 * IDEMPOTENCY_HOURS;

/** Profiles of one tenant; all are read at once with the tenant's settings. */
export const MAX_PROFILES = 30;

/** API tokens of one member. */
export const MAX_TOKENS = 20;

/** Domains a tenant may exclude from dropbox matching. */
export const MAX_EXCLUDED_DOMAINS = 200;

/** Domains a member may exclude from public sharing (SHR-18). */
export const MAX_SHARING_EXCLUSIONS = 5;

/** Domains, and addresses, an organisation excludes from sharing: they stand in its settings, which each request reads (about 50 KB). */
export const MAX_POLICY_EXCLUSIONS = 1000;

/** Bytes of them together: with the audit's before and after they stay far below the 400 KB that an item may have. */
export const MAX_POLICY_EXCLUSION_BYTES = 64 * KiB;

/** Members, and mails, looked at when an owner asks what a change of sharing would come to: a few seconds' work. */
export const MAX_AUDIENCE = 1000;
export const MAX_PREVIEW_MAILS = 5000;

/** Holders noted beside an address, so that filing need not note them again: beyond it the item would grow without end. */
export const MAX_NOTED_HOLDERS = 100;

/** Mails of one thread that are listed; the longest ordinary threads have some hundreds. */
export const MAX_THREAD_MAILS = 500;

/** Days the hidden mail of a deactivated member is kept unless the organisation says otherwise, and what it may say. */
export const HIDDEN_MAIL_DAYS = 90;
export const MIN_HIDDEN_MAIL_DAYS = 30;
export const MAX_HIDDEN_MAIL_DAYS = 3650;

/** Days before that time is over when administrators are told: enough for a backup after a week's leave. */
export const HIDDEN_MAIL_NOTICE_DAYS = 7;

/** Mails of one page of a deletion, records gone through at once for dropbox mail, and what deleted copies leave looked at at once. */
export const DELETION_PAGE_MAILS = 100;
export const DELETION_PAGE_RECORDS = 100;
export const REMAINS_PAGE = 50;

/** Pages of a mailbox's mail a worker of deletions does before it hands on, and seconds in which it may begin any. */
export const DELETION_TURN_PAGES = 5;
export const DELETION_SECONDS = 60;

/**
 * Hours between a mail's last copy and its message and bytes: whoever began to file the same mail before the mark was set has filed
 * it by then, for a try ends with its function, after a minute.
 */
export const REMAINS_HOURS = 24;

/** Members looked at for one page of add-on users, and lines of their download: each hundred members cost three reads. */
export const MAX_ADDON_USERS_LOOKED_AT = 2000;
export const MAX_ADDON_USER_LINES = 5000;

/** Seconds a download link lives. */
export const LINK_SECONDS = 300;

/** Milliseconds until a POP3 server is connected with, and again until TLS with it stands; servers across the world take 1 s. */
export const POP3_CONNECT_MS = 15_000;

/** Milliseconds of silence while an answer is due; large maildrops take half a minute to list. */
export const POP3_IDLE_MS = 60_000;

/** Milliseconds of a whole POP3 session: it ends before the function that holds it, which has 15 minutes at most. */
export const POP3_TOTAL_MS = 10 * 60_000;

/** POP3 requests under way at once, with servers that list PIPELINING, and bytes of mail that may be on their way. */
export const POP3_WINDOW = 100;
export const POP3_OUTSTANDING_BYTES = 4 * MiB;

/** What an answer is taken to have while LIST has not told. */
export const POP3_UNKNOWN_BYTES = 16 * KiB;

/** Bytes of a POP3 status line; RFC 2449 allows 512. */
export const MAX_POP3_LINE_BYTES = 4 * KiB;

/** Bytes of a list of capabilities, of a list of mails (300,000 with long ids), and of the top of a mail. */
export const MAX_POP3_CAPABILITY_BYTES = 64 * KiB;
export const MAX_POP3_LISTING_BYTES = 24 * MiB;
export const MAX_POP3_TOP_BYTES = 1 * MiB;

/** Mails and bytes one poll fetches before it hands on to another one: some minutes of a slow server. */
export const POLL_MAILS = 1000;
export const POLL_BYTES = 256 * MiB;

/** Mails of a server that seems to have numbered its mails anew that one poll fetches; nearly all will be known by content. */
export const POLL_RENUMBERED_MAILS = 250;

/** Mails one session deletes: they are committed together, by its QUIT. */
export const POLL_DELETIONS = 200;

/** Seconds one poll may take new work up; what it has begun then, it ends. */
export const POLL_SECONDS = 100;

/** Seconds of a poll's session at most: a server that drips is cut off then, in the middle of whatever it says. */
export const POLL_SESSION_SECONDS = 160;

/**
 * Seconds a poll has a mailbox to itself, and after how many it says that it is still at it. Who is killed is followed when the lease
 * is over, some 90 s later: three pulses may be lost before a poll that lives on is taken for dead. Its function has 300 s.
 */
export const POLL_LEASE_SECONDS = 90;
export const POLL_PULSE_SECONDS = 20;

/** Polls in a row that were killed and are followed that soon; then the timetable decides: a mail that kills its worker is not run after. */
export const POLL_FOLLOWERS = 3;

/** Bytes of mails one session, and all of a process, may have in memory. A mail of MAX_MAIL_BYTES must fit. */
export const POLL_SESSION_BYTES = 64 * MiB;
export const POLL_PROCESS_BYTES = 192 * MiB;

/** Polls of one server, and of one tenant, in a process at once. Times `maxConcurrency` of poll-mailbox, all there are. */
export const POLLS_PER_HOST = 4;
export const POLLS_PER_TENANT = 5;

/** Mails of its owner's list, and bytes of raw mail, that a backup does in one page: some seconds, well within its lease. */
export const BACKUP_PAGE_MAILS = 250;
export const BACKUP_PAGE_BYTES = 64 * MiB;

/** Raw mails a backup reads at the same time, to hash them as they come: enough to hide the wait for S3. */
export const BACKUP_READS = 16;

/** Pages a worker of a backup does before it hands on, and seconds in which it may begin them. */
export const BACKUP_TURN_PAGES = 4;
export const BACKUP_SECONDS = 60;

/** Seconds a worker has a backup to itself, from its last page: nobody hears from it for longer only when it was killed. */
export const BACKUP_LEASE_SECONDS = 120;

/** Minutes the last poll of a leaver's mailbox is waited for, and then the filing of what it brought: a server that is down keeps nobody active. */
export const OFFBOARDING_POLL_MINUTES = 15;
export const OFFBOARDING_FILING_MINUTES = 5;

/** Seconds an off-boarding waits at most until it looks again; it begins with two, and doubles them. */
export const OFFBOARDING_WAIT_SECONDS = 30;

/** Records handed over in one page: some seconds, well within the lease. */
export const OFFBOARDING_PAGE_RECORDS = 50;

/** Seconds in which a worker of an off-boarding may begin something, and has it to itself from what it did last. */
export const OFFBOARDING_SECONDS = 45;
export const OFFBOARDING_LEASE_SECONDS = 120;

/** Workers that may stop over one part of a step before it counts as failed: half an hour or so. */
export const OFFBOARDING_TRIES = 10;

/** Members whose latest backup is asked for in one request: each costs some five calls. */
export const MAX_BACKUPS_AT_ONCE = 50;

/** Bytes of one part of an upload, and parts on their way at once: S3 takes 5 MiB to 5 GiB, 10,000 of them. */
export const UPLOAD_PART_BYTES = 8 * MiB;
export const UPLOADS_AT_ONCE = 2;

/** Days an export of a backup can be downloaded, from when it was asked for: the bucket deletes it then. It can be made anew. */
export const EXPORT_DAYS = 7;

/** Places of mails, and bytes of raw mail, in one volume of an export: some minutes' work at most, and a zip every tool opens. */
export const EXPORT_VOLUME_MAILS = 10_000;
export const EXPORT_VOLUME_BYTES = 1024 * MiB;

/**
 * Bytes of one mail in the folders of all its records, in a zip: beyond it the mail lies in the first folder alone, so that each fits
 * a turn of a worker.
 */
export const EXPORT_COPIES_BYTES = 128 * MiB;

/** Raw mails an export reads ahead, and bytes of them it holds; one of MAX_MAIL_BYTES may be alone. */
export const EXPORT_READS = 16;
export const EXPORT_AHEAD_BYTES = 64 * MiB;

/** Seconds in which a worker of an export may take up further mails of its volume; then the volume ends where it is. */
export const EXPORT_SECONDS = 120;

/** Seconds a worker has an export to itself, and after how many it says that it is still at it. */
export const EXPORT_LEASE_SECONDS = 120;
export const EXPORT_PULSE_SECONDS = 10;

/** Workers that may be killed over one volume before the export counts as failed. */
export const EXPORT_TRIES = 5;
