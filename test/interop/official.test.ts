import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { run } from '../../modules/host/run.ts';
import { hasOfficialClient } from './official-client.ts';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const able = hasOfficialClient && process.getuid?.() === 0 && existsSync('/usr/bin/unshare');

describe('the official client', () => {
  // Its namespace gives it port 443 on loopback, the only address it can store on the chain.
  it.skipIf(!able)('calls a node through our relay, with both key types', { timeout: 180_000 }, async () => {
    const { stdout } = await run('unshare', ['--net', '--', process.execPath, here('./official-scenario.ts')], {
      deadlineMs: 170_000,
    });
    const outcome = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
    for (const keyType of ['ed25519', 'sr25519']) {
      const { id, keyStored, results, failure } = outcome[keyType];
      expect(failure).toBeUndefined();
      expect(keyStored).toBe(33);
      expect(results).toEqual([
        { value: { zos: '0.1.0', zinit: '0.1.0' } },
        { value: { got: { contract_id: 42, text: 'ünï' }, encrypted: true, twin: id } },
        { error: '0 function is not found' },
      ]);
    }
  });
});
