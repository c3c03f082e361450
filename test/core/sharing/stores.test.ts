import type { Viewer } from '../../../core/member/viewer.ts';
import { readColleagues } from '../../../core/sharing/audience-store.ts';
import { NO_POLICY } from '../../../core/sharing/mail-policy.ts';
import { type Preview, previewChange } from '../../../core/sharing/preview-store.ts';
import type { Sharing } from '../../../core/sharing/sharing.ts';
import { readTick, setTick } from '../../../core/sharing/tick-store.ts';
import { type Query, Table } from '../../../core/table/client.ts';
import {
  activityKey,
  auditPartition,
  copyKey,
  heldKey,
  holderKey,
  memberKey,
  ownMailKey,
  profileKey,
  recordKey,
  tenantKey,
  tickKey,
  timelineKey,
} from '../../../core/table/keys.ts';
import { dropboxWorld, START, type World } from '../../support/dropbox-world.ts';
import { MemoryDynamo } from '../../support/memory-dynamo.ts';

let engine: MemoryDynamo;
let table: Table;
let world: World;
let viewer: Viewer;
beforeEach(async () => {
  engine = new MemoryDynamo();
  table = new Table(engine.client, 'memory');
  world = await dropboxWorld(table, { organisation: { recordAccess: { leads: 'owner-and-admins' } } });
  viewer = world.viewer;
});

const NOW = new Date('2026-03-02T10:00:00.000Z');
const set = (values: Record<string, unknown>, member = 'mika') =>
  table.update(memberKey(world.tenant, member), {
    update: `SET ${Object.keys(values)
      .map((name) => `#${name} = :${name}`)
      .join(', ')}`,
    names: Object.fromEntries(Object.keys(values).map((name) => [`#${name}`, name])),
    values: Object.fromEntries(Object.entries(values).map(([name, value]) => [`:${name}`, value])),
  });
const share = (sharing: Sharing) => set({ sharing });

describe('SHR-10, R-8: the tick', () => {
  const RECORD = 'record';

  test.each<[Sharing | undefined]>([[undefined], [{ type: 'private' }], [{ type: 'public', excludedDomains: [] }], [{ type: 'admin' }]])(
    'SHR-14: is neither shown nor taken under %j',
    async (sharing) => {
      if (sharing) await share(sharing);
      expect(await readTick(table, viewer, RECORD)).toBeUndefined();
      await expect(setTick(table, viewer, RECORD, true, NOW)).rejects.toMatchObject({
        code: 'not-shared-by-record',
        message: expect.stringContaining('`custom`'),
      });
      expect(await table.get(tickKey(world.tenant, RECORD, 'mika'))).toBeUndefined();
    },
  );

  test('is off, set, and taken off again, under custom; each in the audit', async () => {
    await share({ type: 'custom' });
    expect(await readTick(table, viewer, RECORD)).toEqual({ ticked: false });
    expect(await setTick(table, viewer, RECORD, true, NOW)).toEqual({ ticked: true });
    expect(await readTick(table, viewer, RECORD)).toEqual({ ticked: true });
    expect(await table.get(tickKey(world.tenant, RECORD, 'mika'))).toMatchObject({ owner: 'mika', at: NOW.toISOString() });
    expect(await setTick(table, viewer, RECORD, false, NOW)).toEqual({ ticked: false });
    expect(await readTick(table, viewer, RECORD)).toEqual({ ticked: false });
    const audit = await table.all<{ action: string }>({ pk: auditPartition(world.tenant, '2026-03') });
    expect(audit.map(({ action }) => action).sort()).toEqual(['record-mail.share', 'record-mail.unshare']);
    expect(audit[0]).toMatchObject({ actor: 'mika', subject: 'record:record', at: NOW.toISOString() });
  });

  test('LCK-1: is refused when a lock, or a deactivation, comes in the same moment; nothing is ticked', async () => {
    await share({ type: 'custom' });
    const inBetween = (change: Promise<unknown>[], values: object) => {
      engine.onWrite = (when, command) => {
        if (when !== 'before' || !command.startsWith('Transact')) return;
        engine.onWrite = () => {};
        const member = engine.peek(memberKey(world.tenant, 'mika'));
        change.push(table.put({ ...member, ...values }));
      };
    };
    const lock = { locked: { by: 'admin', at: START, reason: 'leaving' } };
    for (const [values, expected] of [
      [lock, { code: 'locked' }],
      [{ status: 'deactivated' }, { name: 'TransactionRefused' }],
    ] as const) {
      const change: Promise<unknown>[] = [];
      inBetween(change, values);
      await expect(setTick(table, viewer, RECORD, true, NOW)).rejects.toMatchObject(expected);
      await Promise.all(change);
      expect(change).toHaveLength(1);
      await table.update(memberKey(world.tenant, 'mika'), {
        update: 'SET #s = :s REMOVE locked',
        names: { '#s': 'status' },
        values: { ':s': 'active' },
      });
    }
    expect(await readTick(table, viewer, RECORD)).toEqual({ ticked: false });
  });

  test('an engine that fails is told as it is, and a member who is gone has nothing to tick', async () => {
    await share({ type: 'custom' });
    engine.onWrite = () => {
      throw new Error('unreachable');
    };
    await expect(setTick(table, viewer, RECORD, true, NOW)).rejects.toThrow('unreachable');
    engine.onWrite = () => {};
    await table.delete(memberKey(world.tenant, 'mika'));
    expect(await readTick(table, viewer, RECORD)).toBeUndefined();
  });

  test("another's is another's", async () => {
    const jun = await world.addMember('jun', 'jun@example.com', { sharing: { type: 'custom' } });
    await share({ type: 'custom' });
    await setTick(table, jun, RECORD, true, NOW);
    expect(await readTick(table, viewer, RECORD)).toEqual({ ticked: false });
  });

  test('who has not chosen has one when the default of their organisation is custom', async () => {
    const organisation = { ...viewer.organisation, mailPolicy: { ...NO_POLICY, defaultSharing: 'custom' as const } };
    expect(await readTick(table, { ...viewer, organisation }, RECORD)).toEqual({ ticked: false });
  });
});

describe('who else might see a mail', () => {
  test('active, confirmed colleagues with a profile, as the viewers they are; not oneself', async () => {
    const jun = await world.addMember('jun', 'jun@example.com');
    await world.addMember('gone', 'gone@example.com', { status: 'deactivated' });
    await world.addMember('new', 'new@example.com', { confirmed: false });
    await world.addMember('odd', 'odd@example.com', { profile: 'no-such' });
    const [found, ...others] = (await readColleagues(table, viewer)).colleagues;
    expect(others).toEqual([]);
    expect(found).toMatchObject({ ...jun, profile: { id: 'standard' }, organisation: { id: world.tenant } });
  });

  test('of however many all are found, once each; and of so many no more are read than are asked for', async () => {
    const member = (n: number) => ({ id: `x${n}`, name: '', email: '', profile: 'standard', status: 'active', confirmed: true });
    await table.putMany(Array.from({ length: 2500 }, (_, n) => ({ ...memberKey(world.tenant, `x${n}`), ...member(n) })));
    const { colleagues, more } = await readColleagues(table, viewer);
    expect([new Set(colleagues.map((one) => one.member)).size, colleagues.length, more]).toEqual([2500, 2500, false]);
    const page = table.page.bind(table);
    let read = 0;
    table.page = async <T extends object>(query: Query) => {
      const found = await page<T>(query);
      read += found.items.length;
      return found;
    };
    const some = await readColleagues(table, viewer, 1500);
    expect([read, some.more]).toEqual([1501, true]);
    // The viewer's own item comes first.
    expect(some.colleagues).toHaveLength(1499);
    expect((await readColleagues(table, viewer, 2501)).more).toBe(false);
  });

  test('nobody where the tenant is gone', async () => {
    await world.addMember('jun', 'jun@example.com');
    await table.delete(tenantKey(world.tenant));
    expect((await readColleagues(table, viewer)).colleagues).toEqual([]);
    await table.delete(profileKey(world.tenant, 'standard'));
    expect((await readColleagues(table, viewer)).colleagues).toEqual([]);
  });
});

describe('the preview of a change', () => {
  const TARO = 'taro@customer.example';
  const EVERYTHING: Sharing = { type: 'public', excludedDomains: [] };
  const NONE = { mails: 0, people: 0 };
  let count = 0;

  /** A contact is everybody's to read, a lead mika's and administrators'. */
  async function record(module: 'contacts' | 'leads'): Promise<string> {
    const id = `${module}-${++count}`;
    await table.put({ ...recordKey(world.tenant, id), id, module, owner: 'mika' });
    return id;
  }
  async function mailed(records: string[], more: object = {}, copy: object = {}): Promise<string> {
    const message = `message-${++count}`;
    const at = new Date(Date.parse(START) + count * 60_000).toISOString();
    const on = records.map((id) => ({ module: 'contacts', id }));
    const row = { message, receivedAt: at, records: on.slice(0, 3), counterparts: [TARO], ...more };
    await table.put({ ...ownMailKey(world.tenant, 'mika', at, message), ...row });
    await table.put({ ...copyKey(world.tenant, message, 'mika', 'mailbox'), ...row, records: on, ...copy });
    return message;
  }
  async function filed(records: string[], outcome = 'filed', counterparts = [TARO], message = `message-${++count}`): Promise<string> {
    await table.put({ ...activityKey(world.tenant, 'mika', `id-${count}`), outcome, message });
    const on = records.map((id) => ({ module: 'contacts', id }));
    await table.put({ ...copyKey(world.tenant, message, 'mika', 'dropbox'), counterparts, records: on, receivedAt: START });
    return message;
  }
  /** An entry of a backup, as one writes it; the time of receipt is that of the row. */
  async function backedUp(message: string, on: string): Promise<void> {
    const series = { owner: 'mika', channel: 'backup' } as const;
    const copy = await table.get<{ receivedAt: string }>(copyKey(world.tenant, message, 'mika', 'mailbox'));
    await table.put({ ...holderKey(world.tenant, on, series), ...series });
    await table.put({ ...timelineKey(world.tenant, on, series, copy?.receivedAt ?? START, message), message });
  }
  const preview = (sharing: Sharing, dropboxVisibility?: 'record' | 'sharing'): Promise<Preview> =>
    previewChange(table, viewer, { sharing, dropboxVisibility }, NOW);

  beforeEach(async () => {
    await world.addMember('jun', 'jun@example.com');
    await world.addMember('ken', 'ken@example.com');
    await world.addMember('admin', 'admin@example.com', { profile: 'administrator' });
  });

  test('without mail, and without a change, there is nothing to tell', async () => {
    expect(await preview(EVERYTHING)).toEqual({ becomeVisible: NONE, becomeHidden: NONE, complete: true });
    await mailed([await record('contacts')]);
    await share(EVERYTHING);
    expect(await preview(EVERYTHING)).toEqual({ becomeVisible: NONE, becomeHidden: NONE, complete: true });
  });

  test('counts mails once each, and people once, who may read the record', async () => {
    const [contact, lead] = [await record('contacts'), await record('leads')];
    await mailed([contact, lead]);
    await mailed([lead]);
    await mailed([]);
    await mailed(['no-such']);
    expect((await preview(EVERYTHING)).becomeVisible).toEqual({ mails: 2, people: 3 });
    expect((await preview({ type: 'admin' })).becomeVisible).toEqual({ mails: 2, people: 1 });
    await share(EVERYTHING);
    expect(await preview({ type: 'admin' })).toEqual({ becomeVisible: NONE, becomeHidden: { mails: 1, people: 2 }, complete: true });
    expect((await preview({ type: 'private' })).becomeHidden).toEqual({ mails: 2, people: 3 });
  });

  test('goes by the ticks that are there', async () => {
    const [one, other] = [await record('contacts'), await record('contacts')];
    await mailed([one]);
    await mailed([other]);
    await table.put({ ...tickKey(world.tenant, one, 'mika'), owner: 'mika' });
    await table.put({ ...tickKey(world.tenant, other, 'jun'), owner: 'jun' });
    expect((await preview({ type: 'custom' })).becomeVisible).toEqual({ mails: 1, people: 3 });
  });

  test('looks at records and recipients that the list does not name', async () => {
    const leads = [await record('leads'), await record('leads'), await record('leads')];
    await mailed([...leads, await record('contacts')]);
    const fifty = Array.from({ length: 50 }, (_, n) => `p${n}@many.example`);
    await mailed([await record('contacts')], { counterparts: fifty }, { counterparts: [...fifty, 'x@partner.example'] });
    expect((await preview(EVERYTHING)).becomeVisible).toEqual({ mails: 2, people: 3 });
    expect((await preview({ type: 'public', excludedDomains: ['partner.example'] })).becomeVisible).toEqual({ mails: 1, people: 3 });
  });

  test('a row that names all there is stands for itself: nothing more is read', async () => {
    const three = await record('contacts');
    const without = { type: 'public' as const, excludedDomains: ['partner.example'] };
    await mailed([three], {}, { counterparts: ['x@partner.example'] });
    expect((await preview(without)).becomeVisible).toEqual({ mails: 1, people: 3 });
    await mailed([three], { counterparts: undefined }, { counterparts: [TARO] });
    expect((await preview(without)).becomeVisible).toEqual({ mails: 1, people: 3 });
  });

  test('a row whose copy is gone counts as it stands, and one without recipients noted as excluded', async () => {
    const contact = await record('contacts');
    const message = await mailed([contact, await record('leads'), await record('leads')]);
    await table.delete(copyKey(world.tenant, message, 'mika', 'mailbox'));
    await mailed([contact], { counterparts: undefined });
    expect((await preview(EVERYTHING)).becomeVisible).toEqual({ mails: 2, people: 3 });
    expect((await preview({ type: 'public', excludedDomains: ['a.example'] })).becomeVisible).toEqual({ mails: 1, people: 3 });
  });

  test('R-40: dropbox mail counts when it follows the sharing type, before or after', async () => {
    const contact = await record('contacts');
    await filed([contact]);
    await filed([contact], 'created');
    await filed([contact], 'held');
    await filed([contact], 'held');
    await table.put({ ...activityKey(world.tenant, 'mika', 'id-x'), outcome: 'filed' });
    await table.put({ ...activityKey(world.tenant, 'mika', 'id-y'), outcome: 'filed', message: 'no-copy' });
    const held = { outcome: 'filed', message: 'held' };
    await table.put({ ...heldKey(world.tenant, 'mika', 'id-z'), ...held });
    await table.put({
      ...copyKey(world.tenant, 'held', 'mika', 'dropbox'),
      counterparts: [TARO],
      records: [{ module: 'contacts', id: contact }],
    });
    expect(await preview({ type: 'private' }, 'record')).toEqual({ becomeVisible: NONE, becomeHidden: NONE, complete: true });
    expect((await preview({ type: 'private' }, 'sharing')).becomeHidden).toEqual({ mails: 2, people: 3 });
    expect((await preview(EVERYTHING, 'sharing')).becomeHidden).toEqual(NONE);
    expect((await preview({ type: 'public', excludedDomains: ['customer.example'] }, 'sharing')).becomeHidden.mails).toBe(2);
    await set({ dropboxVisibility: 'sharing' });
    expect((await preview({ type: 'private' }, 'record')).becomeVisible).toEqual({ mails: 2, people: 3 });
    expect((await preview(EVERYTHING, 'sharing')).becomeVisible).toEqual({ mails: 2, people: 3 });
  });

  test('without a word on dropbox mail it goes with the record', async () => {
    await set({ dropboxVisibility: 'sharing', sharing: { type: 'private' } });
    await filed([await record('contacts')]);
    expect((await preview({ type: 'private' })).becomeVisible).toEqual({ mails: 1, people: 3 });
  });

  test('R-16: what a backup shows stays visible whatever is chosen, and on its own record alone', async () => {
    const [shown, other] = [await record('contacts'), await record('contacts')];
    await share(EVERYTHING);
    await mailed([shown, other]);
    await backedUp(await mailed([shown]), shown);
    await mailed([shown]);
    expect((await preview({ type: 'private' })).becomeHidden).toEqual({ mails: 2, people: 3 });
    await share({ type: 'private' });
    expect((await preview(EVERYTHING)).becomeVisible).toEqual({ mails: 2, people: 3 });
    const lead = await record('leads');
    const both = await mailed([lead, shown]);
    await backedUp(both, lead);
    // Administrators see it by the backup, on the lead; to others it is new, on the contact.
    expect((await preview({ type: 'admin' })).becomeVisible).toEqual({ mails: 2, people: 1 });
    expect((await preview(EVERYTHING)).becomeVisible).toEqual({ mails: 3, people: 3 });
    await backedUp(await filed([shown]), shown);
    expect((await preview({ type: 'private' }, 'sharing')).becomeHidden).toEqual({ mails: 1, people: 3 });
  });

  test('R-31: a mail that came by the dropbox and by the mailbox is one mail, seen as long as one of the two shows it', async () => {
    const contact = await record('contacts');
    const both = await mailed([contact]);
    await filed([contact], 'filed', [TARO], both);
    expect((await preview(EVERYTHING)).becomeVisible).toEqual(NONE);
    expect((await preview({ type: 'private' }, 'sharing')).becomeHidden).toEqual({ mails: 1, people: 3 });
    expect((await preview(EVERYTHING, 'sharing')).becomeHidden).toEqual(NONE);
    await set({ dropboxVisibility: 'sharing', sharing: { type: 'private' } });
    expect((await preview(EVERYTHING, 'sharing')).becomeVisible).toEqual({ mails: 1, people: 3 });
    await share(EVERYTHING);
    expect((await preview({ type: 'private' }, 'record')).becomeHidden).toEqual(NONE);
    expect((await preview({ type: 'private' }, 'sharing')).becomeHidden).toEqual({ mails: 1, people: 3 });
  });

  test('of a mail whose row is beyond those looked at, the copy in the mailbox counts as well', async () => {
    const contact = await record('contacts');
    const both = await mailed([contact]);
    await filed([contact], 'filed', [TARO], both);
    const { pk, sk } = ownMailKey(world.tenant, 'mika', new Date(Date.parse(START) + (count - 1) * 60_000).toISOString(), both);
    await table.delete({ pk, sk });
    await share(EVERYTHING);
    expect((await preview(EVERYTHING, 'sharing')).becomeHidden).toEqual(NONE);
    expect((await preview({ type: 'private' }, 'sharing')).becomeHidden).toEqual({ mails: 1, people: 3 });
  });

  test('goes by the policy of the organisation', async () => {
    await mailed([await record('contacts')]);
    const mailPolicy = { ...NO_POLICY, excludedDomains: ['customer.example'] };
    viewer = { ...viewer, organisation: { ...viewer.organisation, mailPolicy } };
    expect((await preview(EVERYTHING)).becomeVisible).toEqual(NONE);
  });

  test('looks at the newest five thousand, and says that there are more', async () => {
    const contact = await record('contacts');
    const at = (n: number) => new Date(Date.parse(START) + n * 1000).toISOString();
    const row = (n: number, on: string) => ({ message: `m${n}`, counterparts: [TARO], records: [{ module: 'contacts', id: on }] });
    const rows = Array.from({ length: 5001 }, (_, n) => ({
      ...ownMailKey(world.tenant, 'mika', at(n), `m${n}`),
      ...row(n, n === 0 ? 'no-such' : contact),
    }));
    await table.putMany(rows);
    expect(await preview(EVERYTHING)).toEqual({ becomeVisible: { mails: 5000, people: 3 }, becomeHidden: NONE, complete: false });
    // What concerns no record does not count.
    for (const n of [5000, 4999]) await table.put({ ...ownMailKey(world.tenant, 'mika', at(n), `m${n}`), ...row(n, contact), records: [] });
    expect(await preview(EVERYTHING)).toEqual({ becomeVisible: { mails: 4998, people: 3 }, becomeHidden: NONE, complete: true });
  });

  test('looks at a thousand members, and says that there are others', async () => {
    await mailed([await record('contacts')]);
    const member = (n: number) => ({ id: `x${n}`, name: '', email: '', profile: 'standard', status: 'active', confirmed: true });
    // With the owner and the three colleagues there are.
    await table.putMany(Array.from({ length: 996 }, (_, n) => ({ ...memberKey(world.tenant, `x${n}`), ...member(n) })));
    expect(await preview(EVERYTHING)).toEqual({ becomeVisible: { mails: 1, people: 999 }, becomeHidden: NONE, complete: true });
    await table.put({ ...memberKey(world.tenant, 'y'), ...member(0), id: 'y' });
    expect(await preview(EVERYTHING)).toEqual({ becomeVisible: { mails: 1, people: 999 }, becomeHidden: NONE, complete: false });
    expect((await readColleagues(table, viewer)).colleagues).toHaveLength(1000);
  });

  test('R-40: dropbox mail older than what is kept of it may be missing, and the answer says so', async () => {
    await filed([await record('contacts')]);
    const day = (n: number) => new Date(NOW.getTime() - n * 86_400_000).toISOString();
    for (const [since, complete] of [
      [day(89), true],
      [day(90), false],
      [day(400), false],
    ] as const) {
      await set({ createdAt: since });
      expect(await preview({ type: 'private' }, 'sharing')).toMatchObject({ becomeHidden: { mails: 1 }, complete });
      // Where it goes with the record before and after, it is not looked at.
      expect((await preview(EVERYTHING, 'record')).complete).toBe(true);
    }
  });

  test('of a member who has just gone nobody knows how much is missing', async () => {
    await filed([await record('contacts')]);
    await table.delete(memberKey(world.tenant, 'mika'));
    expect((await preview({ type: 'private' }, 'sharing')).complete).toBe(false);
  });

  test('more dropbox mail than is looked at is told, too', async () => {
    const contact = await record('contacts');
    await table.putMany(Array.from({ length: 5001 }, (_, n) => ({ ...activityKey(world.tenant, 'mika', `a-${n}`), outcome: 'held' })));
    await filed([contact]);
    expect(await preview({ type: 'private' }, 'sharing')).toMatchObject({ becomeHidden: { mails: 1 }, complete: false });
    expect((await preview(EVERYTHING, 'record')).complete).toBe(true);
  });
});
