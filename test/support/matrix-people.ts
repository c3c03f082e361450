import type { Answer } from './host.ts';
import { rawMail } from './tenant.ts';

/** The answer, if it has this status; else an error that shows it. */
export async function expectStatus(status: number, asking: Promise<Answer>): Promise<Answer> {
  const answer = await asking;
  if (answer.status !== status) throw new Error(`expected ${status}, got ${answer.status}: ${answer.text.slice(0, 500)}`);
  return answer;
}

/** A mail with one attachment. */
export function rawMailWithFile(headers: Record<string, string>, filename: string): string {
  const text = ['--cut', 'Content-Type: text/plain', '', 'See the file', '--cut', 'Content-Type: text/plain'];
  const file = [`Content-Disposition: attachment; filename="${filename}"`, '', 'content of the file', '--cut--', ''];
  const multipart = { 'MIME-Version': '1.0', 'Content-Type': 'multipart/mixed; boundary=cut' };
  return rawMail({ ...headers, ...multipart }, [...text, ...file].join('\r\n'));
}
