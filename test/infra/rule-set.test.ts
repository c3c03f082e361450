import { handler, type Request, type Wanted } from '../../lib/aws/rule-set/handler.ts';
import { bodyOf, queryService, Refusal, serve } from '../../lib/local/engine/server.ts';
import { Asked, list, MAIL_DOMAIN, synthesise } from './synthesised.ts';

/** SES's receipt rule sets, as far as a deployment meets them: one is active, or none. */
const ses = { sets: new Map<string, string[]>(), active: undefined as string | undefined, denials: 0, asked: new Set<string>() };
let servers: { url: string; end: () => Promise<void> }[];
let answers: { Status: string; Reason: string; PhysicalResourceId: string; type: string | undefined }[];

beforeAll(async () => {
  const standIn = await serve(
    queryService('http://ses.amazonaws.com/doc/2010-12-01/', (_, action, form) => {
      ses.asked.add(`ses:${action}`);
      if (ses.denials-- > 0) throw new Refusal(403, 'AccessDenied', 'not authorised yet');
      const name = form.get('RuleSetName') ?? undefined;
      if (action === 'SetActiveReceiptRuleSet') {
        if (name && !ses.sets.has(name)) throw new Refusal(400, 'RuleSetDoesNotExist', `Rule set does not exist: ${name}`);
        ses.active = name;
        return '';
      }
      if (ses.active === undefined) return '';
      const rules = ses.sets.get(ses.active)!.map((rule) => `<member><Name>${rule}</Name></member>`);
      return `<Metadata><Name>${ses.active}</Name></Metadata><Rules>${rules.join('')}</Rules>`;
    }),
  );
  const cloudFormation = await serve(async (request, response) => {
    const said = JSON.parse((await bodyOf(request)).toString());
    answers.push({ ...said, type: request.headers['content-type'] });
    response.end();
  });
  servers = [standIn, cloudFormation];
  const region = { AWS_REGION: 'eu-west-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' };
  Object.assign(process.env, { AWS_ENDPOINT_URL_SES: standIn.url, ...region });
});
afterAll(() => Promise.all(servers.map(({ end }) => end())));
beforeEach(() => {
  answers = [];
  Object.assign(ses, { active: undefined, denials: 0 });
  ses.sets = new Map([
    ['prod', ['store-prod']],
    ['dev', ['store-dev']],
  ]);
});

const own = (RuleSetName: string): Wanted => ({ RuleSetName });
const joins = (RuleSetName: string): Wanted => ({ RuleSetName, Joins: 'true' });

/** What CloudFormation hears. */
async function hear(RequestType: Request['RequestType'], ResourceProperties: Wanted, OldResourceProperties?: Wanted) {
  const ids = { StackId: 'stack', RequestId: 'request', LogicalResourceId: 'Active' };
  await handler({ RequestType, ResponseURL: servers[1]!.url, ...ids, ResourceProperties, OldResourceProperties });
  const { Status, Reason, PhysicalResourceId, type } = answers.pop()!;
  expect([PhysicalResourceId, type || '']).toEqual(['active-receipt-rule-set', '']);
  return { status: Status, reason: Reason, active: ses.active };
}

describe('a stage with a rule set of its own', () => {
  test('its set is activated where none is, again where it is already, and let go when the stage is removed', async () => {
    expect(await hear('Create', own('prod'))).toEqual({ status: 'SUCCESS', reason: '', active: 'prod' });
    expect(await hear('Create', own('prod'))).toMatchObject({ status: 'SUCCESS', active: 'prod' });
    expect(await hear('Delete', own('prod'))).toEqual({ status: 'SUCCESS', reason: '', active: undefined });
  });

  test('a second stage in the same account and region is refused, told what to do, and takes nothing when it is rolled back', async () => {
    ses.active = 'prod';
    const refused = await hear('Create', own('dev'));
    expect(refused).toMatchObject({ status: 'FAILED', active: 'prod' });
    expect(refused.reason).toContain('-c receiptRuleSet=prod');
    expect(await hear('Delete', own('dev'))).toMatchObject({ status: 'SUCCESS', active: 'prod' });
  });

  test('a set that holds rules of others is not let go: its stage cannot be removed before theirs', async () => {
    ses.active = 'prod';
    ses.sets.get('prod')!.push('store-dev');
    const refused = await hear('Delete', own('prod'));
    expect(refused).toMatchObject({ status: 'FAILED', active: 'prod' });
    expect(refused.reason).toContain('1 more');
  });

  test('a set that takes the place of the former one is activated in its stead', async () => {
    ses.active = 'dev';
    expect(await hear('Update', own('prod'), own('dev'))).toMatchObject({ status: 'SUCCESS', active: 'prod' });
  });

  test('the way back from a failed deployment is open where somebody else activated a set by hand, and theirs stays', async () => {
    ses.active = 'theirs';
    ses.sets.set('theirs', []);
    expect(await hear('Update', own('prod'), own('prod'))).toMatchObject({ status: 'SUCCESS', active: 'theirs' });
    expect(await hear('Update', own('prod'), {})).toMatchObject({ status: 'SUCCESS', active: 'theirs' });
  });
});

describe('a stage that joins a rule set', () => {
  test('is content when that set is the active one, and leaves it as it is when it is removed', async () => {
    ses.active = 'prod';
    expect(await hear('Create', joins('prod'))).toMatchObject({ status: 'SUCCESS', active: 'prod' });
    expect(await hear('Delete', joins('prod'))).toMatchObject({ status: 'SUCCESS', active: 'prod' });
  });

  test('is refused when another set is active, or none: its rule would never be asked', async () => {
    expect((await hear('Create', joins('prod'))).reason).toContain('is "none"');
    ses.active = 'dev';
    const refused = await hear('Create', joins('prod'));
    expect(refused).toMatchObject({ status: 'FAILED', active: 'dev' });
    expect(refused.reason).toContain('"dev"');
  });

  test('a deployment that forgot which set it joined is refused, as is one that names a wrong one, and both can be rolled back', async () => {
    ses.active = 'prod';
    expect(await hear('Update', own('dev'), joins('prod'))).toMatchObject({ status: 'FAILED', active: 'prod' });
    expect(await hear('Update', joins('prod'), own('dev'))).toMatchObject({ status: 'SUCCESS', active: 'prod' });
    expect(await hear('Update', joins('wrong'), own('prod'))).toMatchObject({ status: 'FAILED', active: 'prod' });
    expect(await hear('Update', own('prod'), joins('wrong'))).toMatchObject({ status: 'SUCCESS', active: 'prod' });
  });
});

test('a role that has its rights only after some seconds is waited for; what SES says otherwise is handed on', async () => {
  ses.denials = 1;
  expect(await hear('Create', own('prod'))).toMatchObject({ status: 'SUCCESS', active: 'prod' });
  ses.active = undefined;
  expect((await hear('Create', own('lost'))).reason).toContain('Rule set does not exist: lost');
}, 30_000);

describe('in the template', () => {
  const template = synthesise();
  const aws = new Asked(template);

  test('the function has the rights to what it asks SES, all of which it uses', () => {
    const { Role } = aws.at(aws.one('Custom::AWS').Properties.ServiceToken).Properties;
    const rights = aws.rights({ Ref: Role['Fn::GetAtt'][0] }).filter((right) => right.startsWith('ses:'));
    expect(rights).toEqual([...ses.asked].sort().map((action) => `${action} *`));
  });

  test('the rule set is activated when the rule stands, and let go before it is deleted', () => {
    const { Properties, DependsOn } = aws.one('Custom::AWS');
    expect(aws.at(Properties.RuleSetName).Type).toBe('AWS::SES::ReceiptRuleSet');
    const waitsFor = DependsOn!.map((id) => template.Resources[id]!.Type);
    expect(waitsFor).toEqual(expect.arrayContaining(['AWS::SES::ReceiptRule', 'AWS::SNS::Subscription']));
  });

  test('upgrade: function and resource have the names they had when the removal of either let go of whatever set was active', () => {
    expect(template.Resources.InboundEmailActive97F38D2E?.Type).toBe('Custom::AWS');
    expect(aws.one('Custom::AWS').Properties.ServiceToken['Fn::GetAtt'][0]).toBe('AWS679f53fac002430cb0da5b7982bd22872D164C4C');
  });

  test('a stage that joins a set has its rule there, and no set of its own', () => {
    const joined = new Asked(synthesise('dev', { receiptRuleSet: 'theirs' }));
    expect(joined.all('AWS::SES::ReceiptRuleSet')).toEqual([]);
    const { RuleSetName, Rule, After } = joined.one('AWS::SES::ReceiptRule').Properties;
    expect([RuleSetName, Rule.Recipients, After]).toEqual(['theirs', [MAIL_DOMAIN], undefined]);
    expect(joined.one('Custom::AWS').Properties).toMatchObject({ RuleSetName: 'theirs', Joins: 'true' });
    expect(list(joined.one('Custom::AWS').Properties.ServiceTimeout)).toEqual(['600']);
  });
});
