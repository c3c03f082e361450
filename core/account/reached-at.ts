import { parseMailDate } from '../message/mail-date.ts';

/**
 * When a mail reached the server it lies on, out of its header: the topmost Received line is that server's own; without one, what
 * the sender says. Undefined when neither can be read.
 */
export function reachedAt(header: Uint8Array): Date | undefined {
  const fields = Buffer.from(header.subarray(0, LOOKED_AT))
    .toString('latin1')
    .split(/\r?\n\r?\n/, 1)[0] as string;
  const lines = fields.split(/\r?\n(?![ \t])/);
  const received = fieldOf(lines, 'received');
  const date = received === undefined ? undefined : parseMailDate(received.slice(received.lastIndexOf(';') + 1));
  return date ?? parseMailDate(fieldOf(lines, 'date') ?? '');
}

const LOOKED_AT = 64 * 1024;

function fieldOf(lines: string[], name: string): string | undefined {
  const line = lines.find((each) => each.slice(0, name.length + 1).toLowerCase() === `${name}:`);
  return line?.slice(name.length + 1).replace(/\r?\n[ \t]+/g, ' ');
}
