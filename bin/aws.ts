import { App } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { AppStack } from '../lib/aws/app-stack.ts';
import { review } from '../lib/aws/review.ts';

const app = new App();
const stack = new AppStack(app, 'CrmMailAddon', {
  description: "Ties customers' mail to CRM records",
  mailDomain: app.node.getContext('mailDomain'),
  code: () => Code.fromInline('export const handler = 1'),
});
review(app, stack);
