import { Pop3Error, type Pop3Session, type Pop3Step } from '../../core/account/pop3.ts';

/** A mail on the server; `uid` need not be its own alone. */
export type StoredMail = { uid: string; bytes: Uint8Array };

/** When a session breaks: before the n-th command of it takes effect, or after (the answer is lost). */
export type Break = { command: number; when: 'before' | 'after' };

/**
 * A maildrop as RFC 1939 describes it: one session at a time, deletions take place at QUIT and only there, numbers mean something
 * in their session alone. What servers do besides: refuse logins that come too early, drop connections, lose answers, give copies
 * the same id, number everything anew, and let another client delete mails meanwhile.
 */
export class ModelMaildrop {
  mails: StoredMail[] = [];
  password = 'right';
  /** Seconds between two logins; answered with [LOGIN-DELAY]. */
  loginDelay = 0;
  /** True while another client holds the maildrop. */
  isInUse = false;
  hasTop = true;
  window = 1;
  /** Failures of the next sessions, one entry each: commands that break, or an answer to the login. */
  readonly breaks: (Break | Pop3Error | undefined)[] = [];
  /** Ids whose mails the server does not hand out for now. */
  readonly withheld = new Set<string>();
  /** What was asked, all sessions. */
  readonly commands: string[] = [];
  logins = 0;
  /** Ids of mails that were deleted by QUIT. */
  readonly deleted: string[] = [];
  /** Called for each mail that QUIT deletes. */
  onDelete: (mail: StoredMail) => void = () => {};
  private lastLogin = Number.NEGATIVE_INFINITY;
  private session: object | undefined;

  add(uid: string, text: string): void {
    this.mails.push({ uid, bytes: Buffer.from(text) });
  }

  /** As after a move to another server: the same mails, other ids. */
  renumber(): void {
    this.mails = this.mails.map(({ bytes }, i) => ({ uid: `anew-${this.commands.length}-${i}`, bytes }));
  }

  /** The connection of a client that was killed is gone. */
  hangUp(): void {
    this.session = undefined;
  }

  async open(password: string, now: Date): Promise<Pop3Session> {
    this.logins++;
    const broken = this.breaks.shift();
    await Promise.resolve();
    if (broken instanceof Pop3Error) throw broken;
    if (password !== this.password) throw refusal('login', 'AUTH', 'Username and password not accepted.');
    if (this.session || this.isInUse) throw refusal('login', 'IN-USE', 'maildrop already locked');
    if (now.getTime() < this.lastLogin + this.loginDelay * 1000) throw refusal('login', 'LOGIN-DELAY', 'wait');
    this.lastLogin = now.getTime();
    return this.begin(broken);
  }

  private begin(broken: Break | undefined): Pop3Session {
    const drop = this.mails.map((mail) => ({ mail, isDeleted: false }));
    const token = {};
    this.session = token;
    let isDead = false;
    let count = 0;
    const end = () => {
      isDead = true;
      if (this.session === token) this.session = undefined;
    };
    const command = async <T>(step: Pop3Step, text: string, answer: () => T): Promise<T> => {
      await Promise.resolve();
      if (isDead) throw new Pop3Error(step, 'lost');
      const nth = ++count;
      this.commands.push(text);
      const breaksNow = (when: Break['when']) => broken?.command === nth && broken.when === when;
      if (breaksNow('before')) {
        end();
        throw new Pop3Error(step, 'lost');
      }
      const result = answer();
      if (breaksNow('after')) {
        end();
        throw new Pop3Error(step, 'lost');
      }
      return result;
    };
    const at = (number: number) => {
      const entry = drop[number - 1];
      if (!entry || entry.isDeleted) throw refusal('mail', undefined, 'no such message');
      return entry;
    };
    const listed = () => drop.map((entry, i) => ({ ...entry, number: i + 1 })).filter(({ isDeleted }) => !isDeleted);
    const octets = () => listed().reduce((sum, { mail }) => sum + mail.bytes.length, 0);
    return {
      capabilities: new Map(this.loginDelay ? [['LOGIN-DELAY', String(this.loginDelay)]] : []),
      window: this.window,
      stat: () => command('mailbox', 'STAT', () => ({ count: listed().length, octets: octets() })),
      list: () => command('mailbox', 'LIST', () => new Map(listed().map(({ number, mail }) => [number, mail.bytes.length]))),
      uidl: () => command('ids', 'UIDL', () => new Map(listed().map(({ number, mail }) => [number, mail.uid]))),
      uidlOf: (number) => command('ids', `UIDL ${number}`, () => at(number).mail.uid),
      top: (number) =>
        command('mail', `TOP ${number}`, () => {
          if (!this.hasTop) throw refusal('mail', undefined, 'unknown command');
          const text = Buffer.from(at(number).mail.bytes).toString('latin1');
          return Buffer.from(`${text.split('\r\n\r\n')[0]}\r\n\r\n`, 'latin1');
        }),
      retr: async (number, maxBytes) => {
        const bytes = await command('mail', `RETR ${number}`, () => {
          const { mail } = at(number);
          if (this.withheld.has(mail.uid)) throw refusal('mail', undefined, 'not now');
          return mail.bytes;
        });
        if (bytes.length <= maxBytes) return bytes;
        end();
        throw new Pop3Error('mail', 'too-large');
      },
      dele: (number) =>
        command('mail', `DELE ${number}`, () => {
          at(number).isDeleted = true;
        }),
      noop: () => command('mail', 'NOOP', () => {}),
      quit: async () => {
        await command('quit', 'QUIT', () => {
          const gone = new Set(drop.filter(({ isDeleted }) => isDeleted).map(({ mail }) => mail));
          // What another client took meanwhile is not there to be deleted.
          for (const mail of this.mails.filter((each) => gone.has(each))) {
            this.deleted.push(mail.uid);
            this.onDelete(mail);
          }
          this.mails = this.mails.filter((mail) => !gone.has(mail));
          end();
        });
      },
      destroy: end,
    };
  }
}

export const refusal = (step: Pop3Step, code: string | undefined, server: string) => new Pop3Error(step, 'refused', { code, server });
