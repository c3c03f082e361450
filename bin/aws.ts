import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { App } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { AppStack, functionsOfTheStack } from '../lib/aws/app-stack.ts';
import { review } from '../lib/aws/review.ts';
import { stageOf } from '../lib/aws/stage.ts';
import { bundle } from '../lib/bundle.ts';

const bundles = fileURLToPath(new URL('../.build/aws', import.meta.url));
const { sizes } = await bundle(bundles, functionsOfTheStack);
for (const [name, bytes] of Object.entries(sizes)) console.log(`${name.padEnd(16)} ${(bytes / 1024).toFixed(0).padStart(5)} KB`);

const app = new App();
const stage = stageOf(app.node);
new AppStack(app, `CrmMailAddon-${stage.name}`, {
  description: "Ties customers' mail to CRM records",
  stage,
  terminationProtection: stage.keepData,
  // Source maps stay here: Lambda reads them only with a flag that slows every cold start.
  code: (name) => Code.fromAsset(join(bundles, name), { exclude: ['*.map'] }),
});
review(app);
