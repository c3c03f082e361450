import { checkQuery, checkReturned, offboardingInput, offboardingReturned } from '../../../core/offboarding/offboarding.ts';
import { refusalCodes } from '../../../core/offboarding/preflight.ts';
import { pageOf, pageQuery } from '../../../core/table/page.ts';
import type { Route } from '../route.ts';

const common = { tag: 'Off-boarding', who: 'administrator' } as const;

/** What administrators do when a member leaves, in one request: locked, read for the last time, deactivated, backed up, handed over. */
export const offboardingRoutes: Route[] = [
  {
    ...common,
    method: 'GET',
    path: '/v1/addon-users/{memberId}/offboard/check',
    operation: 'checkOffboarding',
    summary: 'Whether a member can be off-boarded now; if not, every reason, with what to do about it',
    description: 'Nothing is changed by it.',
    query: checkQuery,
    returns: checkReturned,
  },
  {
    ...common,
    method: 'POST',
    path: '/v1/addon-users/{memberId}/offboard',
    operation: 'startOffboarding',
    summary: 'Off-board a member: everything that is to be done when somebody leaves',
    description:
      'Locks their mail settings, reads their mailbox for the last time, deactivates them, backs their mail up, and hands their records over to `successor` if one is named. Everything is checked first; when refused, the first reason is the code, `reasons` lists all of them, and nothing is changed. It runs in the background: ask for the off-boarding. While one of the member is running it is that one that is answered. The lock stays afterwards; you are told by mail what each step did.',
    body: offboardingInput,
    example: { scope: 'shared', successor: '01k9zq3v5nexampleofamember', reason: 'Leaves on 31 March' },
    returns: offboardingReturned,
    status: 202,
    problems: [...refusalCodes, 'changed-meanwhile'],
  },
  {
    ...common,
    method: 'GET',
    path: '/v1/offboardings',
    operation: 'listOffboardings',
    summary: 'All off-boardings, newest first',
    query: pageQuery,
    returns: pageOf(offboardingReturned),
    problems: ['bad-cursor'],
  },
  {
    ...common,
    method: 'GET',
    path: '/v1/offboardings/{offboardingId}',
    operation: 'readOffboarding',
    summary: 'An off-boarding: how each of its steps stands, and what to do about one that failed',
    returns: offboardingReturned,
  },
  {
    ...common,
    method: 'POST',
    path: '/v1/offboardings/{offboardingId}/resume',
    operation: 'resumeOffboarding',
    summary: 'Go on with an off-boarding of which a step failed',
    description: 'What was done stays done; from here on it acts by your rights, and you are told of its end.',
    returns: offboardingReturned,
    status: 202,
    problems: ['own-lock', 'not-failed', 'already-off-boarding'],
  },
  {
    ...common,
    method: 'POST',
    path: '/v1/offboardings/{offboardingId}/cancel',
    operation: 'cancelOffboarding',
    summary: 'Cancel a running off-boarding: nothing more of it is begun',
    description:
      'The step that is being done is ended first, or, of a last poll, a backup and a handing over, broken off; ask for the off-boarding until its state is `cancelled`. Nothing is undone by itself: each step that was done says in `undo` how it is undone, where that is possible. Mail that its backup has made visible stays visible. Who comes too late finds it `completed`.',
    returns: offboardingReturned,
    status: 202,
    problems: ['own-lock', 'not-running'],
  },
];
