/** Key files of the node, its farmer and its first user. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Identity, type KeyType, readKeyFile, writeKeyFile } from '../../gateway/rmb/index.ts';
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
