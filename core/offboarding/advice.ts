import * as z from 'zod';
import type { Words } from '../account/presets.ts';

/** What is in the way or worth knowing, and what to do about it, in English and Japanese. */
export type Advice = { code: string; words: Words; cure: Words };

export const both = z.object({ en: z.string(), ja: z.string() });
export const advised = z.object({ code: z.string(), words: both, cure: both.meta({ description: 'What to do about it' }) });

/** The advice for a code; for one that only the refused step itself knows, what it said. */
export function adviceOf(code: string, detail = ''): Advice {
  const row = ADVICE[code];
  if (!row) return { code, words: { en: detail, ja: '手順が拒否されました。' }, cure: RESUME };
  const [en, ja, cureEn, cureJa] = row;
  return { code, words: { en, ja }, cure: { en: cureEn, ja: cureJa } };
}

/** How what a step did is undone, where it can be: of a step that changed nothing there is nothing. */
export const UNDOING: Record<string, Words> = {
  lock: {
    en: 'Unlock their mail settings: POST /v1/addon-users/{memberId}/unlock.',
    ja: 'メール設定のロックを解除してください: POST /v1/addon-users/{memberId}/unlock。',
  },
  deactivate: {
    en: 'Reactivate them: PATCH /v1/members/{memberId} with {"status":"active"}.',
    ja: 'PATCH /v1/members/{memberId} に {"status":"active"} を送信して、再度有効にしてください。',
  },
  'back-up': {
    en: 'It cannot be undone: mail that a backup has made visible stays visible.',
    ja: '元に戻せません。バックアップで表示されたメールは、そのまま表示されます。',
  },
  'hand-over': {
    en: 'Give the records back to their owner: change ownerId on the records of the successor.',
    ja: '引き継ぎ先のデータのownerIdを変更して、元の所有者に戻してください。',
  },
};

const RESUME: Words = {
  en: 'Put right what is said, then resume the off-boarding.',
  ja: '原因を解消してから、退職処理を再開してください。',
};
const NOTHING = ['Nothing needs to be done.', '対応は不要です。'] as const;

type Row = readonly [en: string, ja: string, cureEn: string, cureJa: string];

const ADVICE: Record<string, Row> = {
  // Before it begins.
  'own-lock': [
    'Nobody off-boards themselves while there is another administrator.',
    '他に管理者がいる場合、自分自身の退職処理はできません。',
    'Ask the other administrator to do it.',
    '他の管理者に依頼してください。',
  ],
  'last-administrator': [
    'This is the only active administrator.',
    '有効な管理者はこのユーザーだけです。',
    'Give another member the Administrator profile first.',
    '先に他のメンバーに管理者プロファイルを割り当ててください。',
  ],
  'not-an-add-on-user': [
    'The member does not use the mail add-on: there are no settings to lock, and no mail to back up.',
    'このメンバーはメールアドオンを使用していないため、ロックもバックアップも対象がありません。',
    'Deactivate them: PATCH /v1/members/{memberId}.',
    'PATCH /v1/members/{memberId} で無効にしてください。',
  ],
  'lock-ends': [
    'Their mail settings are locked until a day that is set: the lock would not outlast them.',
    'メール設定のロックに期限があるため、退職後にロックが外れてしまいます。',
    'Unlock them: the off-boarding locks them again at once, without an end.',
    'ロックを解除してください。退職処理が期限なしで直ちにロックし直します。',
  ],
  'no-account': [
    'The member has no mail account on record.',
    'このメンバーには登録されたメールアカウントがありません。',
    'There is nothing to back up. Deactivate them: PATCH /v1/members/{memberId}; mail of the BCC dropbox stays on its records.',
    'バックアップの対象がありません。PATCH /v1/members/{memberId} で無効にしてください。BCCドロップボックスのメールはそのまま残ります。',
  ],
  'imap-not-supported': [
    'The mailbox is read over IMAP; only mailboxes read over POP3, or hosted here, can be backed up.',
    'IMAPのメールボックスはバックアップできません。POP3またはホスト型のみが対象です。',
    'Let the member set the mailbox up over POP3.',
    'メンバーにPOP3でメールボックスを設定し直してもらってください。',
  ],
  'private-account': [
    'The member shares no mail (private): their settings cannot be locked, and their mail not be backed up.',
    '共有設定が「非公開」のため、ロックもバックアップもできません。',
    'Ask the member to save `custom` or `public` in their mail settings.',
    'メンバーに、共有設定を「カスタム」または「公開」にして保存してもらってください。',
  ],
  'account-type-not-eligible': [
    'The member shares mail with administrators alone: such a mailbox cannot be backed up.',
    '管理者のみに共有されているメールボックスはバックアップできません。',
    'Ask the member to save `custom` or `public` in their mail settings.',
    'メンバーに、共有設定を「カスタム」または「公開」にして保存してもらってください。',
  ],
  'domain-mismatch': [
    'The mailbox belongs to another domain than your login address.',
    'メールボックスのドメインが、あなたのログインアドレスのドメインと異なります。',
    "Ask an administrator whose login address has the mailbox's domain.",
    'メールボックスと同じドメインのログインアドレスを持つ管理者に依頼してください。',
  ],
  'already-running': [
    'A backup of this member is running.',
    'このメンバーのバックアップが実行中です。',
    'Wait until it ends, or cancel it.',
    '終了を待つか、キャンセルしてください。',
  ],
  'settings-not-saved': [
    'The member was backed up, came back, and did not save their mail settings in person since.',
    'バックアップ後に再度有効になったメンバーが、その後メール設定を自分で保存していません。',
    'Let them save their mail settings (unlock them first if they are locked).',
    'メンバーにメール設定を保存してもらってください(ロック中の場合は先に解除してください)。',
  ],
  'unknown-successor': [
    'There is no such member to hand the records over to.',
    '引き継ぎ先のメンバーが見つかりません。',
    'Choose one of GET /v1/members.',
    'GET /v1/members から選択してください。',
  ],
  'successor-is-leaver': [
    'The successor is the very member who leaves.',
    '引き継ぎ先が退職するメンバー本人です。',
    'Choose another member.',
    '別のメンバーを選択してください。',
  ],
  'successor-inactive': [
    'The successor is deactivated, or has not confirmed their invitation.',
    '引き継ぎ先のメンバーが無効か、招待を承認していません。',
    'Choose an active member, or activate this one.',
    '有効なメンバーを選択するか、このメンバーを有効にしてください。',
  ],
  // What is known of a step that is over.
  'already-locked': ['Their mail settings were locked before.', 'メール設定はすでにロックされていました。', ...NOTHING],
  'already-deactivated': ['They were deactivated before.', 'すでに無効になっていました。', ...NOTHING],
  'no-active-mailbox': ['None of their mailboxes is read.', '受信中のメールボックスがありません。', ...NOTHING],
  'add-on-off': [
    'The mail add-on is not enabled for them: their mailbox is not read.',
    'メールアドオンが有効でないため、メールボックスは読み取られていません。',
    ...NOTHING,
  ],
  'password-refused': [
    'Their mail server refuses the password: what came lately is still on it.',
    'メールサーバーがパスワードを拒否しているため、最近のメールはサーバーに残っています。',
    'If it matters: reactivate and unlock them, put the right password, and off-board them again.',
    '必要な場合は、有効に戻してロックを解除し、正しいパスワードを設定してから、もう一度退職処理を行ってください。',
  ],
  'no-password': [
    'The password of their mailbox was deleted while they were deactivated: what came since is still on their mail server.',
    '無効になっていた間にメールボックスのパスワードが削除されたため、以後のメールはサーバーに残っています。',
    'If it matters: reactivate and unlock them, let them enter the password, and off-board them again.',
    '必要な場合は、有効に戻してロックを解除し、パスワードを入力してもらってから、もう一度退職処理を行ってください。',
  ],
  'mail-server-failed': [
    'Their mail server could not be read until the time was over: what came lately is still on it.',
    '期限までにメールサーバーから読み取れませんでした。最近のメールはサーバーに残っています。',
    'If it matters: when the server is well, reactivate them, let them save their settings, and off-board them again.',
    '必要な場合は、サーバーの復旧後に有効に戻し、設定を保存してもらってから、もう一度退職処理を行ってください。',
  ],
  'poll-unfinished': [
    'Not everything on their mail server was fetched when the time was over.',
    '期限までにメールサーバーのすべてのメールを取得できませんでした。',
    'If it matters: reactivate them, let them save their settings, wait for the sync, and off-board them again.',
    '必要な場合は、有効に戻して設定を保存してもらい、同期の完了後にもう一度退職処理を行ってください。',
  ],
  'filing-unfinished': [
    'Some mails of the last poll were still being filed when the backup began: it may lack them.',
    'バックアップ開始時に処理中のメールがあり、バックアップに含まれていない可能性があります。',
    'Take another backup: POST /v1/addon-users/{memberId}/backup.',
    'POST /v1/addon-users/{memberId}/backup でもう一度バックアップを取得してください。',
  ],
  'records-left': [
    'Some records could not be handed over.',
    '引き継げなかったデータがあります。',
    'Their owner is still the member who left: change it on the records themselves.',
    '所有者は退職したメンバーのままです。各データで変更してください。',
  ],
  'no-successor': [
    'No successor was named: the records keep their owner.',
    '引き継ぎ先の指定がないため、所有者は変わりません。',
    ...NOTHING,
  ],
  // Why a step failed.
  'actor-gone': [
    'Who started it is no administrator any longer.',
    '開始した人が管理者ではなくなりました。',
    'Another administrator resumes it.',
    '他の管理者が再開してください。',
  ],
  'user-active': [
    'They were reactivated before their mail was backed up.',
    'メールのバックアップの前に、このメンバーが再度有効になりました。',
    'Deactivate them and resume it. Leave it when they are to stay.',
    '無効にしてから再開してください。退職しない場合はそのままにしてください。',
  ],
  'unlocked-meanwhile': [
    'Their mail settings were unlocked before they were deactivated.',
    '無効化の前にメール設定のロックが解除されました。',
    'Resume it: it locks them again. Leave it when they are to stay.',
    '再開すると再度ロックされます。退職しない場合はそのままにしてください。',
  ],
  'reactivated-meanwhile': [
    'They were reactivated before their records were handed over.',
    'データの引き継ぎの前に、このメンバーが再度有効になりました。',
    'Deactivate them and resume it. Leave it when they are to stay.',
    '無効にしてから再開してください。退職しない場合はそのままにしてください。',
  ],
  interrupted: [
    'A service could not be reached, several times.',
    'サービスに繰り返し接続できませんでした。',
    'Nothing is lost. Resume it in some minutes.',
    '失われたものはありません。数分後に再開してください。',
  ],
  'backup-failed': [
    'The backup was interrupted.',
    'バックアップが中断されました。',
    'Nothing is lost. Resume it: another backup goes on with what is not visible yet.',
    '失われたものはありません。再開すると、残りのメールからバックアップを続行します。',
  ],
  'backup-cancelled': [
    'The backup was cancelled.',
    'バックアップがキャンセルされました。',
    'Resume it: another backup is taken.',
    '再開すると、もう一度バックアップを取得します。',
  ],
};
