import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { type BuildContext, type BuildOptions, type BuildResult, build, context, type Plugin } from 'esbuild';
import { type FunctionRow, functions, threadFile } from '../functions/manifest.ts';

export type Rows = Record<string, FunctionRow>;

export type Built = {
  /** Bytes of each function's code, its threads included, without source maps and assets. */
  sizes: Record<string, number>;
  /** Functions whose code is not what it was before. */
  changed: string[];
  /** Source files that went in, relative to the repository. */
  inputs: string[];
};

export const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Bundles every function of the manifest to `<outdir>/<function>/handler.mjs`, its threads and gzipped assets beside it:
 * the same code for both hosts. Throws when a file the manifest names is missing, or does not compile.
 */
export async function bundle(outdir: string, rows: Rows = functions): Promise<Built> {
  refuseMissing(rows);
  return write(outdir, rows, await build(optionsFor(outdir, rows)));
}

/** The same again and again, fast: esbuild keeps what it parsed. */
export async function bundler(outdir: string, rows: Rows = functions): Promise<{ build: () => Promise<Built>; end: () => Promise<void> }> {
  let known: BuildContext<{ write: false; metafile: true }> | undefined;
  return {
    build: async () => {
      refuseMissing(rows);
      known ??= await context(optionsFor(outdir, rows));
      return write(outdir, rows, await known.rebuild());
    },
    end: async () => known?.dispose(),
  };
}

/** True when what lies in `outdir` was built of these rows, and no file that went in is newer. */
export function isFresh(outdir: string, rows: Rows = functions): boolean {
  const record = recordFile(outdir);
  if (!existsSync(record)) return false;
  const builtAt = statSync(record).mtimeMs;
  const { rows: builtRows, inputs } = JSON.parse(readFileSync(record, 'utf8')) as { rows: string; inputs: string[] };
  const untouched = (file: string) => existsSync(join(root, file)) && statSync(join(root, file)).mtimeMs < builtAt;
  return builtRows === rowsMark(rows) && [...inputs, 'package-lock.json', 'lib/bundle.ts'].every(untouched);
}

const recordFile = (outdir: string) => join(outdir, 'built.json');
const rowsMark = (rows: Rows) =>
  JSON.stringify(Object.entries(rows).map(([name, { entry, threads, assets }]) => [name, entry, threads, assets]));

function optionsFor(outdir: string, rows: Rows) {
  return {
    absWorkingDir: root,
    entryPoints: Object.fromEntries(Object.entries(rows).flatMap(([name, row]) => outputsOf(name, row))),
    outdir: resolve(outdir),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    mainFields: ['module', 'main'],
    minify: true,
    sourcemap: 'linked',
    sourcesContent: false,
    charset: 'utf8',
    logLevel: 'silent',
    alias: shims,
    plugins: [withoutAttachments, withoutExtensions],
    // CommonJS dependencies call require(), which an ES module does not have.
    banner: { js: "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);" },
  } as const satisfies BuildOptions;
}

const shim = (name: string) => join(root, 'lib/bundle-shims', `${name}.cjs`);

/** Packages that others import and our use of them never runs, or for which the platform does: a test compares the results. */
const shims = {
  'iconv-lite': shim('iconv-lite'),
  'encoding-japanese': shim('encoding-japanese'),
  // mailparser: texts are taken as they are (skipHtmlToText, skipTextToHtml, skipTextLinks), messages in messages kept whole.
  'html-to-text': shim('unreachable'),
  he: shim('unreachable'),
  tlds: shim('unreachable'),
  'linkify-it': shim('linkify-it'),
  // sanitize-html parses styles only for `allowedStyles`; core/message/html.ts reads them itself.
  postcss: shim('unreachable'),
  // Of launder, sanitize-html calls what reads links; this is for dates.
  dayjs: shim('unreachable'),
  '@aws-sdk/credential-provider-sso': shim('credentials'),
  '@aws-sdk/credential-provider-ini': shim('credentials'),
  '@aws-sdk/credential-provider-process': shim('credentials'),
  '@aws-sdk/credential-provider-web-identity': shim('credentials'),
  '@aws-sdk/credential-provider-http': shim('credentials'),
  '@smithy/credential-provider-imds': shim('credentials'),
};

/** nodemailer's table of file types, and its own client for HTTP, are for attachments, and the product's own mails have none. */
const withoutAttachments: Plugin = {
  name: 'without-attachments',
  setup: (plugin) => {
    plugin.onResolve({ filter: /\/(mime-types\.js|fetch\/index\.js)$/ }, ({ importer }) =>
      /node_modules\/nodemailer\//.test(importer) ? { path: shim('unreachable') } : undefined,
    );
  },
};

/** Of libmime's two tables of file types, 35 KB each, the parsers ask the one that goes from a name to a type. */
const withoutExtensions: Plugin = {
  name: 'without-extensions',
  setup: (plugin) => {
    plugin.onLoad({ filter: /\/libmime\/lib\/mimetypes\.js$/ }, ({ path }) => {
      const { extensions } = createRequire(path)(path) as { extensions: object };
      const refuse = "throw new Error('this table was believed unused and is not in the bundle')";
      return { contents: `module.exports={get list(){${refuse}},extensions:${JSON.stringify(extensions)}}` };
    });
  },
};

function outputsOf(name: string, row: FunctionRow): [string, string][] {
  const threads = (row.threads ?? []).map((file): [string, string] => [`${name}/${threadFile(file).replace(/\.mjs$/, '')}`, file]);
  return [[`${name}/handler`, row.entry], ...threads];
}

function refuseMissing(rows: Rows): void {
  for (const [name, { entry, threads = [] }] of Object.entries(rows)) {
    for (const file of [entry, ...threads]) {
      if (!existsSync(join(root, file))) throw new Error(`The manifest's function "${name}" names ${file}, which does not exist.`);
    }
  }
}

function write(outdir: string, rows: Rows, result: BuildResult<{ write: false; metafile: true }>): Built {
  const sizes: Record<string, number> = {};
  const changed = new Set<string>();
  for (const { path, contents } of result.outputFiles) {
    const name = dirname(relative(resolve(outdir), path));
    if (path.endsWith('.mjs')) sizes[name] = (sizes[name] ?? 0) + contents.length;
    if (replace(path, contents)) changed.add(name);
  }
  for (const [name, { assets = [] }] of Object.entries(rows)) {
    for (const asset of assets) replace(join(outdir, name, `${asset.split('/').at(-1)}.gz`), gzipped(asset));
  }
  const inputs = Object.keys(result.metafile.inputs).filter((file) => !file.includes('node_modules/'));
  replace(recordFile(outdir), Buffer.from(JSON.stringify({ rows: rowsMark(rows), inputs, at: Date.now() })));
  return { sizes, changed: [...changed], inputs };
}

const gzipped = (asset: string) => gzipSync(readFileSync(createRequire(join(root, 'package.json')).resolve(asset)), { level: 9 });

/** Writes beside and renames: who reads meanwhile (a second test run, a starting function) sees old or new, never half. */
function replace(file: string, contents: Uint8Array): boolean {
  if (existsSync(file) && readFileSync(file).equals(contents)) return false;
  mkdirSync(dirname(file), { recursive: true });
  const beside = `${file}.${process.pid}`;
  writeFileSync(beside, contents);
  renameSync(beside, file);
  return true;
}
