import type { FailureCode } from './account.ts';
import type { Preset, Words } from './presets.ts';

/** What went wrong, what to do about it, and where: for the owner of the account, in English and Japanese. */
export type Advice = { what: Words; todo: Words; link?: string };

/** Which server is spoken of. */
export type Side = 'incoming' | 'outgoing';

/**
 * What to tell a user about a failure (INB-16, INB-17, POP-12). With the provider's preset it names the provider's own way:
 * where its app passwords are made, how POP is turned on, what it does not offer at all.
 */
export function adviceFor(code: FailureCode, side: Side, preset?: Preset): Advice {
  if (isPasswordless(code, side, preset)) return { ...BASE[code], todo: preset.notes };
  if (code === 'wrong-password' && preset?.appPassword) return appPassword(preset, preset.appPassword);
  if (code === 'app-password-required') return { ...BASE[code], ...(preset?.appPassword?.link ? { link: preset.appPassword.link } : {}) };
  if (code === 'pop-not-enabled' && side === 'incoming' && preset?.enablePop) {
    const { how, link } = preset.enablePop;
    return { what: BASE[code].what, todo: how, ...(link ? { link } : {}) };
  }
  if (code === 'pop-not-enabled' && side === 'outgoing') return OUTGOING_NOT_ENABLED;
  return side === 'outgoing' ? { ...BASE[code], ...OUTGOING[code] } : BASE[code];
}

/** Advice before anything was tried: a provider that has no POP3 with a password (Exchange Online, iCloud ...), or a plain connection. */
export const noPasswordPop = (preset: Preset): Advice | undefined =>
  preset.incoming || !preset.notes ? undefined : { what: NO_POP(preset.name), todo: preset.notes };

export const PLAIN_CONNECTION: Advice = {
  what: {
    en: 'The connection is not encrypted: user name, password and mail can be read on the way.',
    ja: '接続が暗号化されていません。ユーザー名、パスワード、メールの内容が通信経路上で読み取られる可能性があります。',
  },
  todo: {
    en: 'Choose SSL/TLS (port 995, outgoing 465) or STARTTLS (port 110, outgoing 587) if the server offers it.',
    ja: 'サーバーが対応している場合は、SSL/TLS(ポート 995、送信は 465)または STARTTLS(ポート 110、送信は 587)を選択してください。',
  },
};

const NO_POP = (name: string): Words => ({
  en: `${name} does not let a mailbox be read over POP3 with a password.`,
  ja: `${name} では、パスワードを使用した POP3 でのメール受信はできません。`,
});

/** The provider refuses passwords as such: no other password would help. */
function isPasswordless(code: FailureCode, side: Side, preset?: Preset): preset is Preset & { notes: Words } {
  const refusals: FailureCode[] = ['wrong-password', 'pop-not-enabled', 'server-refused', 'unreachable'];
  return side === 'incoming' && refusals.includes(code) && preset !== undefined && !preset.incoming && preset.notes !== undefined;
}

function appPassword({ name }: Preset, { needed, link }: NonNullable<Preset['appPassword']>): Advice {
  const when = WHEN_APP_PASSWORD[needed];
  return {
    what: BASE['wrong-password'].what,
    todo: {
      en: `${when.en(name)} Otherwise check user name and password for typing errors.`,
      ja: `${when.ja(name)} それ以外の場合は、ユーザー名とパスワードの入力に誤りがないか確認してください。`,
    },
    ...(link ? { link } : {}),
  };
}

const WHEN_APP_PASSWORD = {
  always: {
    en: (name: string) => `${name} does not take the ordinary password here: create an app password there and enter it.`,
    ja: (name: string) => `${name} では通常のパスワードは使用できません。アプリ パスワードを作成し、それを入力してください。`,
  },
  'with-two-step-verification': {
    en: (name: string) => `If two-step verification is on at ${name}, create an app-specific password there and enter it.`,
    ja: (name: string) => `${name} で2段階認証を有効にしている場合は、アプリ専用のパスワードを作成し、それを入力してください。`,
  },
};

const BASE: Record<FailureCode, Advice> = {
  'no-password': {
    what: {
      en: 'You were deactivated for so long that the password was deleted here. Your mail was kept.',
      ja: '無効になっていた期間が長かったため、パスワードは削除されました。メールは保存されています。',
    },
    todo: {
      en: 'Enter the password again; the mailbox is read at once then.',
      ja: 'パスワードをもう一度入力してください。入力後、すぐに受信を再開します。',
    },
  },
  'wrong-password': {
    what: {
      en: 'The server refused the user name or the password.',
      ja: 'サーバーがユーザー名またはパスワードを拒否しました。',
    },
    todo: {
      en: 'Check both; try the whole mail address as the user name. If the password was changed at the provider, enter the new one here. If two-step verification is on, use an app-specific password.',
      ja: '入力内容を確認し、ユーザー名にはメールアドレス全体も試してください。メールサービス側でパスワードを変更した場合は、新しいパスワードをここにも入力してください。2段階認証が有効な場合は、アプリ専用のパスワードを使用してください。',
    },
  },
  'app-password-required': {
    what: {
      en: 'Two-step verification is on, so the provider refuses the ordinary password.',
      ja: '2段階認証が有効なため、通常のパスワードでは認証できません。',
    },
    todo: {
      en: 'Create an app-specific password at the provider and enter it instead of the ordinary one.',
      ja: 'メールサービスでアプリ専用のパスワードを作成し、通常のパスワードの代わりに入力してください。',
    },
  },
  'pop-not-enabled': {
    what: { en: 'POP is turned off for this mailbox.', ja: 'このメールボックスでは POP が有効になっていません。' },
    todo: {
      en: 'Turn POP access on in the settings of the mailbox at the provider, or ask its administrator to; then test again.',
      ja: 'メールサービスの設定画面で POP アクセスを有効にするか、管理者に依頼してから、もう一度テストしてください。',
    },
  },
  'web-login-required': {
    what: {
      en: 'The provider wants you to sign in with a browser first.',
      ja: 'メールサービスがブラウザでのサインインを求めています。',
    },
    todo: {
      en: 'Sign in at the provider with a browser, confirm that it was you who tried, and test again some minutes later.',
      ja: 'ブラウザでメールサービスにサインインし、本人によるアクセスであることを確認してから、数分後にもう一度テストしてください。',
    },
  },
  'limit-exceeded': {
    what: {
      en: 'The provider limits how often or how much this mailbox may be read, and the limit is reached.',
      ja: 'メールサービスの利用制限(アクセス回数または転送量)に達しました。',
    },
    todo: {
      en: 'Nothing: we try again later, more slowly. Let fewer programs read this mailbox if it happens often.',
      ja: '操作は不要です。時間をおいて自動的に再試行します。頻繁に発生する場合は、このメールボックスを読み込むプログラムの数を減らしてください。',
    },
  },
  'mailbox-in-use': {
    what: {
      en: 'The mailbox is being read just now, by us or by another mail program.',
      ja: '本製品または他のメールソフトがメールボックスを使用中です。',
    },
    todo: {
      en: 'Nothing: we try again. If it stays, end the other mail program.',
      ja: '操作は不要です。自動的に再試行します。解消しない場合は、他のメールソフトを終了してください。',
    },
  },
  'login-delay': {
    what: { en: 'The provider wants more time between two logins.', ja: '前回のログインからの間隔が短すぎます。' },
    todo: {
      en: 'Nothing: we try again later. To test, wait some minutes (GMX and WEB.DE: 15).',
      ja: '操作は不要です。時間をおいて自動的に再試行します。テストする場合は数分(GMX と WEB.DE は15分)待ってください。',
    },
  },
  'server-temporary': {
    what: { en: 'The mail server has trouble of its own just now.', ja: 'メールサーバーで一時的な問題が発生しています。' },
    todo: { en: 'Nothing: we try again.', ja: '操作は不要です。自動的に再試行します。' },
  },
  'server-refused': {
    what: {
      en: 'The mail server refused; its own words are shown.',
      ja: 'メールサーバーが要求を拒否しました。サーバーの応答を確認してください。',
    },
    todo: {
      en: 'Read what it says. If that does not help, ask the provider or the administrator of the mail server.',
      ja: 'サーバーの応答内容を確認してください。解決しない場合は、メールサービスまたはメールサーバーの管理者に確認してください。',
    },
  },
  'no-unique-ids': {
    what: {
      en: 'The mail server gives no unique ids (UIDL), without which new mail cannot be told from mail that was read before.',
      ja: 'メールサーバーが固有 ID(UIDL)を返さないため、新しいメールと読み込み済みのメールを区別できません。',
    },
    todo: {
      en: 'This mailbox cannot be read here as it is. Ask the provider or the administrator of the mail server to allow UIDL, or create a hosted mailbox here and have the mail forwarded to it.',
      ja: 'このままでは、このメールボックスを読み込めません。UIDL を有効にするよう、メールサービスまたはメールサーバーの管理者に依頼してください。または、ホスト型メールボックスを作成し、そこへメールを転送してください。',
    },
  },
  // The same for a name that does not exist, a port that is closed or filtered, and an address that may not be connected to.
  unreachable: {
    what: { en: 'The server could not be reached.', ja: 'サーバーに接続できませんでした。' },
    todo: {
      en: 'Check the name of the server and the port: 995 (SSL/TLS) or 110 (STARTTLS). Only servers on the public internet can be reached. Ask the provider for its POP3 server if in doubt.',
      ja: 'サーバー名とポート番号を確認してください。995(SSL/TLS)または 110(STARTTLS)を使用します。接続できるのはインターネット上に公開されているサーバーのみです。不明な場合は、メールサービスに POP3 サーバー名を確認してください。',
    },
  },
  'certificate-refused': {
    what: {
      en: 'The server showed a certificate that cannot be trusted, so no password was sent.',
      ja: 'サーバーの証明書を信頼できないため、パスワードは送信していません。',
    },
    todo: {
      en: 'Compare the names in the certificate with the server you entered: often the provider has another name for it. A self-signed or expired certificate must be replaced by whoever runs the server.',
      ja: '証明書に記載された名前と、入力したサーバー名を比べてください。メールサービスが別のサーバー名を案内している場合があります。自己署名または期限切れの証明書は、サーバーの管理者による更新が必要です。',
    },
  },
  'tls-not-offered': {
    what: {
      en: 'The server and the chosen encryption do not fit together.',
      ja: '選択した暗号化方式にサーバーが対応していません。',
    },
    todo: {
      en: 'Use SSL/TLS with port 995, or STARTTLS with port 110.',
      ja: 'SSL/TLS はポート 995、STARTTLS はポート 110 を使用してください。',
    },
  },
  'not-a-mail-server': {
    what: { en: 'What answers there is no POP3 server.', ja: '応答したのは POP3 サーバーではありません。' },
    todo: {
      en: 'Check the name of the server and the port. IMAP servers (ports 993 and 143) are not supported here.',
      ja: 'サーバー名とポート番号を確認してください。IMAP サーバー(ポート 993、143)には対応していません。',
    },
  },
  'connection-lost': {
    what: { en: 'The connection broke off, or the server fell silent.', ja: '接続が途中で切断されたか、サーバーが応答しなくなりました。' },
    todo: {
      en: 'Try again. If it stays: a port without encryption was perhaps chosen for an encrypted one, or the other way round.',
      ja: 'もう一度お試しください。解消しない場合は、ポート番号と暗号化方式の組み合わせが正しいか確認してください。',
    },
  },
  'mailbox-unavailable': {
    what: {
      en: 'The previously configured mailbox cannot be accessed.',
      ja: '以前に設定したメールボックスにアクセスできません。',
    },
    todo: { en: 'Choose a new mailbox, or correct the user name.', ja: '新しいメールボックスを選択するか、ユーザー名を修正してください。' },
  },
};

/** What is said otherwise of an outgoing server (INB-17). */
const OUTGOING: Partial<Record<FailureCode, Partial<Advice>>> = {
  unreachable: {
    todo: {
      en: 'Check the name of the server and the port: 465 (SSL/TLS) or 587 (STARTTLS). Only servers on the public internet can be reached. Ask the provider for its outgoing (SMTP) server and enter what it gives.',
      ja: 'サーバー名とポート番号を確認してください。465(SSL/TLS)または 587(STARTTLS)を使用します。接続できるのはインターネット上に公開されているサーバーのみです。送信(SMTP)サーバーの情報をメールサービスに確認し、その内容を入力してください。',
    },
  },
  'tls-not-offered': {
    todo: {
      en: 'Use SSL/TLS with port 465, or STARTTLS with port 587.',
      ja: 'SSL/TLS はポート 465、STARTTLS はポート 587 を使用してください。',
    },
  },
  'not-a-mail-server': {
    what: { en: 'What answers there is no SMTP server.', ja: '応答したのは SMTP サーバーではありません。' },
    todo: { en: 'Check the name of the server and the port.', ja: 'サーバー名とポート番号を確認してください。' },
  },
  'limit-exceeded': {
    todo: { en: 'Wait some minutes before the next try.', ja: '数分待ってから、もう一度お試しください。' },
  },
};

const OUTGOING_NOT_ENABLED: Advice = {
  what: {
    en: 'The provider does not take a password for sending from this mailbox.',
    ja: 'このメールボックスからの送信では、パスワードによる認証が許可されていません。',
  },
  todo: {
    en: 'Ask the administrator of the mailbox to allow authenticated SMTP, or leave the outgoing server empty.',
    ja: 'SMTP 認証の許可をメールボックスの管理者に依頼するか、送信サーバーを空欄にしてください。',
  },
};
