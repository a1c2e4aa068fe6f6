/** Which network namespace a node's networkd runs in, so that a purge finds it again. */
import { join } from 'node:path';
import { z } from 'zod';
import { readJson, writeFileAtomic } from '../host/files.ts';
import type { Namespaces } from './drivers/namespaces.ts';

const homeSchema = z.object({ scope: z.string(), inode: z.int() });

const FILE = 'home.json';

export async function rememberHome(root: string, namespaces: Namespaces): Promise<void> {
  const home = { scope: namespaces.scope, inode: namespaces.self };
  await writeFileAtomic(join(root, FILE), JSON.stringify(home), 0o600);
}

/** `undefined` where networkd never ran with this folder. */
export async function recallHome(root: string): Promise<z.infer<typeof homeSchema> | undefined> {
  return homeSchema.safeParse(await readJson(join(root, FILE))).data;
}
