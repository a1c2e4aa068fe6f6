/** The last result of every task, in one private file: a restart of the daemon or of the bus loses none. */
import type { Logger } from 'pino';
import { z } from 'zod';
import { readJson, writeFileAtomic } from '../../host/files.ts';
import type { Json, TaskResult } from './task.ts';

/** Bytes of one result; a task that finds more has gone wrong. */
const MAX_RESULT_BYTES = 256 * 1024;

const json: z.ZodType<Json> = z.json();
const content = z.object({
  version: z.literal(1),
  results: z.array(z.object({ name: z.string(), description: z.string(), timestamp: z.int(), result: json })),
});

export class Results {
  readonly #path: string;
  readonly #byName: Map<string, TaskResult>;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, results: readonly TaskResult[]) {
    this.#path = path;
    this.#byName = new Map(results.map((one) => [one.name, one]));
  }

  /** What was kept. A file that cannot be read is begun anew, and the log says so: every task will run again. */
  static async open(path: string, log: Pick<Logger, 'warn'>): Promise<Results> {
    try {
      const stored = await readJson(path);
      return new Results(path, stored === undefined ? [] : content.parse(stored).results);
    } catch (error) {
      log.warn({ err: error, path }, 'the results of earlier measurements cannot be read; begun anew');
      return new Results(path, []);
    }
  }

  get(name: string): TaskResult | undefined {
    return this.#byName.get(name);
  }

  /** Keeps a result in place of the former one. Throws when it is too large or cannot be written. */
  async put(result: TaskResult): Promise<void> {
    const bytes = Buffer.byteLength(JSON.stringify(result));
    if (bytes > MAX_RESULT_BYTES) {
      throw new Error(`the result of ${result.name} has ${bytes} bytes, at most ${MAX_RESULT_BYTES} are kept`);
    }
    this.#byName.set(result.name, result);
    // One after the other: the file that is renamed last must be the newest.
    this.#writing = this.#writing.catch(() => undefined).then(() => this.#write());
    await this.#writing;
  }

  async #write(): Promise<void> {
    const text = JSON.stringify({ version: 1, results: [...this.#byName.values()] });
    await writeFileAtomic(this.#path, `${text}\n`, 0o600);
  }
}
