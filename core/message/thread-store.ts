import type { TenantId } from '../ids.ts';
import type { Viewer } from '../member/viewer.ts';
import { mayRead } from '../record/access.ts';
import { matchAddress } from '../record/address-store.ts';
import { canSee, type OwnerSettings } from '../sharing/can-see.ts';
import type { Table } from '../table/client.ts';
import { backupStandingKey, behindLines, copyKey, isWithin, seriesOfLine, threadKey, threadPartition, tickKey } from '../table/keys.ts';
import { MIXED, seriesOf } from './counterpart.ts';
import type { Copy } from './message.ts';
import { readMessage } from './message-store.ts';
import { OWN, ownerSettings } from './timeline-store.ts';

/** A copy's line in the thread of its message. Lines stand by owner and other side, as on a timeline: what is hidden lies together. */
type Line = Pick<Copy, 'message' | 'member' | 'channel'> & {
  /** Addresses of the other side, where they are the same for all lines of the series. */
  counterparts?: string[];
};
/** Of a message that was filed before each copy had its own line. */
type OldLine = { message: string; member?: undefined };
type Read = (Line | OldLine) & { sk: string };

/** Lines of one read: few, for an end of them in what is hidden is where the next one leaps over the rest; then ever more. */
const FIRST_READ = 25;
const MOST_READ = 400;

/** Lists a copy in the thread of its message, before it is there: one write unit. */
export async function joinThread(table: Table, tenant: TenantId, thread: string, copy: Required<Line>): Promise<void> {
  const { message, member, channel } = copy;
  const series = seriesOf(copy);
  const isOneGroup = series.channel === 'mailbox' && series.group !== MIXED;
  const line: Line = { message, member, channel, counterparts: isOneGroup ? copy.counterparts : undefined };
  await table.put({ ...threadKey(tenant, thread, series, message), ...line });
}

/**
 * The copies of a thread that might be open to the viewer; whether each is, the caller decides. Lines are read a few at a time: when a
 * read ends within an owner who shares nothing with the viewer, or within a series that nothing shares, the next one begins behind it. So
 * a thousand hidden mails of a series cost one read of some lines, as one does.
 */
export async function readThreadCopies(table: Table, viewer: Viewer, thread: string): Promise<Copy[]> {
  const owners = new Owners(table, viewer);
  let open: (Line & { sk: string })[] = [];
  const old: OldLine[] = [];
  let after: string | undefined;
  let more = true;
  for (let limit = FIRST_READ; more; ) {
    const page = await table.page<Read>({ pk: threadPartition(viewer.tenant, thread), after, limit });
    const lines = page.items.filter((line): line is Line & { sk: string } => line.member !== undefined);
    await owners.know(lines);
    open.push(...lines.filter((line) => owners.mightShow(line)));
    old.push(...page.items.filter((line): line is OldLine & { sk: string } => line.member === undefined));
    const last = page.items.at(-1);
    const behind = page.more && last?.member !== undefined ? await endOfHidden(table, viewer, owners, last) : undefined;
    if (behind) open = open.filter(({ sk }) => !isWithin(behind, sk));
    limit = behind ? FIRST_READ : Math.min(2 * limit, MOST_READ);
    after = behind ?? last?.sk;
    more = page.more;
  }
  const keys = open.map(({ message, member, channel }) => copyKey(viewer.tenant, message, member, channel));
  const copies = keys.length > 0 ? await table.getMany<Copy>(keys) : [];
  return withOld(
    table,
    viewer.tenant,
    copies.filter((copy) => copy !== undefined),
    old,
  );
}

/** Where the lines go on behind what is hidden from the viewer, if this one is. */
async function endOfHidden(table: Table, viewer: Viewer, owners: Owners, line: Line & { sk: string }): Promise<string | undefined> {
  if (owners.isClosed(line.member)) return behindLines(line.member);
  const isHidden = !owners.mightShow(line) || (await isOnNoOpenRecord(table, viewer, owners, line));
  return isHidden ? behindLines(seriesOfLine(line.sk)) : undefined;
}

/**
 * Whether no mail with this other side is on a record that the viewer may read and whose owner shares it: mail is on the records that have
 * one of its addresses (ASC-1, R-9).
 */
async function isOnNoOpenRecord(table: Table, viewer: Viewer, owners: Owners, line: Line): Promise<boolean> {
  if (line.member === viewer.member || !line.counterparts) return false;
  const matches = await Promise.all(line.counterparts.map((address) => matchAddress(table, viewer.tenant, address, { consistent: true })));
  const readable = matches.flatMap(({ records }) => records.filter((link) => mayRead(viewer, link)));
  if (readable.length === 0) return true;
  if (owners.mightShow(line, { ticked: false })) return false;
  const ticks = await table.getMany(readable.map(({ record }) => tickKey(viewer.tenant, record, line.member)));
  return ticks.every((tick) => tick === undefined);
}

/** The owners of a thread's mail as far as it was read: what they share now, and whether a backup may show it whatever they share. */
class Owners {
  private readonly settings = new Map<string, OwnerSettings>();
  private readonly backedUp = new Set<string>();
  private readonly table: Table;
  private readonly viewer: Viewer;

  constructor(table: Table, viewer: Viewer) {
    this.table = table;
    this.viewer = viewer;
  }

  async know(lines: Line[]): Promise<void> {
    const unknown = [...new Set(lines.map(({ member }) => member))].filter((one) => one !== this.viewer.member && !this.settings.has(one));
    if (unknown.length === 0) return;
    const [settings, standings] = await Promise.all([
      ownerSettings(this.table, this.viewer, unknown),
      this.table.getMany(
        unknown.map((one) => backupStandingKey(this.viewer.tenant, one)),
        { only: [] },
      ),
    ]);
    for (const [owner, of] of settings) this.settings.set(owner, of);
    for (const [i, owner] of unknown.entries()) if (standings[i]) this.backedUp.add(owner);
  }

  /** Could the viewer see it, were it on a record that they may read? */
  mightShow({ member: owner, channel, counterparts = [] }: Line, record = { ticked: true }): boolean {
    if (channel === 'mailbox' && this.backedUp.has(owner)) return true;
    return canSee(this.viewer, { owner, channel, counterparts }, this.settings.get(owner) ?? OWN, record).visible;
  }

  isClosed = (member: string) =>
    !this.mightShow({ member, channel: 'mailbox', message: '' }) && !this.mightShow({ member, channel: 'dropbox', message: '' });
}

async function withOld(table: Table, tenant: TenantId, copies: Copy[], old: OldLine[]): Promise<Copy[]> {
  if (old.length === 0) return copies;
  const found = (await Promise.all(old.map(({ message }) => readMessage(table, tenant, message)))).flatMap((one) => one?.copies ?? []);
  return [...new Map([...found, ...copies].map((copy) => [`${copy.message} ${copy.member} ${copy.channel}`, copy])).values()];
}
