import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';

const HELP = `Creates a tenant and its first administrator, and prints the administrator's first token: the only time it is shown.

  npm run tenant:create -- --name "Example" --admin-name "Anna Example" --admin-email anna@example.com

  --name TEXT          the tenant's name
  --admin-name TEXT    its first administrator
  --admin-email TEXT   and that person's login address
  --time-zone ZONE     such as Asia/Tokyo (UTC)
  --dir PATH           state of the host that runs on this machine (.local)
  --aws                on AWS instead, with your own credentials and region
  --function NAME      on AWS: the stack's output CreateTenantFunction
  --help               this page`;

const NOBODY = 'No host runs on this machine with its state there. Start it with "npm start", or use --aws for a deployment.';

/** `npm run tenant:create`: calls the function on this machine's host, or on AWS. Answers the exit code. */
export async function tenantCreate(args: string[]): Promise<number> {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const names = {
    name: text,
    'admin-name': text,
    'admin-email': text,
    'time-zone': text,
    dir: text,
    function: text,
    aws: flag,
    help: flag,
  };
  try {
    const { values } = parseArgs({ args, options: names });
    if (values.help) return say(HELP, 0);
    const missing = (['name', 'admin-name', 'admin-email'] as const).filter((name) => !values[name]);
    if (missing.length > 0) return say(`Missing: ${missing.map((name) => `--${name}`).join(', ')}\n\n${HELP}`, 1);
    const administrator = { name: values['admin-name'], email: values['admin-email'] };
    const client = values.aws ? new LambdaClient({}) : localClient(values.dir ?? '.local');
    return await create(client, values.function ?? 'create-tenant', { name: values.name, timeZone: values['time-zone'], administrator });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return say(code === 'ECONNREFUSED' ? NOBODY : message, 1);
  }
}

async function create(client: LambdaClient, FunctionName: string, payload: object): Promise<number> {
  const answer = await client.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(payload) }));
  const result = JSON.parse(answer.Payload?.transformToString() ?? 'null') as { error?: unknown } | null;
  const failed = answer.FunctionError !== undefined || result?.error !== undefined;
  return say(JSON.stringify(result, null, 2), failed ? 1 : 0);
}

/** The client of the host whose state lies in `dir`. Throws when none runs there. */
function localClient(dir: string): LambdaClient {
  let lambdaUrl: string;
  try {
    ({ lambdaUrl } = JSON.parse(readFileSync(join(dir, 'host.json'), 'utf8')) as { lambdaUrl: string });
  } catch {
    throw new Error(NOBODY);
  }
  return new LambdaClient({ endpoint: lambdaUrl, region: 'local', credentials: { accessKeyId: 'operator', secretAccessKey: 'local' } });
}

function say(text: string, code: number): number {
  console.log(text);
  return code;
}
