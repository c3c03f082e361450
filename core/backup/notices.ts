import type { Backup } from './backup.ts';
import { type Export, filesOf, sum } from './export.ts';

/** What the administrator who started a backup is told when it ends, in English and Japanese. */
export function endMail(backup: Backup, name: string, publicUrl: string): { subject: string; text: string } {
  // As a function: `$&` in a name is no pattern.
  const { subject, en, ja } = WORDS[backup.state === 'running' ? 'failed' : backup.state];
  const { mails, entries, known, missing } = backup.tally;
  return {
    subject: subject.replace('{name}', () => name),
    text: `${en.replace('{name}', () => name)}
Mails made visible: ${mails}, in ${entries} places of records. Visible before: ${known}. Source missing: ${missing}.

${publicUrl}/v1/backups/${backup.id}

${ja.replace('{name}', () => name)}
表示されるようになったメール: ${mails} 件(データ上 ${entries} か所)。すでに表示済み: ${known} 件。原本なし: ${missing} 件。
`,
  };
}

const WORDS = {
  completed: {
    subject: '{name}: the backup is complete / バックアップが完了しました',
    en: 'The backup of the mail of {name} is complete. Colleagues see it on its records again.',
    ja: '{name}さんのメールのバックアップが完了しました。データ上で再び閲覧できます。',
  },
  failed: {
    subject: '{name}: the backup was interrupted / バックアップが中断されました',
    en: 'The backup of the mail of {name} was interrupted. Nothing is lost; start it again: it goes on with what is not visible yet.',
    ja: '{name}さんのメールのバックアップが中断されました。メールは失われていません。もう一度開始すると、残りのメールから続行します。',
  },
  cancelled: {
    subject: '{name}: the backup was cancelled / バックアップがキャンセルされました',
    en: 'The backup of the mail of {name} was cancelled. What it had made visible stays so.',
    ja: '{name}さんのメールのバックアップがキャンセルされました。すでに表示されたメールはそのまま閲覧できます。',
  },
} as const;

/** What the administrator who asked for an export is told when it ends. */
export function exportEndMail(one: Export, name: string, publicUrl: string): { subject: string; text: string } {
  const { subject, en, ja } = EXPORT_WORDS[one.state === 'running' ? 'failed' : one.state];
  const { volumes, format, backup } = one;
  const [mails, missing, damaged] = [sum(volumes, 'mails'), sum(volumes, 'missing'), sum(volumes, 'damaged')];
  const files = one.state === 'completed' ? filesOf(one).length : 0;
  const day = one.expiresAt.slice(0, 10);
  const named = (text: string) => text.replace('{day}', day).replace('{name}', () => name);
  return {
    subject: named(subject),
    text: `${named(en)}
Mails: ${mails}, in ${files} files (${format}). Source missing: ${missing}. Source damaged: ${damaged}.

${publicUrl}/v1/backups/${backup}/export/${format}

${named(ja)}
メール: ${mails} 件、ファイル: ${files} 個(${format})。原本なし: ${missing} 件。原本の破損: ${damaged} 件。
`,
  };
}

const EXPORT_WORDS = {
  completed: {
    subject: '{name}: the export of the backup is complete / バックアップのエクスポートが完了しました',
    en: 'The export of the backed-up mail of {name} is complete. It can be downloaded until {day}.',
    ja: '{name}さんのバックアップ済みメールのエクスポートが完了しました。{day}までダウンロードできます。',
  },
  failed: {
    subject: '{name}: the export of the backup has failed / バックアップのエクスポートに失敗しました',
    en: 'The export of the backed-up mail of {name} has failed. The backup is as it was; ask for the export again.',
    ja: '{name}さんのバックアップ済みメールのエクスポートに失敗しました。バックアップはそのままです。もう一度エクスポートを開始してください。',
  },
  cancelled: {
    subject: '{name}: the export of the backup was cancelled / バックアップのエクスポートがキャンセルされました',
    en: 'The export of the backed-up mail of {name} was cancelled. The backup is as it was.',
    ja: '{name}さんのバックアップ済みメールのエクスポートがキャンセルされました。バックアップはそのままです。',
  },
} as const;
