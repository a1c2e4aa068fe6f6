/** Brings what was written to a file onto its disk, in the thread pool: one sync serves all that wait for one. */
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';

export class Syncing {
  readonly #path: string;
  #file: Promise<FileHandle> | undefined;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #isClosed = false;

  /** The file need not be there before the first sync. */
  constructor(path: string) {
    this.#path = path;
  }

  /** Resolves when all that was written before this call outlives a loss of power. */
  synced(): Promise<void> {
    this.#next ??= this.#after(this.#running);
    return this.#next;
  }

  /** Nothing is synced from now on: whoever closes the file itself sees to that. */
  close(): void {
    this.#isClosed = true;
    const file = this.#file;
    const close = async (): Promise<void> => {
      await this.#running;
      await (await file)?.close();
    };
    // What could not be synced was told to those who waited.
    close().catch(() => undefined);
  }

  async #after(running: Promise<void> | undefined): Promise<void> {
    await running?.catch(() => undefined);
    this.#next = undefined;
    this.#running = this.#sync();
    await this.#running;
  }

  async #sync(): Promise<void> {
    if (this.#isClosed) return;
    this.#file ??= this.#open();
    try {
      await (await this.#file).datasync();
    } catch (error) {
      if (!this.#isClosed) throw error;
    }
  }

  /** A file that was made just now also has to be found after a loss of power. */
  async #open(): Promise<FileHandle> {
    try {
      const file = await open(this.#path, 'r');
      const folder = await open(dirname(this.#path), 'r');
      await folder.sync().finally(() => folder.close());
      return file;
    } catch (error) {
      this.#file = undefined;
      throw error;
    }
  }
}
