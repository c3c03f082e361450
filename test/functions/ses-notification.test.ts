import { readDelivery } from '../../functions/ingest-mail/ses-notification.ts';

const received = {
  notificationType: 'Received',
  mail: { timestamp: '2026-03-01T09:00:00.000Z', source: 'mika@example.com', messageId: 'abc' },
  receipt: {
    recipients: ['SECRET@in.example.com'],
    spamVerdict: { status: 'PROCESSING_FAILED' },
    virusVerdict: { status: 'SOMETHING_NEW' },
    action: { type: 'S3', objectKey: 'raw/abc' },
  },
};
const told = (message: unknown) => readDelivery({ Type: 'Notification', Message: JSON.stringify(message) });

test('a notification is a delivery; what the checks do not say, or say in new words, is unsure', () => {
  expect(told(received)).toEqual({
    id: 'abc',
    rawKey: 'raw/abc',
    receivedAt: '2026-03-01T09:00:00.000Z',
    source: 'mika@example.com',
    recipients: ['secret@in.example.com'],
    verdicts: { spam: 'PROCESSING_FAILED', virus: 'GRAY', spf: 'GRAY', dkim: 'GRAY', dmarc: 'GRAY' },
  });
});

test('a mail of the null return path, or without any source, is a delivery', () => {
  expect(told({ ...received, mail: { ...received.mail, source: '<>' } })?.source).toBe('');
  expect(told({ ...received, mail: { ...received.mail, source: undefined } })?.source).toBe('');
});

test("SES's own note of a set-up is no delivery", () => {
  expect(
    readDelivery({ Type: 'Notification', Message: 'Successfully validated SNS topic for Amazon SES event publishing.' }),
  ).toBeUndefined();
  expect(told({ notificationType: 'AmazonSnsSubscriptionSucceeded' })).toBeUndefined();
  const mail = { ...received.mail, messageId: 'AMAZON_SES_SETUP_NOTIFICATION' };
  expect(told({ ...received, mail })).toBeUndefined();
  expect(told({ notificationType: 'Received', mail })).toBeUndefined();
});

test('a mail told of in words we do not know is thrown, never dropped: the queue keeps it', () => {
  expect(() => told({ ...received, receipt: { ...received.receipt, action: { type: 'S3' } } })).toThrow();
  expect(() => told({ ...received, mail: { ...received.mail, messageId: undefined } })).toThrow();
  expect(() => readDelivery({ Type: 'Else' })).toThrow();
});

test('a mail for more than a hundred of us is a delivery', () => {
  const recipients = Array.from({ length: 101 }, (_, i) => `r${i}@in.example.com`);
  expect(told({ ...received, receipt: { ...received.receipt, recipients } })?.recipients).toHaveLength(101);
});
