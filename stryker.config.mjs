/** Breaks the sharing rules in every way it knows, one at a time: the tests must notice each (`npm run test:mutation`). */
export default {
  packageManager: 'npm',
  testRunner: 'jest',
  testRunnerNodeArgs: ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'],
  jest: { configFile: 'jest.config.mjs', config: { testMatch: ['<rootDir>/test/core/sharing/**/*.test.ts'] } },
  mutate: ['core/sharing/**/*.ts'],
  // `perTest` needs to follow each test through Jest's ESM modules, which it cannot; all tests of the folder take a second.
  coverageAnalysis: 'off',
  // Stryker rewrites it with TypeScript's own API, which TypeScript 7 does not have; the tests do not read it.
  tsconfigFile: 'none',
  concurrency: 2,
  reporters: ['clear-text', 'progress'],
  thresholds: { high: 98, low: 95, break: 95 },
  tempDirName: '.stryker-tmp',
  allowConsoleColors: false,
};
