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
