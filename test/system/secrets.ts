/** Where a secret can be found that should be nowhere: files of a node, command lines of processes, texts. */
import { readdirSync, readFileSync } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

const CHUNK_BYTES = 1024 * 1024;

/** A secret in the forms in which a program may write it down. */
export class Needle {
  readonly #forms: readonly Buffer[];
  readonly #longest: number;

  /** `texts` as they are, `bytes` raw, as hex and as base64. */
  constructor(texts: readonly string[], bytes: readonly Uint8Array[]) {
    const written = bytes.flatMap((one) => {
      const buffer = Buffer.from(one);
      const hex = buffer.toString('hex');
      const base64 = [buffer.toString('base64').replace(/=+$/, ''), buffer.toString('base64url')];
      return [buffer, ...[hex, hex.toUpperCase(), ...base64].map((text) => Buffer.from(text))];
    });
    this.#forms = [...texts.map((text) => Buffer.from(text)), ...written];
    this.#longest = Math.max(...this.#forms.map(({ length }) => length));
  }

  isIn(text: string | Buffer): boolean {
    const buffer = Buffer.isBuffer(text) ? text : Buffer.from(text);
    return this.#forms.some((form) => buffer.includes(form));
  }

  /** Files below `folder` that contain it; those beyond `limitBytes` are disks, not state. */
  async filesIn(folder: string, limitBytes = 256 * CHUNK_BYTES): Promise<string[]> {
    const found: string[] = [];
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      if (await this.#isInFile(path, limitBytes)) found.push(path);
    }
    return found;
  }

  async #isInFile(path: string, limitBytes: number): Promise<boolean> {
    const file = await open(path).catch(() => undefined);
    if (file === undefined) return false;
    try {
      if ((await file.stat()).size > limitBytes) return false;
      const chunk = Buffer.alloc(CHUNK_BYTES + this.#longest);
      let kept = 0;
      for (;;) {
        const { bytesRead } = await file.read(chunk, kept, CHUNK_BYTES, null);
        if (bytesRead === 0) return false;
        const filled = kept + bytesRead;
        if (this.isIn(chunk.subarray(0, filled))) return true;
        kept = Math.min(filled, this.#longest);
        chunk.copyWithin(0, filled - kept, filled);
      }
    } finally {
      await file.close();
    }
  }
}

/** Command lines of every process of the machine, by process id. */
export function commandLines(): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      found.set(Number(name), readFileSync(`/proc/${name}/cmdline`));
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}
