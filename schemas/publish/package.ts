/**
 * Makes the folder of the package that SDK authors install: `node schemas/publish/package.ts FOLDER`.
 * It holds ES modules with their types, the JSON Schemas, the vectors and their pages; `npm pack
 * FOLDER` makes the tarball.
 */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

const root = join(import.meta.dirname, '../..');

export const PACKAGE_NAME = 'gridnode-schemas';

/** Files beside the code: where they come from, and their name in the package. */
const copied: readonly (readonly [from: string, to: string])[] = [
  ['schemas/json', 'json'],
  ['schemas/vectors', 'vectors'],
  ['schemas/openrpc.json', 'openrpc.json'],
  ['schemas/hashed.json', 'hashed.json'],
  ['docs/schemas.md', 'README.md'],
  ['docs/errors.md', 'ERRORS.md'],
  ['LICENSE', 'LICENSE'],
];

/**
 * Writes the package into a folder; throws with the compiler's words if the code does not compile.
 * `check` also has it checked without the types of any platform but browsers.
 */
export function writePackage(folder: string, { check = true } = {}): void {
  mkdirSync(folder, { recursive: true });
  compile(join(folder, 'dist'), check);
  for (const [from, to] of copied) cpSync(join(root, from), join(folder, to), { recursive: true });
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest(), null, 2)}\n`);
}

function manifest(): object {
  const { version, license, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return {
    name: PACKAGE_NAME,
    version,
    description: "Schemas of a ThreeFold Grid node's interface: types, checks, challenge hash, errors, vectors.",
    license,
    type: 'module',
    sideEffects: false,
    engines: { node: '>=20' },
    exports: {
      '.': { types: './dist/index.d.ts', default: './dist/index.js' },
      './json/*': './json/*',
      './vectors/*': './vectors/*',
      './openrpc.json': './openrpc.json',
      './hashed.json': './hashed.json',
      './package.json': './package.json',
    },
    files: ['dist', ...copied.map(([, to]) => to)],
    dependencies: { zod: `^${dependencies.zod}` },
  };
}

function compile(outDir: string, check: boolean): void {
  const program = ts.createProgram([join(root, 'schemas/index.ts')], {
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.esnext.d.ts', 'lib.dom.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    rootDir: join(root, 'schemas'),
    outDir,
    declaration: true,
    rewriteRelativeImportExtensions: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    verbatimModuleSyntax: true,
    skipLibCheck: true,
    types: [],
    noCheck: !check,
  });
  const { diagnostics } = program.emit();
  const problems = [...ts.getPreEmitDiagnostics(program), ...diagnostics];
  if (problems.length === 0) return;
  const host = {
    getCanonicalFileName: (name: string) => name,
    getCurrentDirectory: () => root,
    getNewLine: () => '\n',
  };
  throw new Error(ts.formatDiagnostics(problems, host));
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) throw new Error('usage: node schemas/publish/package.ts FOLDER');
  writePackage(folder);
}
