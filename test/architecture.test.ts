import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const filesUnder = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();

/** The code alone: a comment may speak of what the code may not do. `://` in a string is not a comment. */
const withoutComments = (source: string) => source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"`\\])\/\/.*$/gm, '$1');

type Source = { file: string; code: string; ours: string[]; packages: string[] };

const IMPORT = /(?:\bfrom|^\s*import|\bimport\()\s*'([^']+)'/gm;
const read = (file: string): Source => {
  const code = withoutComments(readFileSync(join(root, file), 'utf8'));
  const specifiers = [...code.matchAll(IMPORT)].map((match) => match[1]!);
  return {
    file,
    code,
    ours: specifiers.filter((each) => each.startsWith('.')).map((each) => posix.join(dirname(file), each)),
    packages: specifiers.filter((each) => !each.startsWith('.')),
  };
};

const product = ['bin', 'lib', 'functions', 'core'].flatMap(filesUnder).map(read);
const tests = filesUnder('test').map(read);
const core = product.filter(({ file }) => file.startsWith('core/'));
const offenders = (sources: Source[], offends: (source: Source) => boolean) => sources.filter(offends).map(({ file }) => file);

/** Who may import whom, first match counts. `own` is the folder of the importing function. */
const MAY_IMPORT: { from: RegExp; to: (own: string) => RegExp }[] = [
  { from: /^bin\//, to: () => /^lib\// },
  { from: /^lib\/aws\//, to: () => /^(lib\/aws\/|functions\/manifest\.ts$)/ },
  { from: /^lib\/local\//, to: () => /^(lib\/local\/|lib\/bundle\.ts$|functions\/manifest\.ts$)/ },
  { from: /^lib\/bundle\.ts$/, to: () => /^functions\/manifest\.ts$/ },
  { from: /^functions\/manifest\.ts$/, to: () => /^(functions\/api\/routes?(\.ts$|\/)|core\/table\/definition\.ts$)/ },
  { from: /^functions\/connect\.ts$/, to: () => /^(functions\/(manifest\.ts$|edge\/)|core\/)/ },
  { from: /^functions\/edge\//, to: () => /^(functions\/edge\/|core\/)/ },
  { from: /^functions\/api\/routes?(\.ts$|\/)/, to: () => /^(functions\/api\/routes?(\.ts$|\/)|functions\/manifest\.ts$|core\/)/ },
  { from: /^functions\/[^/]+\//, to: (own) => new RegExp(`^(functions/${own}/|functions/edge/|functions/(connect|manifest)\\.ts$|core/)`) },
  { from: /^core\//, to: () => /^core\// },
];

const mayImport = (file: string, imported: string) => {
  const row = MAY_IMPORT.find(({ from }) => from.test(file));
  return row?.to(file.split('/')[1]!).test(imported) ?? false;
};

/** The one file of the product that knows each of these packages; functions/connect.ts makes the clients they are given. */
const ONE_FILE: Record<string, string> = {
  '@aws-sdk/client-dynamodb': 'core/table/client.ts',
  '@aws-sdk/lib-dynamodb': 'core/table/client.ts',
  '@aws-sdk/client-kms': 'core/tenant/data-key-store.ts',
  '@aws-sdk/client-s3': 'core/message/raw-mail.ts',
  '@aws-sdk/s3-request-presigner': 'core/message/raw-mail.ts',
  '@aws-sdk/client-ses': 'core/outbound/send.ts',
  '@aws-sdk/client-sqs': 'core/job/send.ts',
  '@aws-sdk/client-sts': 'core/tenant/session-client.ts',
  'ical.js': 'core/dropbox/vcard.ts',
  'ipaddr.js': 'core/account/public-address.ts',
  mailparser: 'core/message/parser-mailparser.ts',
  'nodemailer/lib/addressparser': 'core/message/mail-headers.ts',
  'nodemailer/lib/mail-composer': 'core/outbound/send.ts',
  'postal-mime': 'core/message/parser-postal-mime.ts',
  'sanitize-html': 'core/message/html.ts',
  'tldts-icann': 'core/tenant/domain-list.ts',
};
const isOf = (specifier: string, name: string) => specifier === name || specifier.startsWith(`${name}/`);

/** By its name: a file of core that may do more than compute. */
const reachesOutside = (file: string) => /(-store|-client|\/raw-mail|\/fetch|\/send|\/client)\.ts$/.test(file);

describe('bin -> lib -> functions -> core', () => {
  test('nobody imports what the table does not allow', () => {
    const found = product.flatMap(({ file, ours }) => ours.filter((each) => !mayImport(file, each)).map((each) => `${file} -> ${each}`));
    expect(found).toEqual([]);
  });

  test('the table can refuse: each arrow the other way, and one function to another', () => {
    const wrong = [
      ['core/ids.ts', 'functions/connect.ts'],
      ['core/ids.ts', 'lib/bundle.ts'],
      ['functions/api/handler.ts', 'functions/docs/handler.ts'],
      ['functions/edge/http.ts', 'functions/manifest.ts'],
      ['functions/api/routes.ts', 'functions/api/handler.ts'],
      ['lib/aws/storage.ts', 'core/ids.ts'],
      ['lib/aws/storage.ts', 'lib/local/host.ts'],
      ['lib/local/host.ts', 'functions/api/handler.ts'],
      ['bin/aws.ts', 'functions/manifest.ts'],
    ] as const;
    expect(wrong.filter(([file, imported]) => mayImport(file, imported))).toEqual([]);
  });

  test('the contract is data: of files that reach outside, routes take schemas alone', () => {
    const routes = product.filter(({ file }) => /^functions\/api\/routes?(\.ts$|\/)/.test(file));
    const taken = routes.flatMap(({ file, code }) =>
      [...code.matchAll(/import\s*\{([^}]*)\}\s*from\s*'([^']*\/core\/[^']*)'/g)].flatMap(([, names, from]) =>
        reachesOutside(from!) ? names!.split(',').map((name) => `${file}: ${name.trim()}`) : [],
      ),
    );
    expect(taken.filter((each) => !/: (|type \w+|\w+(Input|Patch|Returned|Query))$/.test(each))).toEqual([]);
  });

  test('core has no cycles', () => {
    expect(cyclesOf(new Map(core.map(({ file, ours }) => [file, ours])))).toEqual([]);
  });

  test('the imports of a file are seen, whatever they look like', () => {
    const here = tests.find(({ file }) => file === 'test/infra/synthesised.ts')!;
    expect([here.ours, here.packages]).toEqual([
      ['lib/aws/app-stack.ts', 'lib/aws/stage.ts'],
      ['node:fs', 'node:os', 'node:path', 'aws-cdk-lib', 'aws-cdk-lib/aws-lambda'],
    ]);
  });

  test('a file in bin has less than 40 lines', () => {
    const long = filesUnder('bin').filter((file) => readFileSync(join(root, file), 'utf8').split('\n').length > 40);
    expect(long).toEqual([]);
  });
});

describe('who knows what', () => {
  test.each(Object.entries(ONE_FILE))('%s is known to one file', (name, home) => {
    const inside = product.filter(({ file }) => file.startsWith('core/') || file.startsWith('functions/'));
    const knowing = offenders(inside, ({ packages }) => packages.some((each) => isOf(each, name)));
    expect(knowing.filter((file) => file !== home && !(file === 'functions/connect.ts' && name.startsWith('@aws-sdk/client-')))).toEqual(
      [],
    );
  });

  test('core and functions know no AWS client but those with a file of their own', () => {
    const inside = product.filter(({ file }) => !file.startsWith('lib/') && !file.startsWith('bin/'));
    const unknown = inside.flatMap(({ packages }) => packages.filter((each) => each.startsWith('@aws-sdk/') && !ONE_FILE[each]));
    expect(unknown).toEqual([]);
  });

  test('core knows nothing of Lambda, HTTP stacks, logs or CDK', () => {
    const foreign = /^(aws-lambda|@types\/aws-lambda|@middy\/|@aws-lambda-powertools\/|aws-cdk|constructs|fauxqs|smtp-server|esbuild)/;
    expect(offenders(core, ({ packages }) => packages.some((each) => foreign.test(each)))).toEqual([]);
  });

  test('only files that say so in their names reach outside: *-store, *-client, raw-mail, fetch, send, and the table client', () => {
    const reaching = /^(@aws-sdk\/|node:(fs|net|tls|dns|http|https|http2|dgram|child_process)(\/|$))/;
    const found = offenders(
      core,
      ({ file, packages, code }) => !reachesOutside(file) && (packages.some((each) => reaching.test(each)) || /\bfetch\(/.test(code)),
    );
    expect(found).toEqual([]);
  });

  test('no variable of the environment is read but where the clients are made and logs are set up', () => {
    const inside = product.filter(({ file }) => file.startsWith('core/') || file.startsWith('functions/'));
    const allowed = ['functions/connect.ts', 'functions/edge/log.ts'];
    expect(offenders(inside, ({ file, code }) => /\bprocess\.env\b/.test(code) && !allowed.includes(file))).toEqual([]);
  });
});

describe('the API reaches the table for one tenant at a time', () => {
  test('it says tableOf(viewer.tenant), and table() only for the invitation that somebody takes up', () => {
    const found = product
      .filter(({ file }) => file.startsWith('functions/api/'))
      .flatMap(({ file, code }) => (code.match(/[^\n]*\b(table|vault)\(\)[^\n]*/g) ?? []).map((line) => `${file}: ${line.trim()}`));
    expect(found).toEqual(['functions/api/operations/people.ts: body: await confirmMember(table(), tableOf, body.code, newId(now), now),']);
  });
});

describe('what core never does', () => {
  test('it asks nobody the time: it is an argument', () => {
    expect(offenders(core, ({ code }) => /\bDate\.now\b|\bnew Date\(\s*\)|\bDate\(\)/.test(code))).toEqual([]);
  });

  test('it draws no lots but for ids, nonces, mailed codes, and the pause before a transaction is tried again', () => {
    const allowed: Record<string, RegExp> = {
      'core/ids.ts': /randomBytes/,
      'core/tenant/data-key-store.ts': /randomBytes/,
      'core/dropbox/sender-store.ts': /randomInt/,
      'core/table/client.ts': /Math\.random/,
    };
    const draws = /\bMath\.random\b|\brandomUUID\b|\brandomBytes\b|\brandomInt\b|\bgetRandomValues\b/g;
    const found = core.flatMap(({ file, code }) =>
      (code.match(draws) ?? []).filter((draw) => !allowed[file]?.test(draw)).map((draw) => `${file}: ${draw}`),
    );
    expect(found).toEqual([]);
  });

  test('nothing scans the table', () => {
    const inside = product.filter(({ file }) => file.startsWith('core/') || file.startsWith('functions/'));
    expect(offenders(inside, ({ code }) => /\b(ScanCommand|paginateScan)\b|'Scan'/.test(code))).toEqual([]);
  });
});

test('an end-to-end test with a host of its own says why it cannot do without, for who runs the suite against a stage apart', () => {
  const own = tests.filter(({ file, ours }) => file.startsWith('test/e2e/') && ours.includes('test/support/host.ts'));
  const silent = own.filter(({ code }) => /\bstartHost\(/.test(code) && !/ = insideOnly\('/.test(code));
  expect(silent.map(({ file }) => file)).toEqual([]);
});

describe('how things are called', () => {
  test('no folder for what has no name: utils, common, shared, types, helpers', () => {
    const folders = [...product, ...tests].filter(({ file }) => /(^|\/)(utils?|common|shared|types|helpers|misc|lib\/lib)\//.test(file));
    expect(folders.map(({ file }) => file)).toEqual([]);
  });

  test('no barrel files: a thing is imported from where it is', () => {
    const found = offenders(
      [...product, ...tests],
      ({ file, code }) => file.endsWith('/index.ts') || /^\s*export\s*(type\s*)?(\*|\{[^}]*\})\s*(as \w+ )?from\b/m.test(code),
    );
    expect(found).toEqual([]);
  });

  test('no test imitates AWS', () => {
    const mocks = new RegExp(['aws-sdk-client-' + 'mock', "mock(Module)?\\('@aws-" + 'sdk'].join('|'));
    expect(offenders(tests, ({ code, packages }) => mocks.test(code) || packages.some((each) => mocks.test(each)))).toEqual([]);
  });
});

/** One line for each import that closes a circle. */
function cyclesOf(imports: Map<string, string[]>): string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (file: string, path: string[]) => {
    if (path.includes(file)) found.push([...path.slice(path.indexOf(file)), file].join(' -> '));
    if (done.has(file) || path.includes(file)) return;
    for (const next of imports.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of imports.keys()) visit(file, []);
  return found;
}
