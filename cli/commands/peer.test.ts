import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { expect, it } from 'vitest';

it('hands the descriptor with the key to the peer, however the flag is written', { timeout: 120_000 }, async () => {
  const texts = [['--key-fd', '4'], ['--key-fd=4']].map(async (flag) => {
    const child = spawn(process.execPath, [join(import.meta.dirname, '../main.ts'), 'peer', ...flag], {
      stdio: ['ignore', 'ignore', 'pipe', 'ignore', 'pipe'],
      timeout: 60_000,
    });
    (child.stdio[4] as Writable).end('no key');
    let text = '';
    child.stderr?.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    await once(child, 'close');
    return text;
  });
  for (const text of await Promise.all(texts)) expect(text).toContain('descriptor 4 does not hold a key');
});
