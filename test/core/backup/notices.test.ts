import { type Backup, backupStates, NO_TALLY } from '../../../core/backup/backup.ts';
import { endMail } from '../../../core/backup/notices.ts';
import { endMail as offboardingMail } from '../../../core/offboarding/notices.ts';
import { type Offboarding, STEPS } from '../../../core/offboarding/offboarding.ts';
import { inWords } from '../../../core/sharing/explain-visibility.ts';

/** Names are what people type, not patterns. */
const NAME = "A$$AP $& $' $1 {name}";

test.each(backupStates)('INB-14: the notice of a backup (%s) names its member as they are called', (state) => {
  const { subject, text } = endMail({ id: 'b', state, tally: NO_TALLY } as Backup, NAME, 'https://crm.example.com');
  expect(subject.startsWith(`${NAME}: `)).toBe(true);
  expect(text.split(NAME)).toHaveLength(3);
});

test.each(['completed', 'failed', 'cancelled'] as const)('so does that of an off-boarding (%s)', (state) => {
  const steps = Object.fromEntries(STEPS.map((name) => [name, { state: 'done' }])) as Offboarding['steps'];
  const { subject, text } = offboardingMail({ id: 'o', state, steps } as Offboarding, NAME, 'https://crm.example.com');
  expect(subject.startsWith(`${NAME}: `)).toBe(true);
  expect(text.split(NAME)).toHaveLength(3);
});

test('so do the words that say why somebody sees a mail', () => {
  const { en, ja } = inWords('owner-deactivated', NAME);
  expect([en.startsWith(`${NAME} is`), ja.startsWith(`${NAME}さん`)]).toEqual([true, true]);
});
