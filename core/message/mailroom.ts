import type { Table } from '../table/client.ts';
import type { BackfillJob } from './backfill.ts';
import type { ParsedMail } from './parsed-mail.ts';

/** What taking mail in works with. `readMail` parses within limits and a deadline; undefined is a mail that no parser can read. */
export type Mailroom = {
  table: Table;
  mailDomain: string;
  readRaw: (key: string) => Promise<Uint8Array | undefined>;
  readMail: (raw: Uint8Array) => Promise<ParsedMail | undefined>;
  /** Where word is left that a record's mail is to be looked at again. */
  backfills: { send: (job: BackfillJob) => Promise<void> };
};
