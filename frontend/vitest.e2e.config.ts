import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['e2e/**/*.test.ts'],
    globalSetup: ['e2e/setup.ts'],
    testTimeout: 900_000, // a bound on what hangs, on a machine that has other things to do
    hookTimeout: 300_000,
    fileParallelism: false, // one browser at a time: two cores are soon full
  },
});
