/** The package that authors install: complete, importable where Node strips no types, and without any platform. */
import { execFile, spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createContext, runInContext } from 'node:vm';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PACKAGE_NAME, writePackage } from './package.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const { cases } = JSON.parse(readFileSync(join(root, 'schemas/vectors/challenge.json'), 'utf8')) as {
  cases: { deployment: object; hash: string }[];
};
const hasNpm = spawnSync('npm', ['--version']).status === 0;

let app: string;
let folder: string;
beforeAll(() => {
  app = mkdtempSync(join(tmpdir(), 'gridnode-package-'));
  folder = join(app, 'node_modules', PACKAGE_NAME);
  mkdirSync(folder, { recursive: true });
  // The types are checked with all others of the project.
  writePackage(folder, { check: false });
  symlinkSync(join(root, 'node_modules/zod'), join(app, 'node_modules/zod'));
}, 120_000);
afterAll(() => rmSync(app, { recursive: true, force: true }));

describe('the package', () => {
  it('depends on nothing that its manifest does not name', () => {
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const imported = new Set<string>();
    const code = globSync('dist/**/*.js', { cwd: folder });
    expect(code.length).toBeGreaterThan(40);
    for (const path of code) {
      const text = readFileSync(join(folder, path), 'utf8');
      for (const [, target = ''] of text.matchAll(/\b(?:from|import) '([\w@./:-]+)';$/gm)) {
        if (target.startsWith('.')) expect(target, path).toMatch(/\.js$/);
        else imported.add(target);
      }
      expect(globSync(path.replace(/js$/, 'd.ts'), { cwd: folder })).toHaveLength(1);
    }
    expect([...imported]).toEqual(Object.keys(manifest.dependencies));
  });

  it('hashes every vector of its own in Node', { timeout: 60_000 }, async () => {
    const program = `
      import { deploymentHash, parseDeployment } from '${PACKAGE_NAME}';
      import vectors from '${PACKAGE_NAME}/vectors/challenge.json' with { type: 'json' };
      import schema from '${PACKAGE_NAME}/json/gridnode.schema.json' with { type: 'json' };
      const hashes = vectors.cases.map(({ deployment }) => deploymentHash(parseDeployment(JSON.stringify(deployment))));
      console.log(JSON.stringify({ hashes, id: schema.$id }));`;
    writeFileSync(join(app, 'app.mjs'), program);
    const { stdout } = await run(process.execPath, [join(app, 'app.mjs')], { timeout: 60_000 });
    expect(JSON.parse(stdout)).toEqual({ hashes: cases.map(({ hash }) => hash), id: 'urn:gridnode:schema:v1' });
  });

  it('hashes them in one file for browsers, with nothing of a platform but text encoding', async () => {
    writeFileSync(
      join(app, 'page.js'),
      `import { deploymentHash, parseDeployment } from '${PACKAGE_NAME}';
       globalThis.hash = (text) => deploymentHash(parseDeployment(text));`,
    );
    const build = await rolldown({
      input: join(app, 'page.js'),
      platform: 'browser',
      onLog: (level, log, report) => {
        // A module of Node in the bundle would fail in the page only.
        if (level === 'warn') throw new Error(log.message);
        report(level, log);
      },
    });
    const { output } = await build.generate({ format: 'iife', minify: true });
    await build.close();
    expect(output).toHaveLength(1);
    const page = createContext({ TextEncoder, TextDecoder });
    runInContext(output[0].code, page);
    const hashes = cases.map(({ deployment }) => {
      page.text = JSON.stringify(deployment);
      return runInContext('hash(text)', page);
    });
    expect(hashes).toEqual(cases.map(({ hash }) => hash));
  });

  it.skipIf(!hasNpm)('goes into its tarball whole', { timeout: 60_000 }, async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--offline', folder], { cwd: app });
    const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
    const there = globSync('**/*', { cwd: folder, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(files.map(({ path }) => path).sort()).toEqual(
      there.map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).sort(),
    );
  });
});
