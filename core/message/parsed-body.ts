/** One leaf of a mail, as a parser read it. */
export type ParsedLeaf =
  | { kind: 'text' | 'html'; text: string }
  | { kind: 'attachment'; type: string; size: number; filename?: string; contentId?: string; content?: Uint8Array };

/** A mail's body as a parser read it: its leaves in the order of the mail. */
export type ParsedBody = { leaves: ParsedLeaf[]; parser: 'mailparser' | 'postal-mime' };
