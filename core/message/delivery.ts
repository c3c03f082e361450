/** One mail as the receiving server handed it over: where its bytes lie, and what the envelope and the checks said. */
export type Delivery = {
  /** The receiver's id of it, the same on every redelivery. */
  id: string;
  /** Where the bytes lie. */
  rawKey: string;
  /** When the receiver took it, ISO 8601 UTC: the same on every redelivery, so it may stand in keys. */
  receivedAt: string;
  /** Envelope sender; empty for the null return path. */
  source: string;
  /** Envelope recipients on our domain, lower case. The dropbox address is nowhere else. */
  recipients: string[];
  verdicts: Verdicts;
};

/** What filing needs of a delivery, from wherever it came. */
export type Parcel = Pick<Delivery, 'id' | 'rawKey' | 'receivedAt'>;

export type Verdict = 'PASS' | 'FAIL' | 'GRAY' | 'PROCESSING_FAILED' | 'DISABLED';
export type Verdicts = { spam: Verdict; virus: Verdict; spf: Verdict; dkim: Verdict; dmarc: Verdict };
