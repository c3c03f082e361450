import { type SESClient, SendRawEmailCommand } from '@aws-sdk/client-ses';
import MailComposer from 'nodemailer/lib/mail-composer/index.js';
import { sha256 } from '../ids.ts';
import { quotedAddress } from '../message/address.ts';

/** A mail of the product's own, such as a code. */
export type ProductMail = { to: string; subject: string; text: string };

/** Sends the product's own mail through SES. */
export class Outbound {
  private readonly ses: SESClient;
  private readonly sender: string;
  private readonly mailDomain: string;

  constructor(ses: SESClient, sender: string, mailDomain: string) {
    this.ses = ses;
    this.sender = sender;
    this.mailDomain = mailDomain;
  }

  /** Marked as automatic (RFC 3834), so that nobody's responder answers it, and as ours, so that we never file it. */
  async send(mail: ProductMail): Promise<void> {
    const composer = new MailComposer({
      from: { name: 'CRM mail', address: this.sender },
      to: { name: '', address: mail.to },
      subject: mail.subject,
      text: mail.text,
      // Never base64: a code must stay readable in a raw source.
      textEncoding: 'quoted-printable',
      headers: {
        'Auto-Submitted': 'auto-generated',
        'X-Auto-Response-Suppress': 'All',
        'X-Crm-Mail-Addon': ownMark(this.mailDomain),
      },
    });
    const raw = await composer.compile().build();
    await this.ses.send(
      new SendRawEmailCommand({ Source: this.sender, Destinations: [quotedAddress(mail.to)], RawMessage: { Data: raw } }),
    );
  }
}

/** The mark on every mail the product sends, so that it knows them again: an answer to an answer would go on for ever. */
export const ownMark = (mailDomain: string) => sha256('crm-mail-addon', mailDomain).slice(0, 32);
