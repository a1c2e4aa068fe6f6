import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/longest-first.ts';

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', '.tools/**'],
    // Against hanging only: two waits of 20 s fit, one after the other, where everything runs on two busy cores.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // The usual second is short where two busy cores run everything.
    expect: { poll: { timeout: 20_000 } },
    // Many tests wait for processes more than they use a processor.
    maxWorkers: 3,
    // Real processes on a shared machine: one more try there, and the report names who needed it. None by hand, so that it shows.
    retry: process.env.CI === 'true' ? 1 : 0,
    pool: 'forks',
    sequence: { sequencer: LongestFirst },
    // Tests sign with the library's ES modules beside our CommonJS ones; both are the same version.
    env: { POLKADOTJS_DISABLE_ESM_CJS_WARNING: '1' },
  },
});
