import type { Verdict } from './can-see.ts';

type Words = { en: string; ja: string };

/** Why a mail may be seen, or may not, in words. `{owner}` is the name of who holds it. */
const WORDS: Record<Verdict['because'], Words> = {
  own: { en: 'It is your own mail.', ja: 'あなた自身のメールです。' },
  'filed-on-record': {
    en: '{owner} filed it on the record through the BCC dropbox: whoever may read the record sees it.',
    ja: '{owner}さんがBCCドロップボックスでこのデータに登録したメールです。データを閲覧できるユーザー全員に表示されます。',
  },
  ticked: {
    en: '{owner} shares mail record by record and has ticked "share mail" on this one.',
    ja: '{owner}さんはデータ単位でメールを共有しており、このデータで「メールの共有」を有効にしています。',
  },
  'backed-up': {
    en: 'An administrator backed up the mail of {owner}, so that colleagues can go on with it: whoever may read the record sees it.',
    ja: '管理者が{owner}さんのメールをバックアップしました。業務の引き継ぎのため、データを閲覧できるユーザー全員に表示されます。',
  },
  public: {
    en: '{owner} shares all mail of leads and contacts but for what is excluded.',
    ja: '{owner}さんは、除外対象を除き、見込み客と連絡先のメールをすべて共有しています。',
  },
  administrators: { en: '{owner} shares mail with administrators.', ja: '{owner}さんは管理者のみとメールを共有しています。' },
  private: { en: '{owner} shares no mail.', ja: '{owner}さんのメールは非公開です。' },
  'not-ticked': {
    en: '{owner} shares mail record by record, and "share mail" is not ticked on this one.',
    ja: '{owner}さんはデータ単位でメールを共有していますが、このデータでは「メールの共有」が有効になっていません。',
  },
  'excluded-domain': {
    en: 'An address or a domain of the other side is excluded from sharing.',
    ja: '相手のメールアドレスまたはドメインが共有の対象から除外されています。',
  },
  'administrators-only': { en: '{owner} shares mail with administrators alone.', ja: '{owner}さんは管理者のみとメールを共有しています。' },
  'owner-deactivated': {
    en: '{owner} is deactivated: the mail is out of sight until an administrator backs it up.',
    ja: '{owner}さんは無効化されています。管理者がバックアップするまでメールは表示されません。',
  },
};

/** A verdict in English and Japanese. */
export function inWords(because: Verdict['because'], owner: string): Words {
  const { en, ja } = WORDS[because];
  // By a function: in a text `$&` of a name would stand for what is replaced.
  const named = (words: string) => words.replace('{owner}', () => owner);
  return { en: named(en), ja: named(ja) };
}
