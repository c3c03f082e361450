import { createHash } from 'node:crypto';
import { transformSync, version } from 'esbuild';

/** Jest's transform: types out, everything else as it stands; line numbers survive through an inline source map. */
export default {
  getCacheKey: (source, file) => createHash('sha256').update(`${version}\n${file}\n${source}`).digest('hex'),
  process: (source, file) => ({
    code: transformSync(source, { loader: 'ts', format: 'esm', target: 'node24', sourcemap: 'inline', sourcefile: file }).code,
  }),
};
