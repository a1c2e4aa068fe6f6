/**
 * Kernel settings under /proc/sys/net. Those of interfaces we made are just
 * set; those of the host are recorded before they are changed, and put back
 * at a purge unless someone else has changed them since.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson, writeFileAtomic } from '../../host/files.ts';

const ROOT = '/proc/sys/net';

const recordSchema = z.object({
  /** Settings do not outlive the system's start. */
  bootId: z.string(),
  changes: z.record(z.string(), z.object({ before: z.string(), after: z.string() })),
});

async function read(key: string): Promise<string | undefined> {
  try {
    return (await readFile(join(ROOT, key), 'utf8')).trim();
  } catch {
    return undefined;
  }
}

/** Sets settings of interfaces that are ours; a key the kernel does not have is passed over. */
export async function setOwn(settings: Readonly<Record<string, string>>): Promise<void> {
  for (const [key, value] of Object.entries(settings)) {
    if ((await read(key)) === undefined) continue;
    await writeFile(join(ROOT, key), value);
  }
}

export class HostSettings {
  readonly #file: string;

  constructor(folder: string) {
    this.#file = join(folder, 'settings.json');
  }

  async #load(): Promise<z.infer<typeof recordSchema>> {
    const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    const parsed = recordSchema.safeParse(await readJson(this.#file));
    return parsed.success && parsed.data.bootId === bootId ? parsed.data : { bootId, changes: {} };
  }

  /** Changes a host setting once; whether it was ours to change is remembered. A missing key is passed over. */
  async change(key: string, value: string): Promise<void> {
    const before = await read(key);
    if (before === undefined || before === value) return;
    const record = await this.#load();
    record.changes[key] = { before: record.changes[key]?.before ?? before, after: value };
    await writeFileAtomic(this.#file, JSON.stringify(record), 0o600);
    await writeFile(join(ROOT, key), value);
  }

  /** Whether a setting has its value because of us. */
  async isOurs(key: string): Promise<boolean> {
    return Object.hasOwn((await this.#load()).changes, key);
  }

  /** Puts back what was changed. Resolves with the keys. */
  async restore(): Promise<string[]> {
    const restored: string[] = [];
    for (const [key, { before, after }] of Object.entries((await this.#load()).changes)) {
      if ((await read(key)) !== after) continue;
      await writeFile(join(ROOT, key), before);
      restored.push(key);
    }
    return restored;
  }
}
