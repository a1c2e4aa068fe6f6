import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { saveConfig } from './node/config.ts';
import { layoutOf } from './node/layout.ts';
import { simulatedConfig } from './node/testing/simulated-config.ts';

const output = join(import.meta.dirname, 'output.ts');
const main = join(import.meta.dirname, 'main.ts');

/** What a shell's words say of it, with the programs' paths in `$NODE`, `$MAIN` and `$OUTPUT`. */
async function shell(words: string): Promise<{ stdout: string; stderr: string }> {
  const env = { ...process.env, NODE: process.execPath, MAIN: main, OUTPUT: output };
  const child = spawn('bash', ['-c', words], { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { stdout, stderr };
}

describe('output', () => {
  it('that nobody reads ends a command as other programs, without a stack', async () => {
    const state = await mkdtemp(join(tmpdir(), 'gn-output-'));
    try {
      await saveConfig(layoutOf(state), simulatedConfig);
      for (const unit of ['chain', 'node', 'redis']) {
        await mkdir(join(state, 'zinit'), { recursive: true });
        await mkdir(join(state, 'log'), { recursive: true });
        await writeFile(join(state, 'zinit', `${unit}.yaml`), '');
        await writeFile(join(state, 'log', `${unit}.log`), 'line\n'.repeat(1000));
      }
      // The reader has ended before the first of the three logs is written.
      const words = `set -o pipefail; { sleep 1; "$NODE" "$MAIN" logs --state ${state}; } | true; echo "$?"`;
      expect(await shell(words)).toEqual({ stdout: '141\n', stderr: '' });
    } finally {
      await rm(state, { recursive: true, force: true });
    }
  });

  it('ends for its reader while the program goes on, and later words reach nobody', async () => {
    const program = `
      import { endOutput } from '$OUTPUT';
      import { openSync } from 'node:fs';
      process.stdout.write('all\\n');
      endOutput();
      const later = openSync('/dev/null', 'r');
      process.stdout.write('lost\\n', () => process.stderr.write(later > 2 ? 'goes on\\n' : 'taken\\n'));
    `;
    const { stdout, stderr } = await shell(
      `"$NODE" --input-type=module-typescript -e "${program.replaceAll('"', '\\"')}" | { cat; echo end; }`,
    );
    expect(stdout).toBe('all\nend\n');
    expect(stderr).toBe('goes on\n');
  });
});
