import { CfnOutput, Stack } from 'aws-cdk-lib';
import { ConfigurationSet, EmailIdentity, EmailSendingEvent, EventDestination, Identity, SuppressionReasons } from 'aws-cdk-lib/aws-ses';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';

/**
 * The product's own mail (codes, invitations): what bounces or is complained about is told to the operator, and such an
 * address is not written to again. The set is the domain's default: no sender can forget to name it.
 */
export class OutboundEmail extends Construct {
  /**
   * Who sends needs rights on all: a default set is asked for as if it had been named, and in the sandbox the address a mail goes to,
   * an identity there, is asked for too. Whom a mail is from is the grant's condition.
   */
  readonly arns: string[];

  constructor(scope: Construct, id: string, domain: string, troubles: ITopic) {
    super(scope, id);
    const configurationSet = new ConfigurationSet(this, 'Set', {
      reputationMetrics: true,
      suppressionReasons: SuppressionReasons.BOUNCES_AND_COMPLAINTS,
    });
    configurationSet.addEventDestination('Troubles', {
      destination: EventDestination.snsTopic(troubles),
      events: [EmailSendingEvent.BOUNCE, EmailSendingEvent.COMPLAINT, EmailSendingEvent.REJECT],
    });
    const identity = new EmailIdentity(this, 'Domain', {
      identity: Identity.domain(domain),
      configurationSet,
      // What bounces is told by the set's topic. By mail it would go to the sender, whose mail comes in at our own door.
      feedbackForwarding: false,
    });
    for (const [i, { name, value }] of identity.dkimRecords.entries()) {
      new CfnOutput(Stack.of(this), `Dkim${i + 1}`, { value: `${name} CNAME ${value}` });
    }
    const arn = (resource: string, resourceName: string) => Stack.of(this).formatArn({ service: 'ses', resource, resourceName });
    this.arns = [arn('identity', '*'), arn('configuration-set', configurationSet.configurationSetName)];
  }
}
