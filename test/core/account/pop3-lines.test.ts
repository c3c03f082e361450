import { MultiLine } from '../../../core/account/pop3-lines.ts';

/** A mail as a server sends it: dots stuffed, the terminator behind it. */
const answerOf = (mail: string) => Buffer.from(`${mail.replace(/^\./, '..').replaceAll('\r\n.', '\r\n..')}.\r\n`, 'latin1');

/** What comes of an answer that arrives in these packets. */
function received(packets: Buffer[], likely?: number): Buffer {
  const body = new MultiLine(1_000_000, likely);
  for (const packet of packets) expect(body.take(packet, 0)).toBe(packet.length);
  expect(body.complete).toBe(true);
  return body.bytes();
}

const MAILS = ['', '\r\n', 'a\r\n', '.\r\n', '..\r\n.\r\n', 'a\r\n.b\r\n\r\n.\r\nc\r\n', 'a\rb\nc\r\r\n.\n.\r.\r\n', '\r\r\n', '.\r\r\n'];

describe('a mail comes byte by byte, wherever its packets end', () => {
  test.each(MAILS)('%j in one packet, in two and in three, each as LIST told or not', (mail) => {
    const answer = answerOf(mail);
    const expected = Buffer.from(mail, 'latin1');
    for (let first = 0; first <= answer.length; first++) {
      for (let second = first; second <= answer.length; second++) {
        const packets = [answer.subarray(0, first), answer.subarray(first, second), answer.subarray(second)];
        for (const likely of [undefined, 0, 1, mail.length]) expect(received(packets, likely)).toEqual(expected);
      }
    }
  });

  test('what was received stays as it is while the next parts come', () => {
    const [first, second] = [answerOf('one\r\n'), answerOf('.two\r\n')];
    const packet = Buffer.concat([first, second]);
    const one = new MultiLine(100);
    const next = one.take(packet, 0);
    const kept = one.bytes();
    const two = new MultiLine(100);
    expect(two.take(packet, next)).toBe(packet.length);
    expect([kept, two.bytes()].map(String)).toEqual(['one\r\n', '.two\r\n']);
    expect(packet).toEqual(Buffer.concat([first, second]));
  });
});

describe('memory', () => {
  const mail = `${'x'.repeat(50_000)}\r\n`;
  /** Memory of its own, as what a socket brings has. */
  const packetOf = (...parts: Buffer[]) => {
    const bytes = Buffer.concat(parts);
    return Buffer.alloc(bytes.length, bytes);
  };

  test('a mail that fills its packet is not copied', () => {
    const packet = packetOf(answerOf(mail));
    expect(received([packet]).buffer).toBe(packet.buffer);
  });

  test('a small mail does not hold the packet it came in', () => {
    const packet = packetOf(answerOf('a\r\n'), Buffer.from('+OK\r\n'.repeat(10)));
    const body = new MultiLine(1_000_000);
    body.take(packet, 0);
    expect(String(body.bytes())).toBe('a\r\n');
    expect(body.bytes().buffer).not.toBe(packet.buffer);
  });

  test('a mail in many packets takes what LIST told; told too little or too much, no more than twice its size', () => {
    const answer = answerOf(mail);
    const packets = Array.from({ length: 51 }, (_, i) => packetOf(answer.subarray(i * 1000, (i + 1) * 1000)));
    const memoryFor = (likely: number) => received(packets, likely).buffer.byteLength;
    expect(memoryFor(mail.length)).toBe(mail.length);
    expect(memoryFor(5000)).toBeLessThanOrEqual(2 * mail.length);
    expect(memoryFor(1_000_000)).toBeLessThanOrEqual(2 * mail.length);
  });
});
