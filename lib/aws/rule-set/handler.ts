import { setTimeout as pause } from 'node:timers/promises';
import { DescribeActiveReceiptRuleSetCommand, SESClient, SetActiveReceiptRuleSetCommand } from '@aws-sdk/client-ses';

/** What the template says: the rule set this stage's rule is in, and whether it is somebody else's that it only joins. */
export type Wanted = { RuleSetName?: string; Joins?: string };

/** What CloudFormation sends a custom resource, as far as it is read here. */
export type Request = {
  RequestType: 'Create' | 'Update' | 'Delete';
  ResponseURL: string;
  StackId: string;
  RequestId: string;
  LogicalResourceId: string;
  PhysicalResourceId?: string;
  ResourceProperties: Wanted;
  OldResourceProperties?: Wanted;
};

/** A role has its rights some seconds after CloudFormation says so. */
const TRIES = 8;
const PAUSE_MS = 5000;

/**
 * When the stack is made, changed or removed: SES receives by one rule set in an account and region, so this stage's own is made the
 * active one where none is, and let go when the stage goes. Another's is never taken over and never let go: the deployment fails, and
 * says what to do.
 */
export async function handler(request: Request): Promise<void> {
  const reason = await whyNot(request);
  const { StackId, RequestId, LogicalResourceId, PhysicalResourceId = 'active-receipt-rule-set' } = request;
  const Status = reason === undefined ? 'SUCCESS' : 'FAILED';
  const answer = JSON.stringify({ Status, Reason: reason ?? '', StackId, RequestId, LogicalResourceId, PhysicalResourceId });
  // With a content type the signature of CloudFormation's link would not fit.
  const heard = await fetch(request.ResponseURL, { method: 'PUT', headers: { 'content-type': '' }, body: Buffer.from(answer) });
  if (!heard.ok) throw new Error(`CloudFormation did not take the answer: ${heard.status}`);
}

async function whyNot(request: Request): Promise<string | undefined> {
  try {
    return await settle(request);
  } catch (error) {
    return `SES could not be asked: ${(error as Error).message}`;
  }
}

/** Does what can be done. Answers why it may not be done. */
async function settle({ RequestType, ResourceProperties: wanted, OldResourceProperties: before }: Request): Promise<string | undefined> {
  const ses = new SESClient({});
  const { Metadata, Rules = [] } = await patiently(() => ses.send(new DescribeActiveReceiptRuleSetCommand({})));
  const active = Metadata?.Name;
  const activate = (name?: string) => patiently(() => ses.send(new SetActiveReceiptRuleSetCommand({ RuleSetName: name })));
  if (RequestType === 'Delete') {
    if (active !== wanted.RuleSetName || wanted.Joins) return undefined;
    if (Rules.length > 1) return othersIn(active ?? '', Rules.length - 1);
    await activate(undefined);
    return undefined;
  }
  if (active === wanted.RuleSetName) return undefined;
  const free = active === undefined || (active === before?.RuleSetName && !before?.Joins);
  if (free && !wanted.Joins) {
    await activate(wanted.RuleSetName);
    return undefined;
  }
  // Received before by neither: there is nothing to lose, and the way back from a deployment that failed must be open.
  if (RequestType === 'Update' && active !== before?.RuleSetName) return undefined;
  return wanted.Joins ? notActive(wanted.RuleSetName ?? '', active) : taken(active ?? '');
}

const taken = (active: string) =>
  `SES receives mail in this account and region by the rule set "${active}", and by one only. Deploy this stage in another region or account, or let it add its rule to that set: -c receiptRuleSet=${active}`;

const notActive = (joined: string, active = 'none') =>
  `receiptRuleSet is "${joined}", but the rule set by which SES receives in this account and region is "${active}". Name that one, or leave receiptRuleSet out to receive by a set of this stage's own.`;

const othersIn = (active: string, count: number) =>
  `The rule set "${active}" has ${count} more, of others: without it SES would receive nothing for them. Remove those stages first.`;

async function patiently<T>(call: () => Promise<T>): Promise<T> {
  for (let left = TRIES - 1; ; left--) {
    try {
      return await call();
    } catch (error) {
      if (left === 0 || !/^AccessDenied/.test((error as Error).name)) throw error;
      await pause(PAUSE_MS);
    }
  }
}
