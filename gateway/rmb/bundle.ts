/**
 * Bundles the client for browsers: `node gateway/rmb/bundle.ts FOLDER` writes
 * `rmb.js` (an ES module) and beside it the part with the sr25519 code, which is
 * loaded when it is needed.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const here = dirname(fileURLToPath(import.meta.url));
const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: node gateway/rmb/bundle.ts FOLDER');

const build = await rolldown({
  input: { rmb: join(here, 'browser.ts') },
  platform: 'browser',
  plugins: [
    {
      name: 'browser platform',
      resolveId: {
        filter: { id: /platform\.ts$/ },
        handler: () => join(here, 'platform', 'browser.ts'),
      },
    },
  ],
  onLog: (level, log, report) => {
    // A module of Node in the bundle would fail in the page only.
    if (level === 'warn') throw new Error(log.message);
    report(level, log);
  },
});
try {
  await build.write({ dir: folder, format: 'esm', minify: true, chunkFileNames: '[name].js' });
} finally {
  await build.close();
}
