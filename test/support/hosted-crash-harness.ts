import type { HostedAddress } from '../../core/account/hosted-address.ts';
import type { SeenMail } from '../../core/account/seen-mail-store.ts';
import { listActivity } from '../../core/dropbox/activity-store.ts';
import { sweepRawMail } from '../../core/dropbox/sweep-store.ts';
import { sha256, type TenantId } from '../../core/ids.ts';
import type { Viewer } from '../../core/member/viewer.ts';
import type { Delivery } from '../../core/message/delivery.ts';
import { readMessage } from '../../core/message/message-store.ts';
import type { ParsedMail } from '../../core/message/parsed-mail.ts';
import { listTimeline } from '../../core/message/timeline-store.ts';
import { listOwnMail } from '../../core/message/visible-message-store.ts';
import type { Table } from '../../core/table/client.ts';
import { accountPartition, hostedAddressKey, mailAccountKey } from '../../core/table/keys.ts';
import { randomOf, type Schedule, type Store, takeIn, type Verdict } from './crash-harness.ts';
import { delivery, dropboxWorld, existing, MAIL_DOMAIN, mail, START } from './dropbox-world.ts';

/** A hosted mailbox, who reads it, the contact whose mail it has, and how often which mail is sent to it. */
type Mailbox = { viewer: Viewer; account: string; address: string; contact: string; sent: string[] };

const TARO = { address: 'taro@customer.example', name: 'Taro' };
/** When all that is thirty days old has been swept. */
const SWEPT = new Date('2026-04-03T12:00:00.000Z');

/**
 * The life of three hosted mailboxes, of two members of one organisation and of one of another, beside the dropbox of the first:
 * mails to several of them in one envelope, the owner's own among them, one of them sent twice, under a schedule of kills. Answers
 * what went wrong, and how many writes there were.
 */
export async function runMixedSchedule(store: Store, { seed, crashes }: Schedule): Promise<Verdict & { writes: number }> {
  const { table } = store;
  store.onWrite(() => {});
  const random = randomOf(seed);
  const [ours, theirs] = [await dropboxWorld(table), await dropboxWorld(table)];
  const jun = await ours.addMember('jun', 'jun@example.com');
  const contacts = [
    await existing(table, ours, 'contacts', TARO.address),
    await existing(table, theirs, 'contacts', TARO.address),
  ] as const;
  const mika = await hosted(table, ours.viewer, contacts[0]);
  const mailboxes = [mika, await hosted(table, jun, contacts[0]), await hosted(table, theirs.viewer, contacts[1])];
  const addresses = mailboxes.map(({ address }) => address);

  const mails = new Map<string, ParsedMail>();
  const accepted: Delivery[] = [];
  const accept = (parsed: ParsedMail, to: string[]) => {
    const receivedAt = new Date(Date.parse(START) + 1000 * accepted.length).toISOString();
    const one = delivery(to, { receivedAt, source: parsed.from[0]?.address ?? '' });
    mails.set(one.rawKey, parsed);
    accepted.push(one);
    for (const { address, sent } of mailboxes) if (to.includes(address)) sent.push(parsed.subject);
  };
  const offer = mail({ to: [TARO, { address: 'new@prospect.example', name: 'New Person' }] });
  const question = mail({ from: [TARO], to: [{ address: 'mika@example.com', name: 'Mika' }], subject: 'A question' });
  accept(offer, [ours.address, ...addresses]);
  accept(question, [mika.address, addresses[2] as string]);
  accept(offer, random() < 0.5 ? [...addresses] : [addresses[1] as string, ours.address]);

  const writes = await takeIn(store, mails, accepted, { random, crashes });
  const verdict: Verdict = { lost: [], doubled: [], wrong: [] };
  await sweepRawMail(table, { read: async () => undefined, delete: async (key) => void mails.delete(key) }, SWEPT);
  for (const mailbox of mailboxes) await judgeMailbox(table, mailbox, mails, verdict);
  const toDropbox = accepted.filter(({ recipients }) => recipients.includes(ours.address)).length;
  await judgeDropbox(table, ours.viewer, contacts[0], toDropbox, verdict);
  return { ...verdict, writes };
}

let count = 0;
async function hosted(table: Table, viewer: Viewer, contact: string): Promise<Mailbox> {
  const account = `acc${++count}`;
  const { tenant, member } = viewer;
  const address = `${member}-${String(count).padStart(8, '0')}@${MAIL_DOMAIN}`;
  await table.put({ ...hostedAddressKey(sha256(address)), ...({ tenant, member, account } satisfies HostedAddress) });
  await table.put({ ...mailAccountKey(tenant, member, account), id: account, tenant, member, address, protocol: 'hosted', active: true });
  return { viewer, account, address, contact, sent: [] };
}

/** Each mail once in its owner's list and on the contact, each delivery once in the ledger, and the bytes of all of them there. */
async function judgeMailbox(table: Table, mailbox: Mailbox, raws: ReadonlyMap<string, ParsedMail>, verdict: Verdict): Promise<void> {
  const { viewer, account, contact, sent } = mailbox;
  const { items: own } = await listOwnMail(table, viewer, { limit: 100 });
  const { items: shown } = await listTimeline(table, viewer, contact, { limit: 100 });
  for (const subject of new Set(sent)) {
    countOnce(verdict, own, subject, `the list of ${account}`);
    countOnce(verdict, shown, subject, `the contact, for ${account}`);
  }
  if (own.length !== new Set(sent).size) verdict.wrong.push(`${own.length} mails in the list of ${account}`);
  for (const { message } of own) await requireBytes(table, viewer.tenant, message, raws, verdict);
  const lines = await table.all<SeenMail>({ pk: accountPartition(viewer.tenant, account) });
  const outcomes = lines.map(({ outcome }) => outcome ?? 'none').sort();
  const expected = [...sent.slice(new Set(sent).size).map(() => 'duplicate'), ...[...new Set(sent)].map(() => 'filed')];
  if (outcomes.join() !== expected.join())
    verdict.wrong.push(`the ledger of ${account} says ${outcomes.join()} and not ${expected.join()}`);
}

async function judgeDropbox(table: Table, viewer: Viewer, contact: string, deliveries: number, verdict: Verdict): Promise<void> {
  const { items } = await listTimeline(table, viewer, contact, { limit: 100 });
  countOnce(verdict, items, 'Our offer', 'the contact, from the dropbox');
  const { items: told } = await listActivity(table, viewer, { limit: 100 }, new Date(START));
  if (told.length !== deliveries) verdict.wrong.push(`${told.length} activity entries for ${deliveries} deliveries`);
}

function countOnce({ lost, doubled }: Verdict, items: readonly { subject: string }[], subject: string, where: string): void {
  const found = items.filter((item) => item.subject === subject).length;
  if (found === 0) lost.push(`${subject} in ${where}`);
  if (found > 1) doubled.push(`${subject} in ${where}`);
}

async function requireBytes(
  table: Table,
  tenant: TenantId,
  message: string,
  raws: ReadonlyMap<string, ParsedMail>,
  { lost }: Verdict,
): Promise<void> {
  const found = await readMessage(table, tenant, message);
  if (!found || !raws.has(found.message.rawKey)) lost.push(`the bytes of ${message}`);
}
