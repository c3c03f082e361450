/** A mail of these header fields and body lines. Characters up to U+00FF are one byte each, so that any charset can be written. */
export function mail(header: Record<string, string>, lines: string[] = []): Uint8Array {
  const fields = Object.entries(header).map(([name, value]) => `${name}: ${value}`);
  return Buffer.from([...fields, '', ...lines].join('\r\n'), 'latin1');
}
