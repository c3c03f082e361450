import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { AppStack } from '../../lib/aws/app-stack.ts';
import { stageOf } from '../../lib/aws/stage.ts';

// biome-ignore lint/suspicious/noExplicitAny: a CloudFormation template is whatever it is
export type Json = any;
export type Resource = { Type: string; Properties: Json; DependsOn?: string[]; DeletionPolicy?: string; Metadata?: Record<string, string> };
export type Template = { Resources: Record<string, Resource>; Outputs: Record<string, Json> };

export const MAIL_DOMAIN = 'mail.example.com';

/** The template as `cdk synth` makes it, without bundling, and without the reviews, which `npm run synth` runs. */
export function synthesise(stage: 'dev' | 'prod' = 'prod', more: Record<string, string> = {}): Template {
  process.env.CDK_VALIDATION = 'false';
  const outdir = mkdtempSync(join(tmpdir(), 'synth-'));
  try {
    const { context } = JSON.parse(readFileSync(new URL('../../cdk.json', import.meta.url), 'utf8'));
    const app = new App({
      context: { ...context, stage, alarmEmail: 'operator@example.com', 'aws:cdk:enable-path-metadata': true, ...more },
      outdir,
      analyticsReporting: false,
    });
    new AppStack(app, 'Test', { stage: stageOf(app.node), code: () => Code.fromInline('export const handler = 1;') });
    return app.synth().getStackByName('Test').template;
  } finally {
    rmSync(outdir, { recursive: true });
  }
}

/** A template, asked in the manifest's words. */
export class Asked {
  private readonly template: Template;

  constructor(template: Template) {
    this.template = template;
  }

  all(type: string): Resource[] {
    return Object.values(this.template.Resources).filter((resource) => resource.Type === type);
  }

  one(type: string): Resource {
    const found = this.all(type);
    if (found.length !== 1) throw new Error(`${found.length} of ${type}, not 1`);
    return found[0]!;
  }

  types(): string[] {
    return [...new Set(Object.values(this.template.Resources).map(({ Type }) => Type))].sort();
  }

  /** `{ Ref }` or `{ Fn::GetAtt }` -> the resource it points to. */
  at(reference: Json): Resource {
    const id = reference?.Ref ?? reference?.['Fn::GetAtt']?.[0];
    const found = this.template.Resources[id];
    if (!found) throw new Error(`Nothing at ${JSON.stringify(reference)}`);
    return found;
  }

  /** The name the manifest gives a resource: `.../Queues/Inbound/Resource` -> `inbound`. */
  name(reference: Json): string {
    return nameOf(this.at(reference));
  }

  /** An ARN or a string of a policy, with references as names: `mail/raw/*`. */
  text(value: Json): string {
    if (typeof value === 'string') return value;
    if (value['Fn::Join']) return value['Fn::Join'][1].map((part: Json) => this.text(part)).join('');
    if (String(value.Ref).startsWith('AWS::')) return `<${value.Ref.slice(5)}>`;
    return this.name(value);
  }

  /** Every right of a role, one line each: action, resource, condition. */
  rights(role: Json): string[] {
    const policies = this.all('AWS::IAM::Policy').filter((policy) => policy.Properties.Roles.some((ref: Json) => ref.Ref === role.Ref));
    return policies
      .flatMap((policy) => policy.Properties.PolicyDocument.Statement)
      .flatMap((statement) => {
        if (statement.Effect !== 'Allow' || statement.NotAction || statement.NotResource)
          return [`not a plain grant: ${JSON.stringify(statement)}`];
        const condition = statement.Condition ? ` if ${JSON.stringify(statement.Condition)}` : '';
        return list(statement.Action).flatMap((action) =>
          list(statement.Resource).map((resource) => `${action} ${this.text(resource)}${condition}`),
        );
      })
      .sort();
  }
}

/** Things in one order whatever order they came in, the keys of objects too: what is equal then is equal as a set. */
export function sorted(things: unknown[]): string[] {
  return things.map((thing) => JSON.stringify(thing, thing && !Array.isArray(thing) ? Object.keys(thing).sort() : undefined)).sort();
}

export const list = (value: Json): Json[] => (Array.isArray(value) ? value : [value]);

export function nameOf(resource: Resource): string {
  const last =
    resource.Metadata?.['aws:cdk:path']
      ?.replace(/\/(Resource|Default)$/, '')
      .split('/')
      .at(-1) ?? '';
  return last.replace(/[A-Z]/g, (letter, at) => (at ? '-' : '') + letter.toLowerCase());
}
