import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { App } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { AppStack } from '../lib/aws/app-stack.ts';
import { review } from '../lib/aws/review.ts';
import { bundle } from '../lib/bundle.ts';

const bundles = fileURLToPath(new URL('../.build/aws', import.meta.url));
await bundle(bundles);

const app = new App();
const stack = new AppStack(app, 'CrmMailAddon', {
  description: "Ties customers' mail to CRM records",
  mailDomain: app.node.getContext('mailDomain'),
  // Source maps stay here: Lambda reads them only with a flag that slows every cold start.
  code: (name) => Code.fromAsset(join(bundles, name), { exclude: ['*.map'] }),
});
review(app, stack);
