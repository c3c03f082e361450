import { adviceOf } from './advice.ts';
import { type Offboarding, STEPS, type Step, type StepName, undoingOf } from './offboarding.ts';

type Language = 'en' | 'ja';

/** What the administrator is told when an off-boarding ends: what each step did, in English and Japanese. */
export function endMail(run: Offboarding, name: string, publicUrl: string): { subject: string; text: string } {
  const { subject, en, ja, todoEn, todoJa } = WORDS[run.state === 'running' ? 'failed' : run.state];
  const url = `${publicUrl}/v1/offboardings/${run.id}`;
  return {
    subject: subject.replace('{name}', () => name),
    text: `${en.replace('{name}', () => name)}

${linesOf(run, 'en')}
${todoEn.replace('{url}', () => url)}
${url}

${ja.replace('{name}', () => name)}

${linesOf(run, 'ja')}
${todoJa.replace('{url}', () => url)}
`,
  };
}

const COMPLETED = {
  subject: '{name}: the off-boarding is complete / 退職処理が完了しました',
  en: 'The off-boarding of {name} is complete.',
  ja: '{name}さんの退職処理が完了しました。',
  todoEn: 'Their mail settings stay locked, so that their mail is kept.',
  todoJa: 'メールを保持するため、メール設定はロックされたままです。',
};
const FAILED = {
  subject: '{name}: the off-boarding has stopped / 退職処理が停止しました',
  en: 'The off-boarding of {name} has stopped at a step that failed. What was done before it stays done.',
  ja: '{name}さんの退職処理が停止しました。完了した手順はそのまま有効です。',
  todoEn: 'When the reason is gone, go on with it: POST {url}/resume',
  todoJa: '原因を解消してから再開してください: POST {url}/resume',
};

const CANCELLED = {
  subject: '{name}: the off-boarding was cancelled / 退職処理がキャンセルされました',
  en: 'The off-boarding of {name} was cancelled. What was done before stays done, until it is undone as said below.',
  ja: '{name}さんの退職処理がキャンセルされました。完了した手順は、下記の方法で元に戻すまでそのまま有効です。',
  todoEn: 'When they are to leave after all, begin another one.',
  todoJa: '退職する場合は、新しい退職処理を開始してください。',
};
const WORDS = { completed: COMPLETED, failed: FAILED, cancelled: CANCELLED };

const linesOf = (run: Offboarding, language: Language) => STEPS.map((name) => lineOf(name, run, language)).join('');

function lineOf(name: StepName, run: Offboarding, language: Language): string {
  const { state, counts, warning, failure } = run.steps[name];
  const advice = failure ? adviceOf(failure.code, failure.detail) : warning && adviceOf(warning);
  const numbers = Object.entries(COUNTS).flatMap(([what, words]) =>
    counts?.[what] === undefined ? [] : `${words[language]} ${counts[what]}`,
  );
  const told = numbers.length > 0 ? ` (${numbers.join(', ')})` : '';
  const undoing = undoingOf(run, name)?.[language];
  const advised = advice ? `  ${advice.words[language]} ${advice.cure[language]}\n` : '';
  return `- ${NAMES[name][language]}: ${STATES[state][language]}${told}\n${advised}${undoing ? `  ${UNDO[language]}: ${undoing}\n` : ''}`;
}

const NAMES: Record<StepName, Record<Language, string>> = {
  lock: { en: 'Mail settings locked', ja: 'メール設定のロック' },
  'last-poll': { en: 'Mailbox read for the last time', ja: 'メールボックスの最終受信' },
  deactivate: { en: 'Member deactivated', ja: 'メンバーの無効化' },
  'back-up': { en: 'Mail backed up', ja: 'メールのバックアップ' },
  'hand-over': { en: 'Records handed over', ja: 'データの引き継ぎ' },
};

const STATES: Record<Step['state'], Record<Language, string>> = {
  waiting: { en: 'not begun', ja: '未実行' },
  running: { en: 'not finished', ja: '実行中' },
  done: { en: 'done', ja: '完了' },
  skipped: { en: 'nothing to do', ja: '対象なし' },
  failed: { en: 'failed', ja: '失敗' },
  cancelled: { en: 'cancelled', ja: 'キャンセル' },
};

const UNDO: Record<Language, string> = { en: 'To undo it', ja: '元に戻す方法' };

const COUNTS: Record<string, Record<Language, string>> = {
  mails: { en: 'mails', ja: 'メール' },
  entries: { en: 'places of records', ja: '表示箇所' },
  known: { en: 'visible before', ja: '表示済み' },
  missing: { en: 'sources missing', ja: '原本なし' },
  records: { en: 'records', ja: 'データ' },
  left: { en: 'left', ja: '未処理' },
};
