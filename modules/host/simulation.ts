/** A host that is only books: what its drivers share. Each book is one JSON file that survives the process. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';

/** What a driver passes through before it changes its books. */
export interface SimulatedHost {
  /** `call` as `storaged createDisk 7-1-disk`. Takes the time a host would; may throw what the operator asked for. */
  act(call: string): Promise<void>;
}

export interface SimulatedHostOptions {
  /** Milliseconds of each change. */
  readonly delayMs: number;
  /** Called with each change first; throws for those that shall fail. */
  readonly refuse: (call: string) => void;
}

export function simulatedHost({ delayMs, refuse }: SimulatedHostOptions): SimulatedHost {
  return {
    async act(call) {
      if (delayMs > 0) await sleep(delayMs);
      refuse(call);
    },
  };
}

/**
 * Replaced whole with each change, so that a killed process leaves the state
 * before or after it. Not forced to the disk: with the machine goes what it pretended.
 */
export class Book<T> {
  readonly #path: string;
  readonly content: T;

  private constructor(path: string, content: T) {
    this.#path = path;
    this.content = content;
  }

  /** The book as it was left, or a new one. Throws where the file is of another form. */
  static open<S extends z.ZodType>(path: string, schema: S, begin: () => z.output<S>): Book<z.output<S>> {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return new Book(path, begin());
    }
    return new Book(path, schema.parse(JSON.parse(text)));
  }

  save(): void {
    const partial = `${this.#path}.tmp`;
    writeFileSync(partial, `${JSON.stringify(this.content)}\n`, { mode: 0o600 });
    renameSync(partial, this.#path);
  }
}
