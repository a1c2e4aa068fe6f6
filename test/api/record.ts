/**
 * Writes `schemas/examples/` anew from what a node of this machine answers: `node test/api/record.ts`, as root.
 * Then `npm run generate` makes the documents of it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Examples, recordedExamples } from '../../schemas/publish/recorded.ts';
import { askEverything } from './scenario.ts';
import { shortened } from './shorten.ts';
import { withExampleNode } from './stage.ts';

const folder = join(import.meta.dirname, '..', '..', 'schemas', 'examples');

const recorded = recordedExamples();
const made = await withExampleNode((node, flist) => askEverything(node, recorded, flist));
const kinds = { commands: shortened(made.commands), workloads: made.workloads } satisfies Examples;
for (const [kind, examples] of Object.entries(kinds)) {
  mkdirSync(join(folder, kind), { recursive: true });
  for (const [name, example] of Object.entries(examples)) {
    writeFileSync(join(folder, kind, `${name}.json`), `${JSON.stringify(example, null, 2)}\n`);
  }
}
