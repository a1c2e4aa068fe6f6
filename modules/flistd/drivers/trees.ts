/** Trees of flists that are fetched, unpacked once and kept. */
import type { Bases } from './bases.ts';
import type { FlistTree, FlistTrees } from './driver.ts';
import { shownUrl } from './http.ts';
import { type FlistFile, type FlistSource, parseFlistUrl } from './source.ts';

export class FetchedTrees implements FlistTrees {
  readonly #bases: Bases;
  readonly #source: FlistSource;

  constructor({ bases, source }: { readonly bases: Bases; readonly source: FlistSource }) {
    this.#bases = bases;
    this.#source = source;
  }

  check(url: string): void {
    parseFlistUrl(url);
  }

  async with<T>(
    url: string,
    known: string | undefined,
    signal: AbortSignal,
    use: (tree: FlistTree) => Promise<T>,
  ): Promise<T> {
    const kept = this.#kept(url, known);
    const file = kept ?? (await this.#source.get(url, signal));
    try {
      return await this.#bases.with(file, signal, (path, { sha256 }) =>
        use({ path, sha256, shown: file.url, kept: kept !== undefined }),
      );
    } finally {
      await file.discard();
    }
  }

  hash(url: string, signal: AbortSignal): Promise<string> {
    return this.#source.hash(url, signal);
  }

  md5(sha256: string): string | undefined {
    return this.#bases.get(sha256)?.md5;
  }

  /** What is still at hand needs no network. */
  #kept(url: string, known: string | undefined): FlistFile | undefined {
    const base = known === undefined ? undefined : this.#bases.get(known);
    if (base === undefined) return undefined;
    const { sha256, md5 } = base;
    return { url: shownUrl(url), sha256, md5, path: undefined, discard: async () => undefined };
  }
}
