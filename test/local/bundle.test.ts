import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { FunctionRow } from '../../functions/manifest.ts';
import { bundle, isFresh, root } from '../../lib/bundle.ts';

const folder = mkdtempSync(join(tmpdir(), 'bundle-'));
const source = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return relative(root, join(folder, name));
};
const row = (entry: string, more: Partial<FunctionRow> = {}): FunctionRow => ({
  entry,
  trigger: { kind: 'operator' },
  timeout: 1,
  memory: 128,
  uses: [],
  ...more,
});

afterAll(() => rmSync(folder, { recursive: true }));

test('a function lies in one folder with its threads and its packages’ files; only what changed is named and written', async () => {
  const one = row(source('one.ts', "import { two } from './two.ts';\nexport const handler = async () => two;"), {
    threads: [source('two.ts', 'export const two = 2;')],
    assets: ['swagger-ui-dist/swagger-ui.css'],
  });
  const rows = { one, other: row(source('other.ts', 'export const handler = async () => 1;')) };
  const outdir = join(folder, 'built');
  const built = await bundle(outdir, rows);
  expect(built.changed.sort()).toEqual(['one', 'other']);
  expect(Object.keys(built.sizes).sort()).toEqual(['one', 'other']);
  for (const file of ['handler.mjs', 'handler.mjs.map', 'two.mjs', 'swagger-ui.css.gz'])
    expect(existsSync(join(outdir, 'one', file))).toBe(true);
  const { handler } = (await import(join(outdir, 'one', 'handler.mjs'))) as { handler: () => Promise<number> };
  expect(await handler()).toBe(2);

  expect(isFresh(outdir, rows)).toBe(true);
  expect(isFresh(outdir, { one })).toBe(false);
  source('two.ts', 'export const two = 22;');
  utimesSync(join(folder, 'two.ts'), new Date(), new Date(Date.now() + 1000));
  expect(isFresh(outdir, rows)).toBe(false);
  expect((await bundle(outdir, rows)).changed).toEqual(['one']);
});

test('a file the manifest names and nobody wrote is an error that names both', async () => {
  await expect(bundle(join(folder, 'lost'), { lost: row('functions/lost/handler.ts') })).rejects.toThrow(
    'function "lost" names functions/lost/handler.ts, which does not exist',
  );
});
