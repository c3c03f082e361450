import type * as z from 'zod';
import { accountFollowsOwner } from '../account/active-account-store.ts';
import { hiddenMailFollows } from '../addon-user/hidden-mail.ts';
import { auditEntry, changeOf } from '../audit/audit-store.ts';
import { conflict, invalid, notFound, stale } from '../errors.ts';
import { ID, newSecret, sha256, type TenantId } from '../ids.ts';
import { isMailable, normaliseAddress } from '../message/address.ts';
import { isLive, isNew, type Table, TransactionRefused, ttlAfter, type Update, type Write } from '../table/client.ts';
import { backupStandingKey, confirmationKey, dropboxKey, memberAddressKey, memberKey, membersPartition, tenantKey } from '../table/keys.ts';
import type { Page } from '../table/page.ts';
import type { Member, memberInput, memberPatch } from './member.ts';
import { ADMINISTRATOR, type Profile } from './profile.ts';
import { newToken } from './token-store.ts';
import type { Viewer } from './viewer.ts';

/** Days an invitation can be accepted; another may be sent at any time. */
const INVITATION_DAYS = 7;

type Confirmation = { tenant: TenantId; member: string; ttl: number };

/** A member of the viewer's tenant. Throws `not-found`. */
export async function readMember(table: Table, viewer: Viewer, id: string): Promise<Member> {
  const member = ID.test(id) ? await table.get<Member>(memberKey(viewer.tenant, id)) : undefined;
  if (!member) throw notFound('member');
  return member;
}

/** Those of these members that there are. */
export async function readMembers(table: Table, { tenant }: Viewer, ids: string[]): Promise<Member[]> {
  const found = ids.length > 0 ? await table.getMany<Member>(ids.map((id) => memberKey(tenant, id))) : [];
  return found.filter((member) => member !== undefined);
}

export async function listMembers(table: Table, viewer: Viewer, page: { limit: number; after?: string }): Promise<Page<Member>> {
  const { items, more } = await table.page<Member>({
    pk: membersPartition(viewer.tenant),
    after: page.after,
    limit: page.limit,
  });
  return { items, next: more ? items.at(-1)?.id : undefined };
}

/**
 * Invites a person: they become a member once they confirm with the code, which is to be mailed to them.
 * Throws `invalid-address`, `unknown-profile`, `duplicate-member`.
 */
export async function inviteMember(
  table: Table,
  viewer: Viewer,
  profiles: Map<string, Profile>,
  input: z.output<typeof memberInput>,
  id: string,
  now: Date,
) {
  const email = normaliseAddress(input.email);
  if (!email || !isMailable(email))
    throw invalid('invalid-address', 'Give a mail address, such as mika@example.com: the invitation is mailed there.');
  requireProfile(profiles, input.profile);
  const at = now.toISOString();
  const member: Member = {
    id,
    name: input.name,
    email,
    profile: input.profile,
    status: 'active',
    confirmed: false,
    createdAt: at,
    version: 1,
  };
  const { code, write } = invitation(viewer.tenant, id, now);
  await table.transact(
    [
      { put: { ...memberAddressKey(viewer.tenant, email), member: id }, condition: isNew },
      { put: { ...memberKey(viewer.tenant, id), ...member }, condition: isNew },
      write,
      auditEntry(viewer.tenant, {
        at,
        actor: viewer.member,
        action: 'member.invite',
        subject: `member:${id}`,
        after: { email, profile: input.profile },
      }),
    ],
    () => conflict('duplicate-member', 'A member with this address exists already.'),
  );
  return { member, code };
}

/** A new code for a member who has not confirmed yet. Throws `not-found`, `already-confirmed`. */
export async function inviteAgain(table: Table, viewer: Viewer, id: string, now: Date) {
  const member = await readMember(table, viewer, id);
  if (member.confirmed) throw conflict('already-confirmed', 'This member has confirmed already and needs no invitation.');
  const { code, write } = invitation(viewer.tenant, id, now);
  const at = now.toISOString();
  await table.transact([
    write,
    auditEntry(viewer.tenant, { at, actor: viewer.member, action: 'member.invite-again', subject: `member:${id}` }),
  ]);
  return { member, code };
}

/**
 * Takes an invitation up: the address is confirmed and the first token made, in one transaction. Whose invitation it is, only
 * the code tells: it is read from `codes`, everything else from its tenant's table. Throws `bad-code`.
 */
export async function confirmMember(codes: Table, tableOf: (tenant: TenantId) => Table, code: string, tokenId: string, now: Date) {
  const bad = invalid('bad-code', 'This invitation is unknown, used, or older than seven days. Ask an administrator to invite you again.');
  const key = confirmationKey(sha256(code));
  const confirmation = await codes.get<Confirmation>(key);
  if (!confirmation || !isLive(confirmation, now)) throw bad;
  const { tenant, member: id } = confirmation;
  const table = tableOf(tenant);
  const member = await table.get<Member>(memberKey(tenant, id));
  if (!member) throw bad;
  const at = now.toISOString();
  const { write, token } = newToken(tenant, id, { id: tokenId, name: 'first token' }, at);
  await table.transact(
    [
      { delete: key, condition: 'attribute_exists(pk)' },
      {
        update: memberKey(tenant, id),
        with: {
          update: 'SET confirmed = :yes, version = version + :one',
          condition: 'confirmed = :no AND #status = :active AND version = :version',
          names: { '#status': 'status' },
          values: { ':yes': true, ':no': false, ':one': 1, ':active': 'active', ':version': member.version },
        },
      },
      write,
      ...countAdministrators(tenant, member.profile === ADMINISTRATOR ? 1 : 0),
      auditEntry(tenant, { at, actor: id, action: 'member.confirm', subject: `member:${id}` }),
    ],
    () => bad,
  );
  return { member: { ...member, confirmed: true }, token };
}

/**
 * Changes a member's name, profile, add-on or status. Deactivation stops tokens, the dropbox and the polling of their mailbox
 * with the same write (R-33), and their mailbox's mail is out of others' sight (GEN-9); nothing is deleted, and a lock stays (R-26).
 * The last active, confirmed administrator stays one (R-25): a counter on the tenant guards it, so that two
 * administrators cannot remove each other in the same moment. Throws `not-found`, `stale`, `unknown-profile`,
 * `last-administrator`, `backup-running`, `changed-meanwhile`.
 */
export async function patchMember(
  table: Table,
  viewer: Viewer,
  profiles: Map<string, Profile>,
  id: string,
  patch: z.output<typeof memberPatch>,
  now: Date,
  ifMatch?: number,
  tries = 5,
): Promise<Member> {
  const before = await readMember(table, viewer, id);
  if (ifMatch !== undefined && ifMatch !== before.version) throw stale();
  if (Object.keys(patch).length === 0) return before;
  if (patch.profile) requireProfile(profiles, patch.profile);
  const at = now.toISOString();
  const after: Member = { ...before, ...patch, version: before.version + 1 };
  after.deactivatedAt = after.status === 'active' ? undefined : (before.deactivatedAt ?? at);
  if (before.status === 'deactivated' && after.status === 'active') after.reactivatedAt = at;
  const counted = (member: Member) => Number(member.confirmed && member.status === 'active' && member.profile === ADMINISTRATOR);
  const writes: Write[] = [
    { update: memberKey(viewer.tenant, id), with: memberChange(before, after) },
    auditEntry(viewer.tenant, {
      at,
      actor: viewer.member,
      action: after.status === before.status ? 'member.change' : after.status === 'active' ? 'member.reactivate' : 'member.deactivate',
      subject: `member:${id}`,
      ...changeOf(before, patch),
    }),
  ];
  if (before.dropbox) writes.push(dropboxFollows(before.dropbox, after));
  if (after.status !== before.status) writes.push(hiddenMailFollows(viewer.tenant, after));
  const whileBackedUp = writes.length;
  // What a backup takes in is what the member left: they come back when it has ended.
  if (before.status === 'deactivated' && after.status === 'active') writes.push(noBackupRuns(viewer.tenant, id));
  const ownWrites = writes.length;
  if (after.status !== before.status) writes.push(...(await accountFollowsOwner(table, { ...after, tenant: viewer.tenant }, now)));
  writes.push(...countAdministrators(viewer.tenant, counted(after) - counted(before)));
  try {
    await table.transact(writes);
  } catch (error) {
    if (!(error instanceof TransactionRefused)) throw error;
    if (error.reasons.at(-1) && counted(after) < counted(before)) {
      throw conflict('last-administrator', 'This is the only active administrator. Give another member the Administrator profile first.');
    }
    if (error.reasons[whileBackedUp] && ownWrites > whileBackedUp) {
      throw conflict('backup-running', 'A backup of this member is running. Wait until it ends, or cancel it; then reactivate the member.');
    }
    // The mailbox alone was in the way: a poll moved it in the timetable, which is no change of the member.
    if (tries > 1 && !error.reasons.slice(0, ownWrites).includes(true)) {
      return patchMember(table, viewer, profiles, id, patch, now, ifMatch, tries - 1);
    }
    throw conflict('changed-meanwhile', 'This member was changed in the same moment. Read it again.');
  }
  return after;
}

/**
 * The change alone, not the whole item, and only while its dropbox is the one whose item changes with it: a dropbox made
 * or regenerated in the same moment would otherwise be lost, or would not know of a deactivation.
 */
function memberChange(before: Member, after: Member): Update {
  const reactivated = after.reactivatedAt ? ', reactivatedAt = :back' : '';
  const deactivated = after.deactivatedAt ? ', deactivatedAt = :at' : ' REMOVE deactivatedAt';
  return {
    update: `SET #name = :name, #profile = :profile, #status = :status, mailAddOn = :addOn, version = :next${reactivated}${deactivated}`,
    condition: `version = :version AND ${before.dropbox ? 'dropbox = :dropbox' : 'attribute_not_exists(dropbox)'}`,
    names: { '#name': 'name', '#profile': 'profile', '#status': 'status' },
    values: {
      ':name': after.name,
      ':profile': after.profile,
      ':status': after.status,
      ':addOn': after.mailAddOn ?? false,
      ':next': after.version,
      ':version': before.version,
      ...(after.deactivatedAt ? { ':at': after.deactivatedAt } : {}),
      ...(after.reactivatedAt ? { ':back': after.reactivatedAt } : {}),
      ...(before.dropbox ? { ':dropbox': before.dropbox } : {}),
    },
  };
}

/** The dropbox knows its owner's profile and status, so that a mail's gate is one read: it changes in the same transaction. */
function dropboxFollows(hash: string, member: Member): Write {
  return {
    update: dropboxKey(hash),
    with: {
      update: `SET profile = :profile, version = version + :one${member.deactivatedAt ? ', deactivatedAt = :at' : ' REMOVE deactivatedAt'}`,
      condition: 'attribute_exists(pk)',
      values: { ':profile': member.profile, ':one': 1, ...(member.deactivatedAt ? { ':at': member.deactivatedAt } : {}) },
    },
  };
}

const noBackupRuns = (tenant: TenantId, member: string): Write => ({
  check: backupStandingKey(tenant, member),
  condition: 'attribute_not_exists(#running)',
  names: { '#running': 'running' },
});

function countAdministrators(tenant: TenantId, change: number): Write[] {
  if (change === 0) return [];
  return [
    {
      update: tenantKey(tenant),
      with: {
        update: 'SET administrators = administrators + :change',
        condition: change < 0 ? 'administrators > :one' : 'attribute_exists(pk)',
        values: { ':change': change, ...(change < 0 ? { ':one': 1 } : {}) },
      },
    },
  ];
}

function invitation(tenant: TenantId, member: string, now: Date) {
  const code = newSecret(128);
  const confirmation: Confirmation = { tenant, member, ttl: ttlAfter(now, { days: INVITATION_DAYS }) };
  return { code, write: { put: { ...confirmationKey(sha256(code)), ...confirmation }, condition: isNew } };
}

function requireProfile(profiles: Map<string, Profile>, id: string) {
  if (!profiles.has(id)) {
    throw invalid('unknown-profile', 'There is no such profile. GET /v1/profiles lists them.', { profiles: [...profiles.keys()] });
  }
}
