import type { Backup } from './backup.ts';

/** What the administrator who started a backup is told when it ends, in English and Japanese. */
export function endMail(backup: Backup, name: string, publicUrl: string): { subject: string; text: string } {
  const { subject, en, ja } = WORDS[backup.state === 'running' ? 'failed' : backup.state];
  const { mails, entries, known, missing } = backup.tally;
  return {
    subject: subject.replace('{name}', name),
    text: `${en.replace('{name}', name)}
Mails made visible: ${mails}, in ${entries} places of records. Visible before: ${known}. Source missing: ${missing}.

${publicUrl}/v1/backups/${backup.id}

${ja.replace('{name}', name)}
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
