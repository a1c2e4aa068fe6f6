/**
 * The Go SDK's peer as a node behind the benchmark's relay: twin `GO`. It
 * answers `zos.system.version` and `zos.storage.pools` as the gateway does,
 * reads twins from a development chain of its own, verifies every signature,
 * decrypts every payload, and signs and encrypts its answers.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { type KeyType, writeKeyFile } from '../../../gateway/rmb/index.ts';
import { buildGoPrograms, hasGo } from '../../interop/rmb-go/build.ts';
import { end, start, startProgram } from './child.ts';
import { GO, secretOf } from './twins.ts';

export { hasGo };

/**
 * Builds it, starts its chain and itself, and resolves when the relay has
 * brought it a message: both processes, to be ended by the caller. `state` is a
 * folder that the caller removes.
 */
export async function startGoPeer(options: {
  /** `ws://HOST:PORT` of the relay. */
  readonly relay: string;
  readonly keyType: KeyType;
  readonly state: string;
}): Promise<readonly ChildProcess[]> {
  const { relay, keyType, state } = options;
  const folder = await mkdtemp(join(state, 'go-'));
  await buildGoPrograms(folder);
  const keyFile = join(folder, 'key.json');
  await writeKeyFile(keyFile, { keyType, secret: secretOf(GO) });
  const chain = await start(join(import.meta.dirname, 'tfchain.ts'), [keyType, new URL(relay).host]);
  try {
    const args = ['--relay', relay, '--chain', String(chain.ready.url), '--key-file', keyFile];
    const { child } = await startProgram(join(folder, 'peer'), args);
    return [child, chain.child];
  } catch (error) {
    await end(chain.child);
    throw error;
  }
}
