/** ESM throughout; TypeScript is stripped by esbuild (ts-jest does not work with TypeScript 7). */
export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '^.+\\.ts$': '<rootDir>/test/support/esbuild-transform.mjs' },
  coverageProvider: 'v8',
  modulePathIgnorePatterns: ['<rootDir>/.local', '<rootDir>/.build', '<rootDir>/cdk.out', '<rootDir>/.stryker-tmp'],
  testTimeout: 180_000,
  maxWorkers: 2,
};
