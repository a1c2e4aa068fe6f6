/** What was asked for by name: which flist, with which content, and which volume flistd made for it. */
import { readdirSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readJson, writeFileAtomic } from '../../host/files.ts';

export interface MountRecord {
  readonly url: string;
  /** SHA-256 of the flist file that the address gave when the name was mounted first. */
  readonly sha256: string;
  readonly readOnly: boolean;
  /** Whether the volume of the same name belongs to this mount and goes with it. */
  readonly ownVolume: boolean;
}

const SUFFIX = '.json';

/**
 * A record stands from before the mount until `Unmount`, over restarts of the
 * host that take the mount itself away: what was mounted can be mounted again.
 */
export class Records {
  readonly #folder: string;
  readonly #records = new Map<string, MountRecord>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Reads the records of a folder; those that cannot be read are removed. */
  static async open(folder: string): Promise<Records> {
    const records = new Records(folder);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const file of readdirSync(folder)) {
      const record = (await readJson(join(folder, file)).catch(() => undefined)) as MountRecord | null | undefined;
      const isWhole = file.endsWith(SUFFIX) && typeof record?.url === 'string';
      if (isWhole) records.#records.set(file.slice(0, -SUFFIX.length), record);
      else await rm(join(folder, file), { force: true });
    }
    return records;
  }

  get(name: string): MountRecord | undefined {
    return this.#records.get(name);
  }

  get names(): string[] {
    return [...this.#records.keys()];
  }

  /** Hashes of the flists that records refer to. */
  hashes(): ReadonlySet<string> {
    return new Set([...this.#records.values()].map((record) => record.sha256));
  }

  /** Written before the mount and its volume are made, so that a crash leaves nothing that no one knows. */
  async write(name: string, record: MountRecord): Promise<void> {
    await writeFileAtomic(join(this.#folder, `${name}${SUFFIX}`), JSON.stringify(record));
    this.#records.set(name, record);
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.#folder, `${name}${SUFFIX}`), { force: true });
    this.#records.delete(name);
  }
}
