/** Writes what is published of the schemas, and the page of errors: `npm run generate`. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { generatedFiles } from './publish/files.ts';

const root = join(import.meta.dirname, '..');
const files = generatedFiles();
for (const folder of ['schemas/json', 'schemas/vectors', 'docs/api']) {
  const kept = folder === 'schemas/vectors' ? 'README.md' : undefined;
  mkdirSync(join(root, folder), { recursive: true });
  for (const old of readdirSync(join(root, folder))) {
    if (old !== kept) rmSync(join(root, folder, old), { recursive: true });
  }
}
for (const [path, text] of files) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}
