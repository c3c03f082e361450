import type { Delivery, Verdict } from '../message/delivery.ts';

/**
 * A delivery out of what SES itself wrote above a stored mail, for when its notification was lost. Undefined when SES did
 * not store this mail under this id: only SES knows the id, so nobody can have forged that line. `recipients` is empty for a mail
 * with several recipients of ours: SES names one only when it is the only one.
 */
export function deliveryOf(id: string, rawKey: string, head: Uint8Array): Delivery | undefined {
  const fields = fieldsOf(Buffer.from(head).toString('latin1'));
  const first = (name: string) => fields.find(([field]) => field === name)?.[1];
  if (!/^\w+$/.test(id)) return undefined;
  const [, recipient, date] = new RegExp(`\\bwith SMTP id ${id}(?: for <?([^\\s<>;]+)>?)?;\\s*(.+)$`).exec(first('received') ?? '') ?? [];
  const at = Date.parse((date ?? '').replace(/\s*\(.*\)\s*$/, ''));
  if (Number.isNaN(at)) return undefined;
  const results = first('authentication-results') ?? '';
  const bySes = results.startsWith('amazonses.com') ? results : '';
  return {
    id,
    rawKey,
    receivedAt: new Date(at).toISOString(),
    source: (first('return-path') ?? '').replace(/^<|>$/g, '').toLowerCase(),
    recipients: recipient ? [recipient.toLowerCase()] : [],
    verdicts: {
      spam: asVerdict(first('x-ses-spam-verdict')),
      virus: asVerdict(first('x-ses-virus-verdict')),
      spf: resultOf('spf', bySes),
      dkim: resultOf('dkim', bySes),
      dmarc: resultOf('dmarc', bySes),
    },
  };
}

/** Names in small letters, values unfolded, as far as the first empty line. */
function fieldsOf(text: string): [string, string][] {
  const [head = ''] = text.split(/\r?\n\r?\n/, 1);
  return head.split(/\r?\n(?![ \t])/).flatMap((line): [string, string][] => {
    const colon = line.indexOf(':');
    const value = line.slice(colon + 1).replace(/\r?\n[ \t]+/g, ' ');
    return colon < 1 ? [] : [[line.slice(0, colon).toLowerCase(), value.trim()]];
  });
}

const VERDICTS: readonly string[] = ['PASS', 'FAIL', 'GRAY', 'PROCESSING_FAILED', 'DISABLED'] satisfies Verdict[];

const asVerdict = (text: string | undefined): Verdict => (VERDICTS.includes(text ?? '') ? (text as Verdict) : 'GRAY');

/** RFC 8601's words as SES's verdicts. A mail may have several signatures: one that passes is enough. */
function resultOf(method: string, results: string): Verdict {
  const found = [...results.matchAll(new RegExp(`\\b${method}=(\\w+)`, 'g'))].map(([, word]) => word?.toLowerCase());
  if (found.includes('pass')) return 'PASS';
  if (found.includes('fail')) return 'FAIL';
  return found.includes('temperror') ? 'PROCESSING_FAILED' : 'GRAY';
}
