import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import * as z from 'zod';
import { reconcileRawMail } from '../../core/dropbox/reconcile-store.ts';
import type { Delivery } from '../../core/message/delivery.ts';
import { inboundQueue, mailBucket, setting, table } from '../connect.ts';
import { log } from '../edge/log.ts';

/** Left for the page in hand: a thousand objects, twenty at once. */
const NEEDS_MS = 60_000;

/** Mail that is younger may still be on its way: five tries of six minutes, and then some. */
const DEFAULT_MINUTES = 60;

const asked = z.object({ minutes: z.number().min(0).default(DEFAULT_MINUTES) });

/** Once a day, or when an operator asks: raw mail without an outcome is handed in again. */
export const handler = middy().handler(async (event: unknown, context: Context) => {
  const { minutes } = asked.parse(event ?? {});
  const room = {
    table: table(),
    mailDomain: setting('MAIL_DOMAIN'),
    list: (after: string | undefined) => mailBucket().list('raw/', after),
    readBeginning: (key: string, bytes: number) => mailBucket().readBeginning(key, bytes),
    again: (delivery: Delivery) => inboundQueue().send(asNotification(delivery)),
  };
  const hasTime = () => context.getRemainingTimeInMillis() > NEEDS_MS;
  const result = await reconcileRawMail(room, new Date(), { minutes, hasTime });
  if (result.unknown.length > 0) log.warn('mail for several recipients cannot be reconciled', { keys: result.unknown.slice(0, 100) });
  log.info('raw mail reconciled', { ...result, unknown: result.unknown.length });
  return result;
});

/** The notification that was lost, as SES publishes it and SNS wraps it. */
function asNotification({ id, rawKey, receivedAt, source, recipients, verdicts }: Delivery): object {
  const { spam, virus, spf, dkim, dmarc } = verdicts;
  const notification = {
    notificationType: 'Received',
    mail: { timestamp: receivedAt, source, messageId: id },
    receipt: {
      recipients,
      spamVerdict: { status: spam },
      virusVerdict: { status: virus },
      spfVerdict: { status: spf },
      dkimVerdict: { status: dkim },
      dmarcVerdict: { status: dmarc },
      action: { type: 'S3', objectKey: rawKey },
    },
  };
  return { Type: 'Notification', Message: JSON.stringify(notification) };
}
