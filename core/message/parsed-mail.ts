/** A mail as the parser hands it on: everything the product needs, nothing it does not. Plain data, crosses threads. */
export type ParsedMail = {
  /** Content of the Message-ID header without its angle brackets; undefined when absent or empty. */
  messageId?: string;
  /** Ids of References, oldest first, then In-Reply-To if it is not among them. At most 100. Without angle brackets. */
  references: string[];
  subject: string;
  /** The Date header as an ISO 8601 UTC time; undefined when absent or unreadable (never "now"). */
  date?: string;
  /** The Date header's text as it stands: part of what tells two mails apart. */
  dateHeader?: string;
  from: MailAddress[];
  sender?: MailAddress;
  to: MailAddress[];
  cc: MailAddress[];
  /**
   * Whom From, and To and CC, name beside those above: those beyond the thousandth, a second address in the place of one, and `@` and the
   * domain of what is none that can be matched. Nothing is tied by them; they are there for exclusions, which must miss nobody.
   */
  others?: { from: string[]; recipients: string[] };
  bcc: MailAddress[];
  replyTo: MailAddress[];
  /** Plain text; made from the HTML when the mail has only that. */
  text: string;
  /** HTML as it was sent: hostile until sanitised. */
  html?: string;
  attachments: Attachment[];
  /** Why this mail counts as automatic, by the header that says so; undefined when a person sent it. */
  automatic?: 'auto-submitted' | 'null-return-path' | 'precedence' | 'list' | 'auto-response-suppress';
  /** `d=` domains of its DKIM signatures, lower case: what DKIM's verdict can be aligned with. */
  dkimDomains: string[];
  /** The product's own mark (X-Crm-Mail-Addon), set on every mail it sends. */
  ownMark?: string;
  /** Header lines in order, decoded, for display: [name as written, value]. At most 200, each value at most 2,000 characters. */
  headers: [string, string][];
  /** Which parser's result this is: the second opinion is asked when the first fails or comes back empty. */
  parser: 'mailparser' | 'postal-mime';
};

export type MailAddress = {
  /** Normalised (`normaliseAddress`): lower case, domain in ASCII (punycode). */
  address: string;
  /** The decoded display name, empty when there is none. */
  name: string;
};

export type Attachment = {
  /** Position in the mail, from 0: the attachment's id. */
  index: number;
  filename: string;
  contentType: string;
  /** Decoded bytes. */
  size: number;
  /** Content-ID without angle brackets, when an HTML body may refer to it. */
  contentId?: string;
  /** Shown inside the body (disposition inline and referred to by cid:). */
  inline: boolean;
};
