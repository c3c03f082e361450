import { CODE_MINUTES } from '../limits.ts';

/** What the product writes to people, in English and Japanese. */
export const senderCodeMail = (code: string) => ({
  subject: `${code} is your code / 確認コード`,
  text: `${code}

is the code that lets you file mail sent from this address in your CRM. It is valid for ${CODE_MINUTES} minutes.
If you did not ask for it, do nothing: without the code nothing happens.

このメールアドレスから送信したメールをCRMに取り込むための確認コードです。有効期限は${CODE_MINUTES}分です。
心当たりがない場合は、このメールを破棄してください。
`,
});

export const invitationMail = (company: string, code: string, publicUrl: string) => ({
  subject: `You are invited to ${company}'s CRM mail / ご招待`,
  text: `An administrator of ${company} has added you to the CRM mail add-on. To confirm this address and get your first
API token, send this code within seven days:

${code}

curl -X POST ${publicUrl}/v1/confirmations -H 'Content-Type: application/json' -d '{"code":"${code}"}'

${company}の管理者が、あなたをCRMメールアドオンのメンバーとして追加しました。7日以内に上のコードを送信して、
このメールアドレスを確認してください。
`,
});

type HiddenMail = { name: string; email: string; deactivatedAt: string; keptUntil: string };

/** To administrators: whose hidden mail is kept for some days more only (R-29). */
export const hiddenMailMail = (company: string, users: HiddenMail[]) => ({
  subject: 'Hidden mail of former members is kept for a few days more / 無効なユーザーのメールの保存期限について',
  text: `These deactivated members of ${company} have mail that is hidden, not backed up, not locked and not on hold. It is kept until the
day shown at least; after that it is deleted for good.

${users.map(hiddenMailLine).join('\n')}

To keep it, take a backup of it, put it on hold, or lock the member's mail settings; or reactivate the member. To keep it for longer in general,
change hiddenMailDays of the mail policy.

${company}の次の無効なユーザーには、非表示のままバックアップもロックも保全指定もされていないメールがあります。上記の日までは保存され、
以後は完全に削除されます。保存するには、バックアップを取得するか、メールの保全を指定するか、メール設定をロックするか、
ユーザーを有効に戻してください。
`,
});

const hiddenMailLine = ({ name, email, deactivatedAt, keptUntil }: HiddenMail) =>
  `- ${name} <${email}>: deactivated / 無効化 ${deactivatedAt.slice(0, 10)}, kept until / 保存期限 ${keptUntil.slice(0, 10)}`;

type DeletedMail = { name: string; email: string; mails: number; accounts: number; because?: { en: string; ja: string } };

/** To administrators: the hidden mail of a member was deleted, or its deletion was stopped, and why (R-29). */
export const hiddenMailDeletedMail = (company: string, { name, email, mails, accounts, because }: DeletedMail) => ({
  subject: because
    ? `${name}: the deletion of hidden mail was stopped / メールの削除を中止しました`
    : `${name}: the hidden mail was deleted / メールを削除しました`,
  text: `${
    because
      ? `The deletion of the hidden mail of ${name} <${email}>, a member of ${company}, was stopped: ${because.en}. What was deleted before stays so.`
      : `The time for which the hidden mail of ${name} <${email}>, a former member of ${company}, is kept was over: it was deleted for good.`
  }

Mails deleted / 削除したメール: ${mails}
Mail accounts removed / 削除したメールアカウント: ${accounts}

${
  because
    ? `${company}の${name}さんの非表示メールの削除は、${because.ja}中止されました。それまでに削除されたメールは元に戻りません。`
    : `${company}の${name}さん(無効)の非表示メールは、保存期間が終了したため完全に削除されました。`
}
`,
});

type LockNotice = { by: string; reason?: string; until?: string };

/** To a member whose mail settings were locked: by whom, why, until when, and what they can still do (R-27). */
export const lockedMail = (company: string, { by, reason, until }: LockNotice) => ({
  subject: 'Your mail settings were locked / メール設定がロックされました',
  text: `${by}, an administrator of ${company}, has locked your mail settings${until ? ` until ${until}` : ''}.

Reason: ${reason}

You cannot change the sharing type, the mailbox or other mail settings now. Mail goes on coming in, and you can still change
the password of your mail account when it changes at your provider. If you have questions, ask ${by}.

${company}の管理者 ${by} が、あなたのメール設定をロックしました${until ? `(期限: ${until})` : ''}。

理由: ${reason}

共有設定やメールボックスなどの設定は変更できません。メールの受信は続き、メールアカウントのパスワードは変更できます。
ご不明な点は ${by} にお問い合わせください。
`,
});

export const unlockedMail = (company: string, { by, reason }: LockNotice) => ({
  subject: 'Your mail settings are unlocked / メール設定のロックが解除されました',
  text: `${by}, an administrator of ${company}, has unlocked your mail settings. You can change them again.
${reason ? `\nReason: ${reason}\n` : ''}
${company}の管理者 ${by} が、あなたのメール設定のロックを解除しました。設定を変更できます。
${reason ? `\n理由: ${reason}\n` : ''}`,
});
