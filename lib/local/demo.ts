import type { Host } from './host.ts';

/** Called once, when the state is new. */
export async function firstStart(_host: Host): Promise<void> {}

/** What a person needs next. */
export async function welcome(host: Host): Promise<string[]> {
  return [
    '',
    `  API      ${host.apiUrl}   (documentation: ${host.apiUrl}/docs)`,
    `  SMTP     127.0.0.1:${host.smtpPort}, for mail to @${host.settings.MAIL_DOMAIN}`,
    `  Outbox   ${host.outboxUrl}/outbox`,
    '',
  ];
}
