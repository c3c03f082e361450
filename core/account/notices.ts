import type { FailureCode, MailAccount } from './account.ts';
import type { NoticeKind } from './poll-state.ts';

type Words = { subject: string; text: string };

/** What the owner of an account is told, in English and Japanese. */
export function noticeMail(kind: NoticeKind, account: MailAccount): Words {
  return WORDS[kind](account);
}

const WORDS: Record<NoticeKind, (account: MailAccount) => Words> = {
  'sync-done': ({ name, address, sync }) => ({
    subject: `${name}: the first sync is done / 初回同期が完了しました`,
    text: `The first sync of ${address} is done: ${sync.filed} of ${sync.found} mails were taken in, ${sync.skipped} are older than the date
you chose. From now on new mail is fetched by itself.

${address} の初回同期が完了しました。${sync.found} 件中 ${sync.filed} 件を取り込みました(指定日より古いメール: ${sync.skipped} 件)。
以後、新着メールは自動的に取得されます。
`,
  }),
  'password-refused': ({ name, address, lastError }) => ({
    subject: `${name}: your mail server refused the password / パスワードが拒否されました`,
    text: `The mail server of ${address} refused to let us in. We try twice more, hours apart, and then stop, so that your mailbox is
not locked.
${serverSaid(lastError)}
${ADVICE.en}

${address} のメールサーバーがログインを拒否しました。時間をおいてあと2回試し、それでも拒否された場合は停止します。
${ADVICE.ja}
`,
  }),
  stopped: ({ name, address, lastError }) => ({
    subject: `${name}: mail is no longer fetched / メールの取得を停止しました`,
    text: `The mail server of ${address} refused to let us in three times in a row. We have stopped fetching mail; nothing is lost, it stays
on your server. ${lastError?.code === 'mailbox-unavailable' ? 'The mailbox configured before cannot be accessed: choose a new mailbox.' : ''}
${serverSaid(lastError)}
${ADVICE.en} Mail is fetched again as soon as the password is changed.

${address} のメールサーバーが3回続けてログインを拒否したため、メールの取得を停止しました。メールはサーバーに残っています。
${ADVICE.ja} パスワードを変更すると、すぐに再開します。
`,
  }),
  'locked-out': ({ name, address, lastError }) => ({
    subject: `${name}: your mail provider has closed the mailbox for a while / 一時的にロックされています`,
    text: `The provider of ${address} does not let us in for now, though the password is right. We try again, more and more seldom.
${serverSaid(lastError)}
Log in to your mailbox with a web browser once: most providers open it again then.

${address} のプロバイダーが一時的にアクセスを制限しています。間隔を空けて再試行します。
一度ブラウザでメールボックスにログインすると、多くの場合解除されます。
`,
  }),
  failing: ({ name, address, lastError, stateSince }) => ({
    subject: `${name}: no mail could be fetched for a day / 1日以上メールを取得できません`,
    text: `Since ${stateSince} no mail could be fetched for ${address}. We go on trying, every six hours at least; nothing is lost, the mail
stays on your server.
${serverSaid(lastError)}
Test the account in the settings: each step shows what is wrong and what to do.

${stateSince} 以降、${address} のメールを取得できていません。少なくとも6時間ごとに再試行します。メールはサーバーに残っています。
設定画面で「アカウントのテスト」を実行すると、原因と対処方法が表示されます。
`,
  }),
};

const ADVICE = {
  en: 'If you changed the password at your provider, change it in the mail account too. If two-step verification is on there, use an app-specific password.',
  ja: 'プロバイダー側でパスワードを変更した場合は、メールアカウントのパスワードも変更してください。2段階認証を使用している場合は、アプリ パスワードを入力してください。',
};

const serverSaid = (error: { code: FailureCode; server?: string } | undefined) =>
  error ? `\nReason / 理由: ${error.code}${error.server ? ` - "${error.server}"` : ''}\n` : '';
