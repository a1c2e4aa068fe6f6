/** A unit's log: a file that never grows past a bound and keeps its newest half. */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';

/** Bytes of a log file; the one before it is kept as `<file>.0`, so twice this in all. */
const LOG_LIMIT_BYTES = 8 * 1024 * 1024;

export class UnitLog {
  readonly path: string;
  #fd: number;
  #size: number;

  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, 'a', 0o600);
    this.#size = fstatSync(this.#fd).size;
  }

  write(chunk: Buffer | string): void {
    const data = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    if (this.#size + data.length > LOG_LIMIT_BYTES && this.#size > 0) {
      closeSync(this.#fd);
      renameSync(this.path, `${this.path}.0`);
      this.#fd = openSync(this.path, 'a', 0o600);
      this.#size = 0;
    }
    try {
      writeSync(this.#fd, data);
      this.#size += data.length;
    } catch {
      // A full disk must not stop the unit that logs.
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
