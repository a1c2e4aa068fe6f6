/**
 * Damages a simulated node's journal in every way that `test/faults/node/damage.ts` knows, one at a time.
 *
 * `node test/faults/damage/run.ts [WORD]`: all, or those whose name has the word. Prints what does not hold.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWith } from '../ending.ts';
import { tryAll } from '../node/damage-runs.ts';

const folder = mkdtempSync(join(tmpdir(), 'gn-damage-'));
const word = process.argv[2] ?? '';
const { tried, failures } = await tryAll(folder, ({ name }) => name.includes(word));
rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
for (const failure of failures) process.stderr.write(`${failure}\n`);
process.stdout.write(`${JSON.stringify({ tried, failures: failures.length })}\n`);
await endWith(failures.length === 0 ? 0 : 1);
