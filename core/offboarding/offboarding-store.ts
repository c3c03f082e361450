import { auditEntry } from '../audit/audit-store.ts';
import { conflict, forbidden, notFound } from '../errors.ts';
import { ID, type TenantId } from '../ids.ts';
import { OFFBOARDING_LEASE_SECONDS } from '../limits.ts';
import { readMember } from '../member/member-store.ts';
import { isAdministrator, type Viewer } from '../member/viewer.ts';
import { isNew, type Table, TransactionRefused, type Write } from '../table/client.ts';
import { memberKey, offboardingKey, offboardingStandingKey, offboardingsPartition, runningOffboardingKey } from '../table/keys.ts';
import type { Page } from '../table/page.ts';
import {
  nextStep,
  type Offboarding,
  type OffboardingJob,
  type OffboardingStanding,
  STEPS,
  type Step,
  type StepName,
} from './offboarding.ts';
import { kindOf, refusalsOf } from './preflight.ts';
import { readOffboardingFacts } from './preflight-store.ts';

export type StartRoom = { table: Table; queue: { send: (job: OffboardingJob, delaySeconds?: number) => Promise<void> } };

/** Another worker has the off-boarding, or it has ended: what this one was about to commit counts for nothing. */
export class LostLease extends Error {}

/** How an off-boarding would be taken: what stands in its way, which backup it would take, and where earlier ones stand. Throws `not-found`. */
export async function checkOffboarding(table: Table, viewer: Viewer, member: string, given: { successor?: string; now: Date }) {
  const facts = await readOffboardingFacts(table, viewer, member, given.successor, given.now);
  const { running, last } = await readStanding(table, viewer.tenant, member);
  const reasons = refusalsOf(facts);
  return { eligible: reasons.length === 0, reasons, kind: kindOf(facts.backup), running, last };
}

/**
 * Begins the off-boarding of a member, or answers the one that is running. Everything is checked before; when something stands in
 * its way nothing is changed. Throws `not-found`, and 409 with the first of all `reasons` as its code.
 */
export async function startOffboarding(
  { table, queue }: StartRoom,
  viewer: Viewer,
  member: string,
  given: Pick<Offboarding, 'id' | 'scope' | 'successor' | 'reason'> & { now: Date },
): Promise<Offboarding> {
  const { tenant } = viewer;
  const { id, scope, successor, reason, now } = given;
  const { version } = await readMember(table, viewer, member);
  const running = await readRunning(table, tenant, member);
  if (running) return running;
  const [first, ...others] = refusalsOf(await readOffboardingFacts(table, viewer, member, successor, now));
  if (first) throw conflict(first.code, `${first.words.en} ${first.cure.en}`, { reasons: [first, ...others] });
  const at = now.toISOString();
  const run: Offboarding = {
    id,
    member,
    scope,
    successor,
    reason,
    startedBy: viewer.member,
    startedAt: at,
    actor: viewer.member,
    state: 'running',
    steps: Object.fromEntries(STEPS.map((name) => [name, firstState(name, successor, at)])) as Record<StepName, Step>,
    fence: 0,
    updatedAt: at,
  };
  try {
    await table.transact([
      { put: { ...offboardingKey(tenant, id), ...run }, condition: isNew },
      // As it was when it was checked.
      { check: memberKey(tenant, member), condition: 'version = :version', values: { ':version': version } },
      ...begins(tenant, run),
      auditOf(tenant, viewer.member, 'start', run, at, { scope, successor, reason }),
    ]);
  } catch (error) {
    if (!(error instanceof TransactionRefused)) throw error;
    const other = await readRunning(table, tenant, member);
    if (other) return other;
    throw conflict('changed-meanwhile', 'This member was changed in the same moment. Try again.');
  }
  await queue.send({ tenant, offboarding: id });
  return run;
}

const firstState = (name: StepName, successor: string | undefined, at: string): Step =>
  name === 'hand-over' && successor === undefined ? { state: 'skipped', endedAt: at, warning: 'no-successor' } : { state: 'waiting' };

export function readOffboarding(table: Table, tenant: TenantId, id: string): Promise<Offboarding | undefined> {
  return table.get<Offboarding>(offboardingKey(tenant, id));
}

/** An off-boarding as administrators may see it. Throws `not-found`. */
export async function findOffboarding(table: Table, viewer: Viewer, id: string): Promise<Offboarding> {
  const run = ID.test(id) && isAdministrator(viewer) ? await readOffboarding(table, viewer.tenant, id) : undefined;
  if (!run) throw notFound('off-boarding');
  return run;
}

/** All off-boardings of the viewer's organisation, newest first. */
export async function listOffboardings(table: Table, viewer: Viewer, page: { limit: number; after?: string }): Promise<Page<Offboarding>> {
  const pk = offboardingsPartition(viewer.tenant);
  const { items, more } = await table.page<Offboarding>({ pk, limit: page.limit, after: page.after, descending: true });
  return { items, next: more ? items.at(-1)?.id : undefined };
}

/**
 * Goes on with an off-boarding of which a step failed, by the rights of who resumes it. Throws `not-found`, `not-failed`, `own-lock`,
 * and `already-off-boarding` while another one of the member runs.
 */
export async function resumeOffboarding({ table, queue }: StartRoom, viewer: Viewer, id: string, now: Date): Promise<Offboarding> {
  const before = await findOffboarding(table, viewer, id);
  if (before.member === viewer.member) throw forbidden('own-lock', 'Your own off-boarding is for another administrator to resume.');
  if (before.state !== 'failed')
    throw conflict('not-failed', 'No step of this off-boarding has failed: it is running, complete, or cancelled.');
  const at = now.toISOString();
  const { noticeClaimedAt: _, noticeSentAt: __, finishedAt: ___, cancel: ____, ...kept } = before;
  const run: Offboarding = {
    ...kept,
    state: 'running',
    actor: viewer.member,
    fence: before.fence + 1,
    updatedAt: at,
    steps: withFailedAgain(before.steps),
  };
  try {
    await table.transact([
      {
        put: { ...offboardingKey(viewer.tenant, id), ...run },
        condition: '#state = :failed AND #fence = :fence',
        names: STATE_NAMES,
        values: { ':failed': 'failed', ':fence': before.fence },
      },
      ...begins(viewer.tenant, run),
      auditOf(viewer.tenant, viewer.member, 'resume', run, at, {}),
    ]);
  } catch (error) {
    if (!(error instanceof TransactionRefused)) throw error;
    throw conflict('already-off-boarding', 'This off-boarding was resumed already, or another one of the member is running.');
  }
  await queue.send({ tenant: viewer.tenant, offboarding: id });
  return run;
}

/** The failed step is done once more; before a deactivation the lock is looked at again; of a backup that ended, another one is taken. */
function withFailedAgain(steps: Offboarding['steps']): Offboarding['steps'] {
  const again = ({ memo, startedAt, counts }: Step): Step => ({
    state: 'waiting',
    startedAt,
    counts,
    memo: memo?.backup ? { filing: memo.filing, tries: (memo.tries ?? 0) + 1 } : memo,
  });
  const isAgain = (name: StepName) => steps[name].state === 'failed' || (name === 'lock' && steps.deactivate.state === 'failed');
  return Object.fromEntries(STEPS.map((name) => [name, isAgain(name) ? again(steps[name]) : steps[name]])) as typeof steps;
}

/** Takes the off-boarding for this worker; undefined when another one has it, it has ended, or a word came before its time. */
export function lease(table: Table, tenant: TenantId, id: string, now: Date): Promise<Offboarding | undefined> {
  return table.update<Offboarding>(offboardingKey(tenant, id), {
    update: 'SET #fence = #fence + :one, #tries = if_not_exists(#tries, :zero) + :one, #leaseUntil = :until',
    condition:
      '#state = :running AND (attribute_not_exists(#leaseUntil) OR #leaseUntil <= :now) AND (attribute_not_exists(#wakeAt) OR #wakeAt <= :soon)',
    names: { ...STATE_NAMES, '#tries': 'tries', '#leaseUntil': 'leaseUntil', '#wakeAt': 'wakeAt' },
    values: {
      ':one': 1,
      ':zero': 0,
      ':until': leaseEnd(now),
      ':now': now.toISOString(),
      // The queue's clock is another one.
      ':soon': new Date(now.getTime() + 2000).toISOString(),
      ':running': 'running',
    },
  });
}

/** Lets the next worker have it: at once, or so many seconds later. */
export async function release(table: Table, tenant: TenantId, { id, fence }: Offboarding, wakeAt: Date): Promise<void> {
  await table.update(offboardingKey(tenant, id), {
    update: 'SET #wakeAt = :at REMOVE #leaseUntil',
    condition: '#fence = :fence',
    names: { '#wakeAt': 'wakeAt', '#leaseUntil': 'leaseUntil', '#fence': 'fence' },
    values: { ':at': wakeAt.toISOString(), ':fence': fence },
  });
}

/**
 * THE COMMIT MARKER of a step, and of each part of one: how it stands, in one transaction with its line in the audit, and, when it
 * failed or was the last, with the end of the off-boarding. Throws LostLease: then what this worker did, its successor does again.
 */
export async function commitStep(
  table: Table,
  tenant: TenantId,
  before: Offboarding,
  name: StepName,
  step: Step,
  now: Date,
): Promise<Offboarding> {
  const after = withStep(before, name, step, now);
  const { state, updatedAt } = after;
  const change = stepChange(tenant, after, name);
  const others: Write[] = [
    ...(state === 'running' ? [] : [ends(tenant, before)]),
    ...(step.state === 'running' ? [] : [auditOf(tenant, before.actor, 'step', before, updatedAt, told(name, step))]),
    ...(state === 'completed' ? [auditOf(tenant, before.actor, 'complete', before, updatedAt, {})] : []),
  ];
  const lost = () => new LostLease('the off-boarding has another worker');
  // A transaction costs double: what is one write is written as one.
  if (others.length > 0) await table.transact([change, ...others], lost);
  else if (!(await table.update(change.update, change.with))) throw lost();
  return after;
}

/** Failed with the step that failed, complete with the last one; while it runs the lease goes on. */
function withStep(before: Offboarding, name: StepName, step: Step, now: Date): Offboarding {
  const {
    wakeAt: _,
    leaseUntil: __,
    tries: ___,
    ...run
  } = { ...before, steps: { ...before.steps, [name]: step }, updatedAt: now.toISOString() };
  if (step.state !== 'failed' && nextStep(run)) return { ...run, leaseUntil: leaseEnd(now) };
  return { ...run, state: step.state === 'failed' ? 'failed' : 'completed', finishedAt: run.updatedAt };
}

function stepChange(tenant: TenantId, after: Offboarding, name: StepName): Extract<Write, { update: unknown }> {
  const { id, fence, steps, state, updatedAt, leaseUntil, finishedAt } = after;
  const [ending, remove] = finishedAt
    ? ['#finishedAt = :ending', '#leaseUntil, #wakeAt, #tries']
    : ['#leaseUntil = :ending', '#wakeAt, #tries'];
  const names = {
    ...STATE_NAMES,
    '#steps': 'steps',
    '#step': name,
    '#updatedAt': 'updatedAt',
    '#leaseUntil': 'leaseUntil',
    '#wakeAt': 'wakeAt',
    '#tries': 'tries',
  };
  return {
    update: offboardingKey(tenant, id),
    with: {
      update: `SET #steps.#step = :step, #state = :state, #updatedAt = :now, ${ending} REMOVE ${remove}`,
      condition: '#state = :running AND #fence = :fence',
      names: finishedAt ? { ...names, '#finishedAt': 'finishedAt' } : names,
      values: {
        ':step': steps[name],
        ':state': state,
        ':now': updatedAt,
        ':ending': finishedAt ?? leaseUntil,
        ':running': 'running',
        ':fence': fence,
      },
    },
  };
}

const told = (name: StepName, { state, warning, failure, counts }: Step) => ({
  step: name,
  state,
  warning,
  failure: failure?.code,
  counts,
});

/** Its end was told: nothing is left to do, unless it was resumed meanwhile. */
export async function noteNoticeSent(table: Table, tenant: TenantId, id: string, now: Date): Promise<void> {
  try {
    await table.transact([
      {
        update: offboardingKey(tenant, id),
        with: {
          update: 'SET #sent = if_not_exists(#sent, :now)',
          condition: '#state <> :running',
          names: { '#sent': 'noticeSentAt', '#state': 'state' },
          values: { ':now': now.toISOString(), ':running': 'running' },
        },
      },
      { delete: runningOffboardingKey(tenant, id) },
    ]);
  } catch (error) {
    if (!(error instanceof TransactionRefused)) throw error;
  }
}

const STATE_NAMES = { '#state': 'state', '#fence': 'fence' };

const leaseEnd = (now: Date) => new Date(now.getTime() + OFFBOARDING_LEASE_SECONDS * 1000).toISOString();

async function readStanding(table: Table, tenant: TenantId, member: string): Promise<OffboardingStanding> {
  return (await table.get<OffboardingStanding>(offboardingStandingKey(tenant, member))) ?? {};
}

async function readRunning(table: Table, tenant: TenantId, member: string): Promise<Offboarding | undefined> {
  const { running } = await readStanding(table, tenant, member);
  return running === undefined ? undefined : readOffboarding(table, tenant, running);
}

/** One at a time of a member; and whoever looks after those that run knows of it. */
const begins = (tenant: TenantId, { id, member }: Offboarding): Write[] => [
  {
    update: offboardingStandingKey(tenant, member),
    with: {
      update: 'SET #running = :id, #last = :id',
      condition: 'attribute_not_exists(#running)',
      names: { '#running': 'running', '#last': 'last' },
      values: { ':id': id },
    },
  },
  { put: { ...runningOffboardingKey(tenant, id), tenant, offboarding: id } },
];

/** None of the member runs any longer. */
export const ends = (tenant: TenantId, { id, member }: Offboarding): Write => ({
  update: offboardingStandingKey(tenant, member),
  with: { update: 'REMOVE #running', condition: '#running = :id', names: { '#running': 'running' }, values: { ':id': id } },
});

export const auditOf = (tenant: TenantId, actor: string, verb: string, { id, member }: Offboarding, at: string, more: object): Write =>
  auditEntry(tenant, { at, actor, action: `offboarding.${verb}`, subject: `member:${member}`, after: { offboarding: id, ...more } });
