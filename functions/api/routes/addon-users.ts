import { addonUserFilter, addonUserReturned, holdInput, lockInput, unlockInput } from '../../../core/addon-user/addon-user.ts';
import { pageOf, pageQuery } from '../../../core/table/page.ts';
import type { Route } from '../route.ts';

const tag = 'Add-on users';
const who = 'administrator';

/** What administrators see of those who use the mail add-on, and do when one of them is to leave. */
export const addonUserRoutes: Route[] = [
  {
    method: 'GET',
    path: '/v1/addon-users',
    operation: 'listAddonUsers',
    tag,
    summary: 'Who uses the mail add-on: their mailbox, how they share, whether they are locked',
    description:
      'Active, confirmed members who have set something up, and deactivated ones who had a mailbox. A page may have fewer rows than its limit, or none, while there is a `next`.',
    who,
    query: pageQuery.extend(addonUserFilter.shape),
    returns: pageOf(addonUserReturned),
    problems: ['bad-cursor'],
  },
  {
    method: 'GET',
    path: '/v1/addon-users.csv',
    operation: 'downloadAddonUsers',
    tag,
    summary: 'The same as a table to download',
    description: 'At most 5,000 lines. A cell that a spreadsheet would take for a formula begins with an apostrophe.',
    who,
    query: addonUserFilter,
    returns: { text: 'text/csv; charset=utf-8' },
    problems: ['too-many-rows'],
  },
  {
    method: 'GET',
    path: '/v1/addon-users/{memberId}',
    operation: 'readAddonUser',
    tag,
    summary: 'One of them',
    who,
    returns: addonUserReturned,
  },
  {
    method: 'POST',
    path: '/v1/addon-users/{memberId}/lock',
    operation: 'lockAddonUser',
    tag,
    summary: "Lock a member's mail settings",
    description:
      'Until you unlock them they cannot change the sharing type, the mailbox or anything else of their mail settings; passwords may still be changed, and mail goes on coming in. You cannot change their settings either. Who shares nothing (`private`) cannot be locked; your own settings only while you are the only administrator. While somebody is locked, no policy of the organisation that would change their sharing type is taken. They are told by mail.',
    who,
    body: lockInput,
    example: { reason: 'Leaves on 31 March; their mail will be backed up', expiresAt: '2030-04-01T00:00:00Z' },
    returns: addonUserReturned,
    problems: ['own-lock', 'not-an-add-on-user', 'already-locked', 'private-account', 'expiry-past', 'expiry-too-far', 'changed-meanwhile'],
  },
  {
    method: 'POST',
    path: '/v1/addon-users/{memberId}/unlock',
    operation: 'unlockAddonUser',
    tag,
    summary: "Unlock a member's mail settings",
    description: 'Your own only while you are the only administrator. They are told by mail.',
    who,
    body: unlockInput,
    example: { reason: 'Stays after all' },
    returns: addonUserReturned,
    problems: ['own-lock', 'not-locked', 'changed-meanwhile'],
  },
  {
    method: 'PUT',
    path: '/v1/addon-users/{memberId}/hold',
    operation: 'holdAddonUserMail',
    tag,
    summary: "Put a member's mail on hold",
    description:
      'A legal hold: until you release it nothing of their mail is deleted when its days are over, and a deletion that is under way stops. Mail that was deleted before is gone.',
    who,
    body: holdInput,
    example: { reason: 'Lawsuit of March' },
    returns: addonUserReturned,
    problems: ['changed-meanwhile'],
  },
  {
    method: 'DELETE',
    path: '/v1/addon-users/{memberId}/hold',
    operation: 'releaseAddonUserMail',
    tag,
    summary: "Release a member's mail from its hold",
    description: 'Hidden mail whose days are over is deleted a week after administrators were told of it, not before.',
    who,
    returns: addonUserReturned,
    problems: ['not-on-hold', 'changed-meanwhile'],
  },
];
