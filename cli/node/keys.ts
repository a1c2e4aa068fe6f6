/** Key files of the node, its farmer and its first user. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Identity, type KeyFile, type KeyType, readKeyFile, writeKeyFile } from '../../gateway/rmb/index.ts';
import { CliError } from '../command.ts';
import type { Layout } from './layout.ts';

export type KeyName = 'node' | 'farmer' | 'user';

const TYPES: Readonly<Record<KeyName, KeyType>> = { node: 'ed25519', farmer: 'sr25519', user: 'sr25519' };

export function keyPath(layout: Layout, name: KeyName): string {
  return join(layout.keys, `${name}.json`);
}

/** The identity of that name, made on first use; the file is readable by its owner alone. */
export async function ensureKey(layout: Layout, name: KeyName): Promise<Identity> {
  await mkdir(layout.keys, { recursive: true, mode: 0o700 });
  const path = keyPath(layout, name);
  if (!existsSync(path)) {
    await writeKeyFile(path, { keyType: TYPES[name], secret: randomBytes(32).toString('hex') });
  }
  return readKeyFile(path);
}

/** Keeps the node's key for its later starts. Throws `CliError` where it has another one already. */
export async function keepNodeKey(layout: Layout, key: KeyFile): Promise<void> {
  const wanted = await Identity.fromSecret(key.secret, key.keyType);
  const path = keyPath(layout, 'node');
  if (existsSync(path)) {
    const known = await readKeyFile(path);
    if (known.keyType === wanted.keyType && Buffer.compare(known.publicKey, wanted.publicKey) === 0) return;
    throw new CliError(
      `${path} holds another key: a node keeps its account; move that file away if it is to have a new one`,
    );
  }
  await mkdir(layout.keys, { recursive: true, mode: 0o700 });
  await writeKeyFile(path, key);
}
