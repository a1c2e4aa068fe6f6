/** A unit's log: a file that never grows past a bound and keeps its newest half. */
import { closeSync, fstatSync, ftruncateSync, openSync, renameSync, writeSync } from 'node:fs';

/** Bytes of a log file; the one before it is kept as `<file>.0`, so twice this in all. */
export const LOG_LIMIT_BYTES = 8 * 1024 * 1024;

export class UnitLog {
  readonly path: string;
  #fd: number | undefined;
  #size = 0;

  constructor(path: string) {
    this.path = path;
  }

  /** A full disk must not stop the unit that logs: what cannot be written is dropped. */
  write(chunk: Buffer | string): void {
    const data = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    try {
      if (this.#size + data.length > LOG_LIMIT_BYTES && this.#size > 0) this.#turn();
      const fd = this.#fd ?? this.#open();
      writeSync(fd, data);
      this.#size += data.length;
    } catch {
      // The next words are tried anew.
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(): number {
    const fd = openSync(this.path, 'a', 0o600);
    this.#fd = fd;
    this.#size = fstatSync(fd).size;
    return fd;
  }

  #turn(): void {
    this.close();
    renameSync(this.path, `${this.path}.0`);
    this.#size = 0;
  }
}

/** The supervisor's own words on its standard output; a file there is emptied at the bound. */
export const ownLog = {
  write(line: string): void {
    try {
      const { size } = fstatSync(1);
      if (size > LOG_LIMIT_BYTES) ftruncateSync(1);
      writeSync(1, line);
    } catch {
      // As above: nobody is left without a supervisor because a disk is full.
    }
  },
};
