import { domainOf } from '../message/address.ts';
import type { Security } from './account.ts';

/** Words for a user, in both languages of the product. */
export type Words = { en: string; ja: string };

type Endpoint = { host: string; port: number; security: Security };

/** What is known of a provider, to fill a form with and to give advice by (POP-9, POP-12, POP-14). */
export type Preset = {
  id: string;
  name: string;
  /** Domains of its addresses. */
  domains: readonly string[];
  /** Ends of the names of its mail exchangers: domains it hosts for others (MX). */
  exchangers?: readonly string[];
  /** Absent where mail cannot be read over POP3 with a password; `notes` say what to do instead. */
  incoming?: Endpoint;
  outgoing?: Endpoint;
  /** What the user name is: the whole address, or what stands before its @ (POP-11). */
  userName: 'address' | 'local-part';
  /** Seconds the provider wants between two logins. */
  loginDelay?: number;
  /** An app password instead of the ordinary one: always, or with two-step verification on (POP-12, INB-16). */
  appPassword?: { needed: 'always' | 'with-two-step-verification'; link?: string };
  /** POP is off until its owner turns it on. */
  enablePop?: { how: Words; link?: string };
  /** The name to log in with when other POP clients read the mailbox too; with it mail is left on the server (POP-17). */
  sharedUserName?: string;
  notes?: Words;
};

const implicit = (host: string, port = 995): Endpoint => ({ host, port, security: 'implicit' });
const submission = (host: string) => implicit(host, 465);
const starttls = (host: string): Endpoint => ({ host, port: 587, security: 'starttls' });

const GMAIL_APP_PASSWORD = { needed: 'always', link: 'https://support.google.com/accounts/answer/185833' } as const;
const GMAIL_ENABLE_POP = {
  how: {
    en: 'In Gmail on the web: Settings, "See all settings", "Forwarding and POP/IMAP", "Enable POP", "Save changes".',
    ja: 'ブラウザ版 Gmail で「設定」>「すべての設定を表示」>「メール転送と POP/IMAP」を開き、POP を有効にして「変更を保存」をクリックしてください。',
  },
  link: 'https://mail.google.com/mail/#settings/fwdandpop',
};
const GMAIL_NOTES = {
  en: 'Gmail hands each mail out once. If other POP clients read this mailbox too, write recent: before the user name and leave mail on the server: then the mail of the last 30 days is handed out to each of them.',
  ja: 'Gmail は各メールを一度しか渡しません。他の POP クライアントも同じメールボックスを読み込む場合は、ユーザー名の先頭に recent: を付け、「サーバーにメールを残す」を選択してください。過去30日間のメールがどのクライアントでも受信できます。',
};

const MICROSOFT_NOTES = {
  en: 'Microsoft no longer takes passwords over POP3: only sign-in with a Microsoft account (OAuth), which is not supported here yet. Forward the mail to a hosted mailbox instead, or use the BCC dropbox.',
  ja: 'Microsoft は POP3 でのパスワード認証(基本認証)を廃止しており、OAuth によるサインインのみ可能です。OAuth にはまだ対応していません。ホスト型メールボックスへの転送、または BCC ドロップボックスをご利用ください。',
};

const CARRIER_NOTES = {
  en: 'This address can be read over IMAP only, which is not supported here. Forward the mail to a mailbox that has POP3.',
  ja: 'このアドレスは IMAP でのみ読み込めますが、IMAP には対応していません。POP3 を利用できるメールボックスへ転送してください。',
};

const ZOHO_ENABLE_POP = {
  how: {
    en: 'In Zoho Mail: Settings, "Mail Accounts", your address, "POP", tick "POP access". In an organisation the administrator must allow it first.',
    ja: 'Zoho メールで「設定」>「メールアカウント」から該当のアドレスを選び、「POP」の「POP アクセス」を有効にしてください。組織では、先に管理者の許可が必要です。',
  },
  link: 'https://www.zoho.com/mail/help/pop-access.html',
};
const zoho = (id: string, name: string, top: string, domains: string[]): Preset => ({
  id,
  name,
  domains,
  exchangers: [`.zoho.${top}`, `.zohomail.${top}`],
  incoming: implicit(`pop.zoho.${top}`),
  outgoing: submission(`smtp.zoho.${top}`),
  userName: 'address',
  appPassword: { needed: 'with-two-step-verification' },
  enablePop: ZOHO_ENABLE_POP,
  notes: {
    en: `Mail hosted for your own domain by Zoho is read at poppro.zoho.${top}, and sent by smtppro.zoho.${top}.`,
    ja: `独自ドメインのメールを Zoho で運用している場合は、受信サーバーに poppro.zoho.${top}、送信サーバーに smtppro.zoho.${top} を指定してください。`,
  },
});

const GMX_ENABLE_POP = (link?: string) => ({
  how: {
    en: 'In the mailbox on the web: E-mail, Settings, "POP3 & IMAP", allow access. It is off until then, and again after a long time unused.',
    ja: 'ブラウザでメールボックスを開き、「E-Mail」>「Einstellungen」>「POP3/IMAP」でアクセスを許可してください。初期状態は無効で、長期間使わないと再び無効になります。',
  },
  ...(link ? { link } : {}),
});

/**
 * The providers we know. `verified` names where the figures were seen (the stored state of that source); rows without it are
 * from common knowledge, and the account test tells whether they hold.
 */
export const PRESETS: readonly Preset[] = [
  // verified: Thunderbird's ISPDB, googlemail.com.xml; measured: RFC 2449 LOGIN-DELAY 300 in CAPA.
  {
    id: 'gmail',
    name: 'Gmail',
    domains: ['gmail.com', 'googlemail.com'],
    incoming: implicit('pop.gmail.com'),
    outgoing: submission('smtp.gmail.com'),
    userName: 'address',
    loginDelay: 300,
    appPassword: GMAIL_APP_PASSWORD,
    enablePop: GMAIL_ENABLE_POP,
    sharedUserName: 'recent:{address}',
    notes: GMAIL_NOTES,
  },
  {
    id: 'google-workspace',
    name: 'Google Workspace',
    domains: [],
    exchangers: ['.google.com', '.googlemail.com'],
    incoming: implicit('pop.gmail.com'),
    outgoing: submission('smtp.gmail.com'),
    userName: 'address',
    loginDelay: 300,
    appPassword: GMAIL_APP_PASSWORD,
    enablePop: GMAIL_ENABLE_POP,
    sharedUserName: 'recent:{address}',
    notes: {
      en: `${GMAIL_NOTES.en} The administrator of your organisation may have turned POP or app passwords off.`,
      ja: `${GMAIL_NOTES.ja} 組織の管理者が POP またはアプリ パスワードを無効にしている場合があります。`,
    },
  },
  // verified: ISPDB, office365.com.xml: POP3 with OAuth2 alone.
  {
    id: 'exchange-online',
    name: 'Microsoft 365 (Exchange Online)',
    domains: ['onmicrosoft.com'],
    exchangers: ['.mail.protection.outlook.com', '.mx.microsoft'],
    outgoing: starttls('smtp.office365.com'),
    userName: 'address',
    notes: MICROSOFT_NOTES,
  },
  {
    id: 'outlook',
    name: 'Outlook.com',
    domains: ['outlook.com', 'outlook.jp', 'hotmail.com', 'hotmail.co.jp', 'live.com', 'live.jp', 'msn.com'],
    exchangers: ['.olc.protection.outlook.com'],
    outgoing: starttls('smtp-mail.outlook.com'),
    userName: 'address',
    notes: MICROSOFT_NOTES,
  },
  // verified: ISPDB, yahoo.com.xml.
  {
    id: 'yahoo',
    name: 'Yahoo Mail',
    domains: [
      'yahoo.com',
      'yahoo.de',
      'yahoo.it',
      'yahoo.fr',
      'yahoo.es',
      'yahoo.se',
      'yahoo.co.in',
      'yahoo.co.uk',
      'yahoo.co.nz',
      'yahoo.com.au',
      'yahoo.com.ar',
      'yahoo.com.br',
      'yahoo.com.mx',
      'ymail.com',
      'myyahoo.com',
      'rocketmail.com',
    ],
    exchangers: ['.am0.yahoodns.net'],
    incoming: implicit('pop.mail.yahoo.com'),
    outgoing: submission('smtp.mail.yahoo.com'),
    userName: 'address',
    appPassword: {
      needed: 'always',
      link: 'https://help.yahoo.com/kb/new-mail-for-desktop/pop-access-settings-instructions-yahoo-mail-sln4724.html',
    },
  },
  {
    id: 'yahoo-japan',
    name: 'Yahoo! JAPAN Mail',
    domains: ['yahoo.co.jp', 'ymail.ne.jp'],
    incoming: implicit('pop.mail.yahoo.co.jp'),
    outgoing: submission('smtp.mail.yahoo.co.jp'),
    userName: 'local-part',
    enablePop: {
      how: {
        en: 'In Yahoo! JAPAN Mail: Settings, "IMAP/POP/SMTP access", enable it for access beyond the official services.',
        ja: 'Yahoo!メールの「設定・利用規約」>「メールの設定」>「IMAP/POP/SMTPアクセスとメール転送」で、公式サービス以外からのアクセスを有効にしてください。',
      },
    },
    notes: {
      en: 'The user name is your Yahoo! JAPAN ID. If sign-in without a password is on, set a password for mail software first.',
      ja: 'ユーザー名は Yahoo! JAPAN ID です。パスワードを無効にしている場合は、先にメールソフト用のパスワードを設定してください。',
    },
  },
  // verified: ISPDB, zoho.com.xml and zoho.jp.xml. The servers of hosted domains: Zoho's help on POP.
  zoho('zoho', 'Zoho Mail', 'com', ['zoho.com', 'zohomail.com']),
  zoho('zoho-japan', 'Zoho Mail (Japan)', 'jp', ['zoho.jp', 'zohomail.jp']),
  zoho('zoho-europe', 'Zoho Mail (Europe)', 'eu', ['zoho.eu', 'zohomail.eu']),
  zoho('zoho-india', 'Zoho Mail (India)', 'in', ['zoho.in', 'zohomail.in']),
  // verified: ISPDB, messagingengine.com.xml.
  {
    id: 'fastmail',
    name: 'Fastmail',
    domains: ['fastmail.com', 'fastmail.fm'],
    exchangers: ['.messagingengine.com'],
    incoming: implicit('pop.fastmail.com'),
    outgoing: submission('smtp.fastmail.com'),
    userName: 'address',
    appPassword: { needed: 'always' },
  },
  // verified: ISPDB, gmx.com.xml, gmx.net.xml, web.de.xml (which also knows of the 15 minutes).
  {
    id: 'gmx',
    name: 'GMX',
    domains: ['gmx.net', 'gmx.de', 'gmx.at', 'gmx.ch', 'gmx.eu', 'gmx.biz', 'gmx.org', 'gmx.info'],
    incoming: implicit('pop.gmx.net'),
    outgoing: submission('mail.gmx.net'),
    userName: 'address',
    loginDelay: 900,
    appPassword: { needed: 'with-two-step-verification' },
    enablePop: GMX_ENABLE_POP('https://hilfe.gmx.net/pop-imap/einschalten.html'),
  },
  {
    id: 'gmx-com',
    name: 'GMX (gmx.com)',
    domains: ['gmx.com', 'gmx.us', 'gmx.co.uk', 'gmx.es', 'gmx.fr', 'gmx.ca', 'gmx.it', 'gmx.li'],
    incoming: implicit('pop.gmx.com'),
    outgoing: submission('mail.gmx.com'),
    userName: 'address',
    loginDelay: 900,
    appPassword: { needed: 'with-two-step-verification' },
    enablePop: GMX_ENABLE_POP(),
  },
  {
    id: 'web-de',
    name: 'WEB.DE',
    domains: ['web.de'],
    incoming: implicit('pop3.web.de'),
    outgoing: submission('smtp.web.de'),
    userName: 'local-part',
    loginDelay: 900,
    appPassword: { needed: 'with-two-step-verification' },
    enablePop: GMX_ENABLE_POP('https://hilfe.web.de/pop-imap/einschalten.html'),
  },
  // verified: ISPDB, me.com.xml: IMAP alone.
  {
    id: 'icloud',
    name: 'iCloud',
    domains: ['icloud.com', 'me.com', 'mac.com'],
    exchangers: ['.mail.icloud.com'],
    outgoing: starttls('smtp.mail.me.com'),
    userName: 'address',
    appPassword: { needed: 'always', link: 'https://support.apple.com/HT202304' },
    notes: {
      en: 'iCloud has no POP3. Forward the mail to a mailbox that has, or use the BCC dropbox.',
      ja: 'iCloud は POP3 に対応していません。POP3 を利用できるメールボックスへ転送するか、BCC ドロップボックスをご利用ください。',
    },
  },
  // verified: ISPDB, aol.com.xml.
  {
    id: 'aol',
    name: 'AOL Mail',
    domains: ['aol.com', 'aim.com', 'netscape.net', 'compuserve.com', 'aol.de', 'aol.fr', 'aol.it', 'aol.es', 'aol.co.uk'],
    exchangers: ['.gm0.yahoodns.net'],
    incoming: implicit('pop.aol.com'),
    outgoing: submission('smtp.aol.com'),
    userName: 'address',
    appPassword: { needed: 'always' },
  },
  // verified: ISPDB, ocn.ne.jp.xml.
  {
    id: 'ocn',
    name: 'OCN',
    domains: ['ocn.ne.jp', 'ocn.ad.jp'],
    incoming: implicit('pop.ocn.ne.jp'),
    outgoing: submission('smtp.ocn.ne.jp'),
    userName: 'address',
  },
  {
    id: 'so-net',
    name: 'So-net',
    domains: ['so-net.ne.jp'],
    incoming: implicit('pop.so-net.ne.jp'),
    outgoing: submission('mail.so-net.ne.jp'),
    userName: 'address',
  },
  // verified: ISPDB, biglobe.ne.jp; BIGLOBE's own help (faq_id 12413).
  {
    id: 'biglobe',
    name: 'BIGLOBE',
    domains: ['biglobe.ne.jp'],
    incoming: implicit('mail.biglobe.ne.jp'),
    outgoing: submission('mail.biglobe.ne.jp'),
    userName: 'address',
  },
  // verified for the incoming server: ISPDB, nifty.com.xml.
  {
    id: 'nifty',
    name: '@nifty',
    domains: ['nifty.com'],
    incoming: implicit('pop.nifty.com'),
    outgoing: submission('smtp.nifty.com'),
    userName: 'address',
    notes: {
      en: 'The password is the one for mail, not that of your @nifty ID.',
      ja: 'パスワードには @nifty ID のものではなく、メール用のパスワードを入力してください。',
    },
  },
  { id: 'au', name: 'au Mail', domains: ['au.com', 'ezweb.ne.jp'], userName: 'address', notes: CARRIER_NOTES },
  // verified: NTT docomo's specification of its IMAP interface, by an account of it: no POP3.
  { id: 'docomo', name: 'docomo Mail', domains: ['docomo.ne.jp'], userName: 'address', notes: CARRIER_NOTES },
  {
    id: 'softbank',
    name: 'SoftBank Mail',
    domains: ['softbank.ne.jp', 'i.softbank.jp', 'vodafone.ne.jp'],
    userName: 'address',
    notes: CARRIER_NOTES,
  },
  {
    id: 'sakura',
    name: 'Sakura Internet',
    domains: ['sakura.ne.jp'],
    exchangers: ['.sakura.ne.jp'],
    userName: 'address',
    notes: {
      en: 'Incoming and outgoing server are the first domain of your contract, such as example.sakura.ne.jp: POP3 at port 995 and SMTP at 465, both SSL/TLS.',
      ja: '受信・送信サーバーには契約時の初期ドメイン(例: example.sakura.ne.jp)を指定してください。ポートは POP3 が 995、SMTP が 465(いずれも SSL/TLS)です。',
    },
  },
  // verified: ports and user name, by a guide of an agency to its customers.
  {
    id: 'xserver',
    name: 'Xserver',
    domains: ['xsrv.jp'],
    exchangers: ['.xserver.jp', '.xsrv.jp'],
    userName: 'address',
    notes: {
      en: 'Incoming and outgoing server are your host, such as sv123.xserver.jp (see "Server information" in the server panel): POP3 at port 995 and SMTP at 465, both SSL/TLS.',
      ja: '受信・送信サーバーにはサーバーパネルの「サーバー情報」に記載のホスト名(例: sv123.xserver.jp)を指定してください。ポートは POP3 が 995、SMTP が 465(いずれも SSL/TLS)です。',
    },
  },
];

/** The preset of an address's own domain, or of a domain under it such as `taro@aa2.so-net.ne.jp`; undefined for all others. */
export function presetOfAddress(address: string): Preset | undefined {
  const domain = domainOf(address);
  return PRESETS.find(({ domains }) => domains.some((each) => domain === each || domain.endsWith(`.${each}`)));
}

/** The preset whose incoming or outgoing server this is. */
export function presetOfHost(host: string): Preset | undefined {
  const name = host.trim().toLowerCase().replace(/\.$/, '');
  return PRESETS.find(({ incoming, outgoing }) => incoming?.host === name || outgoing?.host === name) ?? MICROSOFT_HOSTS[name];
}

/** The provider that hosts a domain, by the names of its mail exchangers. */
export function presetOfExchangers(exchangers: readonly string[]): Preset | undefined {
  const names = exchangers.map((each) => `.${each.toLowerCase().replace(/\.$/, '')}`);
  const fits = (ends: readonly string[] = []) => names.some((name) => ends.some((end) => name.endsWith(end)));
  // The longest end first: Outlook.com's exchangers stand below those of Exchange Online.
  return PRESETS.filter((preset) => fits(preset.exchangers)).sort((a, b) => longest(b) - longest(a))[0];
}

const longest = ({ exchangers = [] }: Preset) => Math.max(...exchangers.map(({ length }) => length));

/** What a form is filled with for an address at a provider (POP-14). */
export function userNameFor({ userName }: Pick<Preset, 'userName'>, address: string): string {
  return userName === 'address' ? address : address.slice(0, address.lastIndexOf('@'));
}

/** Gmail's mark before a user name: the mail of the last 30 days, for each POP client anew (POP-17). Mail must be left there. */
export const isRecent = (userName: string): boolean => /^recent:/i.test(userName.trim());

const microsoft = PRESETS.find(({ id }) => id === 'exchange-online');
/** Servers that answer POP3 and take no password: advice is better than a puzzle. */
const MICROSOFT_HOSTS: Record<string, Preset | undefined> = { 'outlook.office365.com': microsoft, 'pop-mail.outlook.com': microsoft };
