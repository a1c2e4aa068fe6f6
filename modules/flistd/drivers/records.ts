/** What was asked for by name: which flist, and which volume flistd made for it. */
import { readdirSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readJson, writeFileAtomic } from '../../host/files.ts';

export interface MountRecord {
  readonly url: string;
  readonly readOnly: boolean;
  /** Whether the volume of the same name belongs to this mount and goes with it. */
  readonly ownVolume: boolean;
}

const SUFFIX = '.json';

export class Records {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async read(name: string): Promise<MountRecord | undefined> {
    return (await readJson(join(this.#folder, `${name}${SUFFIX}`)).catch(() => undefined)) as MountRecord | undefined;
  }

  /** Written before the mount and its volume are made, so that a crash leaves nothing that no one knows. */
  async write(name: string, record: MountRecord): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await writeFileAtomic(join(this.#folder, `${name}${SUFFIX}`), JSON.stringify(record));
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.#folder, `${name}${SUFFIX}`), { force: true });
  }

  names(): string[] {
    return readdirSync(this.#folder)
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length));
  }
}
