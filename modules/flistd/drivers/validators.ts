/** What hosts said of flists that were fetched, so that an unchanged one is not fetched again. Bounded. */
import { createHash } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readJson, writeFileAtomic } from '../../host/files.ts';

export interface Validator {
  readonly etag: string;
  readonly sha256: string;
  readonly md5: string;
}

const NAME = /^[0-9a-f]{64}\.json$/;
const DEFAULT_LIMIT = 1000;

export class Validators {
  readonly #folder: string;
  readonly #limit: number;

  /** Keeps at most `limit` addresses: whoever may name addresses could fill the disk with them. */
  constructor(folder: string, limit: number = DEFAULT_LIMIT) {
    this.#folder = folder;
    this.#limit = limit;
  }

  #path(url: string): string {
    return join(this.#folder, `${createHash('sha256').update(url).digest('hex')}.json`);
  }

  async get(url: string): Promise<Validator | undefined> {
    return (await readJson(this.#path(url)).catch(() => undefined)) as Validator | undefined;
  }

  async put(url: string, validator: Validator): Promise<void> {
    await writeFileAtomic(this.#path(url), JSON.stringify(validator));
    const paths = (await readdir(this.#folder))
      .filter((name) => NAME.test(name))
      .map((name) => join(this.#folder, name));
    if (paths.length <= this.#limit) return;
    const written = await Promise.all(
      paths.map(async (path) => ({
        path,
        at: await stat(path).then(
          ({ mtimeMs }) => mtimeMs,
          () => 0,
        ),
      })),
    );
    written.sort((a, b) => a.at - b.at);
    for (const { path } of written.slice(0, written.length - this.#limit)) await rm(path, { force: true });
  }
}
