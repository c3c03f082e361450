/** ESM throughout; TypeScript is stripped by esbuild (ts-jest does not work with TypeScript 7). */
export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '^.+\\.ts$': '<rootDir>/test/support/esbuild-transform.mjs' },
  coverageProvider: 'v8',
  modulePathIgnorePatterns: ['<rootDir>/.local', '<rootDir>/.build', '<rootDir>/cdk.out', '<rootDir>/.stryker-tmp'],
  // For what hangs. A machine that is busy takes ten times what a test takes as a rule.
  testTimeout: 600_000,
  maxWorkers: 2,
};
