import type { TenantId } from '../ids.ts';
import type { Viewer } from '../member/viewer.ts';
import { mayRead } from '../record/access.ts';
import { matchAddress } from '../record/address-store.ts';
import { canSee, type OwnerSettings } from '../sharing/can-see.ts';
import type { Table } from '../table/client.ts';
import { backupStandingKey, behindLines, copyKey, type Key, seriesOfLine, threadKey, threadPartition, tickKey } from '../table/keys.ts';
import { isOneSide, seriesOf, threadSeriesOf } from './counterpart.ts';
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
type Placed = Line & { sk: string };

/** Lines of one read: few, for an end of them in what is hidden is where the next one leaps over the rest; then ever more. */
const FIRST_READ = 25;
const MOST_READ = 400;

/** Lists a copy in the thread of its message, before it is there: one write unit. */
export async function joinThread(table: Table, tenant: TenantId, thread: string, copy: Required<Line>): Promise<void> {
  const { message, member, channel, counterparts } = copy;
  const series = threadSeriesOf(copy);
  const line: Line = { message, member, channel, counterparts: isOneSide(series) ? counterparts : undefined };
  await table.put({ ...threadKey(tenant, thread, series, message), ...line });
}

/** Where a copy's line may stand: mail to several stood with all of its owner's mail to several before it had series of its own. */
export function linesOf(tenant: TenantId, thread: string, copy: Pick<Copy, 'message' | 'member' | 'channel' | 'counterparts'>): Key[] {
  const keys = [threadSeriesOf(copy), seriesOf(copy)].map((series) => threadKey(tenant, thread, series, copy.message));
  return [...new Map(keys.map((key) => [key.sk, key])).values()];
}

/**
 * The copies of a thread that might be open to the viewer; whether each is, the caller decides. Lines are read a few at a time: when a
 * read ends within an owner who shares nothing with the viewer, or within a series that nothing shares, the next one begins behind it. So
 * a thousand hidden mails of a series cost one read of some lines, as one does. Of a thread of several reads no copy is read of
 * which its line tells that it is hidden.
 */
export async function readThreadCopies(table: Table, viewer: Viewer, thread: string): Promise<Copy[]> {
  const owners = new Owners(table, viewer);
  const sides = new OtherSides(table, viewer, owners);
  const open: Line[] = [];
  const old: OldLine[] = [];
  let after: string | undefined;
  let more = true;
  for (let limit = FIRST_READ; more; ) {
    const page = await table.page<(Line | OldLine) & { sk: string }>({ pk: threadPartition(viewer.tenant, thread), after, limit });
    const lines = page.items.filter((line): line is Placed => line.member !== undefined);
    old.push(...page.items.filter((line): line is OldLine & { sk: string } => line.member === undefined));
    await owners.know(lines);
    const possible = lines.filter((line) => owners.mightShow(line));
    const isShort = !page.more && after === undefined;
    const shown = isShort ? possible : await sides.withoutHidden(possible);
    open.push(...shown);
    const behind = endOfHidden(page.items, shown, owners);
    limit = behind ? FIRST_READ : Math.min(2 * limit, MOST_READ);
    after = behind ?? page.items.at(-1)?.sk;
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

/** Where the lines go on behind what is hidden, when a read ended within: in an owner, or in a series of which it has more than one line. */
function endOfHidden(lines: ((Line | OldLine) & { sk: string })[], shown: Line[], owners: Owners): string | undefined {
  const [last, before] = [lines.at(-1), lines.at(-2)];
  if (last?.member === undefined || shown.includes(last)) return undefined;
  if (owners.isClosed(last.member)) return behindLines(last.member);
  const series = seriesOfLine(last.sk);
  return before && seriesOfLine(before.sk) === series ? behindLines(series) : undefined;
}

/** Addresses that are looked up for one thread; mail with others is decided by its copies. Ordinary threads have a dozen. */
const MOST_ADDRESSES = 100;

/**
 * On which records the viewer may read the mail of a thread can be: it is on those that have an address of its other side (ASC-1, R-9). Each
 * address is looked up once, however many mails have it.
 */
class OtherSides {
  private readonly records = new Map<string, string[]>();
  private readonly ticks = new Map<string, boolean>();
  private readonly table: Table;
  private readonly viewer: Viewer;
  private readonly owners: Owners;

  constructor(table: Table, viewer: Viewer, owners: Owners) {
    this.table = table;
    this.viewer = viewer;
    this.owners = owners;
  }

  /** Those of the lines that are not known to be on no record which the viewer may read, and whose owner shares it with them. */
  async withoutHidden(lines: Placed[]): Promise<Placed[]> {
    const asked = lines.filter(({ member, counterparts }) => member !== this.viewer.member && counterparts !== undefined);
    await this.lookUp(asked.flatMap(({ counterparts = [] }) => counterparts));
    await this.readTicks(asked.filter((line) => this.needsTick(line)));
    const hidden = new Set(asked.filter((line) => this.isHidden(line)));
    return lines.filter((line) => !hidden.has(line));
  }

  private isHidden(line: Line): boolean {
    const records = this.recordsOf(line);
    if (records === undefined) return false;
    if (!this.needsTick(line)) return records.length === 0;
    return !records.some((record) => this.ticks.get(nameOf(tickKey(this.viewer.tenant, record, line.member))));
  }

  private needsTick = (line: Line) => !this.owners.mightShow(line, { ticked: false });

  /** Undefined when not all of its addresses were looked up. */
  private recordsOf({ counterparts = [] }: Line): string[] | undefined {
    const found = counterparts.map((address) => this.records.get(address));
    return found.includes(undefined) ? undefined : [...new Set(found.flatMap((records) => records ?? []))];
  }

  private async lookUp(addresses: string[]): Promise<void> {
    const unknown = [...new Set(addresses)].filter((address) => !this.records.has(address)).slice(0, MOST_ADDRESSES - this.records.size);
    const matches = await Promise.all(
      unknown.map((address) => matchAddress(this.table, this.viewer.tenant, address, { consistent: true })),
    );
    for (const { address, records } of matches) {
      const readable = records.filter((link) => mayRead(this.viewer, link));
      this.records.set(
        address,
        readable.map(({ record }) => record),
      );
    }
  }

  private async readTicks(lines: Line[]): Promise<void> {
    const { tenant } = this.viewer;
    const keys = lines.flatMap((line) => (this.recordsOf(line) ?? []).map((record) => tickKey(tenant, record, line.member)));
    const unknown = keys.filter((key) => !this.ticks.has(nameOf(key)));
    const found = unknown.length > 0 ? await this.table.getMany(unknown, { only: [] }) : [];
    for (const [i, key] of unknown.entries()) this.ticks.set(nameOf(key), found[i] !== undefined);
  }
}

const nameOf = ({ pk, sk }: Key) => `${pk} ${sk}`;

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
