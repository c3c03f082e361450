const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

/** RFC 5322 4.3: the only zone names that mean something; the rest, and the military letters, count as UTC. */
const ZONES: Record<string, number> = { edt: -4, est: -5, cdt: -5, cst: -6, mdt: -6, mst: -7, pdt: -7, pst: -8, jst: 9 };

const TIME = String.raw`(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:\.\d+)?)?`;
const ZONE = String.raw`(?:\s*\(?((?:gmt|utc?)?[+-]\d{1,2}:?\d{2}|[a-z]{1,5})\b)?`;
const FORMS = {
  /** Mon, 2 Jan 2023 15:04:05 +0900, and the obsolete 2-Jan-23 15:04 EST. */
  mail: new RegExp(String.raw`^(?:[a-z]{2,9}\.?,?\s*)?(\d{1,2})[\s-]+([a-z]{3,9})\.?,?[\s-]+(\d{2,4})[\s,]+${TIME}${ZONE}`, 'i'),
  /** Mon Jan  2 15:04:05 2023, as C's asctime and old Unix mailers write. */
  unix: new RegExp(
    String.raw`^[a-z]{3,9},?\s+([a-z]{3,9})\s+(\d{1,2}),?\s+${TIME}(?:\s+([a-z]{3,4}|[+-]\d{4}))?\s+(\d{4})(?:\s+([+-]\d{4}))?`,
    'i',
  ),
  /** 2023-01-02T15:04:05Z, as programs write. */
  iso: new RegExp(String.raw`^(\d{4})-(\d{2})-(\d{2})[T\s]+${TIME}\s*(Z|[+-]\d{2}:?\d{2})?`, 'i'),
};

/**
 * The time a Date header says: RFC 5322, its obsolete forms, and the two wrong ones that are common. Undefined for
 * everything else, the 31st of February included: never "now", and never a guess by the platform's own parser.
 */
export function parseMailDate(header: string): Date | undefined {
  const text = withoutComments(header.slice(0, 200)).trim();
  let m = FORMS.mail.exec(text);
  if (m) return timeOf(year(m[3]!), month(m[2]!), m[1]!, m[4]!, m[5]!, m[6], m[7]);
  m = FORMS.unix.exec(text);
  if (m) return timeOf(Number(m[7]), month(m[1]!), m[2]!, m[3]!, m[4]!, m[5], m[8] ?? m[6]);
  m = FORMS.iso.exec(text);
  if (m) return timeOf(Number(m[1]), Number(m[2]), m[3]!, m[4]!, m[5]!, m[6], m[7]);
  return undefined;
}

function timeOf(y: number, mo: number, day: string, hour: string, minute: string, second = '0', zone = ''): Date | undefined {
  const [d, h, mi, s] = [Number(day), Number(hour), Number(minute), Number(second)];
  const offset = offsetMinutes(zone);
  if (mo < 1 || mo > 12 || d < 1 || d > daysIn(y, mo) || h > 23 || mi > 59 || s > 60 || offset === undefined) return undefined;
  const utc = new Date(0);
  utc.setUTCFullYear(y, mo - 1, d);
  // A leap second has no place in a JavaScript time.
  utc.setUTCHours(h, mi - offset, Math.min(s, 59));
  return utc;
}

/** RFC 5322 4.3: two digits below 50 are of this century, other two or three digits count from 1900. */
function year(text: string): number {
  const value = Number(text);
  if (text.length === 4) return value;
  return value + (text.length === 2 && value < 50 ? 2000 : 1900);
}

function month(name: string): number {
  return MONTHS.indexOf(name.slice(0, 3).toLowerCase()) + 1;
}

function daysIn(y: number, mo: number): number {
  const end = new Date(0);
  end.setUTCFullYear(y, mo, 0);
  return end.getUTCDate();
}

function offsetMinutes(zone: string): number | undefined {
  const digits = /([+-])(\d{1,2}):?(\d{2})$/.exec(zone);
  if (!digits) return (ZONES[zone.toLowerCase()] ?? 0) * 60;
  const minutes = Number(digits[2]) * 60 + Number(digits[3]);
  if (Number(digits[3]) > 59 || minutes > 14 * 60) return undefined;
  return digits[1] === '-' ? -minutes : minutes;
}

function withoutComments(text: string): string {
  let result = '';
  let depth = 0;
  for (const char of text) {
    if (char === '(') depth++;
    else if (char === ')') depth = Math.max(0, depth - 1);
    else if (depth === 0) result += char;
  }
  return result;
}
