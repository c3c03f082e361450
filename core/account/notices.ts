import type { Pop3Account } from './account.ts';
import { adviceFor } from './advice.ts';
import type { NoticeKind } from './poll-state.ts';
import { presetOfHost } from './presets.ts';

type Words = { subject: string; text: string };

/** What the owner of an account is told, in English and Japanese. */
export function noticeMail(kind: NoticeKind, account: Pop3Account): Words {
  return WORDS[kind](account);
}

const WORDS: Record<NoticeKind, (account: Pop3Account) => Words> = {
  'sync-done': ({ name, address, sync }) => ({
    subject: `${name}: the first sync is done / 初回同期が完了しました`,
    text: `The first sync of ${address} is done: ${sync.filed} of ${sync.found} mails were taken in, ${sync.skipped} are older than the date
you chose. From now on new mail is fetched by itself.

${address} の初回同期が完了しました。${sync.found} 件中 ${sync.filed} 件を取り込みました(指定日より古いメール: ${sync.skipped} 件)。
以後、新着メールは自動的に取得されます。
`,
  }),
  'password-refused': (account) => ({
    subject: `${account.name}: your mail server does not let us in / ログインが拒否されました`,
    text: `The mail server of ${account.address} refused to let us in. We try twice more, hours apart, and then stop, so that your mailbox is
not locked.
${whyAndWhat(account).en}

${account.address} のメールサーバーがログインを拒否しました。時間をおいてあと2回試し、それでも拒否された場合は停止します。
${whyAndWhat(account).ja}
`,
  }),
  stopped: (account) => ({
    subject: `${account.name}: mail is no longer fetched / メールの取得を停止しました`,
    text: `The mail server of ${account.address} refused to let us in three times in a row. We have stopped fetching mail; nothing is lost, it
stays on your server. Mail is fetched again as soon as the password is changed in the mail account.
${whyAndWhat(account).en}

${account.address} のメールサーバーが3回続けてログインを拒否したため、メールの取得を停止しました。メールはサーバーに残っています。
メールアカウントのパスワードを変更すると、すぐに再開します。
${whyAndWhat(account).ja}
`,
  }),
  'locked-out': (account) => ({
    subject: `${account.name}: your mail provider has closed the mailbox for a while / 一時的に制限されています`,
    text: `The provider of ${account.address} does not let us in for now. We try again, more and more seldom; nothing is lost.
${whyAndWhat(account).en}

${account.address} のプロバイダーが一時的にアクセスを制限しています。間隔を空けて再試行します。メールはサーバーに残っています。
${whyAndWhat(account).ja}
`,
  }),
  failing: (account) => ({
    subject: `${account.name}: no mail could be fetched for a day / 1日以上メールを取得できません`,
    text: `For more than a day no mail could be fetched for ${account.address}. We go on trying, every six hours at least; nothing is lost, the
mail stays on your server.
${whyAndWhat(account).en}

1日以上、${account.address} のメールを取得できていません。少なくとも6時間ごとに再試行します。メールはサーバーに残っています。
${whyAndWhat(account).ja}
`,
  }),
};

/** The same words as in the settings: what happened, what to do, and what the server said. */
function whyAndWhat({ lastError, incoming }: Pop3Account): { en: string; ja: string } {
  if (!lastError) return { en: '', ja: '' };
  const { what, todo, link } = adviceFor(lastError.code, 'incoming', presetOfHost(incoming.host));
  const said = lastError.server ? `\n"${lastError.server}"` : '';
  const see = link ? `\n${link}` : '';
  return { en: `\n${what.en}${said}\n${todo.en}${see}`, ja: `\n${what.ja}${said}\n${todo.ja}${see}` };
}
