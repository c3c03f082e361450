import type { Node } from 'constructs';
import type { FunctionName } from '../../functions/manifest.ts';

/** What differs between deployments: the context of cdk.json, and `-c name=value` on the command line. */
export type Stage = {
  name: string;
  /** The domain whose mail SES receives for us. */
  mailDomain: string;
  /** Who is told of alarms and bounces by mail; nobody when it is empty. */
  alarmEmail: string;
  /** A name of one's own for the API, and the ARN of its certificate in the same region; both or none. A deployment says `none`. */
  apiDomain: string;
  apiCertificate: string;
  /** The rule set by which SES receives in this account and region already, when the stage's rule is to join it; else empty. */
  receiptRuleSet: string;
  /** Table, bucket and key outlive the stack, and the table refuses to be deleted. */
  keepData: boolean;
  /** Hours without any mail that are worth an alarm, 24 at most; 0 for no such alarm. */
  quietHours: number;
  /** Executions kept for a function, and its most: a flood of one then leaves the others theirs. */
  reserved: Partial<Record<FunctionName, number>>;
};

/** The domain of cdk.json as it came, and its like: names that are nobody's (RFC 2606). */
const EXAMPLE = /(^|\.)example(\.(com|net|org))?$/;

/** What `apiDomain` is set to when the API is to have no name of its own. */
const NO_NAME = 'none';
const NAMELESS =
  "A name of the API's own would be taken away. Say which it has, in cdk.json or by -c apiDomain=api.your-domain; -c apiDomain=none when it has none.";

/** Reads the stage that context names. Throws what is wrong in words that say what to do. */
export function stageOf(node: Node): Stage {
  const name: string = node.getContext('stage');
  const stages = node.getContext('stages') as Record<string, Pick<Stage, 'keepData' | 'quietHours' | 'reserved'>>;
  const stage = stages[name];
  if (!stage) throw new Error(`There is no stage "${name}" in cdk.json; it has ${Object.keys(stages).join(', ')}.`);
  if (stage.quietHours > 24) throw new Error('quietHours is 24 at most: CloudWatch looks back no further.');
  const setting = (key: string): string => node.tryGetContext(key) ?? '';
  const apiDomain = setting('apiDomain') === NO_NAME ? '' : setting('apiDomain');
  const apiCertificate = setting('apiCertificate');
  if (Boolean(apiDomain) !== Boolean(apiCertificate)) throw new Error('apiDomain and apiCertificate need each other.');
  // In small letters: IAM holds senders to it, and it minds the difference.
  const mailDomain = setting('mailDomain').trim().toLowerCase();
  const known = {
    ...stage,
    name,
    mailDomain,
    alarmEmail: setting('alarmEmail'),
    apiDomain,
    apiCertificate,
    receiptRuleSet: setting('receiptRuleSet'),
  };
  if (node.tryGetContext('deploying')) {
    refuseForgotten(known);
    if (!setting('apiDomain')) throw new Error(NAMELESS);
  }
  return known;
}

/**
 * What was left out of the command line is not kept from the deployment before, but taken away: the domain from SES, and with it
 * all mail; the subscription to the alarms.
 */
function refuseForgotten({ mailDomain, alarmEmail, keepData }: Stage): void {
  if (!/^([a-z0-9-]+\.)+[a-z0-9-]+$/.test(mailDomain) || EXAMPLE.test(mailDomain))
    throw new Error(`mailDomain is "${mailDomain}". Say which domain receives the mail, in cdk.json or by -c mailDomain=in.your-domain.`);
  if (keepData && !alarmEmail)
    throw new Error('Nobody would be told of alarms. Say who is, in cdk.json or by -c alarmEmail=you@your-domain.');
}
