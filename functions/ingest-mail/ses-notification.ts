import * as z from 'zod';
import type { Delivery } from '../../core/message/delivery.ts';

const verdict = z.object({ status: z.enum(['PASS', 'FAIL', 'GRAY', 'PROCESSING_FAILED', 'DISABLED']).catch('GRAY') }).optional();

/** What SES publishes when a receipt rule's S3 action has a topic; only what is used. */
const sesNotification = z.object({
  notificationType: z.literal('Received'),
  mail: z.object({ timestamp: z.iso.datetime({ offset: true }), source: z.string().default(''), messageId: z.string().min(1).max(200) }),
  receipt: z.object({
    recipients: z.array(z.string()),
    spamVerdict: verdict,
    virusVerdict: verdict,
    spfVerdict: verdict,
    dkimVerdict: verdict,
    dmarcVerdict: verdict,
    action: z.object({ type: z.literal('S3'), objectKey: z.string() }),
  }),
});

/** What says that a mail came in, whatever else it says. */
const received = z.object({ notificationType: z.literal('Received') });

/** SES's word that a rule was made: it comes as a mail does, for nobody, and need not say all that a mail's does. */
const setUp = z.object({ mail: z.object({ messageId: z.literal('AMAZON_SES_SETUP_NOTIFICATION') }) });

/** The envelope SNS puts around a message for SQS when raw delivery is off. */
const snsEnvelope = z.object({ Type: z.literal('Notification'), Message: z.string() });

/** A delivery out of the queue's message. `undefined` for SES's own set-up note and the like. */
export function readDelivery(body: unknown): Delivery | undefined {
  const { Message } = snsEnvelope.parse(body);
  const notification = asJson(Message);
  if (!received.safeParse(notification).success || setUp.safeParse(notification).success) return undefined;
  // A mail that was told of in words we do not know is thrown, and ends in the dead-letter queue with an alarm.
  const { mail, receipt } = sesNotification.parse(notification);
  return {
    id: mail.messageId,
    rawKey: receipt.action.objectKey,
    receivedAt: new Date(mail.timestamp).toISOString(),
    source: mail.source === '<>' ? '' : mail.source.toLowerCase(),
    recipients: receipt.recipients.map((recipient) => recipient.toLowerCase()),
    verdicts: {
      spam: receipt.spamVerdict?.status ?? 'GRAY',
      virus: receipt.virusVerdict?.status ?? 'GRAY',
      spf: receipt.spfVerdict?.status ?? 'GRAY',
      dkim: receipt.dkimVerdict?.status ?? 'GRAY',
      dmarc: receipt.dmarcVerdict?.status ?? 'GRAY',
    },
  };
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
